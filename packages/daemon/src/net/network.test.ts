/**
 * Two or more hosts over TCP: shards, messages, membership, strangers, and peers that break the
 * rules.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ed25519Signer,
  isMoyaiError,
  MoyaiError,
  openReceipt,
  toHex,
  utf8,
  type ErrorCode,
} from '@moyai/protocol'
import { multiaddr } from '@multiformats/multiaddr'
import * as fc from 'fast-check'
import {
  HANDLERS_PER_PEER_MAX,
  LANE_CREDIT_BYTES_MAX,
  SERVE_BUDGET_BYTES,
  STRANGERS_MAX,
} from './limits.ts'
import { encodeShardRequest, SHARD_PROTOCOL } from './shard/constants.ts'
import { eventually } from '../testing/eventually.ts'
import {
  buildHost,
  introduce,
  introduceVault,
  makeStripe,
  pieces,
  POOL,
  vault,
  type TestHost,
  type TestStripe,
} from './testing/network.ts'
import { openNode, seedOf } from './testing/nodes.ts'
import { frameBytes, helloBytes, RawPeer, rawHeader } from './testing/raw-lane.ts'

const MIB = 1024 * 1024
const JOIN = '/moyai/join/1'
const SYNC = '/moyai/sync/1'

async function startHost(seed: number): Promise<TestHost> {
  const host = await buildHost(seed)
  host.network.registerProtocol(JOIN, async ({ bytes }) => bytes.toReversed(), { strangers: true })
  host.network.registerProtocol(SYNC, async ({ bytes }) => bytes.toReversed())
  await host.network.start()
  return host
}

/** Two members that are connected and know the vault. */
async function startPair(): Promise<{
  a: TestHost
  b: TestHost
  [Symbol.asyncDispose](): Promise<void>
}> {
  const a = await startHost(1)
  const b = await startHost(2)
  introduce(a, b)
  introduceVault(a, b)
  await eventually('they are connected', () => isUp(a, b) && isUp(b, a))
  return {
    a,
    b,
    [Symbol.asyncDispose]: async () => {
      await a[Symbol.asyncDispose]()
      await b[Symbol.asyncDispose]()
    },
  }
}

function isUp(host: TestHost, other: TestHost): boolean {
  return host.network.peers().some((peer) => peer.host === other.id && peer.connected)
}

async function collect(parts: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = []
  for await (const part of parts) all.push(part)
  return Buffer.concat(all)
}

const code =
  (...codes: ErrorCode[]) =>
  (error: unknown): boolean =>
    isMoyaiError(error, ...codes)

function getOptions(stripe: TestStripe, index: number, offset: number, length: number) {
  const { pack, shardLength, shardHashes } = stripe.descriptor
  const root = shardHashes[index] as Uint8Array
  return { vault: vault.publicKey, pack, index, offset, length, root, shardLength }
}

// ---- shards -------------------------------------------------------------------------------------

test('goal: a shard that was put comes back in any range, and the receipt says what is held', async () => {
  await using pair = await startPair()
  const stripe = makeStripe(1)
  const client = pair.a.network.shards(pair.b.id)
  for (const [index, shard] of stripe.shards.entries()) {
    const { receipt, had } = await client.put({
      envelope: stripe.envelope,
      index,
      payload: pieces(shard, 100_000),
    })
    assert.equal(had, false)
    const said = openReceipt(receipt)
    assert.deepEqual(toHex(said.host), pair.b.id)
    assert.deepEqual(said.pool, POOL)
    assert.equal(said.index, index)
  }
  const ranges = fc.tuple(fc.nat(MIB - 1), fc.integer({ min: 1, max: MIB }))
  await fc.assert(
    fc.asyncProperty(ranges, async ([offset, longest]) => {
      const length = Math.min(longest, MIB - offset)
      const bytes = await collect(client.get(getOptions(stripe, 1, offset, length)))
      const expected = (stripe.shards[1] as Uint8Array).subarray(offset, offset + length)
      assert.equal(Buffer.compare(bytes, expected), 0)
    }),
    { numRuns: 25 },
  )
  const { pack } = stripe.descriptor
  const found = await client.stat({ vault: vault.publicKey, pack })
  assert.deepEqual(new Set(found.map(({ index }) => index)), new Set([0, 1]))
  const page = await client.inventory({ vault: vault.publicKey })
  assert.equal(page.items.length, 2)
  assert.equal(page.next, undefined)
  assert.deepEqual(pair.b.network.usage.serveBytes, 0)
  assert.deepEqual(pair.a.network.usage.fetchBytes, 0)
})

