/**
 * A peer whose process is killed in the middle of everything (traps 7 and 12), with real processes.
 */

import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { isMoyaiError, utf8 } from '@moyai/protocol'
import { multiaddr } from '@multiformats/multiaddr'
import { StreamReader, StreamWriter } from './stream-io.ts'
import { eventually } from '../testing/eventually.ts'
import { buildHost, introduceVault, makeStripe, pieces, type TestHost } from './testing/network.ts'

/** Its id is below the child's: this host dials at once, the child would wait. */
const LOWEST = 8

type Child = { process: ChildProcess; id: string; addresses: string[] }

async function startChild(seed: number, member: TestHost): Promise<Child> {
  const script = new URL('./testing/peer-process.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [script, String(seed), member.id], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  assert.ok(child.stdout !== null)
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  return { process: child, ...(JSON.parse(line) as { id: string; addresses: string[] }) }
}

async function kill(child: Child): Promise<void> {
  child.process.kill('SIGKILL')
  await once(child.process, 'exit')
}

function isUp(host: TestHost, id: string): boolean {
  return host.network.peers().some((peer) => peer.host === id && peer.connected)
}

test('goal (traps 7, 12): requests to a killed peer fail soon and clearly, and it is found again when it returns', async () => {
  await using host = await buildHost(LOWEST)
  introduceVault(host)
  host.network.registerProtocol('/test/hang/1', async () => utf8('x'))
  await host.network.start()
  const first = await startChild(2, host)
  host.membership.hosts.set(first.id, first.addresses)
  host.network.membershipChanged()
  await eventually('it is up', () => isUp(host, first.id))

  // Method: a put whose payload is under way, one answered message awaited, then SIGKILL.
  const stripe = makeStripe(1)
  const put = host.network
    .shards(first.id)
    .put({ envelope: stripe.envelope, index: 0, payload: pieces(stripe.shards[0] as Uint8Array) })
  const asked = host.network.request(first.id, '/test/hang/1', utf8('x'))
  const outcomes = Promise.allSettled([put, asked])
  await eventually('both are under way', () => host.network.usage.lanes === 2)
  const killedAt = performance.now()
  await kill(first)
  for (const outcome of await outcomes) {
    assert.ok(outcome.status === 'rejected')
    const reason: unknown = outcome.reason
    assert.ok(isMoyaiError(reason, 'STREAM_CLOSED', 'HOST_UNREACHABLE'), String(reason))
  }
  assert.ok(performance.now() - killedAt < 5000, 'a killed process is noticed at once')
  await eventually('it is down', () => !isUp(host, first.id))
  assert.equal(host.network.usage.fetchBytes, 0)

  // It comes back under another address, as a rebooted machine does.
  const second = await startChild(2, host)
  assert.equal(second.id, first.id)
  host.membership.hosts.set(second.id, [...first.addresses, ...second.addresses])
  host.network.membershipChanged()
  await eventually('it is up again', () => isUp(host, second.id))
  await kill(second)
})

test('goal (trap 7): a killed peer looks like a clean end of stream, which is why frames carry lengths', async () => {
  await using host = await buildHost(LOWEST)
  await host.network.start()
  const child = await startChild(2, host)
  const { openNode } = await import('./testing/nodes.ts')
  // The child knows this seed as a member: a bare node with that identity sees what libp2p shows.
  await host.network.stop()
  await using bare = await openNode(LOWEST)
  const connection = await bare.node.dial(child.addresses.map((text) => multiaddr(text)))
  const stream = await connection.newStream('/test/hang/1')
  const closed = Promise.withResolvers<Error | undefined>()
  stream.addEventListener('close', (event) => closed.resolve(event.error))
  const reader = new StreamReader(stream)
  // The child's HELLO header arrives; then, in the middle of its body, the process is gone.
  assert.equal((await reader.read(16))?.byteLength, 16)
  await new StreamWriter(stream).write(new Uint8Array(1))
  await kill(child)
  await reader.read(4)
  let bytes = 0
  for (;;) {
    const more = await reader.read(1).catch(() => undefined)
    if (more === undefined) break
    bytes += more.byteLength
  }
  assert.equal(await closed.promise, undefined, 'libp2p changed: look at trap 7 again')
  assert.ok(bytes < 1024)
})
