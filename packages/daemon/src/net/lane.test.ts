/** Lanes between two real libp2p nodes, and against peers that break the rules. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isMoyaiError, MoyaiError, utf8 } from '@moyai/protocol'
import { ManualClock, systemClock } from '../clock.ts'
import { ByteBudget } from './budget.ts'
import type { Exchange } from './exchange.ts'
import { decodeCredit, encodeCredit } from './frame.ts'
import { decodeError } from './lane-messages.ts'
import { Lane, type ExchangeHandler } from './lane.ts'
import {
  FRAME_STALL_MS,
  HELLO_DEADLINE_MS,
  LANE_CREDIT_BYTES_MAX,
  LANE_IDLE_MS,
  LANE_REQUESTS_MAX,
  REQUEST_IDLE_MS,
  REQUEST_WINDOW_BYTES,
} from './limits.ts'
import { eventually } from '../testing/eventually.ts'
import { connectStream, openNode } from './testing/nodes.ts'
import { frameBytes, helloBytes, RawPeer, rawHeader } from './testing/raw-lane.ts'
import type { Clock } from '@moyai/protocol'

const KIB = 1024
const MIB = 1024 * KIB
const limits = { requestBytesMax: 16 * KIB, responseBytesMax: 128 * KIB }

type Pair = AsyncDisposable & {
  opener: Lane
  acceptor: Lane
  budgets: { opener: ByteBudget; acceptor: ByteBudget }
}

async function openPair(handler: ExchangeHandler, clock: Clock = systemClock): Promise<Pair> {
  const a = await openNode(1)
  const b = await openNode(2)
  const { near, far } = await connectStream(a.node, b.node)
  const budgets = {
    opener: new ByteBudget({ bytesMax: 32 * MIB }),
    acceptor: new ByteBudget({ bytesMax: 32 * MIB, bytesMaxPerOwner: 8 * MIB }),
  }
  const opener = new Lane({ stream: near, peer: 'b', limits }, { clock, budget: budgets.opener })
  const acceptor = new Lane(
    { stream: far, peer: 'a', limits, handler },
    { clock, budget: budgets.acceptor },
  )
  return {
    opener,
    acceptor,
    budgets,
    [Symbol.asyncDispose]: async () => {
      await a[Symbol.asyncDispose]()
      await b[Symbol.asyncDispose]()
    },
  }
}

/** An acceptor lane whose peer is played by hand. */
async function openRaw(
  handler: ExchangeHandler,
  clock: Clock = systemClock,
): Promise<AsyncDisposable & { peer: RawPeer; lane: Lane; budget: ByteBudget }> {
  const a = await openNode(1)
  const b = await openNode(2)
  const { near, far } = await connectStream(a.node, b.node)
  const budget = new ByteBudget({ bytesMax: 32 * MIB })
  const lane = new Lane({ stream: far, peer: 'a', limits, handler }, { clock, budget })
  const dispose = async (): Promise<void> => {
    await a[Symbol.asyncDispose]()
    await b[Symbol.asyncDispose]()
  }
  return { peer: new RawPeer(near), lane, budget, [Symbol.asyncDispose]: dispose }
}

/** Answers with the payload, counted. */
const countBytes: ExchangeHandler = async (exchange) => {
  let count = 0
  if (exchange.more) exchange.expect(64 * MIB)
  for (;;) {
    const parts = await exchange.receive()
    if (parts === undefined) break
    for (const part of parts) count += part.length
  }
  await exchange.respond(utf8(String(count)))
}

async function sendAll(lane: Lane, length: number): Promise<string> {
  const exchange = await lane.request({ body: utf8('count'), more: true })
  const chunk = new Uint8Array(100 * KIB)
  for (let at = 0; at < length; at += chunk.length) {
    await exchange.send(chunk.subarray(0, Math.min(chunk.length, length - at)))
  }
  await exchange.end()
  return Buffer.from((await exchange.response()).body).toString()
}

async function receiveAll(exchange: Exchange): Promise<number> {
  let count = 0
  for (;;) {
    const parts = await exchange.receive()
    if (parts === undefined) return count
    for (const part of parts) count += part.length
  }
}

