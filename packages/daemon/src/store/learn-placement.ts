/** What others did with this vault's shards while it was not there: repairs. */

import { openReceipt, openStripe } from '@moyai/protocol'

import { checkReceipt } from './sender.ts'
import type { VaultIndex } from './vault-index.ts'

/**
 * Records that a host has signed for a shard of a stripe of this index. Nothing happens when the
 * stripe is not recorded here, or when another host signed for that shard later: an old receipt
 * that is told again takes nothing back. HOST_REFUSED when the receipt is for something else.
 */
export async function learnPlacement(
  index: Pick<VaultIndex, 'stripe' | 'holders' | 'settle'>,
  pack: Uint8Array,
  shard: { index: number; host: string; receipt: Uint8Array },
): Promise<void> {
  const record = await index.stripe(pack)
  if (record === undefined) return
  const descriptor = openStripe(record.envelope)
  checkReceipt(shard.receipt, { descriptor, index: shard.index, host: shard.host })
  const holders = await index.holders(pack)
  const before = holders.find((holder) => holder.index === shard.index)
  if (before?.receipt !== undefined) {
    const { storedAt } = openReceipt(before.receipt)
    if (before.host === shard.host || storedAt > openReceipt(shard.receipt).storedAt) return
  }
  const others = holders.filter(
    (holder) => holder.index !== shard.index && holder.receipt !== undefined,
  )
  const missing = descriptor.k + descriptor.m - others.length - 1
  await index.settle(pack, { holders: [shard], missing })
}