test('goal: a holder that has the shard says so, and its payload is not even opened', async () => {
  await using pair = await startPair()
  const stripe = makeStripe(2)
  const client = pair.a.network.shards(pair.b.id)
  const payload = (): AsyncIterable<Uint8Array> => pieces(stripe.shards[0] as Uint8Array)
  const first = await client.put({ envelope: stripe.envelope, index: 0, payload })
  assert.equal(first.had, false)
  const again = await client.put({
    envelope: stripe.envelope,
    index: 0,
    payload: () => assert.fail('the payload was opened'),
  })
  assert.equal(again.had, true)
  assert.equal(openReceipt(again.receipt).index, 0)
})

test('goal: many puts at once over two lanes are all kept right', async () => {
  await using pair = await startPair()
  const stripes = Array.from({ length: 40 }, (_, i) =>
    makeStripe(100 + i, { shardLength: 256 * 1024 }),
  )
  const client = pair.a.network.shards(pair.b.id)
  await Promise.all(
    stripes.flatMap((stripe) =>
      stripe.shards.map((shard, index) =>
        client.put({ envelope: stripe.envelope, index, payload: pieces(shard, 64 * 1024) }),
      ),
    ),
  )
  assert.equal(pair.b.store.held.size, 80)
  assert.equal(pair.b.store.writing, 0)
  const lanes = pair.a.network.usage.lanes
  assert.ok(lanes >= 1 && lanes <= 3, `${lanes} lanes`)
  const seen = new Set<string>()
  let cursor: Uint8Array | undefined
  do {
    const page = await client.inventory({ vault: vault.publicKey, ...(cursor && { cursor }) })
    for (const { pack, index } of page.items) seen.add(`${toHex(pack)}.${index}`)
    cursor = page.next
  } while (cursor !== undefined)
  assert.equal(seen.size, 80)
})

test('goal: every refusal of a put has its code, leaves nothing half written, and the lane serves on', async () => {
  await using pair = await startPair()
  const client = pair.a.network.shards(pair.b.id)
  const good = makeStripe(3)
  const foreign = makeStripe(4, { signer: ed25519Signer(seedOf(0xcc)) })
  const forged = good.envelope.slice()
  forged[3] = (forged[3] as number) ^ 1
  const payload = (): AsyncIterable<Uint8Array> => pieces(good.shards[0] as Uint8Array)
  const put = (
    envelope: Uint8Array,
    bytes: AsyncIterable<Uint8Array> | (() => AsyncIterable<Uint8Array>) = payload,
  ) => client.put({ envelope, index: 0, payload: bytes })

  await assert.rejects(put(foreign.envelope), code('NOT_A_MEMBER'))
  await assert.rejects(put(forged), code('BAD_SIGNATURE'))
  const wrong = good.shards[1] as Uint8Array
  await assert.rejects(put(good.envelope, pieces(wrong)), code('HASH_MISMATCH'))
  const short = (good.shards[0] as Uint8Array).subarray(1)
  await assert.rejects(put(good.envelope, pieces(short)), code('TRUNCATED'))
  pair.b.store.failure = new MoyaiError('NO_SPACE', 'the disk is full')
  await assert.rejects(put(good.envelope), code('NO_SPACE'))
  pair.b.store.failure = undefined
  const failing = async function* (): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(10)
    throw new MoyaiError('DISK', 'the outbox is gone')
  }
  await assert.rejects(put(good.envelope, failing()), code('DISK'))
  await eventually('nothing is being written', () => pair.b.store.writing === 0)
  assert.equal(pair.b.store.held.size, 0)
  assert.equal((await put(good.envelope)).had, false)
  assert.deepEqual(pair.b.violations, [])
  assert.equal(pair.b.network.usage.serveBytes, 0)
})

