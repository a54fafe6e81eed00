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

/**
 * How much one hour counts for a host's absence: 1 when it was expected, 0 when not, a fraction
 * where nothing better is known than what kind of machine it is. `presence`: a byte, as learned for
 * the hour, 0: not watched yet; `expectedHours`: of its week, those in which it is expected;
 * `watchedMs`: how long it has been watched. Not an object: this is asked for each host each hour.
 */
export function expectedWeight(
  presence: number,
  expectedHours: number,
  alwaysOn: boolean,
  watchedMs: number,
): number {
  const learned = watchedMs >= LEARNED_AFTER_MS && presence !== 0
  if (!learned || expectedHours < HABIT_HOURS_MIN) return alwaysOn ? 1 : OFFICE_WEIGHT
  return presence >= PRESENCE_EXPECTED ? 1 : 0
}
