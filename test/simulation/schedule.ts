/** When machines run: nights, weekends, holidays, vacations. */

import type { Dice } from './dice.ts'
import { DAY_MS, HOUR_MS } from './time.ts'

export type MachineKind = 'always-on' | 'office' | 'laptop'

/** A machine's habits, drawn once. */
export type Habits = {
  kind: MachineKind
  /** Hours of the day. */
  from: number
  to: number
  /** Days of the year, counted from 0, on which it stays off: holidays, vacations, closure. */
  off: ReadonlySet<number>
  /** Chance of a day on which it is not switched on, without any reason. */
  absent: number
  /** Chance of an hour of the day in which a laptop is elsewhere. */
  away: number
}

/** Days on which an office is closed, of each year: about ten public holidays and two weeks. */
export function closedDays(dice: Dice, years: number): Set<number> {
  const days = new Set<number>()
  for (let year = 0; year < years; year++) {
    for (let i = 0; i < 10; i++) days.add(365 * year + dice.int(0, 364))
    for (let i = 0; i < 2; i++) {
      const start = 365 * year + dice.int(0, 357)
      for (let day = 0; day < 7; day++) days.add(start + day)
    }
  }
  return days
}

export function drawHabits(
  o: { kind: MachineKind; closed: ReadonlySet<number>; years: number },
  dice: Dice,
): Habits {
  const off = new Set(o.kind === 'always-on' ? [] : o.closed)
  if (o.kind !== 'always-on') {
    for (let year = 0; year < o.years; year++) {
      for (let trip = 0; trip < 2; trip++) {
        const start = 365 * year + dice.int(0, 350)
        const days = dice.int(5, 14)
        for (let day = 0; day < days; day++) off.add(start + day)
      }
    }
  }
  const from = dice.int(7, 10)
  return {
    kind: o.kind,
    from,
    to: Math.min(23, from + dice.int(8, 11)),
    off,
    absent: o.kind === 'always-on' ? 0 : 0.05,
    away: o.kind === 'laptop' ? 0.15 : 0,
  }
}

/** Whether the machine means to run in the hour that begins at `time`. */
export function runsAt(habits: Habits, time: number, dice: Dice): boolean {
  if (habits.kind === 'always-on') return true
  const day = Math.floor(time / DAY_MS)
  const hour = Math.floor((time % DAY_MS) / HOUR_MS)
  if (day % 7 > 4 || habits.off.has(day)) return false
  if (hour < habits.from || hour >= habits.to) return false
  if (hour > habits.from && habits.away > 0 && dice.chance(habits.away)) return false
  return true
}