test('goal: many requests with payload both ways share one lane; nothing stays accounted for', async () => {
  await using pair = await openPair(async (exchange) => {
    if (exchange.more) return countBytes(exchange)
    await exchange.respond(exchange.body, true)
    await exchange.send(new Uint8Array(Number(Buffer.from(exchange.body).toString())))
    await exchange.end()
  })
  const lengths = Array.from({ length: 24 }, (_, i) => 1 + i * 77_777)
  const puts = lengths.map(async (length) => {
    assert.equal(await sendAll(pair.opener, length), String(length))
  })
  const gets = lengths.map(async (length) => {
    const exchange = await pair.opener.request({ body: utf8(String(length)), expect: length })
    assert.equal((await exchange.response()).more, true)
    assert.equal(await receiveAll(exchange), length)
  })
  await Promise.all([...puts, ...gets])
  await eventually('both ends are idle', () => pair.opener.load + pair.acceptor.load === 0)
  assert.equal(pair.budgets.opener.usedBytes, 0)
  assert.equal(pair.budgets.acceptor.usedBytes, 0)
})

test('goal: a holder whose disk stalls stops the senders by credit, within the lane’s bound', async () => {
  const disk = Promise.withResolvers<void>()
  await using pair = await openPair(async (exchange) => {
    exchange.expect(4 * MIB)
    // The first frame is taken, then the disk hangs.
    let count = 0
    for (;;) {
      const parts = await exchange.receive()
      if (parts === undefined) break
      for (const part of parts) count += part.length
      await disk.promise
    }
    await exchange.respond(utf8(String(count)))
  })
  const accepted = { bytes: 0 }
  const sends = Array.from({ length: LANE_REQUESTS_MAX }, async () => {
    const exchange = await pair.opener.request({ body: utf8('put'), more: true })
    const chunk = new Uint8Array(64 * KIB)
    for (let at = 0; at < 4 * MIB; at += chunk.length) {
      await exchange.send(chunk)
      accepted.bytes += chunk.length
    }
    await exchange.end()
    return Buffer.from((await exchange.response()).body).toString()
  })
  await eventually('all windows are full', () => accepted.bytes === LANE_CREDIT_BYTES_MAX)
  assert.equal(pair.acceptor.heldBytes, LANE_CREDIT_BYTES_MAX)
  assert.equal(pair.budgets.acceptor.usedBytes, LANE_CREDIT_BYTES_MAX)
  disk.resolve()
  assert.deepEqual(new Set(await Promise.all(sends)), new Set([String(4 * MIB)]))
  assert.equal(pair.budgets.acceptor.usedBytes, 0)
})

test('goal: a consumer that reads one answer only after another never blocks that other', async () => {
  // Method: eight answers of 2 MiB each on one lane, read strictly one after the other.
  await using pair = await openPair(async (exchange) => {
    await exchange.respond(utf8('x'), true)
    await exchange.send(new Uint8Array(2 * MIB))
    await exchange.end()
  })
  const exchanges = await Promise.all(
    Array.from({ length: LANE_REQUESTS_MAX }, () =>
      pair.opener.request({ body: utf8('get'), expect: 2 * MIB }),
    ),
  )
  for (const exchange of exchanges.toReversed()) {
    assert.equal(await receiveAll(exchange), 2 * MIB)
  }
})

test('goal: a refusal reaches the asker with code, text and hint, even in the middle of its payload', async () => {
  await using pair = await openPair(async (exchange) => {
    exchange.expect(4 * MIB)
    await exchange.receive()
    throw new MoyaiError('NO_SPACE', 'full\u001b[31m', { hint: 'make room' })
  })
  const exchange = await pair.opener.request({ body: utf8('put'), more: true })
  const sending = (async () => {
    for (let i = 0; i < 64; i++) await exchange.send(new Uint8Array(64 * KIB))
  })()
  await assert.rejects(sending, (error) => {
    assert.ok(isMoyaiError(error, 'NO_SPACE'))
    assert.equal(error.message, 'full\\x1b[31m')
    assert.equal(error.hint, 'make room')
    return true
  })
  await eventually('both halves are closed', () => pair.opener.load + pair.acceptor.load === 0)
  assert.equal(pair.opener.isOpen, true)
})

test('goal: a handler’s own defect is told only as INTERNAL', async () => {
  await using pair = await openPair(async () => {
    throw new TypeError('secret detail')
  })
  const exchange = await pair.opener.request({ body: utf8('x') })
  await assert.rejects(exchange.response(), (error) => {
    return isMoyaiError(error, 'INTERNAL') && !error.message.includes('secret')
  })
})

