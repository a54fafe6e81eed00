/** Scrub on a store in memory: damage is found in time, and what a restart or an error changes. */

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { toHex } from '@moyai/protocol'

import { ManualClock } from '../../clock.ts'
import { openMemoryDatabase } from '../../database/index.ts'
import { SimulatedDisk } from '../../file-system/index.ts'
import { makeStripe } from '../../net/testing/network.ts'
import { memoryShardStore, type ShardId, type ShardStore } from '../../shard-store/index.ts'
import { ScrubService } from './index.ts'

const DAY_MS = 86_400_000
const SHARDS = 60
const SILENT = { debug() {}, info() {}, warn() {}, error() {} }
const ABORT = new AbortController().signal
const SHARD_LENGTH = 64 * 1024

const stripes = Array.from({ length: SHARDS }, (_, i) =>
  makeStripe(i, { shardLength: SHARD_LENGTH, count: 1 }),
)

async function filled(disk: SimulatedDisk): Promise<ShardStore> {
  const store = await memoryShardStore({ disk })
  for (const { envelope, shards } of stripes) {
    const put = await store.put({ envelope, index: 0 })
    if (put.had) continue
    await put.writer.write(shards[0] ?? assert.fail())
    await put.writer.commit()
  }
  return store
}

function idOf(i: number): ShardId {
  const { vault, pack } = stripes[i]?.descriptor ?? assert.fail()
  return { vault, pack, index: 0 }
}

/** Flips one bit of the payload of shard `i`. */
async function damage(disk: SimulatedDisk, i: number): Promise<void> {
  const { vault, pack } = idOf(i)
  const hex = toHex(pack)
  const path = `/shards/${toHex(vault).slice(0, 16)}/${hex.slice(0, 2)}/${hex}.0.shard`
  const length = await disk.size(path)
  const file = await disk.open(path, 'read')
  const bytes = new Uint8Array(length)
  await file.read(bytes, 0)
  await file.close()
  bytes[length - 1000] = (bytes[length - 1000] ?? 0) ^ 16
  await disk.unlink(path)
  const changed = await disk.open(path, 'create')
  await changed.write(bytes, 0)
  await changed.close()
}

type Scrubbing = { scrub: ScrubService; clock: ManualClock; found: string[]; read: () => number }

function scrubbing(
  store: ShardStore,
  clock = new ManualClock(),
  database = openMemoryDatabase(),
): Scrubbing {
  const found: string[] = []
  let reads = 0
  store.onDamage(({ pack }) => found.push(toHex(pack)))
  const counted = {
    list: store.list.bind(store),
    usedBytes: store.usedBytes.bind(store),
    wasUnclean: store.wasUnclean,
    verify: async (id: ShardId) => {
      reads++
      await store.verify(id)
    },
  }
  const scrub = new ScrubService(
    { pauseFactor: 0 },
    { store: counted, database, clock, logger: SILENT },
  )
  return { scrub, clock, found, read: () => reads }
}

async function days({ scrub, clock }: Scrubbing, count: number): Promise<void> {
  for (let hours = 0; hours < 24 * count; hours += 6) {
    await clock.advance(DAY_MS / 4)
    await scrub.turn(ABORT)
  }
}

test('goal: everything is read within thirty days, evenly, and damage is made known', async () => {
  const disk = new SimulatedDisk()
  const store = await filled(disk)
  const s = scrubbing(store)
  await s.scrub.turn(ABORT)
  assert.equal(s.read(), 0)
  await days(s, 10)
  assert.ok(s.read() >= SHARDS / 4 && s.read() <= SHARDS / 2, `${s.read()} shards in ten days`)
  assert.equal(await s.scrub.lastScrubAt(), undefined)
  await damage(disk, 7)
  await days(s, 22)
  const begun = await s.scrub.lastScrubAt()
  assert.ok(begun !== undefined)
  await days(s, 8)
  assert.deepEqual(s.found, [toHex(idOf(7).pack)])
  const { items } = await store.list({})
  assert.equal(items.length, SHARDS - 1)
})

test('goal: an end that was no stop, and an error, are followed by a round of a week', async () => {
  const disk = new SimulatedDisk()
  const first = await filled(disk)
  assert.equal(first.wasUnclean, false)
  // It is not closed.
  const store = await memoryShardStore({ disk })
  assert.equal(store.wasUnclean, true)
  const s = scrubbing(store)
  await s.scrub.turn(ABORT)
  await days(s, 8)
  assert.ok(s.read() >= SHARDS)
  const again = s.read()
  await days(s, 5)
  assert.ok(s.read() - again < SHARDS / 2, 'and then at leisure again')
  await damage(disk, 3)
  await store.verify(idOf(3)).catch(() => undefined)
  await store.close()
  const closed = await memoryShardStore({ disk })
  assert.equal(closed.wasUnclean, false)
  const t = scrubbing(closed)
  for (let day = 0; day < 31 && t.found.length === 0; day++) await days(t, 1)
  assert.deepEqual(t.found, [toHex(idOf(3).pack)])
  const atDamage = t.read()
  await days(t, 8)
  assert.ok(t.read() - atDamage >= SHARDS - 8, 'a week for a round after damage')
})

test('goal: a round goes on where the last process ended', async () => {
  const disk = new SimulatedDisk()
  const store = await filled(disk)
  const clock = new ManualClock()
  const database = openMemoryDatabase()
  let reads = 0
  for (let day = 0; day < 32; day++) {
    const s = scrubbing(store, clock, database)
    await days(s, 1)
    reads += s.read()
  }
  assert.ok(reads >= SHARDS && reads < SHARDS * 1.5, `${reads} reads`)
  assert.ok((await scrubbing(store, clock, database).scrub.lastScrubAt()) !== undefined)
})

test('goal: on demand everything is read at once, and what is damaged is named', async () => {
  const disk = new SimulatedDisk()
  const store = await filled(disk)
  await damage(disk, 5)
  const s = scrubbing(store)
  const progress: number[] = []
  const found = await s.scrub.scrub({
    signal: ABORT,
    onProgress: ({ shards }) => progress.push(shards),
  })
  assert.equal(found.shards, SHARDS)
  assert.equal(found.damagedCount, 1)
  assert.deepEqual(found.damaged, [idOf(5)])
  assert.equal(progress.at(-1), SHARDS)
  assert.equal(await s.scrub.lastScrubAt(), s.clock.now())
  // Put again, it is right again.
  const { envelope, shards } = stripes[5] ?? assert.fail()
  const put = await store.put({ envelope, index: 0 })
  assert.ok(!put.had)
  await put.writer.write(shards[0] ?? assert.fail())
  await put.writer.commit()
  assert.equal(store.isDamaged(idOf(5)), false)
  const again = await s.scrub.scrub({ signal: ABORT })
  assert.deepEqual([again.shards, again.damagedCount], [SHARDS, 0])
})