test('goal: a shard with a flipped byte, of another stripe, or absent, is never given out as right', async () => {
  await using pair = await startPair()
  const client = pair.a.network.shards(pair.b.id)
  const stripe = makeStripe(5)
  const bytes = stripe.shards[0] as Uint8Array
  await client.put({ envelope: stripe.envelope, index: 0, payload: pieces(bytes) })
  const held = [...pair.b.store.held.values()][0]
  assert.ok(held !== undefined)
  held.bytes = held.bytes.slice()
  held.bytes[500_000] = (held.bytes[500_000] as number) ^ 4

  const got: Uint8Array[] = []
  const reading = (async () => {
    for await (const part of client.get(getOptions(stripe, 0, 0, MIB))) got.push(part)
  })()
  await assert.rejects(reading, code('HASH_MISMATCH'))
  const before = Buffer.concat(got)
  assert.equal(Buffer.compare(before, bytes.subarray(0, before.length)), 0, 'only right bytes came')

  const other = { ...getOptions(stripe, 0, 0, 100), root: new Uint8Array(32) }
  await assert.rejects(collect(client.get(other)), code('HASH_MISMATCH'))
  await assert.rejects(collect(client.get(getOptions(stripe, 1, 0, 1))), code('NOT_FOUND'))
  assert.equal(pair.a.network.usage.fetchBytes, 0)
})

test('goal: a reader that stops early, or stands still, holds nothing up', async () => {
  await using pair = await startPair()
  const client = pair.a.network.shards(pair.b.id)
  const stripe = makeStripe(6)
  const payload = pieces(stripe.shards[0] as Uint8Array)
  await client.put({ envelope: stripe.envelope, index: 0, payload })
  for (let i = 0; i < 30; i++) {
    for await (const part of client.get(getOptions(stripe, 0, 0, MIB))) {
      assert.ok(part.length > 0)
      break
    }
  }
  // Three readers begin and stand still; a fourth reads on.
  const still = Array.from({ length: 3 }, () =>
    client.get(getOptions(stripe, 0, 0, MIB))[Symbol.asyncIterator](),
  )
  for (const reader of still) await reader.next()
  const bytes = await collect(client.get(getOptions(stripe, 0, 0, MIB)))
  assert.equal(bytes.length, MIB)
  for (const reader of still) await reader.return?.()
  await eventually('all is freed', () => pair.a.network.usage.fetchBytes === 0)
})

test('goal: a disk that hangs stops all senders within the lanes’ credit; others are still served', async () => {
  await using pair = await startPair()
  const client = pair.a.network.shards(pair.b.id)
  const disk = Promise.withResolvers<void>()
  pair.b.store.stall = disk.promise
  const stripes = Array.from({ length: 12 }, (_, i) => makeStripe(200 + i))
  const read = { bytes: 0 }
  const counted = async function* (bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces(bytes, 64 * 1024)) {
      read.bytes += piece.length
      yield piece
    }
  }
  const puts = stripes.flatMap((stripe) =>
    stripe.shards.map((shard, index) =>
      client.put({ envelope: stripe.envelope, index, payload: counted(shard) }),
    ),
  )
  const bound = 2 * LANE_CREDIT_BYTES_MAX
  await eventually('the windows are full', () => pair.b.network.usage.serveBytes >= bound)
  assert.equal(pair.b.network.usage.serveBytes, bound)
  assert.ok(pair.b.network.usage.serveBytes <= SERVE_BUDGET_BYTES)
  assert.ok(read.bytes <= bound + 16 * 64 * 1024, `${read.bytes} bytes were read ahead`)
  assert.equal((await pair.a.network.request(pair.b.id, SYNC, utf8('abc'))).length, 3)
  disk.resolve()
  pair.b.store.stall = undefined
  await Promise.all(puts)
  assert.equal(pair.b.network.usage.serveBytes, 0)
})

// ---- messages -----------------------------------------------------------------------------------

test('goal: messages of every size up to the limit come back, errors too', async () => {
  await using pair = await startPair()
  for (const length of [1, 1000, 262_144, 262_145, 1_000_000, 4 * MIB]) {
    const bytes = new Uint8Array(length).map((_, i) => i & 0xff)
    const answer = await pair.a.network.request(pair.b.id, SYNC, bytes)
    assert.equal(Buffer.compare(answer, bytes.toReversed()), 0, `${length} bytes`)
  }
  const tooLong = pair.a.network.request(pair.b.id, SYNC, new Uint8Array(4 * MIB + 1))
  await assert.rejects(tooLong, code('TOO_LARGE'))
  const nobody = toHex(ed25519Signer(seedOf(77)).publicKey)
  await assert.rejects(pair.a.network.request(nobody, SYNC, utf8('x')), code('HOST_UNREACHABLE'))
  assert.throws(() => pair.a.network.shards(nobody), code('HOST_UNREACHABLE'))
  assert.equal(pair.a.network.usage.messageBytes + pair.b.network.usage.messageBytes, 0)
})

