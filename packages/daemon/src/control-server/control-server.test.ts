import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { MoyaiError, type StoreStatusEvent } from '@moyai/protocol'
import * as fc from 'fast-check'

import { silentLogger } from '../logger.ts'
import { ControlServer, type ControlHandlers } from './control-server.ts'

type Reply = { id: number; event?: unknown; result?: unknown; error?: { code: string } }

async function withServer(
  handlers: ControlHandlers,
  run: (o: { address: string; server: ControlServer }) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'moyai-control-'))
  const address = join(folder, 'control.sock')
  const server = new ControlServer({ address, handlers, logger: silentLogger })
  await server.start()
  try {
    await run({ address, server })
  } finally {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

function dial(address: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(address, () => resolve(socket))
    socket.on('error', reject)
  })
}

/** Sends lines and reads `count` replies (or until the server hangs up). */
async function exchange(socket: Socket, lines: string[], count: number): Promise<Reply[]> {
  for (const line of lines) socket.write(`${line}\n`)
  let text = ''
  for await (const bytes of socket.iterator({ destroyOnReturn: false })) {
    text += String(bytes)
    if (text.split('\n').length > count) break
  }
  return text
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Reply)
}

const request = (id: number, method: string, params: unknown = {}): string =>
  JSON.stringify({ id, method, params })

const VERSION = { version: '0', protocol: 1, node: '26', pid: 1 }

const version: ControlHandlers = {
  async *version() {
    return VERSION
  },
}

test('goal: a request gets its events in order and then its result', async () => {
  const handlers: ControlHandlers = {
    async *check(params) {
      yield {
        message_type: 'status',
        phase: 'log',
        stripes_done: 0,
        stripes_total: 1,
        bytes_read: 0,
      }
      yield {
        message_type: 'status',
        phase: 'log',
        stripes_done: 1,
        stripes_total: 1,
        bytes_read: 0,
      }
      assert.equal(params.readData, true)
      throw new MoyaiError('NO_POOL', 'no pool yet', { hint: 'make one' })
    },
    ...version,
  }
  await withServer(handlers, async ({ address }) => {
    assert.equal(statSync(address).mode & 0o077, 0)
    const socket = await dial(address)
    const replies = await exchange(
      socket,
      [request(1, 'check', { readData: true }), request(2, 'version')],
      4,
    )
    const ofCheck = replies.filter((reply) => reply.id === 1)
    assert.deepEqual(
      ofCheck.map((reply) => Object.keys(reply)[1]),
      ['event', 'event', 'error'],
    )
    assert.deepEqual(ofCheck[2]?.error, {
      code: 'NO_POOL',
      message: 'no pool yet',
      hint: 'make one',
    })
    assert.deepEqual(replies.find((reply) => reply.id === 2)?.result, VERSION)
    socket.destroy()
  })
})

test('goal: what is no request gets a sentence, and the server lives', async () => {
  await withServer(version, async ({ address }) => {
    const cases: [string, string][] = [
      ['not json', 'PROTOCOL_VIOLATION'],
      ['{"id":"x","method":"version"}', 'PROTOCOL_VIOLATION'],
      ['[]', 'PROTOCOL_VIOLATION'],
      [request(1, 'rm -rf'), 'USAGE'],
      [request(1, '__proto__'), 'USAGE'],
      [request(1, 'status'), 'USAGE'],
      [request(1, 'version', { extra: 1 }), 'USAGE'],
      [request(1, 'version', []), 'USAGE'],
    ]
    for (const [line, code] of cases) {
      const socket = await dial(address)
      const [reply] = await exchange(socket, [line], 1)
      assert.equal(reply?.error?.code, code, line)
      socket.destroy()
    }
    const endless = await dial(address)
    const [reply] = await exchange(endless, ['x'.repeat(1024 * 1024 + 1)], 1)
    assert.equal(reply?.error?.code, 'TOO_LARGE')
    const last = await dial(address)
    assert.deepEqual((await exchange(last, [request(7, 'version')], 1))[0]?.result, VERSION)
    last.destroy()
  })
})