test('goal: aborting a request cancels it at the peer, frees its place, and leaves the lane open', async () => {
  const seen = { aborted: 0 }
  await using pair = await openPair(async (exchange) => {
    exchange.signal.addEventListener('abort', () => (seen.aborted += 1))
    await exchange.respond(utf8('x'), true)
    for (;;) await exchange.send(new Uint8Array(64 * KIB))
  })
  for (let round = 0; round < 20; round++) {
    const abort = new AbortController()
    const exchange = await pair.opener.request({
      body: utf8('get'),
      expect: 64 * MIB,
      signal: abort.signal,
    })
    await exchange.receive()
    abort.abort()
    await assert.rejects(receiveAll(exchange), (error) => isMoyaiError(error, 'ABORTED'))
  }
  await eventually('the peer has stopped all', () => pair.acceptor.load + pair.opener.load === 0)
  assert.equal(seen.aborted, 20)
  assert.equal(pair.budgets.opener.usedBytes, 0)
  assert.equal(pair.opener.isOpen, true)
})

test('goal: a request that waits for its place can be aborted, and the next one gets the place', async () => {
  const gate = Promise.withResolvers<void>()
  await using pair = await openPair(async (exchange) => {
    await gate.promise
    await exchange.respond(utf8('done'))
  })
  const busy = await Promise.all(
    Array.from({ length: LANE_REQUESTS_MAX }, () => pair.opener.request({ body: utf8('x') })),
  )
  const abort = new AbortController()
  const waiting = pair.opener.request({ body: utf8('y'), signal: abort.signal })
  const next = pair.opener.request({ body: utf8('z') })
  await eventually('both wait', () => pair.opener.load === LANE_REQUESTS_MAX + 2)
  abort.abort()
  await assert.rejects(waiting, (error) => isMoyaiError(error, 'ABORTED'))
  gate.resolve()
  for (const exchange of [...busy, await next]) await exchange.response()
})

test('goal: silence ends a request after its idle time, and a lane whose peer is gone for good', async () => {
  const clock = new ManualClock()
  await using pair = await openPair(async () => new Promise(() => {}), clock)
  const exchange = await pair.opener.request({ body: utf8('x') })
  const answer = exchange.response()
  pair.opener.tick()
  await clock.advance(REQUEST_IDLE_MS + 1)
  pair.opener.tick()
  await assert.rejects(answer, (error) => isMoyaiError(error, 'TIMED_OUT'))
  // The handler never ends, so the peer never closes its half: the lane goes, too.
  assert.equal(pair.opener.isOpen, true)
  await clock.advance(REQUEST_IDLE_MS + 1)
  pair.opener.tick()
  assert.equal(pair.opener.isOpen, false)
  await clock.advance(10_000)
  assert.equal((await pair.opener.ended).violation, false)
})

test('goal: a request that makes progress is not cut, however long it takes', async () => {
  const clock = new ManualClock()
  const step = { go: Promise.withResolvers<void>() }
  await using pair = await openPair(async (exchange) => {
    await exchange.respond(utf8('x'), true)
    for (let i = 0; i < 20; i++) {
      await step.go.promise
      step.go = Promise.withResolvers<void>()
      await exchange.send(new Uint8Array(1))
    }
    await exchange.end()
  }, clock)
  const exchange = await pair.opener.request({ body: utf8('slow'), expect: 20 })
  for (let i = 0; i < 20; i++) {
    const part = exchange.receive()
    await clock.advance(REQUEST_IDLE_MS / 2)
    pair.opener.tick()
    step.go.resolve()
    assert.equal((await part)?.[0]?.length, 1)
  }
  assert.equal(await exchange.receive(), undefined)
})

test('goal: an unused lane is closed by its opener, without an error at the other end', async () => {
  const clock = new ManualClock()
  await using pair = await openPair(countBytes, clock)
  await pair.opener.opened()
  await clock.advance(LANE_IDLE_MS + 1)
  pair.acceptor.tick()
  assert.equal(pair.acceptor.isOpen, true)
  pair.opener.tick()
  assert.equal(pair.opener.isOpen, false)
  const end = await pair.acceptor.ended
  assert.equal(end.violation, false)
  assert.equal(end.error.code, 'STREAM_CLOSED')
})

// ---- hostile peers ------------------------------------------------------------------------------

const request = (id: number, more = false, length = 4): Uint8Array =>
  frameBytes('request', { request: id, more, body: new Uint8Array(length).fill(120) })

