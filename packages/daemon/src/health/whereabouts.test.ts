// Goal: every host knows who has the shards that concern it, at little cost.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import {
  blake3,
  ed25519Signer,
  fromHex,
  type HostFacts,
  signReceipt,
  signStripe,
  type StripeDescriptor,
  toHex,
} from '@moyai/protocol'
import * as fc from 'fast-check'

import { ManualClock } from '../clock.ts'
import { openMemoryDatabase } from '../database/index.ts'
import { createLogger } from '../logger.ts'
import type { ShardClient } from '../net/types.ts'
import { memoryShardStore, type ShardStore } from '../shard-store/index.ts'
import type { HealthNetwork, HealthPool, ShardPlace } from './ports.ts'
import {
  decodeRecord,
  encodeRecord,
  PLACES_MAX,
  sortPlaces,
  type StripeRecord,
} from './stripe-record.ts'
import { WhereaboutsService } from './whereabouts.ts'

const VAULT = ed25519Signer(new Uint8Array(32).fill(9))
const SHARD = new Uint8Array(65_536)
const POOL = new Uint8Array(32).fill(1)
const keyOf = (i: number): ReturnType<typeof ed25519Signer> =>
  ed25519Signer(new Uint8Array(32).fill(100 + i))

function stripe(seed: number): { descriptor: StripeDescriptor; envelope: Uint8Array } {
  const descriptor: StripeDescriptor = {
    vault: VAULT.publicKey,
    vaultSalt: new Uint8Array(16),
    pack: blake3(Uint8Array.of(seed)),
    k: 2,
    m: 2,
    shardLength: SHARD.length,
    shardHashes: Array.from({ length: 4 }, () => blake3(SHARD)),
    class: 'data',
    protectedUntil: 2,
    created: 1,
  }
  return { descriptor, envelope: signStripe(descriptor, VAULT) }
}

async function put(store: ShardStore, seed: number, index: number): Promise<void> {
  const { writer } = (await store.put({ envelope: stripe(seed).envelope, index })) as {
    writer: { write(bytes: Uint8Array): Promise<void>; commit(): Promise<void> }
  }
  await writer.write(SHARD)
  await writer.commit()
}

class World {
  readonly clock = new ManualClock()
  readonly hosts: { id: string; store: ShardStore; whereabouts: WhereaboutsService }[] = []
  readonly away = new Set<string>()
  readonly revoked = new Set<string>()
  /** Hosts that take a question and never answer. */
  readonly mute = new Set<string>()
  /** Called before each page of a list is given. */
  onList: (host: string) => void = () => undefined
  asked = 0
  listed = 0
  /** Who was told something, in order. */
  readonly told: string[] = []

  static async of(count: number): Promise<World> {
    const world = new World()
    for (let i = 0; i < count; i++) {
      const id = toHex(keyOf(i).publicKey)
      const store = await memoryShardStore()
      world.hosts.push(world.host(id, store))
    }
    return world
  }

  host(id: string, store: ShardStore): World['hosts'][number] {
    const whereabouts = new WhereaboutsService(
      {},
      {
        store,
        network: this.network(),
        pool: this.pool(id),
        database: openMemoryDatabase(),
        clock: this.clock,
        logger: createLogger({ level: 'error', destination: { write: () => undefined } }),
      },
    )
    return { id, store, whereabouts }
  }

  pool(self: string): HealthPool {
    const facts = (): HostFacts[] =>
      this.hosts.map(({ id }) => ({
        id,
        org: 'one',
        site: 'one',
        provider: 'self',
        online: !this.away.has(id),
        freeBytes: 1e9,
      }))
    return {
      self,
      id: () => POOL,
      hosts: facts,
      retiring: () => new Set(),
      revoked: () => this.revoked,
      policy: () => ({ host: 2, site: 0, provider: 0, org: 0 }),
      vaults: () => new Map(),
      nameOf: (host) => host,
    }
  }

  network(): HealthNetwork {
    const of = (id: string): World['hosts'][number] =>
      this.hosts.find((host) => host.id === id) as World['hosts'][number]
    const client = (id: string): ShardClient => ({
      put: () => Promise.reject(new Error('not used')),
      get: () => {
        throw new Error('not used')
      },
      stat: (o) => of(id).store.stat(o),
      digests: ({ vault }) => of(id).store.digests(vault),
      audit: () => Promise.reject(new Error('not used')),
      inventory: async ({ vault, bucket, cursor }) => {
        this.listed++
        this.onList(id)
        const page = await of(id).store.list({
          vault,
          ...(bucket === undefined ? {} : { bucket }),
          ...(cursor === undefined ? {} : { cursor }),
        })
        return page
      },
    })
    return {
      connected: () => this.hosts.flatMap(({ id }) => (this.away.has(id) ? [] : [id])),
      isConnected: (host) => !this.away.has(host),
      rttMs: () => undefined,
      on: () => () => undefined,
      shards: client,
      ask: async (host, asking) => {
        this.asked++
        if (this.mute.has(host)) await this.clock.sleep(Number.MAX_SAFE_INTEGER, asking)
        const inventories = await of(host).whereabouts.inventories()
        return { now: this.clock.now(), inventories, presumedLost: [], audits: [] }
      },
      audits: async () => [],
      tell: async (host) => void this.told.push(host),
    }
  }
}

