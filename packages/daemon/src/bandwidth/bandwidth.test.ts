/** Timetables and the clock: limits come and go with the hours, and at once when changed. */

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ManualClock } from '../clock.ts'
import { Bandwidth } from './bandwidth.ts'
import { parseTimetable } from './timetable.ts'

test('goal: a limit begins and ends with its hours', async () => {
  const friday = new Date(2026, 10, 27, 7, 59, 30).getTime()
  const clock = new ManualClock(friday)
  const free = parseTimetable('unlimited')
  const upload = parseTimetable('2MB/s Mon-Fri 08:00-19:00')
  const bandwidth = new Bandwidth({ upload, download: free }, clock)
  bandwidth.start()
  assert.equal(bandwidth.upload.rate, undefined)
  await clock.advance(31_000)
  assert.equal(bandwidth.upload.rate, 2e6)
  assert.equal(bandwidth.download.rate, undefined)
  bandwidth.set({ download: parseTimetable('1MB/s') })
  assert.equal(bandwidth.download.rate, 1e6)
  assert.deepEqual(bandwidth.state.upload, { text: upload.text, now: 2e6 })
  clock.jump(11 * 3600 * 1000)
  await clock.advance(1000)
  assert.equal(bandwidth.upload.rate, undefined)
  await bandwidth.stop()
})