const HOSTILE: [name: string, code: string, frames: Uint8Array[]][] = [
  ['a request before hello', 'PROTOCOL_VIOLATION', [request(1)]],
  ['hello twice', 'PROTOCOL_VIOLATION', [helloBytes(), helloBytes()]],
  ['a hello that is no CBOR', 'MALFORMED', [frameBytes('hello', { body: utf8('garbage') })]],
  ['an unknown frame type', 'PROTOCOL_VIOLATION', [helloBytes(), rawHeader({ type: 99 })]],
  [
    'a request of 2^32 - 1 bytes',
    'TOO_LARGE',
    [helloBytes(), frameBytes('request', { request: 1, claim: 2 ** 32 - 1 })],
  ],
  [
    'data of 2^32 - 1 bytes',
    'TOO_LARGE',
    [helloBytes(), request(1, true), frameBytes('data', { request: 1, claim: 2 ** 32 - 1 })],
  ],
  ['a request id used twice', 'PROTOCOL_VIOLATION', [helloBytes(), request(2), request(2)]],
  ['request ids that fall', 'PROTOCOL_VIOLATION', [helloBytes(), request(2), request(1)]],
  [
    'a ninth request at once',
    'PROTOCOL_VIOLATION',
    [helloBytes(), ...Array.from({ length: 9 }, (_, i) => request(i + 1, true))],
  ],
  [
    'data without credit',
    'PROTOCOL_VIOLATION',
    [helloBytes(), request(1, true), frameBytes('data', { request: 1, body: new Uint8Array(9) })],
  ],
  [
    'data for a request without payload',
    'PROTOCOL_VIOLATION',
    [helloBytes(), request(1), frameBytes('data', { request: 1, body: new Uint8Array(9) })],
  ],
  ['data for no request', 'PROTOCOL_VIOLATION', [helloBytes(), frameBytes('end', { request: 7 })]],
  [
    'a response from the asker',
    'PROTOCOL_VIOLATION',
    [helloBytes(), request(1), frameBytes('response', { request: 1 })],
  ],
  [
    'cancel twice',
    'PROTOCOL_VIOLATION',
    [
      helloBytes(),
      request(1, true),
      ...Array.from({ length: 2 }, () => frameBytes('cancel', { request: 1 })),
    ],
  ],
  [
    'credit without end',
    'PROTOCOL_VIOLATION',
    [
      helloBytes(),
      request(1, true),
      ...Array.from({ length: 3 }, () =>
        frameBytes('credit', { request: 1, body: encodeCredit(2 ** 31) }),
      ),
    ],
  ],
  [
    'credit for no request',
    'PROTOCOL_VIOLATION',
    [helloBytes(), frameBytes('credit', { request: 3, body: encodeCredit(1) })],
  ],
]

for (const [name, code, frames] of HOSTILE) {
  test(`goal: ${name} costs the sender its lane, is named, and leaves nothing behind`, async () => {
    await using raw = await openRaw(async (exchange) => {
      await new Promise((_, reject) => exchange.signal.addEventListener('abort', reject))
    })
    raw.peer.send(...frames)
    const told = await raw.peer.until('error')
    assert.equal(told.request, 0)
    assert.equal(decodeError(told.body).code, code)
    const end = await raw.lane.ended
    assert.equal(end.violation, true)
    assert.equal(end.error.code, code)
    assert.equal(raw.lane.load, 0)
    assert.equal(raw.budget.usedBytes, 0)
  })
}

test('goal: more data than was granted is refused before its body is taken in', async () => {
  await using raw = await openRaw(async (exchange) => {
    exchange.expect(4 * MIB)
    await new Promise((_, reject) => exchange.signal.addEventListener('abort', reject))
  })
  raw.peer.send(helloBytes(), request(1, true))
  const credit = await raw.peer.until('credit')
  assert.equal(decodeCredit(credit.body), REQUEST_WINDOW_BYTES)
  const data = frameBytes('data', { request: 1, body: new Uint8Array(256 * KIB) })
  raw.peer.send(data, data)
  await eventually('the window is used', () => raw.lane.heldBytes === REQUEST_WINDOW_BYTES)
  raw.peer.send(frameBytes('data', { request: 1, body: new Uint8Array(1) }))
  assert.equal((await raw.lane.ended).error.code, 'PROTOCOL_VIOLATION')
  assert.equal(raw.budget.usedBytes, 0)
})

