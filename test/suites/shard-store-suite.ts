/** The contract of the `ShardStore` port: every implementation passes this suite. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import {
  GROUP_BYTES,
  blake3,
  ed25519Signer,
  groupHashes,
  isMoyaiError,
  signStripe,
  toHex,
} from '@moyai/protocol'
import type { ErrorCode, Signer, StripeDescriptor } from '@moyai/protocol'
import { DIGESTS_BYTES, differingBuckets, toggleShard } from '@moyai/daemon'
import type { ShardId, ShardItem, ShardStore } from '@moyai/daemon'

export const VAULT: Signer = ed25519Signer(new Uint8Array(32).fill(1))
const OTHER_VAULT = ed25519Signer(new Uint8Array(32).fill(2))
export const SHARD_LENGTH = 65_536

/** A stripe of k data and m parity shards (of any bytes: the store does not decode). */
export type TestStripe = {
  descriptor: StripeDescriptor
  envelope: Uint8Array
  shards: Uint8Array[]
}

export function testStripe(seed: number, o: { signer?: Signer; m?: number } = {}): TestStripe {
  const signer = o.signer ?? VAULT
  const m = o.m ?? 2
  const shards = Array.from({ length: 1 + m }, (_, i) => {
    let state = seed * 1000 + i + 1
    return Uint8Array.from({ length: SHARD_LENGTH }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return state >>> 24
    })
  })
  const descriptor: StripeDescriptor = {
    vault: signer.publicKey,
    vaultSalt: new Uint8Array(16),
    pack: blake3(new TextEncoder().encode(`pack ${seed}`)),
    k: 1,
    m,
    shardLength: SHARD_LENGTH,
    shardHashes: shards.map((shard) => blake3(shard)),
    class: 'data',
    protectedUntil: 2,
    created: 1,
  }
  return { descriptor, envelope: signStripe(descriptor, signer), shards }
}

export function idOf(stripe: TestStripe, index: number): ShardId {
  return { vault: stripe.descriptor.vault, pack: stripe.descriptor.pack, index }
}

/** Stores one shard in pieces; true when it was there already. */
export async function store(
  shards: ShardStore,
  stripe: TestStripe,
  o: { index: number; pieceBytes?: number },
): Promise<boolean> {
  const put = await shards.put({ envelope: stripe.envelope, index: o.index })
  if (put.had) return true
  const bytes = stripe.shards[o.index] ?? assert.fail()
  const piece = o.pieceBytes ?? 40_000
  try {
    for (let at = 0; at < bytes.length; at += piece) {
      await put.writer.write(bytes.subarray(at, at + piece))
    }
    await put.writer.commit()
  } catch (error) {
    await put.writer.abort()
    throw error
  }
  return false
}

export function fails(...codes: ErrorCode[]): (error: unknown) => boolean {
  return (error) => isMoyaiError(error, ...codes)
}

export async function listAll(
  shards: ShardStore,
  o: { vault?: Uint8Array; limit?: number } = {},
): Promise<ShardItem[]> {
  const items: ShardItem[] = []
  let cursor: Uint8Array | undefined
  for (;;) {
    const page = await shards.list({ ...o, ...(cursor === undefined ? {} : { cursor }) })
    items.push(...page.items)
    if (page.next === undefined) return items
    cursor = page.next
  }
}

/** A store, and a way to open it again after it was closed. */
export type ShardStorePlace = { open(): Promise<ShardStore>; remove(): Promise<void> }

