import assert from 'node:assert/strict'
import { test } from 'node:test'

import { RepairClaims, stripeKey } from './repair-claims.ts'

const vault = new Uint8Array(32).fill(1)
const stripe = (n: number): { vault: Uint8Array; pack: Uint8Array } => {
  const pack = new Uint8Array(32)
  new DataView(pack.buffer).setUint32(0, n)
  return { vault, pack }
}
const KEY = stripeKey(stripe(1))
const MINUTE = 60_000

test('a claim holds as long as it says, ten minutes at most, and ends when it is given up', () => {
  const claims = new RepairClaims()
  claims.add('a', { ...stripe(1), holdsMs: 2 * MINUTE }, 0)
  claims.add('b', { ...stripe(1), holdsMs: Number.MAX_SAFE_INTEGER }, 0)
  assert.deepEqual(
    claims.of(KEY, MINUTE).map(({ host }) => host),
    ['a', 'b'],
  )
  assert.deepEqual(
    claims.of(KEY, 3 * MINUTE).map(({ host }) => host),
    ['b'],
  )
  assert.deepEqual(claims.of(KEY, 11 * MINUTE), [])
  claims.add('a', { ...stripe(1), holdsMs: 2 * MINUTE }, 20 * MINUTE)
  claims.remove('a', stripe(1), 21 * MINUTE)
  assert.deepEqual(claims.of(KEY, 21 * MINUTE), [])
  assert.equal(claims.workedAt('a'), 21 * MINUTE)
})

test('a host that only claims holds a stripe up for an hour of a day', () => {
  const claims = new RepairClaims()
  let held = 0
  for (let at = 0; at < 24 * 60 * MINUTE; at += MINUTE) {
    claims.remove('a', stripe(1), at)
    claims.add('a', { ...stripe(1), holdsMs: 5 * MINUTE }, at)
    if (claims.of(KEY, at).length > 0) held++
  }
  assert.equal(held, 60)
})

test('a flood of claims pushes the oldest out, and takes no more room', () => {
  const claims = new RepairClaims()
  for (let i = 1; i <= 5000; i++) claims.add('a', { ...stripe(i), holdsMs: MINUTE }, 0)
  assert.equal(claims.of(KEY, 0).length, 0)
  assert.equal(claims.of(stripeKey(stripe(5000)), 0).length, 1)
})