test('goal: late CREDIT and CANCEL frames of finished requests are excused, but not without end', async () => {
  await using raw = await openRaw(async (exchange) => exchange.respond(utf8('x')))
  raw.peer.send(helloBytes(), request(1))
  await raw.peer.until('response')
  raw.peer.send(frameBytes('cancel', { request: 1 }))
  raw.peer.send(frameBytes('credit', { request: 1, body: encodeCredit(1) }))
  raw.peer.send(request(2))
  await raw.peer.until('response')
  assert.equal(raw.lane.isOpen, true)
  for (let i = 0; i < 100; i++) {
    raw.peer.send(frameBytes('credit', { request: 1, body: encodeCredit(1) }))
  }
  assert.equal((await raw.lane.ended).violation, true)
})

test('goal: a peer that says nothing, or stops within a frame, loses its lane', async () => {
  const clock = new ManualClock()
  await using silent = await openRaw(countBytes, clock)
  await clock.advance(HELLO_DEADLINE_MS + 1)
  silent.lane.tick()
  assert.equal(silent.lane.isOpen, false)

  await using stalled = await openRaw(countBytes, clock)
  stalled.peer.send(helloBytes(), request(1).subarray(0, 10))
  await eventually('the lane has its hello', async () => {
    await stalled.lane.opened()
    return true
  })
  await clock.advance(FRAME_STALL_MS + 1)
  stalled.lane.tick()
  // Ten bytes are no header yet: such a lane is only idle. A header without its body is a stalled
  // frame.
  stalled.peer.send(request(1).subarray(10, 18))
  await eventually('the body is missing', async () => {
    await clock.advance(FRAME_STALL_MS + 1)
    stalled.lane.tick()
    return !stalled.lane.isOpen
  })
})

test('goal: an endless sender that reads nothing is held by its window, not by our memory', async () => {
  await using raw = await openRaw(async (exchange) => exchange.respond(new Uint8Array(100 * KIB)))
  // Method: requests are fired, answers are never read; the lane must stop taking requests in.
  raw.peer.stream.pause()
  raw.peer.send(helloBytes())
  for (let id = 1; id <= 8; id++) raw.peer.send(request(id))
  await eventually('the lane has taken them', () => raw.lane.load > 0 || !raw.lane.isOpen)
  for (let id = 9; id <= 4000 && raw.peer.stream.status === 'open'; id++) {
    raw.peer.send(request(id, false, 16 * KIB))
    if (id % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await eventually('the lane ended for too many requests', () => !raw.lane.isOpen)
  assert.equal((await raw.lane.ended).error.code, 'PROTOCOL_VIOLATION')
})

test('goal: a peer that grants endless credit and then vanishes frees everything', async () => {
  await using raw = await openRaw(countBytes)
  raw.peer.send(helloBytes(), request(1, true))
  await raw.peer.until('credit')
  raw.peer.stream.abort(new Error('gone'))
  const end = await raw.lane.ended
  assert.equal(end.violation, false)
  assert.equal(raw.budget.usedBytes, 0)
})

test('goal: whoever has an answer may ask again before the transport says that it is gone', async () => {
  // Method: one request at a time, and a transport that has sent everything but never says so.
  await using a = await openNode(1)
  await using b = await openNode(2)
  const { near, far } = await connectStream(a.node, b.node)
  let messages = 0
  const stream = new Proxy(far, {
    get: (of, name) => {
      if (name === 'send') messages += 1
      // the first is the HELLO, the second the answer
      if (name === 'writeBufferLength' && messages > 1) return 1
      const value: unknown = Reflect.get(of, name, of)
      return typeof value === 'function' ? (value.bind(of) as unknown) : value
    },
  })
  let served = 0
  const handler: ExchangeHandler = async (exchange) => {
    served += 1
    await exchange.respond(utf8('done'))
  }
  const budget = new ByteBudget({ bytesMax: 32 * MIB })
  const options = { stream, peer: 'a', limits, handler, requestsMax: 1 }
  const lane = new Lane(options, { clock: systemClock, budget })
  const peer = new RawPeer(near)
  peer.send(helloBytes())
  await peer.until('hello')
  peer.send(frameBytes('request', { request: 1, body: utf8('?') }))
  await peer.until('response')
  peer.send(frameBytes('request', { request: 2, body: utf8('?') }))
  await eventually(
    'the second request served, or the lane over',
    () => served === 2 || !lane.isOpen,
  )
  assert.equal(lane.isOpen, true)
})
