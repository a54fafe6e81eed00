/** What happens to a table as hosts come and go, and as hours pass. */

import { expectedWeight, learnedPresence } from './presence.ts'
import { hourOfWeek, MISSES_LEARNED_MS, PRESENCE_EXPECTED, WEEK_MS } from './rules.ts'
import { AWAY, ONLINE, type LivenessTable } from './table.ts'

function see(table: LivenessTable, slot: number, now: number): void {
  table.seenInHour[slot] = 1
  table.seenAt[slot] = now
  table.absentHours[slot] = 0
  table.verdict[slot] = 0
  table.declaredLost[slot] = 0
  table.overdue[slot] = 0
  table.hold[slot] = 0
}

/** The host is connected; true when its state changed. */
export function hostUp(table: LivenessTable, slot: number, now: number): boolean {
  see(table, slot, now)
  table.connected[slot] = 1
  const changed = table.state[slot] !== ONLINE
  table.state[slot] = ONLINE
  return changed
}

/** The host is connected no more; true when its state changed. */
export function hostDown(table: LivenessTable, slot: number, now: number): boolean {
  if (table.connected[slot] === 0) return false
  see(table, slot, now)
  table.connected[slot] = 0
  table.state[slot] = AWAY
  return true
}

/** Learns what was seen in the hour that began at `hourStart`. */
function learn(table: LivenessTable, hourStart: number): void {
  const { hosts, patterns, seenInHour, seenAt, knownSince, awayUntil, expectedHours } = table
  const row = hourOfWeek(hourStart) * hosts.length
  for (let slot = 0; slot < hosts.length; slot++) {
    const seen = seenInHour[slot] === 1
    if (!seen) {
      const since = Math.max(seenAt[slot] as number, knownSince[slot] as number)
      if ((awayUntil[slot] as number) > hourStart || hourStart - since >= MISSES_LEARNED_MS)
        continue
    }
    const before = patterns[row + slot] as number
    if (seen ? before === 255 : before === 1) continue
    const after = learnedPresence(before, seen, hourStart - (knownSince[slot] as number))
    patterns[row + slot] = after
    const crossed = Number(after >= PRESENCE_EXPECTED) - Number(before >= PRESENCE_EXPECTED)
    expectedHours[slot] = (expectedHours[slot] as number) + crossed
  }
}

/** Lets the absence clocks run on, where the hour counts. */
function count(table: LivenessTable, hourStart: number): void {
  const { hosts, patterns, seenInHour, knownSince, awayUntil, weights, absentHours } = table
  const { expectedHours, alwaysOn } = table
  const row = hourOfWeek(hourStart) * hosts.length
  let expected = 0
  let expectedSeen = 0
  for (let slot = 0; slot < hosts.length; slot++) {
    const seen = seenInHour[slot] === 1
    weights[slot] = 0
    if (!seen && (awayUntil[slot] as number) > hourStart) continue
    const weight = expectedWeight(
      patterns[row + slot] as number,
      expectedHours[slot] as number,
      alwaysOn[slot] === 1,
      hourStart - (knownSince[slot] as number),
    )
    weights[slot] = weight
    expected += weight
    if (seen) expectedSeen += weight
  }
  for (let slot = 0; slot < hosts.length; slot++) {
    const weight = weights[slot] as number
    if (seenInHour[slot] === 1 || weight === 0) continue
    if (expectedSeen * 2 >= expected - weight)
      absentHours[slot] = (absentHours[slot] as number) + weight
  }
}

/**
 * The hour that began at `hourStart` (ms, a multiple of HOUR_MS) is over at `now`, and the observer
 * watched it: learns it and runs the absence clocks. What is expected is judged before it is
 * learned, else the absence would excuse itself. States follow from `classify`.
 */
export function tickHour(table: LivenessTable, hourStart: number, now: number): void {
  const { connected, seenInHour, seenAt } = table
  count(table, hourStart)
  learn(table, hourStart)
  for (let slot = 0; slot < connected.length; slot++) {
    seenInHour[slot] = connected[slot] as number
    if (connected[slot] === 1) seenAt[slot] = now
  }
}

/**
 * The observer was off from `from` to `to`, or its clock was set: nothing of that is learned. After
 * a week of it, domains that are silent count as silent from now on only.
 */
export function skipHours(table: LivenessTable, from: number, to: number): void {
  const { connected, seenInHour, seenAt, knownSince, lostAt } = table
  if (to - from >= WEEK_MS) table.watchingSince = to
  table.watchingSince = Math.min(table.watchingSince, to)
  for (let slot = 0; slot < connected.length; slot++) {
    seenInHour[slot] = connected[slot] as number
    if (connected[slot] === 1) seenAt[slot] = to
    // A clock that ran ahead left times that are still to come.
    seenAt[slot] = Math.min(seenAt[slot] as number, to)
    knownSince[slot] = Math.min(knownSince[slot] as number, to)
    lostAt[slot] = Math.min(lostAt[slot] as number, to)
  }
}
