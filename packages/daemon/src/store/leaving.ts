/** How much of this vault is still at hosts that are being emptied. */

import { openStripe } from '@moyai/protocol'

import type { VaultIndex } from './vault-index.ts'

/** Shards and their payload bytes. */
export type Remaining = { shards: number; bytes: number }

/** What the index has at each of `hosts` (hex); hosts with nothing are there with zeros. */
export async function remainingAt(
  index: Pick<VaultIndex, 'allHolders' | 'stripe'>,
  hosts: Iterable<string>,
): Promise<Map<string, Remaining>> {
  const found = new Map([...hosts].map((host) => [host, { shards: 0, bytes: 0 }]))
  if (found.size === 0) return found
  for await (const { host, pack } of index.allHolders()) {
    const remaining = found.get(host)
    if (remaining === undefined) continue
    const record = await index.stripe(pack)
    if (record === undefined) continue
    remaining.shards++
    remaining.bytes += openStripe(record.envelope).shardLength
  }
  return found
}
