/** Never more than the rate, whoever takes it and however it changes. */

import assert from 'node:assert/strict'
import { test } from 'node:test'

import * as fc from 'fast-check'

import { ManualClock } from '../clock.ts'
import { RateLimit } from './rate-limit.ts'

const forever = new AbortController().signal

/** Takes `bytes` in parts, as a transfer does; `done` counts them. */
async function transfer(limit: RateLimit, bytes: number, done: (bytes: number) => void) {
  for (let left = bytes; left > 0;) {
    const part = limit.part(left)
    await limit.take(part, forever)
    left -= part
    done(part)
  }
}

test('goal: transfers together keep to the rate, and all of them move', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 64_000, max: 50_000_000 }),
      fc.array(fc.integer({ min: 1, max: 20_000_000 }), { minLength: 1, maxLength: 12 }),
      async (rate, sizes) => {
        const clock = new ManualClock()
        const limit = new RateLimit(clock, rate)
        const done = sizes.map(() => 0)
        const all = Promise.all(
          sizes.map((size, i) =>
            transfer(limit, size, (bytes) => {
              done[i] = (done[i] ?? 0) + bytes
            }),
          ),
        )
        const total = sizes.reduce((sum, size) => sum + size, 0)
        const part = Math.max(rate * 0.1, 16 * 1024)
        for (let second = 1; second <= 5; second++) {
          await clock.advance(1000)
          const sum = done.reduce((before, bytes) => before + bytes, 0)
          assert.ok(sum <= rate * (second + 0.25) + part, 'not above the rate')
          assert.ok(sum >= Math.min(total, rate * second * 0.9 - part), 'not far below it')
          if (rate > 16 * 1024 * 10 * sizes.length) {
            assert.ok(
              done.every((bytes) => bytes > 0),
              'nobody is left out',
            )
          }
        }
        limit.set(undefined)
        await clock.advance(1000)
        await all
        assert.deepEqual(done, sizes)
        assert.equal(limit.isHolding, false)
      },
    ),
    { numRuns: 40 },
  )
})

test('goal: a new rate holds at once, for those who wait as well', async () => {
  const clock = new ManualClock()
  const limit = new RateLimit(clock, 64_000)
  let done = 0
  const all = transfer(limit, 10_000_000, (bytes) => (done += bytes))
  await clock.advance(1000)
  assert.ok(limit.isHolding && done < 100_000)
  limit.set(1_000_000)
  const before = done
  await clock.advance(1000)
  assert.ok(done - before > 800_000 && done - before < 1_400_000, `${done - before} in a second`)
  limit.set(undefined)
  await clock.advance(1)
  await all
})

test('goal: who gives up leaves its place to the next', async () => {
  const clock = new ManualClock()
  const limit = new RateLimit(clock, 100_000)
  const stop = new AbortController()
  await limit.take(1_000_000, forever).catch(() => assert.fail('the first may go into debt'))
  const given = assert.rejects(limit.take(1000, stop.signal), { code: 'ABORTED' })
  let got = false
  const next = limit.take(1000, forever).then(() => (got = true))
  stop.abort()
  await given
  await clock.advance(5000)
  assert.equal(got, false, 'the debt of ten seconds is not paid yet')
  await clock.advance(6000)
  await next
  await assert.rejects(limit.take(1, stop.signal), { code: 'ABORTED' })
})
