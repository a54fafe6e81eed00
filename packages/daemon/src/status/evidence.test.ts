import assert from 'node:assert/strict'
import { test } from 'node:test'

import {
  DEFAULT_POLICY,
  ed25519Signer,
  ProtectionAssessor,
  signStripe,
  toHex,
  type HostFacts,
} from '@moyai/protocol'

import { ManualClock } from '../clock.ts'
import type { Network, ShardClient } from '../net/types.ts'
import { gatherEvidence } from './evidence.ts'

const vault = ed25519Signer(new Uint8Array(32).fill(1))
const PACK = new Uint8Array(32).fill(5)
const LENGTH = 65_536

const hex = (n: number): string => toHex(new Uint8Array(32).fill(n))

function item(index: number): { pack: Uint8Array; index: number; length: number } {
  return { pack: PACK, index, length: LENGTH + 4096 }
}

/** One stripe of 1+2, its shards at hosts 1, 2 and 3 by their receipts. */
const index = {
  async *stripes() {
    const shardHashes = [1, 2, 3].map((n) => new Uint8Array(32).fill(n))
    const envelope = signStripe(
      {
        vault: vault.publicKey,
        vaultSalt: new Uint8Array(16),
        pack: PACK,
        k: 1,
        m: 2,
        shardLength: LENGTH,
        shardHashes,
        class: 'data',
        protectedUntil: 0,
        created: 1,
      },
      vault,
    )
    yield { pack: PACK, envelope, salt: new Uint8Array(32), packClass: 'data' as const }
  },
  async *unsettled() {
    yield* []
  },
  holders: async () => [1, 2, 3].map((n) => ({ index: n - 1, host: hex(n) })),
}

test('goal: only what a host said to the end is evidence; a hostile list is no answer', async () => {
  const inventory: Record<string, ShardClient['inventory']> = {
    [hex(1)]: async () => ({ items: [item(0), item(7)] }),
    [hex(2)]: async () => ({ items: [], next: Uint8Array.of(1) }),
  }
  const network = {
    peers: () => [1, 2, 3].map((n) => ({ host: hex(n), connected: n !== 3 })),
    shards: (host: string) => ({ inventory: inventory[host] }),
  } as unknown as Pick<Network, 'peers' | 'shards'>
  const hosts = [0, 1, 2, 3].map((n): HostFacts => ({
    id: hex(n),
    org: `${n}`,
    site: `${n}`,
    provider: `${n}`,
    online: n !== 3,
    freeBytes: 1e12,
  }))
  const assessor = new ProtectionAssessor(
    { hosts, owner: hex(0), policy: DEFAULT_POLICY },
    new Map(),
  )
  const added: unknown[] = []
  assessor.add = ({ found, away }) => void added.push({ found: found.length, away: away.length })
  const evidence = await gatherEvidence(assessor, {
    vault: vault.publicKey,
    index,
    network,
    clock: new ManualClock(),
    provedAt: 0,
  })
  assert.deepEqual([...evidence.answered], [hex(1)])
  // A shard that the code does not have is no protection, but takes room.
  assert.deepEqual([...evidence.bytesAt], [[hex(1), 2 * LENGTH]])
  assert.deepEqual(added, [{ found: 1, away: 2 }])
})
