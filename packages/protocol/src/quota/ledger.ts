/** The messages of `/moyai/ledger/1`: what a host has room for (spec/quota.md §2). */

import { decodeAs, encodeCbor, s } from '../cbor/index.ts'
import type { Schema } from '../cbor/index.ts'
import { LEDGER_BYTES_MAX, TIME_MAX } from '../limits.ts'

const REQUEST: Schema<{ v: 1 }> = s.map({ v: s.version(1) })
/**
 * What a host says of itself, bytes: `offered`, `used` by all vaults, `free` for more shards now,
 * `kept` for the vaults of the asker's organisation, and their `quota` where there is one. `now`:
 * its clock, ms since the epoch.
 */
export type LedgerResponse = {
  offered: number
  used: number
  free: number
  kept: number
  quota?: number
  now: number
}

const RESPONSE: Schema<LedgerResponse & { v: 1 }> = s.map({
  v: s.version(1),
  offered: s.int(),
  used: s.int(),
  free: s.int(),
  kept: s.int(),
  quota: s.optional(s.int()),
  now: s.int({ max: TIME_MAX }),
})

const LIMITS = { bytesMax: LEDGER_BYTES_MAX, depthMax: 1, itemsMax: 16 }

export function encodeLedgerRequest(): Uint8Array {
  return encodeCbor({ v: 1 })
}

/** MALFORMED, TRUNCATED, TOO_LARGE, UNKNOWN_VERSION. */
export function decodeLedgerRequest(bytes: Uint8Array): void {
  decodeAs(REQUEST, bytes, { ...LIMITS, what: 'ledger request' })
}

export function encodeLedgerResponse(response: LedgerResponse): Uint8Array {
  const { quota, ...rest } = response
  return encodeCbor({ v: 1, ...rest, ...(quota === undefined ? {} : { quota }) })
}

/** MALFORMED, TRUNCATED, TOO_LARGE, UNKNOWN_VERSION. */
export function decodeLedgerResponse(bytes: Uint8Array): LedgerResponse {
  const { v: _, ...response } = decodeAs(RESPONSE, bytes, { ...LIMITS, what: 'ledger response' })
  return response
}
