import assert from 'node:assert/strict'
import { test } from 'node:test'

import { MoyaiError } from '@moyai/protocol'

import { ManualClock, systemClock } from './clock.ts'

test('goal: the system clock sleeps, and stops sleeping when told to', async () => {
  const before = systemClock.monotonic()
  await systemClock.sleep(5)
  assert.ok(systemClock.monotonic() - before >= 4)
  const stop = new AbortController()
  const long = systemClock.sleep(40 * 24 * 3600 * 1000, stop.signal)
  stop.abort()
  await assert.rejects(long, { code: 'ABORTED' })
  await assert.rejects(systemClock.sleep(1, stop.signal), { code: 'ABORTED' })
  const why = new MoyaiError('TIMED_OUT', 'too slow')
  await assert.rejects(systemClock.sleep(1, AbortSignal.abort(why)), why)
})

test('goal: the manual clock wakes sleepers in order', async () => {
  const clock = new ManualClock(1000)
  const seen: string[] = []
  async function tick(name: string, every: number): Promise<void> {
    for (let i = 0; i < 3; i++) {
      await clock.sleep(every)
      seen.push(`${name}@${clock.monotonic()}`)
    }
  }
  const both = Promise.all([tick('a', 20), tick('b', 30)])
  assert.equal(clock.sleepers, 2)
  await clock.advance(45)
  assert.deepEqual(seen, ['a@20', 'b@30', 'a@40'])
  assert.equal(clock.now(), 1045)
  await clock.advance(100)
  await both
  assert.deepEqual(seen.slice(3), ['b@60', 'a@60', 'b@90'])
  assert.equal(clock.sleepers, 0)
})

test('goal: a jump of the wall clock wakes nobody; an abort wakes one', async () => {
  const clock = new ManualClock(0)
  const stop = new AbortController()
  const sleeping = clock.sleep(10, stop.signal)
  clock.jump(1e9)
  assert.equal(clock.sleepers, 1)
  assert.equal(clock.monotonic(), 0)
  stop.abort()
  await assert.rejects(sleeping, { code: 'ABORTED' })
  assert.equal(clock.sleepers, 0)
})