// ---- membership and strangers -------------------------------------------------------------------

test('goal: up and down are told; a host that is no member any more is cut off at once', async () => {
  await using pair = await startPair()
  const events: string[] = []
  pair.a.network.on('peer:down', (host) => events.push(`down ${host}`))
  pair.a.network.on('peer:up', (host) => events.push(`up ${host}`))
  await pair.a.network.request(pair.b.id, SYNC, utf8('abc'))
  pair.a.membership.hosts.delete(pair.b.id)
  pair.a.network.membershipChanged()
  assert.deepEqual(events, [`down ${pair.b.id}`])
  await assert.rejects(
    pair.a.network.request(pair.b.id, SYNC, utf8('x')),
    code('HOST_UNREACHABLE', 'STREAM_CLOSED'),
  )
  await eventually('b has lost it', () => !isUp(pair.b, pair.a))
  pair.a.membership.hosts.set(pair.b.id, pair.b.network.addresses())
  pair.a.network.membershipChanged()
  await eventually('it is back', () => isUp(pair.b, pair.a) && isUp(pair.a, pair.b))
  assert.deepEqual(events, [`down ${pair.b.id}`, `up ${pair.b.id}`])
})

test('goal: a stranger gets no connection, and while an invite is open nothing but join', async () => {
  await using host = await startHost(1)
  await using stranger = await openNode(9)
  const address = stranger.node.getMultiaddrs()[0]
  assert.ok(address !== undefined)
  const target = host.network.addresses().map((text) => text)
  const dial = () => stranger.node.dial(target.map((text) => multiaddr(text)))

  // Closed: the connection is cut after the handshake, before any protocol.
  const refused = await dial().catch(() => undefined)
  await eventually('it is cut', () => refused === undefined || refused.status !== 'open')
  assert.equal(host.network.usage.strangers, 0)

  host.membership.welcome = true
  const connection = await dial()
  const join = new RawPeer(await connection.newStream(JOIN))
  join.send(helloBytes(), frameBytes('request', { request: 1, body: utf8('abc') }))
  assert.equal(Buffer.from((await join.until('response')).body).toString(), 'cba')

  for (const protocol of [SHARD_PROTOCOL, SYNC]) {
    const again = await dial()
    const stream = await again.newStream(protocol).catch(() => undefined)
    stream?.addEventListener('message', () => assert.fail('a stranger was answered'))
    await eventually(`${protocol} costs the connection`, () => again.status !== 'open')
  }
  assert.equal(host.network.usage.lanes, 0)
})

test('goal: strangers are few, small, short, and one request at a time', async () => {
  await using host = await startHost(1)
  host.membership.welcome = true
  const target = host.network.addresses().map((text) => multiaddr(text))
  const nodes = await Promise.all(
    Array.from({ length: STRANGERS_MAX + 3 }, (_, i) => openNode(20 + i)),
  )
  try {
    await Promise.allSettled(nodes.map(({ node }) => node.dial(target)))
    const open = (): number => nodes.filter(({ node }) => node.getConnections().length > 0).length
    await eventually('the surplus is cut', () => open() === STRANGERS_MAX)
    assert.equal(host.network.usage.strangers, STRANGERS_MAX)
    const welcome = nodes.find(({ node }) => node.getConnections().length > 0)
    const connection = welcome?.node.getConnections()[0]
    assert.ok(connection !== undefined)
    const peer = new RawPeer(await connection.newStream(JOIN))
    peer.send(helloBytes(), frameBytes('request', { request: 1, claim: 32 * 1024 + 1 }))
    await eventually('too long a request costs the connection', () => connection.status !== 'open')
    assert.equal(host.violations[0]?.error.code, 'TOO_LARGE')
  } finally {
    for (const { node } of nodes) await node.stop()
  }
})

