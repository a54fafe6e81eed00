import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { TestContext } from 'node:test'

import { MoyaiError, blake3, openStripe, plainCodec, toHex, vaultSigner } from '@moyai/protocol'
import type { Code } from '@moyai/protocol'

import { ManualClock } from '../clock.ts'
import { silentLogger } from '../logger.ts'
import { IndexRebuilder, loadHasher } from '../store/index.ts'
import type { StripeRecord } from '../store/index.ts'
import { MemoryHost } from '../store/testing/memory-pool.ts'
import { bundle, makeWorld } from '../store/testing/world.ts'
import type { World } from '../store/testing/world.ts'
import { GrowthService } from './growth-service.ts'

const DAY_MS = 86_400_000
const CODE: Code = { k: 3, m: 2 }

type Grown = World & { growth: GrowthService; clock: ManualClock; asked: () => number }

/** A vault with one snapshot under 3+2, at five sites. */
async function stored(t: TestContext): Promise<Grown> {
  const world = makeWorld(t, ['a', 'b', 'c', 'd', 'e'], CODE)
  writeFileSync(join(world.source, 'file'), Buffer.alloc(300_000, 'moyai '))
  await world.service.store(world.request())
  const clock = new ManualClock()
  let asked = 0
  const { pool } = world
  const growth = new GrowthService(
    { settleMs: DAY_MS },
    {
      pool: {
        self: pool.self,
        id: () => new Uint8Array(32),
        hosts: () => pool.hosts(),
        retiring: () => pool.retiring(),
        revoked: () => pool.revoked(),
        policy: () => pool.policy(),
        vaults: () => new Map(),
        nameOf: (host) => pool.nameOf(host),
      },
      index: world.index,
      network: { shards: (host) => pool.shards(host) as never },
      vault: vaultSigner(bundle),
      codec: plainCodec(),
      clock,
      logger: silentLogger,
      onExtended: () => {
        asked++
      },
    },
  )
  return { ...world, growth, clock, asked: () => asked }
}

async function turnLater(world: Grown): Promise<{ extended: number }> {
  const { signal } = new AbortController()
  await world.growth.turn(signal)
  await world.clock.advance(DAY_MS)
  return world.growth.turn(signal)
}

async function stripesOf({ index }: World): Promise<StripeRecord[]> {
  const records: StripeRecord[] = []
  for await (const record of index.stripes()) records.push(record)
  return records
}

function grow(world: Grown): void {
  for (const [i, site] of ['a', 'b', 'c', 'd', 'e'].entries()) {
    world.pool.others.push(new MemoryHost({ seed: 50 + i, site }))
  }
}

void describe('growth service', () => {
  void test('goal: stripes of a pool that has grown get more parity, any k of which decode', async (t) => {
    const world = await stored(t)
    const packs = await stripesOf(world)
    assert.equal((await turnLater(world)).extended, 0)
    grow(world)
    const before = new Map(packs.map(({ pack, envelope }) => [toHex(pack), openStripe(envelope)]))
    const { extended } = await turnLater(world)
    assert.ok(extended > 0)
    assert.equal(world.asked(), 1)
    await world.service.settle()
    for await (const { pack, envelope } of world.index.stripes()) {
      const stripe = openStripe(envelope)
      const old = before.get(toHex(pack)) ?? assert.fail()
      assert.equal(stripe.k, old.k)
      assert.deepEqual(stripe.shardHashes.slice(0, old.k + old.m), old.shardHashes)
      const holders = await world.index.holders(pack)
      assert.equal(holders.length, stripe.k + stripe.m)
      assert.equal(new Set(holders.map(({ host }) => host)).size, holders.length)
      if (stripe.m === old.m) continue
      const { k, m, shardLength } = stripe
      const shards = new Uint8Array((k + m) * shardLength)
      const present = Array.from({ length: k + m }, (_, i) => i >= m)
      for (const { index, host } of holders) {
        const holder = world.pool.others.find(({ id }) => id === host) ?? assert.fail()
        const held = holder.shards.get(`${toHex(pack)}.${index}`) ?? assert.fail()
        if (index >= m) shards.set(held.bytes, index * shardLength)
      }
      plainCodec().reconstruct({ k, m }, shardLength, shards, present)
      assert.deepEqual(blake3(shards.subarray(0, k * shardLength)), pack)
    }
    assert.equal((await turnLater(world)).extended, 0)
  })

  void test('goal: an index made again from the pool knows the longer descriptors', async (t) => {
    const world = await stored(t)
    grow(world)
    await turnLater(world)
    await world.service.settle()
    const before = await stripesOf(world)
    await world.index.clear()
    const rebuilder = new IndexRebuilder(
      { bundle },
      {
        index: world.index,
        network: world.pool,
        pool: world.pool,
        codec: plainCodec(),
        hasher: loadHasher(),
        logger: silentLogger,
      },
    )
    const entries = async function* (): AsyncGenerator<Uint8Array> {
      yield* world.pool.entries
    }
    const { signal } = new AbortController()
    await rebuilder.rebuild({ entries: entries(), signal })
    assert.deepEqual(await stripesOf(world), before)
  })

  void test('goal: a pool that still changes is waited for', async (t) => {
    const world = await stored(t)
    const { signal } = new AbortController()
    grow(world)
    await world.growth.turn(signal)
    await world.clock.advance(DAY_MS - 1)
    world.pool.others.push(new MemoryHost({ seed: 90, site: 'a' }))
    assert.equal((await world.growth.turn(signal)).extended, 0)
    await world.clock.advance(1)
    assert.equal((await world.growth.turn(signal)).extended, 0)
    await world.clock.advance(DAY_MS)
    assert.ok((await world.growth.turn(signal)).extended > 0)
  })

  void test('goal: a stripe that lacks a shard is mended first, and one that is away waits', async (t) => {
    const world = await stored(t)
    grow(world)
    const [first] = await stripesOf(world)
    assert.ok(first !== undefined)
    await world.index.removeHolder(first.pack, 0)
    await turnLater(world)
    const same = await world.index.stripe(first.pack)
    assert.deepEqual(same?.envelope, first.envelope)
    for (const host of world.pool.others) host.online = false
    assert.equal((await turnLater(world)).extended, 0)
  })

  void test('goal: what a person has set stays, and a stop is a stop', async (t) => {
    const world = await stored(t)
    grow(world)
    world.growth.start()
    await world.growth.stop()
    const signal = AbortSignal.abort(new MoyaiError('ABORTED', 'stopped'))
    await world.growth.turn(new AbortController().signal)
    await world.clock.advance(DAY_MS)
    await assert.rejects(world.growth.turn(signal))
  })
})
