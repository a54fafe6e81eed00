/**
 * Whose word counts: pure arithmetic over what audits of a host showed. spec/audit.md §5.
 *
 * A failed audit marks a shard, not a host; only a pattern marks the host. `late` is no failure.
 */

import {
  TRUST_FAILED_DAYS_MIN,
  TRUST_FAILED_MIN,
  TRUST_FAILED_SHARE,
  TRUST_PROXIED_MIN,
  TRUST_PROVED_MIN,
  TRUST_REDEEM_MS,
  TRUST_SAMPLE_MIN,
} from '../limits.ts'

/** What one audit showed. `proxied`: the host fetched from another what it then proved. */
export type AuditVerdict = 'proved' | 'failed' | 'late' | 'proxied'

/** What the audits of one host showed over the last TALLY_DAYS. */
export type AuditTally = {
  asked: number
  proved: number
  late: number
  /** Different shards that could not be proved. */
  failed: number
  /** Different days (UTC) on which some could not. */
  failedDays: number
  proxied: number
}

export const EMPTY_TALLY: AuditTally = {
  asked: 0,
  proved: 0,
  late: 0,
  failed: 0,
  failedDays: 0,
  proxied: 0,
}

/** Days over which verdicts add up: two rounds of audits. */
export const TALLY_DAYS = 14

/** True when what audits showed is no accident any more. */
export function isPattern(tally: AuditTally): boolean {
  const answered = tally.proved + tally.failed
  return (
    tally.proxied >= TRUST_PROXIED_MIN ||
    (tally.failed >= TRUST_FAILED_MIN && tally.failedDays >= TRUST_FAILED_DAYS_MIN) ||
    (answered >= TRUST_SAMPLE_MIN && tally.failed >= TRUST_FAILED_SHARE * answered)
  )
}

/** Proofs since the last failure: how many, and since when (ms). */
export type TrustState = {
  /** Undefined: trusted. */
  untrustedSince?: number
  provedInRow: number
  /** Time of the first of them; meaningless when there are none. */
  rowSince: number
}

/** Whether a host that was not trusted has proved enough for long enough since. */
export function isRedeemed(state: TrustState, now: number): boolean {
  return state.provedInRow >= TRUST_PROVED_MIN && now - state.rowSince >= TRUST_REDEEM_MS
}

/**
 * The state of a host after verdicts at `now`. `tally` already counts them. A host that redeemed
 * itself starts anew: its old failures are forgotten, which `isForgiven` tells the keeper of the
 * tally.
 */
export function trustAfter(
  state: TrustState,
  o: { verdict: AuditVerdict; tally: AuditTally; now: number },
): { state: TrustState; isForgiven: boolean } {
  const { verdict, tally, now } = o
  if (verdict === 'late') return { state, isForgiven: false }
  const isFirst = state.provedInRow === 0
  const row =
    verdict === 'proved'
      ? { provedInRow: state.provedInRow + 1, rowSince: isFirst ? now : state.rowSince }
      : { provedInRow: 0, rowSince: now }
  const { untrustedSince } = state
  if (untrustedSince === undefined) {
    const falls = verdict !== 'proved' && isPattern(tally)
    return { state: falls ? { ...row, untrustedSince: now } : row, isForgiven: false }
  }
  const next = { ...row, untrustedSince }
  return isRedeemed(next, now)
    ? { state: row, isForgiven: true }
    : { state: next, isForgiven: false }
}
