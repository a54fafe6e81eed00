/** How much is audited at a time. spec/audit.md §3. */

import { AUDIT_COST_BYTES, AUDIT_ROUND_MS } from '../limits.ts'

const DAY_MS = 86_400_000

/**
 * Shards of one holder that are due now, of `shards` in all: as many as keep a round within
 * AUDIT_ROUND_MS, whatever the time since the last share (`sinceMs`; the first time: undefined), and
 * no more than the budget (`bytesPerDay`) has for that time.
 */
export function auditShare(o: {
  shards: number
  sinceMs: number | undefined
  bytesPerDay: number
}): number {
  const sinceMs = Math.min(AUDIT_ROUND_MS, Math.max(0, o.sinceMs ?? DAY_MS))
  const due = Math.ceil((o.shards * sinceMs) / AUDIT_ROUND_MS)
  const affordable = Math.floor((o.bytesPerDay * sinceMs) / DAY_MS / AUDIT_COST_BYTES)
  return Math.min(o.shards, due, Math.max(1, affordable))
}