test('goal: a host asks another at an address before either is a member, and knows who answers', async () => {
  await using inviter = await startHost(1)
  await using joiner = await startHost(2)
  const at = { host: inviter.id, addresses: inviter.network.addresses(), protocol: JOIN }
  const ask = () => joiner.network.requestAt({ ...at, bytes: utf8('let me in') })
  await assert.rejects(ask(), code('HOST_UNREACHABLE', 'STREAM_CLOSED'))
  inviter.membership.welcome = true
  assert.equal(Buffer.from(await ask()).toString(), 'ni em tel')
  const someoneElse = toHex(ed25519Signer(seedOf(50)).publicKey)
  const bare = at.addresses.map((address) => address.replace(/\/p2p\/.*/, ''))
  const wrong = joiner.network.requestAt({
    ...at,
    host: someoneElse,
    addresses: bare,
    bytes: utf8('x'),
  })
  await assert.rejects(wrong, code('IDENTITY_MISMATCH', 'HOST_UNREACHABLE'))
})

test('goal: a host that was put out is cut off, and not even an open invite lets it in again', async () => {
  await using pair = await startPair()
  const { a, b } = pair
  const ask = (): Promise<Uint8Array> =>
    b.network.requestAt({
      host: a.id,
      addresses: a.network.addresses(),
      protocol: JOIN,
      bytes: utf8('let me in'),
    })
  a.membership.welcome = true
  assert.equal(Buffer.from(await ask()).toString(), 'ni em tel')
  a.membership.hosts.delete(b.id)
  a.membership.revoked.add(b.id)
  a.network.membershipChanged()
  await eventually('the connection is cut', () =>
    a.network.peers().every(({ connected }) => !connected),
  )
  await eventually('the other end sees it', () =>
    b.network.peers().every(({ connected }) => !connected),
  )
  await assert.rejects(ask(), code('HOST_UNREACHABLE', 'STREAM_CLOSED'))
  assert.equal(a.network.usage.strangers, 0)
})

test('goal: two hosts that dial each other at the same moment end with one connection, and lose no request', async () => {
  await using a = await startHost(1)
  await using b = await startHost(2)
  introduce(a, b)
  // Both dial now, whoever's turn it is.
  const ask = (from: TestHost, to: TestHost): Promise<Uint8Array> =>
    from.network.requestAt({
      host: to.id,
      addresses: to.network.addresses(),
      protocol: SYNC,
      bytes: utf8('abc'),
    })
  const answers = await Promise.all([ask(a, b), ask(b, a), ask(a, b), ask(b, a)])
  assert.equal(answers.length, 4)
  await eventually('both are up', () => isUp(a, b) && isUp(b, a))
  const settled = (): boolean => [a, b].every(({ network }) => network.usage.connections === 1)
  await eventually('one connection is left', settled)
  assert.equal((await a.network.request(b.id, SYNC, utf8('abc'))).length, 3)
})

test('goal: a port that is taken is an error with a hint, not a host that nobody can reach', async () => {
  await using first = await startHost(1)
  const address = (first.network.addresses()[0] as string).replace(/\/p2p\/.*/, '')
  const second = await buildHost(2, { listen: [address] })
  await assert.rejects(second.network.start(), code('CONFIG_INVALID'))
  await second.network.stop()
})

// ---- hostile members ----------------------------------------------------------------------------

const request = (body: Uint8Array, more = false): Uint8Array =>
  frameBytes('request', { request: 1, body, more })

const stripe = makeStripe(7)
const get = { op: 'get', vault: vault.publicKey, pack: new Uint8Array(32), index: 0 } as const

