/** How much of this vault is still at hosts that are being emptied. */

import { openStripe } from '@moyai/protocol'

import type { VaultIndex } from './vault-index.ts'

/** Shards, their payload bytes, and how many of the shards have nowhere to go. */
export type Remaining = { shards: number; bytes: number; stuck: number }

/**
 * What the index has at each of `hosts` (hex); hosts with nothing are there with zeros. Where the
 * pool has fewer than a stripe's shards in `holders`, hosts that may keep this vault's, its shard is
 * stuck.
 */
export async function remainingAt(
  index: Pick<VaultIndex, 'allHolders' | 'stripe'>,
  o: { hosts: Iterable<string>; holders: number },
): Promise<Map<string, Remaining>> {
  const found = new Map([...o.hosts].map((host) => [host, { shards: 0, bytes: 0, stuck: 0 }]))
  if (found.size === 0) return found
  for await (const { host, pack } of index.allHolders()) {
    const remaining = found.get(host)
    if (remaining === undefined) continue
    const record = await index.stripe(pack)
    if (record === undefined) continue
    remaining.shards++
    const { k, m, shardLength } = openStripe(record.envelope)
    remaining.bytes += shardLength
    if (k + m > o.holders) remaining.stuck++
  }
  return found
}
