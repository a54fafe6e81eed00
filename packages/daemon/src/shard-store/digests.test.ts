// Goal: digests that are kept up to date are those that counting from the start gives.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { blake3 } from '@moyai/protocol'
import * as fc from 'fast-check'

import { differingBuckets, DIGESTS_BYTES, InventoryDigests, toggleShard } from './digests.ts'

const VAULT = new Uint8Array(32).fill(1)

type Named = { pack: Uint8Array; index: number }

function named(number: number): Named {
  return { pack: blake3(Uint8Array.of(number >> 2)), index: number & 3 }
}

function fromScratch(shards: Iterable<number>): Uint8Array {
  const digests = new Uint8Array(DIGESTS_BYTES)
  for (const shard of shards) toggleShard(digests, named(shard))
  return digests
}

test('incremental is from scratch, whenever somebody asks', async () => {
  const step = fc.record({ shard: fc.nat(63), asks: fc.boolean() })
  await fc.assert(
    fc.asyncProperty(fc.array(step), async (steps) => {
      const here = new Set<number>()
      const digests = new InventoryDigests(async function* () {
        // a name at a time, with changes in between: as folders are read
        for (const shard of here) {
          yield named(shard)
          await Promise.resolve()
        }
      })
      const asked: Promise<Uint8Array>[] = []
      for (const { shard, asks } of steps) {
        if (asks) asked.push(digests.of(VAULT))
        if (!here.delete(shard)) here.add(shard)
        digests.changed({ vault: VAULT, ...named(shard) })
        await Promise.resolve()
      }
      await Promise.all(asked)
      assert.deepEqual(await digests.of(VAULT), fromScratch(here))
      assert.deepEqual(await digests.of(VAULT), fromScratch([...here].toReversed()))
    }),
  )
})

test('what differs are the buckets of the shards that differ', () => {
  const shards = fc.uniqueArray(fc.nat(255))
  fc.assert(
    fc.property(shards, shards, (some, others) => {
      const isIn = (one: number, list: number[]): boolean => list.includes(one)
      const differing = [
        ...some.filter((one) => !isIn(one, others)),
        ...others.filter((one) => !isIn(one, some)),
      ]
      const expected = new Set(differing.map((shard) => named(shard).pack[0] as number))
      assert.deepEqual(
        differingBuckets(fromScratch(some), fromScratch(others)),
        [...expected].sort((a, b) => a - b),
      )
    }),
  )
})

test('who asks gets a copy', async () => {
  const digests = new InventoryDigests(async function* () {
    yield named(1)
  })
  const first = await digests.of(VAULT)
  first.fill(7)
  assert.deepEqual(await digests.of(VAULT), fromScratch([1]))
})
