/** `/moyai/health/1`: what hosts tell one another about keeping stripes whole (spec/health.md). */

import { assert, AUDIT_REPORT_BYTES_MAX, POOL_HOSTS_MAX } from '@moyai/protocol'

export const HEALTH_PROTOCOL = '/moyai/health/1'

/** Requests of one peer at once: a report, audits, and two of news. */
export const HEALTH_REQUESTS_MAX = 4
/** Vaults and hosts in a report: all there can be. */
export const HEALTH_ITEMS_MAX: number = POOL_HOSTS_MAX
/** Newest audit reports by auditor and vault: more than hosts × vaults of forty hosts each. */
export const HEALTH_AUDITS_MAX = 4096
/** Audit report envelopes asked for at once, and their longest. */
export const AUDITS_WANTED_MAX = 15
export const AUDIT_ENVELOPE_BYTES_MAX: number = AUDIT_REPORT_BYTES_MAX
/** Claims in one message: a host works on two stripes at a time, and says so one by one. */
export const NEWS_CLAIMS_MAX = 64
/** Receipts in one message: those of one stripe, 48 at most. */
export const NEWS_PLACED_MAX = 48
/** A claim holds for at most this long without being made again. */
export const CLAIM_HOLDS_MS_MAX = 3_600_000

export const HEALTH_BYTES_MAX: number = 1024 * 1024

assert(HEALTH_ITEMS_MAX * 110 + HEALTH_AUDITS_MAX * 110 < HEALTH_BYTES_MAX, 'any report fits')
assert(AUDITS_WANTED_MAX * (AUDIT_ENVELOPE_BYTES_MAX + 8) < HEALTH_BYTES_MAX, 'any audits fit')
