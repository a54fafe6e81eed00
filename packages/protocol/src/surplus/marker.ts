/**
 * When a holder may let go of a surplus copy: spec/surplus.md §2. A marker says since when a shard
 * has been surplus and whose copy stays; two receipts of that other holder, the wait apart, are the
 * evidence.
 */

import { equalBytes } from '../bytes.ts'
import { decodeAs, encodeCbor, s } from '../cbor/index.ts'
import type { Schema } from '../cbor/index.ts'
import { MoyaiError } from '../errors.ts'
import { RECEIPT_ENVELOPE_BYTES_MAX, TIME_MAX } from '../limits.ts'
import { openReceipt } from '../receipt/index.ts'
import type { Receipt } from '../receipt/index.ts'

/** How long a copy is kept after the first check found it surplus: DESIGN §8. */
export const SURPLUS_WAIT_MS: number = 30 * 86_400_000
/**
 * A receipt is fresh when its time is this near to the reader's: clocks of a pool's hosts agree to
 * seconds, and whose do not is told (CLOCK_DISAGREES).
 */
export const SURPLUS_SKEW_MS: number = 10 * 60_000
/** A marker is a receipt, a time and their names. */
export const SURPLUS_MARKER_BYTES_MAX: number = RECEIPT_ENVELOPE_BYTES_MAX + 64

/** `at`: ms since 1970 by the clock of the host that keeps it; `receipt`: an envelope. */
export type SurplusMarker = { at: number; receipt: Uint8Array }

const schema: Schema<{ v: 1; at: number; receipt: Uint8Array }> = s.map({
  v: s.version(1),
  at: s.int({ max: TIME_MAX }),
  receipt: s.bytes({ max: RECEIPT_ENVELOPE_BYTES_MAX }),
})

export function encodeSurplusMarker({ at, receipt }: SurplusMarker): Uint8Array {
  return encodeCbor({ v: 1, at, receipt })
}

/** MALFORMED, UNKNOWN_VERSION, TOO_LARGE. The receipt in it is not opened. */
export function decodeSurplusMarker(bytes: Uint8Array): SurplusMarker {
  const { at, receipt } = decodeAs(schema, bytes, {
    bytesMax: SURPLUS_MARKER_BYTES_MAX,
    depthMax: 2,
    itemsMax: 16,
    what: 'surplus marker',
  })
  return { at, receipt }
}

/** The copy that is to go: what its holder knows of it. Byte fields are 32 bytes. */
export type SurplusCopy = {
  pool: Uint8Array
  /** The holder itself. */
  host: Uint8Array
  vault: Uint8Array
  pack: Uint8Array
  index: number
  shardHash: Uint8Array
  protectedUntil: number
}

/**
 * The receipt of an envelope, when it says that another host has just found the same shard whole
 * and keeps it at least as long. RETAINED otherwise, and what `openReceipt` throws.
 */
export function openOtherReceipt(envelope: Uint8Array, copy: SurplusCopy, now: number): Receipt {
  const receipt = openReceipt(envelope)
  const differs =
    !equalBytes(receipt.pool, copy.pool) ||
    !equalBytes(receipt.vault, copy.vault) ||
    !equalBytes(receipt.pack, copy.pack) ||
    receipt.index !== copy.index ||
    !equalBytes(receipt.shardHash, copy.shardHash)
  if (differs) throw new MoyaiError('RETAINED', 'the receipt is of another shard')
  if (equalBytes(receipt.host, copy.host)) {
    throw new MoyaiError('RETAINED', 'the receipt is of this host itself')
  }
  if (receipt.protectedUntil < copy.protectedUntil) {
    throw new MoyaiError('RETAINED', 'the other copy is protected for a shorter time')
  }
  if (Math.abs(receipt.storedAt - now) > SURPLUS_SKEW_MS) {
    throw new MoyaiError('RETAINED', 'the receipt is not of now: it is old, or a clock is wrong')
  }
  return receipt
}

/**
 * Throws RETAINED unless `marker` has stood for `waitMs` by this holder's own clock, and the other
 * holder's clock has moved as far between its two receipts: a clock that jumps ahead deletes
 * nothing by itself, and one that went back begins anew.
 */
export function checkWaited(o: {
  marker: SurplusMarker
  /** What `openOtherReceipt` gave for the fresh one; absent: only the own clock is looked at. */
  fresh?: Receipt
  now: number
  waitMs: number
}): void {
  const { marker, fresh, now, waitMs } = o
  if (marker.at > now) throw new MoyaiError('RETAINED', 'the clock went back since it was marked')
  if (now - marker.at < waitMs) throw new MoyaiError('RETAINED', 'the waiting time is not over')
  if (fresh === undefined) return
  const first = openReceipt(marker.receipt)
  if (!equalBytes(first.host, fresh.host)) {
    throw new MoyaiError('RETAINED', 'the second receipt is of another host than the first')
  }
  if (fresh.storedAt < marker.at + waitMs || fresh.storedAt - first.storedAt < waitMs) {
    throw new MoyaiError('RETAINED', "the waiting time is not over by the other host's clock")
  }
}
