/**
 * The shared budget: never exceeded, first come first served, and nobody starves behind another's
 * own bound.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isMoyaiError } from '@moyai/protocol'
import * as fc from 'fast-check'
import { ByteBudget } from './budget.ts'

const forever = new AbortController().signal

test('goal: every order of taking, giving back and aborting stays within both bounds and serves everybody', async () => {
  const step = fc.record({
    owner: fc.constantFrom('a', 'b', 'c'),
    bytes: fc.integer({ min: 1, max: 40 }),
    abort: fc.boolean(),
    release: fc.nat(5),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const budget = new ByteBudget({ bytesMax: 100, bytesMaxPerOwner: 40 })
      const held: { owner: string; bytes: number }[] = []
      const waits: Promise<void>[] = []
      const check = (): void => {
        const used = held.reduce((sum, { bytes }) => sum + bytes, 0)
        assert.ok(used <= 100)
        for (const owner of ['a', 'b', 'c']) {
          const own = held.filter((one) => one.owner === owner)
          assert.ok(own.reduce((sum, { bytes }) => sum + bytes, 0) <= 40)
        }
      }
      const drop = (): void => {
        const one = held.shift()
        if (one !== undefined) budget.release(one.owner, one.bytes)
      }
      for (const { owner, bytes, abort, release } of steps) {
        const controller = new AbortController()
        const wait = (async () => {
          try {
            await budget.acquire(owner, bytes, controller.signal)
            held.push({ owner, bytes })
            check()
          } catch (error) {
            assert.ok(isMoyaiError(error, 'ABORTED'))
          }
        })()
        waits.push(wait)
        await Promise.resolve()
        if (abort) controller.abort()
        for (let i = 0; i < release; i++) drop()
      }
      // Everybody who still waits is served once the others give back.
      const all = Promise.all(waits)
      for (let i = 0; i < 1000; i++) {
        drop()
        await Promise.resolve()
      }
      await all
      while (held.length > 0) drop()
      assert.equal(budget.usedBytes, 0)
      assert.equal(budget.waitingCount, 0)
    }),
  )
})

test('goal: an owner at its own bound holds nobody else up; a large request is not starved by small ones', async () => {
  const budget = new ByteBudget({ bytesMax: 100, bytesMaxPerOwner: 60 })
  const order: string[] = []
  const take = async (name: string, owner: string, bytes: number): Promise<void> => {
    await budget.acquire(owner, bytes, forever)
    order.push(name)
  }
  await take('first', 'a', 60)
  const second = take('second of a', 'a', 10)
  await take('b', 'b', 20)
  assert.deepEqual(order, ['first', 'b'])
  const large = take('large', 'c', 50)
  const small = take('small', 'd', 1)
  budget.release('a', 60)
  await Promise.all([second, large, small])
  assert.deepEqual(order, ['first', 'b', 'second of a', 'large', 'small'])
})