const HOSTILE: [name: string, protocol: string, frames: Uint8Array[]][] = [
  ...[SHARD_PROTOCOL, SYNC, JOIN].flatMap((protocol): [string, string, Uint8Array[]][] => [
    ['noise', protocol, [new Uint8Array(5000).fill(0x5a)]],
    [
      'a frame of 2^32 - 1 bytes',
      protocol,
      [helloBytes(), rawHeader({ type: 2, request: 1, length: 2 ** 32 - 1 })],
    ],
    [
      'data before a request',
      protocol,
      [helloBytes(), frameBytes('data', { request: 1, body: utf8('x') })],
    ],
    ['a response', protocol, [helloBytes(), frameBytes('response', { request: 1 })]],
    ['an end without begin', protocol, [frameBytes('end', { request: 1 })]],
    ['endless hellos', protocol, Array.from({ length: 1000 }, () => helloBytes())],
    [
      'endless requests',
      protocol,
      [
        helloBytes(),
        ...Array.from({ length: 1000 }, (_, i) =>
          frameBytes('request', {
            request: i + 1,
            more: true,
            body: encodeShardRequest({ op: 'put', envelope: stripe.envelope, index: 0 }),
          }),
        ),
      ],
    ],
  ]),
  ['a request that is no CBOR', SHARD_PROTOCOL, [helloBytes(), request(utf8('garbage'))]],
  [
    'an unknown operation',
    SHARD_PROTOCOL,
    [helloBytes(), request(new Uint8Array([0xa1, 0x62, 0x6f, 0x70, 0x61, 0x78]))],
  ],
  [
    'a put without payload',
    SHARD_PROTOCOL,
    [helloBytes(), request(encodeShardRequest({ op: 'put', envelope: stripe.envelope, index: 0 }))],
  ],
  [
    'a put of shard 9 of 2',
    SHARD_PROTOCOL,
    [
      helloBytes(),
      request(encodeShardRequest({ op: 'put', envelope: stripe.envelope, index: 9 }), true),
    ],
  ],
  [
    'a get with payload',
    SHARD_PROTOCOL,
    [helloBytes(), request(encodeShardRequest({ ...get, offset: 0, length: 1 }), true)],
  ],
  [
    'a message of 4 GiB',
    SYNC,
    [helloBytes(), request(new Uint8Array([0xff, 0xff, 0xff, 0xff]), true)],
  ],
  [
    'a message of 1 byte as payload',
    SYNC,
    [helloBytes(), request(new Uint8Array([0, 0, 0, 1]), true)],
  ],
]

test('goal: on each protocol, each broken rule costs its sender the connection and the host nothing', async () => {
  await using host = await startHost(1)
  await using friend = await startHost(2)
  await using enemy = await openNode(3)
  introduceVault(host, friend)
  introduce(host, friend)
  host.membership.hosts.set(toHex(ed25519Signer(seedOf(3)).publicKey), [])
  await eventually('the friend is up', () => isUp(friend, host))
  const target = host.network.addresses().map((text) => multiaddr(text))
  for (const [name, protocol, frames] of HOSTILE) {
    const before = host.violations.length
    const connection = await enemy.node.dial(target)
    const stream = await connection.newStream(protocol)
    for (const frame of frames) if (stream.status === 'open') stream.send(frame)
    await eventually(
      `${name} on ${protocol} ends the connection`,
      () => connection.status !== 'open',
    )
    await eventually(`${name} is noticed`, () => host.violations.length > before)
    assert.equal(host.network.usage.serveBytes, 0, name)
    assert.equal(host.network.usage.messageBytes, 0, name)
  }
  assert.ok(isUp(friend, host), 'the others stay connected')
  assert.equal((await friend.network.request(host.id, SYNC, utf8('abc'))).length, 3)
  await eventually('no lane is left behind', () => host.network.usage.lanes <= 1)
  assert.ok(host.violations.every(({ host: id }) => id !== friend.id))
})

test('goal: a peer that breaks its lanes over and over cannot pile up handlers behind a slow disk', async () => {
  await using host = await startHost(1)
  await using enemy = await openNode(3)
  introduceVault(host)
  host.membership.hosts.set(toHex(ed25519Signer(seedOf(3)).publicKey), [])
  const disk = Promise.withResolvers<void>()
  host.store.stall = disk.promise
  const target = host.network.addresses().map((text) => multiaddr(text))
  for (let round = 0; round < 6; round++) {
    const connection = await enemy.node.dial(target)
    for (let lane = 0; lane < 4; lane++) {
      const peer = new RawPeer(await connection.newStream(SHARD_PROTOCOL))
      peer.send(helloBytes())
      for (let id = 1; id <= 8; id++) {
        const { envelope } = makeStripe(1000 + id, { shardLength: 65_536, count: 1 })
        const body = encodeShardRequest({ op: 'put', envelope, index: 0 })
        peer.send(frameBytes('request', { request: id, more: true, body }))
      }
      for (let id = 1; id <= 8; id++) {
        const next = await peer.next()
        if (next?.type === 'hello') continue
        if (next?.type !== 'credit') continue
        const body = new Uint8Array(65_536)
        peer.send(frameBytes('data', { request: next.request, body }))
      }
    }
    connection.abort(new Error('test'))
    await eventually('the lanes are gone', () => host.network.usage.lanes === 0)
    assert.equal(host.network.usage.serveBytes, 0)
  }
  const { writing } = host.store
  assert.ok(writing > 40 && writing <= HANDLERS_PER_PEER_MAX, `${writing} handlers`)
  disk.resolve()
  await eventually('the handlers end', () => host.store.writing === 0)
})
