/** What is learned of a host's week, hour by hour, and what is expected of it. */

import {
  HABIT_HOURS_MIN,
  LEARNED_AFTER_MS,
  OFFICE_WEIGHT,
  PRESENCE_EXPECTED,
  PRESENCE_MAX,
  PRESENCE_NONE,
  WEEK_MS,
} from './rules.ts'

/**
 * The presence (a byte, 0: not watched yet) in one hour of the week after that hour was watched
 * once more. The first weeks count alike; later each new week counts for a quarter.
 */
export function learnedPresence(presence: number, seen: boolean, watchedMs: number): number {
  const target = seen ? PRESENCE_MAX : PRESENCE_NONE
  if (presence === 0) return target
  const weeks = Math.min(3, Math.max(1, Math.floor(watchedMs / WEEK_MS)))
  const step = (target - presence) / (weeks + 1)
  // Away from zero, so that a habit given up is forgotten wholly.
  return presence + (step > 0 ? Math.ceil(step) : Math.floor(step))
}

export type Expectation = {
  /** The presence learned for the hour, a byte; 0: not watched yet. */
  presence: number
  /** Hours of the week in which the host is expected, 0 to 168. */
  expectedHours: number
  /** Meant to run day and night, as its label says. */
  alwaysOn: boolean
  /** How long the host has been watched, ms. */
  watchedMs: number
}

/**
 * How much one hour counts for the host's absence: 1 when it was expected, 0 when not, a fraction
 * where nothing better is known than what kind of machine it is.
 */
export function expectedWeight(o: Expectation): number {
  const learned = o.watchedMs >= LEARNED_AFTER_MS && o.presence !== 0
  if (!learned || o.expectedHours < HABIT_HOURS_MIN) return o.alwaysOn ? 1 : OFFICE_WEIGHT
  return o.presence >= PRESENCE_EXPECTED ? 1 : 0
}