const signal = new AbortController().signal

async function placesAt(world: World, at: number, seed: number): Promise<string[]> {
  const { descriptor } = stripe(seed)
  const view = await world.hosts[at]?.whereabouts.stripe(VAULT.publicKey, descriptor.pack)
  return (view?.places ?? []).map(({ index, host, refuted }) => {
    const number = world.hosts.findIndex(({ id }) => id === host)
    return `${index}@${number}${refuted ? '?' : ''}`
  })
}

test('what others have of my stripes is learned, and nothing of other stripes', async () => {
  const world = await World.of(3)
  const [a, b, c] = world.hosts as [World['hosts'][0], World['hosts'][0], World['hosts'][0]]
  await put(a.store, 1, 0)
  await put(b.store, 1, 1)
  await put(c.store, 1, 2)
  await put(b.store, 2, 0)
  await a.whereabouts.refreshOwn()
  await a.whereabouts.refresh({ signal })
  assert.deepEqual(await placesAt(world, 0, 1), ['0@0', '1@1', '2@2'])
  assert.deepEqual(await placesAt(world, 0, 2), [])
})

test('a host that changed nothing is asked one thing, and its lists are not read', async () => {
  const world = await World.of(2)
  const [a, b] = world.hosts as [World['hosts'][0], World['hosts'][0]]
  for (const seed of [1, 2, 3]) {
    await put(a.store, seed, 0)
    await put(b.store, seed, 1)
  }
  await a.whereabouts.refreshOwn()
  await a.whereabouts.refresh({ host: b.id, signal })
  const { asked, listed } = world
  await a.whereabouts.refresh({ host: b.id, signal })
  assert.equal(world.asked, asked + 1)
  assert.equal(world.listed, listed)
  await put(b.store, 4, 1)
  await a.whereabouts.refresh({ host: b.id, signal })
  assert.equal(world.listed, listed, 'nothing there concerns this host')
  await put(b.store, 1, 2)
  await a.whereabouts.refresh({ host: b.id, signal })
  assert.equal(world.listed, listed + 1, 'one bucket differs')
})

test('a stripe that concerns me only now is found at hosts that changed nothing', async () => {
  const world = await World.of(2)
  const [a, b] = world.hosts as [World['hosts'][0], World['hosts'][0]]
  await put(a.store, 1, 0)
  await put(b.store, 1, 1)
  await put(b.store, 2, 1)
  await a.whereabouts.refreshOwn()
  await a.whereabouts.refresh({ host: b.id, signal })
  await put(a.store, 2, 0)
  await a.whereabouts.refreshOwn()
  await a.whereabouts.refresh({ host: b.id, signal })
  assert.deepEqual(await placesAt(world, 0, 2), ['0@0', '1@1'])
})

test('what a host lists no longer is gone; what a host had that is away is remembered', async () => {
  const world = await World.of(3)
  const [a, b, c] = world.hosts as [World['hosts'][0], World['hosts'][0], World['hosts'][0]]
  await put(a.store, 1, 0)
  await put(b.store, 1, 1)
  await put(c.store, 1, 2)
  await a.whereabouts.refreshOwn()
  await a.whereabouts.refresh({ signal })
  world.away.add(c.id)
  world.hosts[1] = world.host(b.id, await memoryShardStore())
  await a.whereabouts.refresh({ signal })
  assert.deepEqual(await placesAt(world, 0, 1), ['0@0', '2@2'])
})

test('a refuted shard stays so although it is listed, until it is proved', async () => {
  const world = await World.of(2)
  const [a, b] = world.hosts as [World['hosts'][0], World['hosts'][0]]
  await put(a.store, 1, 0)
  await put(b.store, 1, 1)
  await a.whereabouts.refreshOwn()
  await a.whereabouts.refresh({ signal })
  const { pack } = stripe(1).descriptor
  const shard = { vault: VAULT.publicKey, pack, index: 1, host: b.id }
  await a.whereabouts.refute(shard)
  await put(b.store, 2, 1)
  await a.whereabouts.refresh({ signal })
  assert.deepEqual(await placesAt(world, 0, 1), ['0@0', '1@1?'])
  await a.whereabouts.confirm(shard)
  assert.deepEqual(await placesAt(world, 0, 1), ['0@0', '1@1'])
})

