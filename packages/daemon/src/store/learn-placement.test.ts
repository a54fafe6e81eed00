import assert from 'node:assert/strict'
import { test } from 'node:test'

import { blake3, ed25519Signer, signReceipt, signStripe, toHex } from '@moyai/protocol'
import type { Signer } from '@moyai/protocol'

import { learnPlacement } from './learn-placement.ts'
import type { HolderRecord, StripeRecord } from './vault-index.ts'

const vault = ed25519Signer(new Uint8Array(32).fill(1))
const hosts = [2, 3].map((seed) => ed25519Signer(new Uint8Array(32).fill(seed))) as [Signer, Signer]
const pack = blake3(Uint8Array.of(7))
const shardHashes = [0, 1, 2].map((i) => blake3(Uint8Array.of(i)))
const envelope = signStripe(
  {
    vault: vault.publicKey,
    vaultSalt: new Uint8Array(16),
    pack,
    k: 2,
    m: 1,
    shardLength: 65_536,
    shardHashes,
    class: 'data',
    protectedUntil: 1000,
    created: 10,
  },
  vault,
)

function signed(host: Signer, index: number, storedAt: number): Required<HolderRecord> {
  const about = { pool: pack, vault: vault.publicKey, pack, index, protectedUntil: 1000 }
  const shardHash = shardHashes[index] as Uint8Array
  const receipt = signReceipt({ ...about, shardHash, host: host.publicKey, storedAt }, host)
  return { index, host: toHex(host.publicKey), receipt }
}

function indexWith(held: HolderRecord[]): {
  index: Parameters<typeof learnPlacement>[0]
  settled: { holders: readonly HolderRecord[]; missing: number }[]
} {
  const settled: { holders: readonly HolderRecord[]; missing: number }[] = []
  const record: StripeRecord = { pack, envelope, salt: pack, packClass: 'data' }
  const index = {
    stripe: async () => record,
    holders: async () => held,
    settle: async (_pack: Uint8Array, o: (typeof settled)[number]) => void settled.push(o),
  }
  return { index, settled }
}

test('what a repair placed is recorded, and how many shards are still without a holder', async () => {
  const [first, second] = hosts
  const { index, settled } = indexWith([signed(first, 0, 5), { index: 1, host: 'seen only' }])
  const shard = signed(second, 2, 6)
  await learnPlacement(index, pack, shard)
  assert.deepEqual(settled, [{ holders: [shard], missing: 1 }])
})

test('a later receipt of another host takes the place of an earlier one, never the reverse', async () => {
  const [first, second] = hosts
  const before = signed(first, 0, 50)
  const { index, settled } = indexWith([before])
  await learnPlacement(index, pack, signed(second, 0, 49))
  assert.deepEqual(settled, [])
  const after = signed(second, 0, 51)
  await learnPlacement(index, pack, after)
  assert.deepEqual(settled, [{ holders: [after], missing: 2 }])
})

test('a receipt for something else is refused', async () => {
  const [first] = hosts
  const { index, settled } = indexWith([])
  const wrong = { ...signed(first, 0, 5), index: 1 }
  await assert.rejects(learnPlacement(index, pack, wrong), { code: 'HOST_REFUSED' })
  assert.deepEqual(settled, [])
})
