/** Sleep and moves are noticed once, and nothing else is taken for them. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Awake } from './awake.ts'
import { SLEEP_MS_MIN } from './limits.ts'

test('goal: sleep is time that only the wall clock counted; a move is another set of addresses', () => {
  let wall = 1_790_000_000_000
  let running = 0
  let addresses = ['/ip4/192.168.1.4/tcp/4001', '/ip4/127.0.0.1/tcp/4001']
  const clock = { now: () => wall, monotonic: () => running, sleep: async () => undefined }
  const awake = new Awake({ addresses: () => [...addresses] }, { clock })
  const pass = (o: { wall: number; running: number }): void => {
    wall += o.wall
    running += o.running
  }
  pass({ wall: 3_600_000, running: 3_600_000 })
  assert.equal(awake.look(), undefined, 'an hour of work')
  pass({ wall: 900, running: 1_000 })
  assert.equal(awake.look(), undefined, 'a clock that is corrected a little')
  pass({ wall: 8 * 3_600_000, running: 1_000 })
  assert.equal(awake.look(), 'slept')
  pass({ wall: 1_000, running: 1_000 })
  assert.equal(awake.look(), undefined, 'said once')
  addresses = addresses.toReversed()
  assert.equal(awake.look(), undefined, 'the order means nothing')
  addresses = ['/ip4/10.0.0.7/tcp/4001', '/ip4/127.0.0.1/tcp/4001']
  assert.equal(awake.look(), 'moved')
  pass({ wall: -SLEEP_MS_MIN, running: 1_000 })
  assert.equal(awake.look(), undefined, 'a clock set back is no sleep')
})
