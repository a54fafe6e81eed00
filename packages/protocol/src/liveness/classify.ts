/** Which state each host is in, judged over all of them at once. */

import {
  ALWAYS_ON_LOST_HOURS,
  ALWAYS_ON_SUSPECT_HOURS,
  DOMAIN_HOLD_MS,
  LOST_SHARE_MAX,
  LOST_SHARE_MS,
  OFFICE_LOST_HOURS,
  OFFICE_SUSPECT_HOURS,
} from './rules.ts'
import {
  AWAY,
  HOLD_DOMAIN,
  HOLD_NONE,
  HOLD_SHARE,
  ONLINE,
  PRESUMED_LOST,
  SUSPECT,
  type LivenessGroup,
  type LivenessTable,
} from './table.ts'

/** The group is silent, and has been for less than a week. */
function isHeld(table: LivenessTable, group: LivenessGroup, now: number): boolean {
  if (group.hasSelf) return false
  let silentSince = table.watchingSince
  for (const slot of group.slots) {
    if (table.connected[slot] === 1) return false
    silentSince = Math.max(silentSince, table.seenAt[slot] as number)
  }
  return now - silentSince < DOMAIN_HOLD_MS
}

/** Marks the overdue hosts that a silent site or provider holds back. */
function holdDomains(table: LivenessTable, now: number): void {
  for (const group of table.groups) {
    let concerns = false
    for (const slot of group.slots) {
      if (table.overdue[slot] === 1 && table.verdict[slot] === 0) concerns = true
    }
    if (!concerns || !isHeld(table, group, now)) continue
    for (const slot of group.slots) {
      if (table.overdue[slot] === 1 && table.verdict[slot] === 0) table.hold[slot] = HOLD_DOMAIN
    }
  }
}

/** How many hosts may be presumed lost within LOST_SHARE_MS, of `hosts` in all. */
export function lostShare(hosts: number): number {
  return Math.max(1, Math.floor(hosts * LOST_SHARE_MAX))
}

/** Presumes those lost that nothing holds back, the longest missed first, as far as they may. */
function presume(table: LivenessTable, now: number): void {
  const { hosts, overdue, verdict, hold, lostAt, absentHours } = table
  const waiting: number[] = []
  let recent = 0
  for (let slot = 0; slot < hosts.length; slot++) {
    const at = lostAt[slot] as number
    if (at > 0 && now - at < LOST_SHARE_MS) recent++
    if (overdue[slot] === 1 && verdict[slot] === 0 && hold[slot] === HOLD_NONE) waiting.push(slot)
  }
  // The observer is a host as well.
  let free = lostShare(hosts.length + 1) - recent
  const longest = (slot: number): number => (absentHours[slot] as number) / lostHours(table, slot)
  // Slots are in the order of ids.
  waiting.sort((a, b) => longest(b) - longest(a) || a - b)
  for (const slot of waiting) {
    if (free > 0) {
      // A host that was presumed lost within the week, and came back, is counted already.
      if ((lostAt[slot] as number) === 0 || now - (lostAt[slot] as number) >= LOST_SHARE_MS) free--
      verdict[slot] = 1
      lostAt[slot] = now
    } else hold[slot] = HOLD_SHARE
  }
}

function lostHours(table: LivenessTable, slot: number): number {
  return table.alwaysOn[slot] === 1 ? ALWAYS_ON_LOST_HOURS : OFFICE_LOST_HOURS
}

/** Of a host that is not connected. */
function stateOf(table: LivenessTable, slot: number, now: number): number {
  if (table.declaredLost[slot] === 1) return PRESUMED_LOST
  if ((table.awayUntil[slot] as number) > now) return AWAY
  if (table.verdict[slot] === 1) return PRESUMED_LOST
  const suspect = table.alwaysOn[slot] === 1 ? ALWAYS_ON_SUSPECT_HOURS : OFFICE_SUSPECT_HOURS
  return (table.absentHours[slot] as number) >= suspect ? SUSPECT : AWAY
}

/** Finds who is overdue; true when one of them was not presumed lost yet. */
function findOverdue(table: LivenessTable, now: number): boolean {
  const { hosts, connected, overdue, hold, awayUntil, absentHours, declaredLost, verdict } = table
  let isSomeNew = false
  for (let slot = 0; slot < hosts.length; slot++) {
    overdue[slot] = 0
    hold[slot] = HOLD_NONE
    // Most are there, or were seen lately.
    if (connected[slot] === 1 || (absentHours[slot] as number) < ALWAYS_ON_LOST_HOURS) continue
    if (declaredLost[slot] === 1 || (awayUntil[slot] as number) > now) continue
    if ((absentHours[slot] as number) < lostHours(table, slot)) continue
    overdue[slot] = 1
    if (verdict[slot] === 0) isSomeNew = true
  }
  return isSomeNew
}

/**
 * Brings `state`, `hold` and `overdue` of all hosts up to date; true when some state changed. A host
 * that is presumed lost stays so until it is seen, whatever holds others back.
 */
export function classify(table: LivenessTable, now: number): boolean {
  const { hosts, connected, state } = table
  if (findOverdue(table, now)) {
    holdDomains(table, now)
    presume(table, now)
  }
  let changed = false
  for (let slot = 0; slot < hosts.length; slot++) {
    const next = connected[slot] === 1 ? ONLINE : stateOf(table, slot, now)
    if (state[slot] === next) continue
    state[slot] = next
    changed = true
  }
  return changed
}
