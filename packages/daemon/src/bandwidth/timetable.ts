/**
 * How fast transfers may be, and when: `2MB/s Mon-Fri 08:00-19:00, else unlimited`.
 *
 * A timetable is a list of rules, each a rate with days and hours; the first that fits the present
 * moment, in the machine's own time zone, decides; where none does there is no limit.
 */

import { MoyaiError } from '@moyai/protocol'

/** Bytes per second; undefined: as fast as it goes. */
export type Rate = number | undefined

/** A moment of the week in local time: `day` 0 is Sunday, `minute` since midnight. */
export type WeekTime = { day: number; minute: number }

type Rule = {
  rate: Rate
  /** Days of the week on which the hours begin. */
  days: ReadonlySet<number>
  /** Minutes since midnight; `to` below `from` is on the next day. Absent: the whole day. */
  hours: { from: number; to: number } | undefined
}

export type Timetable = { text: string; rules: readonly Rule[] }

/**
 * Slower than this, requests of several hosts at once would have to wait for a minute each, which
 * is when the other side gives up (REQUEST_IDLE_MS).
 */
const RATE_MIN = 64_000
const RULES_MAX = 16
const TEXT_LENGTH_MAX = 400
const DAY_MINUTES = 24 * 60
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const ALL_DAYS: ReadonlySet<number> = new Set(DAYS.keys())

const UNITS: Record<string, number> = {
  'b/s': 1,
  'kb/s': 1e3,
  'mb/s': 1e6,
  'gb/s': 1e9,
  'kib/s': 2 ** 10,
  'mib/s': 2 ** 20,
  'gib/s': 2 ** 30,
  'kbit/s': 1e3 / 8,
  'mbit/s': 1e6 / 8,
  'gbit/s': 1e9 / 8,
}

function fail(what: string): never {
  throw new MoyaiError('USAGE', what, {
    hint: 'write it like "2MB/s Mon-Fri 08:00-19:00, else unlimited"',
  })
}

/** The timetable of a text. USAGE with what is wrong with it. */
export function parseTimetable(text: string): Timetable {
  if (text.length > TEXT_LENGTH_MAX) fail('the timetable is too long')
  const parts = text
    .replaceAll('–', '-')
    .trim()
    .split(/\s*,\s*/)
  if (parts.length > RULES_MAX) fail(`a timetable has at most ${RULES_MAX} parts`)
  return { text: text.trim(), rules: parts.map(parseRule) }
}

function parseRule(part: string): Rule {
  const match = /^(?:else )?\s*(unlimited|[\d.]+ ?[a-z]+\/s)(?: +(\S.*))?$/i.exec(part)
  if (match === null) return fail(`"${part.slice(0, 60)}" is not a rate with days and hours`)
  const words = (match[2] ?? '').split(/ +/).filter((word) => word !== '')
  const rule: Rule = { rate: parseRate(match[1] as string), days: ALL_DAYS, hours: undefined }
  const rest = [...words]
  if (rest[0] !== undefined && !/\d/.test(rest[0])) rule.days = parseDays(rest.shift() as string)
  if (rest[0] !== undefined) rule.hours = parseHours(rest.shift() as string)
  if (rest.length > 0) fail(`"${rest.join(' ')}" is one thing too many`)
  return rule
}

function parseRate(text: string): Rate {
  if (text.toLowerCase() === 'unlimited') return undefined
  const match = /^(\d{1,9}(?:\.\d{1,6})?) ?([a-z]+\/s)$/i.exec(text)
  const unit = UNITS[(match?.[2] ?? '').toLowerCase()]
  if (match === null || unit === undefined) return fail(`"${text}" is not a rate`)
  const rate = Math.round(Number(match[1]) * unit)
  if (rate < RATE_MIN) fail(`${text} is too slow: ${RATE_MIN / 1000} kB/s is the least`)
  return rate
}

function parseDays(text: string): ReadonlySet<number> {
  const dayOf = (name: string): number => {
    const day = DAYS.indexOf(name.slice(0, 3).toLowerCase())
    return day < 0 ? fail(`"${name}" is no day: write Mon, Tue, …`) : day
  }
  const days = new Set<number>()
  for (const part of text.split('+')) {
    const [first, last, more] = part.split('-')
    if (more !== undefined) fail(`"${part}" is no range of days`)
    const from = dayOf(first as string)
    const to = last === undefined ? from : dayOf(last)
    for (let day = from; ; day = (day + 1) % 7) {
      days.add(day)
      if (day === to) break
    }
  }
  return days
}

function parseHours(text: string): { from: number; to: number } {
  const match = /^(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})$/.exec(text)
  if (match === null) return fail(`"${text}" is not like 08:00-19:00`)
  const [from, to] = [minuteOf(match[1], match[2]), minuteOf(match[3], match[4])]
  if (from === to || from === DAY_MINUTES) fail(`"${text}" is no time`)
  return { from, to }
}

function minuteOf(hours: string | undefined, minutes: string | undefined): number {
  const minute = 60 * Number(hours) + Number(minutes)
  if (Number(minutes) > 59 || minute > DAY_MINUTES) fail(`${hours}:${minutes} is no time of day`)
  return minute
}

/** The rate at a moment. */
export function rateAt({ rules }: Timetable, { day, minute }: WeekTime): Rate {
  return rules.find((rule) => fits(rule, day, minute))?.rate
}

function fits({ days, hours }: Rule, day: number, minute: number): boolean {
  if (hours === undefined) return days.has(day)
  const { from, to } = hours
  if (from < to) return days.has(day) && minute >= from && minute < to
  // hours over midnight belong to the day on which they begin
  return (days.has(day) && minute >= from) || (days.has((day + 6) % 7) && minute < to)
}

/** The moment of the week, in this machine's time zone, of ms since the epoch. */
export function weekTime(ms: number): WeekTime {
  const date = new Date(ms)
  return { day: date.getDay(), minute: 60 * date.getHours() + date.getMinutes() }
}
