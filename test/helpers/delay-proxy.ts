/**
 * A forwarded port over a bad line: TCP connections to one address are carried to another, each
 * byte late. A process of its own, because it runs inside a network namespace:
 * `node delay-proxy.ts LISTEN-HOST PORT TARGET-HOST PORT DELAY-MS`, DELAY-MS for each direction.
 *
 * Lines on stdin: `stall MS` hands nothing on for that long, `cut` breaks every connection. It says
 * `listening` when it does.
 */

import { connect, createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'

const [listenHost = '', listenPort = '', targetHost = '', targetPort = '', delayMs = ''] =
  process.argv.slice(2)

/** Bytes on the line in one direction; above, the sender waits: 40 ms of 100 MB/s. */
const LINE_BYTES_MAX = 4 * 1024 * 1024

const sockets = new Set<Socket>()
let stalledUntil = 0

/** Hands `from`'s bytes to `to`, in order, each chunk after the delay. */
function carry(from: Socket, to: Socket): void {
  let onLine = 0
  let order = Promise.resolve()
  const late = async (chunk: Buffer | undefined, due: number): Promise<void> => {
    for (;;) {
      const wait = Math.max(due, stalledUntil) - performance.now()
      if (wait <= 0) break
      await delay(wait)
    }
    if (to.destroyed) return
    if (chunk === undefined) to.end()
    else if (!to.write(chunk)) {
      await new Promise<void>((resolve) => {
        to.once('drain', resolve)
        to.once('close', resolve)
      })
    }
    onLine -= chunk?.length ?? 0
    if (onLine < LINE_BYTES_MAX) from.resume()
  }
  const send = (chunk: Buffer | undefined): void => {
    const due = performance.now() + Number(delayMs)
    order = order.then(() => late(chunk, due))
  }
  from.on('data', (chunk: Buffer) => {
    onLine += chunk.length
    if (onLine >= LINE_BYTES_MAX) from.pause()
    send(chunk)
  })
  from.once('end', () => send(undefined))
  from.once('close', () => {
    if (from.errored !== null) to.destroy()
  })
  // Cut connections are what this program is for.
  from.on('error', () => to.destroy())
}

const server = createServer({ allowHalfOpen: true }, (near) => {
  const far = connect({ host: targetHost, port: Number(targetPort), allowHalfOpen: true })
  for (const socket of [near, far]) {
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.once('close', () => sockets.delete(socket))
  }
  carry(near, far)
  carry(far, near)
})

server.listen({ host: listenHost, port: Number(listenPort) }, () => {
  process.stdout.write('listening\n')
})

createInterface({ input: process.stdin }).on('line', (line) => {
  const [word, ms] = line.split(' ')
  if (word === 'stall') stalledUntil = performance.now() + Number(ms)
  if (word === 'cut') for (const socket of sockets) socket.resetAndDestroy()
})
process.stdin.once('end', () => process.exit(0))