test('every host is told once that this one started: it may not have seen it go', async () => {
  const world = await World.of(3)
  const [a, b, c] = world.hosts as [World['hosts'][0], World['hosts'][0], World['hosts'][0]]
  await put(a.store, 1, 0)
  await a.whereabouts.refreshOwn()
  for (let i = 0; i < 3; i++) {
    for (const { id: host } of [b, c]) await a.whereabouts.refresh({ host, signal })
  }
  assert.deepEqual(world.told, [b.id, c.id])
})

test('who could not prove a shard does not gain by listing it no longer, and then again', async () => {
  const world = await World.of(2)
  const [a, b] = world.hosts as [World['hosts'][0], World['hosts'][0]]
  await put(a.store, 1, 0)
  await put(b.store, 1, 1)
  await a.whereabouts.refreshOwn()
  await a.whereabouts.refresh({ signal })
  const { pack } = stripe(1).descriptor
  await a.whereabouts.refute({ vault: VAULT.publicKey, pack, index: 1, host: b.id })
  const full = world.hosts[1] as World['hosts'][0]
  world.hosts[1] = world.host(b.id, await memoryShardStore())
  await a.whereabouts.refresh({ signal })
  world.hosts[1] = full
  await a.whereabouts.refresh({ signal })
  assert.deepEqual(await placesAt(world, 0, 1), ['0@0', '1@1?'])
})

test('a receipt that is shown adds a place, one of a stranger or another shard does not', async () => {
  const world = await World.of(2)
  const [a] = world.hosts as [World['hosts'][0]]
  await put(a.store, 1, 0)
  await a.whereabouts.refreshOwn()
  const { descriptor } = stripe(1)
  const receipt = (i: number, hash = blake3(SHARD)): Uint8Array =>
    signReceipt(
      {
        host: keyOf(i).publicKey,
        index: 3,
        pack: descriptor.pack,
        pool: POOL,
        shardHash: hash,
        storedAt: 1,
        protectedUntil: 2,
        vault: VAULT.publicKey,
      },
      keyOf(i),
    )
  a.whereabouts.onNews('x', { placed: [receipt(7), receipt(1, new Uint8Array(32)), receipt(1)] })
  await a.whereabouts.refresh({ signal, host: a.id })
  assert.deepEqual(await placesAt(world, 0, 1), ['0@0', '3@1'])
})

type Three = [World['hosts'][0], World['hosts'][0], World['hosts'][0]]

function receiptOf(seed: number, o: { by: number; index: number }): Uint8Array {
  const { pack } = stripe(seed).descriptor
  const facts = { pack, pool: POOL, vault: VAULT.publicKey, shardHash: blake3(SHARD) }
  const times = { storedAt: 1, protectedUntil: 2 }
  const { publicKey: host } = keyOf(o.by)
  return signReceipt({ ...facts, ...times, host, index: o.index }, keyOf(o.by))
}

