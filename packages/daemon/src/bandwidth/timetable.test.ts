/** Timetables as people write them, and what they say at every moment of a week. */

import assert from 'node:assert/strict'
import { test } from 'node:test'

import * as fc from 'fast-check'

import { parseTimetable, rateAt, weekTime } from './timetable.ts'

const at = (text: string, day: number, time: string): number | undefined => {
  const [hours, minutes] = time.split(':').map(Number)
  return rateAt(parseTimetable(text), { day, minute: 60 * (hours ?? 0) + (minutes ?? 0) })
}
const [SUN, MON, FRI, SAT] = [0, 1, 5, 6]

test('goal: the first rule that fits decides, without one there is no limit', () => {
  const office = '2 MB/s Mon–Fri 08:00-19:00, else unlimited'
  assert.equal(at(office, MON, '07:59'), undefined)
  assert.equal(at(office, MON, '08:00'), 2e6)
  assert.equal(at(office, FRI, '18:59'), 2e6)
  assert.equal(at(office, FRI, '19:00'), undefined)
  assert.equal(at(office, SAT, '12:00'), undefined)
  const three = '500kB/s Mon-Fri 08:00-12:00, 16Mbit/s Mon-Fri, 4MiB/s Sat+Sun'
  assert.equal(at(three, MON, '09:00'), 500e3)
  assert.equal(at(three, MON, '13:00'), 2e6)
  assert.equal(at(three, SUN, '13:00'), 4 * 2 ** 20)
  assert.equal(at('unlimited', MON, '00:00'), undefined)
  assert.equal(at('1MB/s', SUN, '23:59'), 1e6)
})

test('goal: hours over midnight belong to the day on which they begin', () => {
  const night = '1MB/s Fri 22:00-06:00'
  assert.equal(at(night, FRI, '21:59'), undefined)
  assert.equal(at(night, FRI, '22:00'), 1e6)
  assert.equal(at(night, SAT, '05:59'), 1e6)
  assert.equal(at(night, SAT, '06:00'), undefined)
  assert.equal(at(night, FRI, '05:00'), undefined)
  assert.equal(at('1MB/s Sat 22:00-06:00', SUN, '01:00'), 1e6)
  assert.equal(at('1MB/s Fri-Mon', SUN, '01:00'), 1e6)
  assert.equal(at('1MB/s Sun 20:00-24:00', SUN, '23:59'), 1e6)
})

test('goal: what cannot be read is refused with what is wrong with it', () => {
  const cases: [string, RegExp][] = [
    ['', /is not a rate with days/],
    ['fast', /is not a rate with days/],
    ['2 parsecs/s', /is not a rate/],
    ['10kB/s', /too slow/],
    ['1MB/s Someday', /is no day/],
    ['1MB/s Mon-Fri-Sun', /is no range of days/],
    ['1MB/s 8-19', /is not like 08:00-19:00/],
    ['1MB/s 08:00-08:00', /is no time/],
    ['1MB/s 08:60-09:00', /is no time of day/],
    ['1MB/s 08:00-25:00', /is no time of day/],
    ['1MB/s Mon 08:00-09:00 please', /one thing too many/],
    [Array.from({ length: 17 }, () => '1MB/s').join(','), /at most 16 parts/],
    ['1MB/s '.repeat(100), /too long/],
  ]
  for (const [text, message] of cases) {
    assert.throws(() => parseTimetable(text), { code: 'USAGE', message }, text)
  }
})

test('goal: whatever the text, it is a timetable or a usage error', () => {
  const words = ['1MB/s', 'unlimited', 'else', 'Mon', 'Mon-Fri', '08:00-19:00', ',', '-', '22:00']
  const texts = fc.oneof(
    fc.string({ maxLength: 60 }),
    fc.array(fc.constantFrom(...words), { maxLength: 8 }).map((list) => list.join(' ')),
  )
  fc.assert(
    fc.property(texts, fc.nat(6), fc.nat(1439), (text, day, minute) => {
      try {
        const rate = rateAt(parseTimetable(text), { day, minute })
        assert.ok(rate === undefined || rate >= 64_000)
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'USAGE')
      }
    }),
  )
})

test('goal: a moment is taken in the time zone of the machine', () => {
  const date = new Date(2026, 10, 27, 14, 5)
  assert.deepEqual(weekTime(date.getTime()), { day: FRI, minute: 14 * 60 + 5 })
})
