import assert from 'node:assert/strict'
import { test } from 'node:test'

import { SeededRandom, systemRandom } from './random.ts'

test('goal: system randomness has the asked length and never repeats', () => {
  assert.equal(systemRandom.bytes(0).length, 0)
  assert.equal(systemRandom.bytes(100_000).length, 100_000)
  assert.notDeepEqual(systemRandom.bytes(32), systemRandom.bytes(32))
  assert.throws(() => systemRandom.bytes(-1), { name: 'AssertionError' })
})

test('goal: the same seed gives the same bytes in any portions, another seed others', () => {
  const one = new SeededRandom(7)
  const other = new SeededRandom(7)
  const whole = one.bytes(100)
  const parts = Buffer.concat([other.bytes(1), other.bytes(63), other.bytes(36)])
  assert.deepEqual(new Uint8Array(parts), whole)
  assert.notDeepEqual(new SeededRandom(8).bytes(100), whole)
  assert.notDeepEqual(one.bytes(100), whole)
})
