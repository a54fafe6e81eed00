/**
 * Whether a restore could begin at once: machines switched on and off day by day, hour by hour, at
 * the two hours that are asked about.
 */

import type { Sfc32 } from './random.ts'
import type { Shape } from './shape.ts'
import { DAYS_PER_YEAR, type Scenario, type World } from './world.ts'

export type Waiting = {
  /** Part of all nights in which, at 3 o'clock, too few machines run to read everything. */
  atNight: number
  /** The same at 11 o'clock on working days. */
  atWork: number
}

const DAYS = 364
const NIGHT_HOUR = 3
const WORK_HOUR = 11
/** A machine that is not where it is expected on a working day: a trip, illness, a power strip. */
const ABSENT = 0.05
const VACATIONS_PER_YEAR = 2
const VACATION_DAYS = [5, 14] as const
/** Weeks in which everybody is away at once. */
const CLOSED_WEEKS = 3
const PUBLIC_HOLIDAYS = 10
/** Outages of machines that run day and night. */
const SHORT_OUTAGES_PER_YEAR = 12
const SHORT_OUTAGE_HOURS = 4
const LONG_OUTAGES_PER_YEAR = 1.4
const LONG_OUTAGE_HOURS = [24, 72] as const
/** From the discovery of a loss to the end of its repair, some days more. */
const REPAIR_DAYS = 3

/** A year's hours in which one machine cannot be read from: hour of the year → 1. */
type Away = Uint8Array

export function waiting(o: {
  shape: Shape
  world: World
  scenario: Scenario
  random: Sfc32
  years: number
}): Waiting {
  const { shape, random } = o
  const counted = { nights: 0, days: 0, atNight: 0, atWork: 0 }
  for (let year = 0; year < o.years; year++) {
    const closed = closedDays(random)
    const away = shape.places.map(() => awayHours({ ...o, closed }))
    for (let day = 0; day < DAYS; day++) {
      counted.nights++
      if (!isReadable(shape, away, 24 * day + NIGHT_HOUR)) counted.atNight++
      if (closed[day] === 1) continue
      counted.days++
      if (!isReadable(shape, away, 24 * day + WORK_HOUR)) counted.atWork++
    }
  }
  return { atNight: counted.atNight / counted.nights, atWork: counted.atWork / counted.days }
}

/** Every stripe, for a whole restore. */
function isReadable(shape: Shape, away: readonly Away[], hour: number): boolean {
  const { home, code, places } = shape
  for (let from = 0; from < home.length; from += places.length) {
    let shards = 0
    for (const [host, hours] of away.entries()) {
      if (hours[hour] === 0) shards += home[from + host] as number
    }
    if (shards < code.k) return false
  }
  return true
}

/** Weekends, public holidays and the weeks in which the whole firm is closed. */
function closedDays(random: Sfc32): Uint8Array {
  const closed = Uint8Array.from({ length: DAYS }, (_, day) => (day % 7 >= 5 ? 1 : 0))
  for (let i = 0; i < CLOSED_WEEKS; i++) {
    const monday = 7 * random.below(DAYS / 7)
    closed.fill(1, monday, monday + 7)
  }
  for (let i = 0; i < PUBLIC_HOLIDAYS; i++) closed[random.below(DAYS)] = 1
  return closed
}

function awayHours(o: {
  world: World
  scenario: Scenario
  random: Sfc32
  closed: Uint8Array
}): Away {
  const { world, random } = o
  const away = o.scenario === 'office' ? officeHours(o.closed, random) : outages(random)
  const perYear =
    world.machineLossPerYear +
    world.churnPerYear +
    world.siteLossPerYear +
    world.providerLossPerYear
  const days = Math.max(world.presumedLostDays, world.replacedDays) + REPAIR_DAYS
  mark(away, { perYear, random, hours: () => 24 * days })
  return away
}

function officeHours(closed: Uint8Array, random: Sfc32): Away {
  const away = new Uint8Array(24 * DAYS).fill(1)
  const begin = 8 + random.below(2)
  const end = begin + 9 + random.below(3)
  for (let day = 0; day < DAYS; day++) {
    if (closed[day] === 1 || random.unit() < ABSENT) continue
    away.fill(0, 24 * day + begin, 24 * day + end)
  }
  mark(away, {
    perYear: VACATIONS_PER_YEAR,
    random,
    hours: () => 24 * between(VACATION_DAYS, random),
  })
  return away
}

function outages(random: Sfc32): Away {
  const away = new Uint8Array(24 * DAYS)
  const short = (): number => random.wait(1 / SHORT_OUTAGE_HOURS)
  mark(away, { perYear: SHORT_OUTAGES_PER_YEAR, random, hours: short })
  const long = (): number => between(LONG_OUTAGE_HOURS, random)
  mark(away, { perYear: LONG_OUTAGES_PER_YEAR, random, hours: long })
  return away
}

function between([low, high]: readonly [number, number], random: Sfc32): number {
  return low + random.unit() * (high - low)
}

/** Spans of time away, at random. One that began in the year before reaches into this one. */
function mark(away: Away, o: { perYear: number; random: Sfc32; hours: () => number }): void {
  const rate = o.perYear / (24 * DAYS_PER_YEAR)
  const earlier = 24 * 45
  for (let at = o.random.wait(rate) - earlier; at < away.length; at += o.random.wait(rate)) {
    const end = at + o.hours()
    if (end > 0) away.fill(1, Math.max(0, Math.round(at)), Math.round(end))
  }
}
