/**
 * Every operation of the disk fails once, in each way, and the power goes after each: no
 * acknowledged shard is lost, and none is ever half there.
 */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { isMoyaiError } from '@moyai/protocol'
import { FaultyDisk, SimulatedDisk, openShardStore, survivors } from '@moyai/daemon'
import type { Disk, DiskFault, DiskOperation, ShardStore } from '@moyai/daemon'
import { fails, idOf, listAll, store, testStripe } from './shard-store-suite.ts'
import type { TestStripe } from './shard-store-suite.ts'

const BEFORE = testStripe(100)
const NEW = [testStripe(101, { m: 4 }), testStripe(102)]
/** What is stored while the disk fails: two shards of one folder, one of another. */
const WORK: [stripe: TestStripe, index: number][] = [
  [NEW[0] ?? BEFORE, 0],
  [NEW[0] ?? BEFORE, 3],
  [NEW[1] ?? BEFORE, 1],
]

function open(disk: Disk): Promise<ShardStore> {
  const random = { bytes: (length: number) => new Uint8Array(length).fill(7) }
  return openShardStore({ disk, root: '/shards', random, quotaBytes: 1e12, reserveBytes: 0 })
}

/** A disk with a store that has one acknowledged shard. */
async function preparedDisk(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk()
  const shards = await open(disk)
  await store(shards, BEFORE, { index: 0 })
  await shards.close()
  return disk
}

/** Stores all of WORK at once; which of it was acknowledged. */
async function work(shards: ShardStore): Promise<[TestStripe, number][]> {
  const results = await Promise.allSettled(
    WORK.map(([stripe, index]) => store(shards, stripe, { index })),
  )
  for (const result of results) {
    if (result.status === 'rejected') assert.ok(isMoyaiError(result.reason), String(result.reason))
  }
  return WORK.filter((_, i) => results[i]?.status === 'fulfilled')
}

/** All that was acknowledged is whole, and so is everything else that shows. */
async function check(shards: ShardStore, acknowledged: [TestStripe, number][]): Promise<void> {
  await shards.verify(idOf(BEFORE, 0))
  for (const [stripe, index] of acknowledged) await shards.verify(idOf(stripe, index))
  for (const item of await listAll(shards)) await shards.verify(item)
}

/**
 * The disk goes on working, or is cut off from its power, and is opened again: then everything can
 * be stored.
 */
async function checkAfterRestart(
  disk: SimulatedDisk,
  acknowledged: [TestStripe, number][],
): Promise<void> {
  const again = await open(disk)
  await check(again, acknowledged)
  assert.equal((await work(again)).length, WORK.length)
  await check(again, WORK)
  const sum = (await listAll(again)).reduce((total, item) => total + item.length, 0)
  assert.equal(await again.usedBytes(), sum)
  assert.deepEqual(await disk.list('/shards/tmp'), [])
  await again.close()
}

