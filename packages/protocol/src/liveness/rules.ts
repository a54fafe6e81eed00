/** The figures of spec/liveness.md, each with its reason. All times are by the observer's clock. */

export const HOUR_MS = 3_600_000
export const WEEK_HOURS = 168
export const WEEK_MS: number = WEEK_HOURS * HOUR_MS

/** A pattern counts once two weeks were watched: one week may have been a holiday. */
export const LEARNED_AFTER_MS: number = 2 * WEEK_MS

/** Presence is a byte, 0: this hour was never watched. From half on (0.5) a host is expected. */
export const PRESENCE_EXPECTED = 128
export const PRESENCE_MAX = 255
/** Never present, and watched. */
export const PRESENCE_NONE = 1

/**
 * Of an office machine whose week is not known, or is without habit: 50 of 168 hours, five days of
 * ten hours (reliability §B: office machines are on for 28 % of the time).
 */
export const OFFICE_WEIGHT: number = 50 / WEEK_HOURS

/**
 * A week with fewer expected hours is one without habit: a clock that only ran in them would take
 * months to tell that the host is gone.
 */
export const HABIT_HOURS_MIN = 10

/**
 * Missed hours are learned for a week, then no more: whether the host died or its people are on
 * holiday, it says nothing about its ordinary week; and a clock of expected hours must not stop
 * because the absence itself was learned.
 */
export const MISSES_LEARNED_MS: number = WEEK_MS

/** Expected hours until a host is missed, and until its shards count as lost (reliability §B4). */
export const ALWAYS_ON_SUSPECT_HOURS = 24
export const ALWAYS_ON_LOST_HOURS = 72
export const OFFICE_SUSPECT_HOURS = 40
/** About 12 working days. */
export const OFFICE_LOST_HOURS = 120

/** A whole site or provider that went silent is a router more often than a fire. */
export const DOMAIN_HOLD_MS: number = WEEK_MS
/** Of all hosts, how many may be newly presumed lost in a week without a person; at least one. */
export const LOST_SHARE_MAX = 0.25
export const LOST_SHARE_MS: number = WEEK_MS

/**
 * The hour of the week, 0 to 167, of a time in ms since 1970; UTC, so that nobody needs to know
 * where a host stands. Where clocks are put forward, a week's edges move by an hour, and are learned
 * anew within three weeks.
 */
export function hourOfWeek(at: number): number {
  return Math.floor(at / HOUR_MS) % WEEK_HOURS
}