/** Runs the contract against the implementation that `place` gives. */
export function shardStoreSuite(name: string, place: () => Promise<ShardStorePlace>): void {
  function withStore(
    run: (shards: ShardStore, there: ShardStorePlace) => Promise<void>,
  ): () => Promise<void> {
    return async () => {
      const there = await place()
      const shards = await there.open()
      try {
        await run(shards, there)
      } finally {
        await shards.close()
        await there.remove()
      }
    }
  }

  void describe(`shard store: ${name}`, () => {
    void test(
      'goal: a shard comes back byte for byte, explaining itself, also after a restart',
      withStore(async (first, there) => {
        const stripe = testStripe(1)
        assert.equal(await first.has(idOf(stripe, 1)), false)
        assert.equal(await store(first, stripe, { index: 1 }), false)
        await first.close()
        const shards = await there.open()
        assert.equal(await shards.has(idOf(stripe, 1)), true)
        assert.equal(await shards.has(idOf(stripe, 0)), false)
        await shards.verify(idOf(stripe, 1))
        const reader = await shards.open(idOf(stripe, 1))
        assert.deepEqual(reader.descriptor, stripe.descriptor)
        assert.deepEqual(reader.envelope, stripe.envelope)
        assert.equal(reader.index, 1)
        const bytes = stripe.shards[1] ?? assert.fail()
        assert.deepEqual(reader.groups, groupHashes(bytes))
        assert.deepEqual(await reader.read(0, SHARD_LENGTH), bytes)
        assert.deepEqual(await reader.read(1000, 3), bytes.slice(1000, 1003))
        assert.deepEqual(await reader.read(SHARD_LENGTH, 0), new Uint8Array())
        for (const [offset, length] of [
          [SHARD_LENGTH, 1],
          [-1, 1],
          [0, -1],
          [0.5, 1],
          [0, SHARD_LENGTH + 1],
        ] as const) {
          await assert.rejects(reader.read(offset, length), fails('MALFORMED'))
        }
        await reader.close()
        await reader.close()
        await shards.close()
      }),
    )

    void test(
      'goal: bytes may come in pieces of any size',
      withStore(async (shards) => {
        for (const [i, pieceBytes] of [SHARD_LENGTH, GROUP_BYTES, 999].entries()) {
          const stripe = testStripe(10 + i)
          await store(shards, stripe, { index: 0, pieceBytes })
          await shards.verify(idOf(stripe, 0))
        }
      }),
    )

    void test(
      'goal: a second put of a shard finds it',
      withStore(async (shards) => {
        const stripe = testStripe(1)
        assert.equal(await store(shards, stripe, { index: 0 }), false)
        assert.equal(await store(shards, stripe, { index: 0 }), true)
        assert.equal(await store(shards, stripe, { index: 2 }), false)
      }),
    )

    void test(
      'goal: wrong, missing or surplus bytes are refused and leave nothing',
      withStore(async (shards) => {
        const stripe = testStripe(1)
        const bytes = stripe.shards[0] ?? assert.fail()
        const attempt = async (pieces: Uint8Array[]): Promise<void> => {
          const put = await shards.put({ envelope: stripe.envelope, index: 0 })
          assert.ok(!put.had)
          try {
            for (const piece of pieces) await put.writer.write(piece)
            await put.writer.commit()
          } finally {
            await put.writer.abort()
          }
        }
        const flipped = bytes.slice()
        flipped[500] = (flipped[500] ?? 0) ^ 4
        await assert.rejects(attempt([flipped]), fails('HASH_MISMATCH'))
        await assert.rejects(attempt([stripe.shards[1] ?? assert.fail()]), fails('HASH_MISMATCH'))
        await assert.rejects(attempt([]), fails('TRUNCATED'))
        await assert.rejects(attempt([bytes.subarray(1)]), fails('TRUNCATED'))
        await assert.rejects(attempt([bytes, Uint8Array.of(1)]), fails('TOO_LARGE'))
        assert.equal(await shards.has(idOf(stripe, 0)), false)
        assert.deepEqual(await listAll(shards), [])
        assert.equal(await shards.usedBytes(), 0)
        assert.equal(await store(shards, stripe, { index: 0 }), false)
      }),
    )

    void test(
      'goal: junk in place of a descriptor, or an index beyond it, is refused',
      withStore(async (shards) => {
        const stripe = testStripe(1)
        await assert.rejects(
          shards.put({ envelope: stripe.envelope, index: 3 }),
          fails('MALFORMED'),
        )
        await assert.rejects(
          shards.put({ envelope: new Uint8Array(10), index: 0 }),
          fails('TRUNCATED'),
        )
        const forged = stripe.envelope.slice()
        forged[3] = (forged[3] ?? 0) ^ 1
        await assert.rejects(shards.put({ envelope: forged, index: 0 }), fails('BAD_SIGNATURE'))
      }),
    )

    void test(
      'goal: an aborted shard is not there, and nothing can be done with its writer',
      withStore(async (shards) => {
        const stripe = testStripe(1)
        const put = await shards.put({ envelope: stripe.envelope, index: 0 })
        assert.ok(!put.had)
        await put.writer.write(new Uint8Array(100))
        await put.writer.abort()
        await put.writer.abort()
        await assert.rejects(put.writer.write(new Uint8Array(1)), fails('ABORTED'))
        await assert.rejects(put.writer.commit(), fails('ABORTED'))
        assert.equal(await shards.has(idOf(stripe, 0)), false)
      }),
    )

    void test(
      'goal: several writers of one shard end with one good file, all acknowledged',
      withStore(async (shards) => {
        const stripe = testStripe(1)
        await Promise.all(Array.from({ length: 4 }, () => store(shards, stripe, { index: 0 })))
        await shards.verify(idOf(stripe, 0))
        const items = await listAll(shards)
        assert.equal(items.length, 1)
        assert.equal(await shards.usedBytes(), items[0]?.length)
      }),
    )

    void test(
      'goal: digests name the same shards however they came, and change with each',
      withStore(async (shards) => {
        const { vault } = testStripe(1).descriptor
        const empty = await shards.digests(vault)
        assert.deepEqual(empty, new Uint8Array(DIGESTS_BYTES))
        let told = 0
        const end = shards.onChange(() => told++)
        for (const seed of [1, 2, 3, 4]) {
          const before = await shards.digests(vault)
          await store(shards, testStripe(seed), { index: seed % 2 })
          const after = await shards.digests(vault)
          assert.deepEqual(differingBuckets(before, after), [testStripe(seed).descriptor.pack[0]])
        }
        assert.equal(told, 4)
        const expected = new Uint8Array(DIGESTS_BYTES)
        for (const item of await listAll(shards)) toggleShard(expected, item)
        assert.deepEqual(await shards.digests(vault), expected)
        assert.deepEqual(await shards.vaults(), [vault])
        const bucket = testStripe(1).descriptor.pack[0] as number
        const { items } = await shards.list({ vault, bucket })
        assert.ok(items.some(({ pack }) => pack[0] === bucket))
        assert.ok(items.every(({ pack }) => pack[0] === bucket))
        end()
      }),
    )

    void test(
      'goal: what is not there is NOT_FOUND; an empty store is empty',
      withStore(async (shards) => {
        const stripe = testStripe(1)
        await assert.rejects(shards.open(idOf(stripe, 0)), fails('NOT_FOUND'))
        await assert.rejects(shards.verify(idOf(stripe, 0)), fails('NOT_FOUND'))
        assert.deepEqual(await shards.list({}), { items: [] })
        assert.deepEqual(await shards.stat(stripe.descriptor), [])
        assert.equal(await shards.usedBytes(), 0)
        await assert.rejects(shards.list({ cursor: new Uint8Array(3) }), fails('MALFORMED'))
      }),
    )

    void test(
      'goal: the inventory is complete, sorted, of one vault or all, in pages of any size',
      withStore(async (shards) => {
        const stripes = Array.from({ length: 9 }, (_, i) =>
          testStripe(i, i % 3 === 0 ? { signer: OTHER_VAULT } : {}),
        )
        const key = (id: ShardId): string => `${toHex(id.vault)} ${toHex(id.pack)} ${id.index}`
        const expected: string[] = []
        for (const [i, stripe] of stripes.entries()) {
          for (const index of i % 2 === 0 ? [2, 0] : [1]) {
            await store(shards, stripe, { index })
            expected.push(key(idOf(stripe, index)))
          }
        }
        expected.sort()
        for (const limit of [1, 2, 5, 1000]) {
          const items = await listAll(shards, { limit })
          assert.deepEqual(items.map(key), expected)
          const own = await listAll(shards, { vault: VAULT.publicKey, limit })
          assert.deepEqual(
            own.map(key),
            expected.filter((one) => one.startsWith(toHex(VAULT.publicKey))),
          )
        }
        const items = await listAll(shards)
        assert.ok(items.every((item) => item.length > SHARD_LENGTH))
        const sum = items.reduce((total, item) => total + item.length, 0)
        assert.equal(await shards.usedBytes(), sum)
        const [first] = stripes
        assert.ok(first !== undefined)
        assert.deepEqual(
          (await shards.stat(first.descriptor)).map(({ index }) => index),
          [0, 2],
        )
        assert.deepEqual((await shards.stat(first.descriptor))[0]?.envelope, first.envelope)
      }),
    )

    void test(
      'goal: a store that was closed does nothing more',
      withStore(async (shards) => {
        const stripe = testStripe(1)
        const put = await shards.put({ envelope: stripe.envelope, index: 0 })
        assert.ok(!put.had)
        await shards.close()
        await assert.rejects(put.writer.write(new Uint8Array(1)), fails('ABORTED'))
        await assert.rejects(shards.put({ envelope: stripe.envelope, index: 0 }), fails('ABORTED'))
        await assert.rejects(shards.open(idOf(stripe, 0)), fails('ABORTED'))
      }),
    )
  })
}