void describe('a failing disk', () => {
  const faults: DiskFault[] = [
    { code: 'DISK', effect: 'none' },
    { code: 'DISK', effect: 'whole' },
    { code: 'NO_SPACE', effect: 'half' },
  ]
  for (const fault of faults) {
    void test(`goal: one ${fault.code} with ${fault.effect} effect, at every operation of a put`, async () => {
      let tainted = 0
      for (let number = 1; ; number++) {
        const disk = await preparedDisk()
        let failed: DiskOperation | undefined
        let armed = false
        let first = 0
        const faulty = new FaultyDisk(disk, (operation) => {
          if (!armed) first = operation.number
          if (!armed || operation.number !== first + number) return undefined
          failed = operation
          return fault
        })
        const shards = await open(faulty)
        armed = true
        const acknowledged = await work(shards)
        if (failed === undefined) {
          assert.equal(acknowledged.length, WORK.length)
          break
        }
        // Reads go on, whatever happened.
        await check(shards, acknowledged)
        if (failed.name === 'sync' || failed.name === 'syncDirectory') {
          tainted++
          await assert.rejects(
            shards.put({ envelope: BEFORE.envelope, index: 0 }),
            fails('STORE_TAINTED'),
          )
        } else {
          assert.equal((await work(shards)).length, WORK.length, JSON.stringify(failed))
        }
        await shards.close()
        disk.powerLoss(survivors(number % 4))
        await checkAfterRestart(disk, acknowledged)
      }
      assert.ok(tainted > 5)
    })
  }

  void test('goal: after an fsync error nothing is acknowledged, by whomever it was waited for', async () => {
    const disk = await preparedDisk()
    let failing = false
    const faulty = new FaultyDisk(disk, ({ name, path }) =>
      failing && name === 'syncDirectory' && path !== '/shards'
        ? { code: 'DISK', effect: 'none' }
        : undefined,
    )
    const shards = await open(faulty)
    // All shards of one stripe share a folder, and its fsync.
    const [stripe] = NEW
    assert.ok(stripe !== undefined)
    await store(shards, stripe, { index: 0 })
    failing = true
    const results = await Promise.allSettled(
      [1, 2, 3, 4].map((index) => store(shards, stripe, { index })),
    )
    assert.ok(
      results.every((one) => one.status === 'rejected' && fails('STORE_TAINTED')(one.reason)),
    )
    failing = false
    await assert.rejects(store(shards, stripe, { index: 1 }), fails('STORE_TAINTED'))
    await assert.rejects(store(shards, stripe, { index: 0 }), fails('STORE_TAINTED'))
    await shards.verify(idOf(stripe, 0))
    disk.powerLoss()
    const again = await open(disk)
    await again.verify(idOf(stripe, 0))
    assert.equal((await listAll(again)).length, 2)
    assert.equal(await store(again, stripe, { index: 1 }), false)
  })

  void test('goal: a failure at every operation of opening leaves a store that opens later', async () => {
    for (const isNew of [true, false]) {
      for (const effect of ['none', 'whole'] as const) {
        for (let number = 1; ; number++) {
          const disk = isNew ? new SimulatedDisk() : await preparedDisk()
          let failed = false
          const faulty = new FaultyDisk(disk, (operation) => {
            if (operation.number !== number) return undefined
            failed = true
            return { code: 'DISK', effect }
          })
          try {
            const shards = await open(faulty)
            if (!isNew) await shards.verify(idOf(BEFORE, 0))
            await shards.close()
          } catch (error) {
            assert.ok(isMoyaiError(error, 'DISK', 'STORE_TAINTED'), String(error))
          }
          if (!failed) break
          disk.powerLoss(survivors(number % 3))
          const again = await open(disk)
          if (!isNew) await again.verify(idOf(BEFORE, 0))
          assert.equal((await work(again)).length, WORK.length)
          await again.close()
        }
      }
    }
  })
})

void describe('a power cut', () => {
  void test('goal: after every operation, whatever of the unsynced remains', async () => {
    let acknowledgedMost = 0
    for (let last = 0; ; last++) {
      let cut = false
      for (const seed of [0, 1 + last]) {
        const disk = await preparedDisk()
        let armed = false
        let first = 0
        cut = false
        const faulty = new FaultyDisk(disk, ({ number }) => {
          if (!armed) first = number
          if (!armed || number <= first + last) return undefined
          cut = true
          return { code: 'DISK', effect: 'none' }
        })
        const shards = await open(faulty)
        armed = true
        const acknowledged = await work(shards)
        acknowledgedMost = Math.max(acknowledgedMost, acknowledged.length)
        disk.powerLoss(survivors(seed))
        await checkAfterRestart(disk, acknowledged)
        // Once more, right after: what the second run acknowledged is durable, too.
        disk.powerLoss()
        await check(await open(disk), WORK)
      }
      if (!cut) break
    }
    assert.equal(acknowledgedMost, WORK.length)
  })

  void test('goal: a shard that a killed process left unacknowledged is durable once it is', async () => {
    // A kill between rename and fsync of the folder: the next process finds the file, and must not
    // say "had" before its name is durable.
    for (const kept of ['sync', 'lost'] as const) {
      const disk = await preparedDisk()
      const [stripe] = NEW
      assert.ok(stripe !== undefined)
      let killed = false
      const faulty = new FaultyDisk(disk, ({ name, path }) => {
        killed ||= name === 'syncDirectory' && /\/[0-9a-f]{2}$/.test(path)
        return killed ? { code: 'DISK', effect: 'none' } : undefined
      })
      await assert.rejects(store(await open(faulty), stripe, { index: 0 }))
      const again = await open(disk)
      assert.equal(await again.has(idOf(stripe, 0)), true)
      if (kept === 'sync') assert.equal(await store(again, stripe, { index: 0 }), true)
      disk.powerLoss()
      const after = await open(disk)
      assert.equal(await after.has(idOf(stripe, 0)), kept === 'sync')
    }
  })
})