test('goal: a client that goes away aborts its request, and only its own', async () => {
  const aborted = Promise.withResolvers<string>()
  const handlers: ControlHandlers = {
    async *status(_params, { signal }) {
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          aborted.resolve((signal.reason as MoyaiError).code)
          reject(signal.reason as MoyaiError)
        })
      })
    },
    ...version,
  }
  await withServer(handlers, async ({ address }) => {
    const other = await dial(address)
    const socket = await dial(address)
    socket.write(`${request(1, 'status')}\n`)
    assert.deepEqual((await exchange(other, [request(1, 'version')], 1))[0]?.result, VERSION)
    socket.destroy()
    assert.equal(await aborted.promise, 'ABORTED')
    assert.deepEqual((await exchange(other, [request(2, 'version')], 1))[0]?.result, VERSION)
    other.destroy()
  })
})

test('goal: a client that does not read makes its handler wait, not the memory grow', async () => {
  const events: number[] = []
  const ended = Promise.withResolvers<void>()
  const status: StoreStatusEvent = {
    message_type: 'status',
    seconds_elapsed: 0,
    seconds_remaining: null,
    percent_done: null,
    total_files: 0,
    files_done: 0,
    total_bytes: 0,
    bytes_done: 0,
    bytes_sent: 0,
    error_count: 0,
    current_files: ['x'.repeat(10_000)],
    phase: 'storing',
  }
  const handlers: ControlHandlers = {
    async *store(_params, { signal }) {
      try {
        while (!signal.aborted) {
          events.push(1)
          yield status
        }
        throw signal.reason as MoyaiError
      } finally {
        ended.resolve()
      }
    },
  }
  const params = { paths: ['/a'], tags: [], excludes: [], dryRun: false, wait: true }
  await withServer(handlers, async ({ address }) => {
    const socket = await dial(address)
    socket.pause()
    socket.write(`${request(1, 'store', params)}\n`)
    // Wait until the handler stands still.
    for (let last = -1; last !== events.length || last === 0;) {
      last = events.length
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    assert.ok(
      events.length < 1000,
      `${events.length} events of 10 kB were taken for a client that does not read`,
    )
    socket.destroy()
    await ended.promise
  })
})

test('goal: stopping aborts what runs; a stale socket is replaced', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'moyai-control-'))
  const address = join(folder, 'control.sock')
  writeFileSync(address, 'left over')
  const started = Promise.withResolvers<void>()
  const handlers: ControlHandlers = {
    async *status(_params, { signal }) {
      started.resolve()
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as MoyaiError))
      })
    },
  }
  const server = new ControlServer({ address, handlers, logger: silentLogger })
  await server.start()
  const socket = await dial(address)
  const replies = exchange(socket, [request(1, 'status')], 1)
  await started.promise
  await server.stop()
  assert.equal((await replies)[0]?.error?.code, 'ABORTED')
  assert.throws(() => statSync(address), { code: 'ENOENT' })
  socket.destroy()
  rmSync(folder, { recursive: true, force: true })
})

test('goal: more requests at once than allowed are BUSY', async () => {
  const release = Promise.withResolvers<void>()
  const handlers: ControlHandlers = {
    async *version() {
      await release.promise
      return VERSION
    },
  }
  await withServer(handlers, async ({ address }) => {
    const socket = await dial(address)
    const lines = Array.from({ length: 9 }, (_, id) => request(id, 'version'))
    const [busy] = await exchange(socket, lines, 1)
    assert.deepEqual([busy?.id, busy?.error?.code], [8, 'BUSY'])
    release.resolve()
    socket.destroy()
  })
})

test('goal: whatever bytes a client sends, the server lives and answers the next one', async () => {
  await withServer(version, async ({ address }) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            fc.uint8Array({ maxLength: 100 }),
            fc.json().map((text) => new TextEncoder().encode(`${text}\n`)),
          ),
          { maxLength: 5 },
        ),
        async (parts) => {
          const socket = await dial(address)
          for (const part of parts) socket.write(part)
          socket.end()
          socket.resume()
          await new Promise((resolve) => socket.once('close', resolve))
        },
      ),
      { numRuns: 60 },
    )
    const socket = await dial(address)
    assert.deepEqual((await exchange(socket, [request(1, 'version')], 1))[0]?.result, VERSION)
    socket.destroy()
  })
})
