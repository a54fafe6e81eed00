/** Verdicts of audits of one host, kept by day so that they can be forgotten. spec/audit.md §5. */

import { AUDIT_FAILED_MAX } from '../limits.ts'
import { type AuditTally, type AuditVerdict, EMPTY_TALLY, TALLY_DAYS } from './trust.ts'

const DAY_MS = 86_400_000

/** What one day showed. */
export type AuditDay = {
  /** Days since 1970, UTC. */
  day: number
  asked: number
  proved: number
  late: number
  proxied: number
  /** Names of shards that were not proved, each once; AUDIT_FAILED_MAX at most. */
  failed: string[]
}

/**
 * `days` (ascending) with one verdict more, without what is older than TALLY_DAYS. `shard` names it
 * among all that are noted here.
 */
export function noteVerdict(
  days: readonly AuditDay[],
  o: { verdict: AuditVerdict; shard: string; now: number },
): AuditDay[] {
  const day = Math.floor(o.now / DAY_MS)
  // A day that is later than today was noted before the clock was set right.
  const kept = days.filter((one) => one.day > day - TALLY_DAYS && one.day <= day)
  const today = kept.at(-1)
  const base = today?.day === day ? today : { ...NO_DAY, day }
  const noted = {
    ...base,
    asked: base.asked + 1,
    proved: base.proved + (o.verdict === 'proved' ? 1 : 0),
    late: base.late + (o.verdict === 'late' ? 1 : 0),
    proxied: base.proxied + (o.verdict === 'proxied' ? 1 : 0),
    failed: o.verdict === 'failed' ? withOne(base.failed, o.shard) : base.failed,
  }
  return today?.day === day ? [...kept.slice(0, -1), noted] : [...kept, noted]
}

const NO_DAY = { asked: 0, proved: 0, late: 0, proxied: 0, failed: [] }

function withOne(failed: readonly string[], shard: string): string[] {
  const isKnown = failed.includes(shard) || failed.length >= AUDIT_FAILED_MAX
  return isKnown ? [...failed] : [...failed, shard]
}

/** The sum of days from `from` on (days since 1970). */
export function tallyOf(days: readonly AuditDay[], from = 0): AuditTally {
  const failed = new Set<string>()
  const tally = { ...EMPTY_TALLY }
  for (const one of days) {
    if (one.day < from) continue
    tally.asked += one.asked
    tally.proved += one.proved
    tally.late += one.late
    tally.proxied += one.proxied
    tally.failedDays += one.failed.length > 0 ? 1 : 0
    for (const shard of one.failed) failed.add(shard)
  }
  return { ...tally, failed: failed.size }
}

/** The names of the shards that failed on `days`, each once. */
export function failedOf(days: readonly AuditDay[]): string[] {
  return [...new Set(days.flatMap(({ failed }) => failed))]
}