/** Lets work that was begun, and waits for nothing but itself, come to its end. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve))
}

test('a receipt shown again neither clears a refuted shard nor brings back one let go', async () => {
  const world = await World.of(3)
  const [a, b, c] = world.hosts as Three
  await put(a.store, 1, 0)
  await put(b.store, 1, 1)
  await a.whereabouts.refreshOwn()
  await a.whereabouts.refresh({ signal })
  const { pack } = stripe(1).descriptor
  await a.whereabouts.refute({ vault: VAULT.publicKey, pack, index: 1, host: b.id })
  const placed = [
    new Uint8Array(100),
    receiptOf(1, { by: 1, index: 1 }),
    receiptOf(1, { by: 2, index: 2 }),
    receiptOf(1, { by: 2, index: 3 }),
  ]
  a.whereabouts.onNews(c.id, { placed })
  await until(async () => (await placesAt(world, 0, 1)).length === 4)
  assert.deepEqual(await placesAt(world, 0, 1), ['0@0', '1@1?', '2@2', '3@2'])
  await a.whereabouts.refresh({ signal })
  assert.deepEqual(await placesAt(world, 0, 1), ['0@0', '1@1?'], 'the holder has the last word')
})

test('a host that never answers keeps nobody else waiting', async () => {
  const world = await World.of(3)
  const [a, b, c] = world.hosts as Three
  await put(a.store, 1, 0)
  await put(c.store, 1, 2)
  await a.whereabouts.refreshOwn()
  world.mute.add(b.id)
  const end = new AbortController()
  const asked = a.whereabouts.refresh({ signal: end.signal }).catch(() => 'ended')
  await until(async () => (await placesAt(world, 0, 1)).length === 2)
  assert.deepEqual(await placesAt(world, 0, 1), ['0@0', '2@2'])
  end.abort()
  assert.equal(await asked, 'ended')
})

test('after a host fell silent in its lists, the next time goes on from there', async () => {
  const world = await World.of(2)
  const [a, b] = world.hosts as Three
  const seeds = [1, 2, 3, 4, 5, 6]
  for (const seed of seeds) {
    await put(a.store, seed, 0)
    await put(b.store, seed, 1)
  }
  await a.whereabouts.refreshOwn()
  const buckets = new Set(seeds.map((seed) => stripe(seed).descriptor.pack[0])).size
  world.onList = () => {
    if (world.listed === 3) throw new Error('fell silent')
  }
  await a.whereabouts.refresh({ host: b.id, signal })
  await a.whereabouts.refresh({ host: b.id, signal })
  assert.equal(world.listed, buckets + 1, 'only the page that failed was asked for twice')
  for (const seed of seeds) assert.deepEqual(await placesAt(world, 0, seed), ['0@0', '1@1'])
})

test('only what was not known is news', async () => {
  const world = await World.of(2)
  const [a, b] = world.hosts as Three
  await put(a.store, 1, 0)
  await put(b.store, 1, 1)
  await a.whereabouts.refreshOwn()
  await a.whereabouts.refresh({ signal })
  let news = 0
  a.whereabouts.onChange(() => news++)
  const { pack } = stripe(1).descriptor
  const shard = { vault: VAULT.publicKey, pack, index: 1, host: b.id }
  await a.whereabouts.confirm(shard)
  assert.equal(news, 0)
  await a.whereabouts.refute(shard)
  await a.whereabouts.refute(shard)
  assert.equal(news, 1)
})

test('the service outlives a store that is offline, and drops revoked hosts', async () => {
  const world = await World.of(3)
  const [a, b, c] = world.hosts as Three
  await put(a.store, 1, 0)
  await put(b.store, 1, 1)
  await put(c.store, 1, 2)
  const vaults = a.store.vaults.bind(a.store)
  let tries = 0
  a.store.vaults = () => (tries++ < 2 ? Promise.reject(new Error('offline')) : vaults())
  a.whereabouts.start()
  // advancing is what brings the service to its next try
  const places = async (count: number): Promise<boolean> => {
    await world.clock.advance(60_000)
    return (await placesAt(world, 0, 1)).length === count
  }
  await until(() => places(3))
  world.revoked.add(c.id)
  world.away.add(c.id)
  a.whereabouts.poolChanged()
  await until(() => places(2))
  assert.deepEqual(await placesAt(world, 0, 1), ['0@0', '1@1'])
  await a.whereabouts.stop()
})

test('records: every one comes back as it was, and other bytes are refused', () => {
  const place = fc.record({
    index: fc.nat(47),
    host: fc.uint8Array({ minLength: 32, maxLength: 32 }).map(toHex),
    seenAt: fc.nat(),
    refuted: fc.boolean(),
  })
  const record = fc.record<StripeRecord>({
    code: fc.record({ k: fc.integer({ min: 1, max: 32 }), m: fc.nat(16) }),
    class: fc.constantFrom('data', 'meta', 'critical'),
    shardLength: fc.constantFrom(65_536, 4_194_304),
    created: fc.nat(),
    places: fc.uniqueArray(place, {
      maxLength: 12,
      selector: ({ index, host }) => `${index} ${host}`,
    }),
  })
  const named = ({ index, host, seenAt, refuted }: ShardPlace): unknown[] => [
    index,
    host,
    seenAt,
    refuted,
  ]
  const text = (value: unknown): string =>
    JSON.stringify(Array.isArray(value) ? value.map(named) : value)
  fc.assert(
    fc.property(record, (value) => {
      const bytes = encodeRecord(value)
      const back = decodeRecord(bytes)
      assert.equal(text(back.places), text(sortPlaces(value.places)))
      assert.equal(text({ ...back.code }), text({ k: value.code.k, m: value.code.m }))
      assert.equal(back.class, value.class)
      assert.equal(back.created, value.created)
      assert.deepEqual(encodeRecord(back), bytes)
      for (let length = 0; length < bytes.length; length++) {
        if ((length - 12) % 42 === 0) continue
        assert.throws(() => decodeRecord(bytes.subarray(0, length)))
      }
    }),
  )
  assert.ok(PLACES_MAX >= 96)
  assert.throws(() => decodeRecord(fromHex('00'.repeat(12))))
})
