// Goal: the yearly figures of docs/durability.md can be believed. Method: a case that can be
// computed by hand; what must hold in every pool whatever the figures are; the page against the
// planner.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import * as fc from 'fast-check'
import { codeText, PAGE } from '../bench/durability/report.ts'
import { PoolYears } from '../bench/durability/pool-years.ts'
import { Sfc32 } from '../bench/durability/random.ts'
import { capOf, recommendedCode, shapeOf } from '../bench/durability/shape.ts'
import { interval, oneIn } from '../bench/durability/statistics.ts'
import { SHAPES, simulateRow } from '../bench/durability/study.ts'
import { DAYS_PER_YEAR, type World, WORLDS } from '../bench/durability/world.ts'

/** Machines fail one by one, and nothing else happens. */
const MACHINES_ONLY: World = {
  ...WORLDS.always,
  machineLossPerYear: 0.15,
  churnPerYear: 0,
  siteLossPerYear: 0,
  providerLossPerYear: 0,
  rotPerYear: 0,
  groups: 1,
}

test('two of three with independent losses: as computed by hand', () => {
  const rate = 0.15
  const world = {
    ...MACHINES_ONLY,
    machineLossPerYear: rate,
    presumedLostDays: 14,
    replacedDays: 14,
    suspectDays: 14,
    // Nothing but the fourteen days matters: the repair itself takes no time.
    megabitsPerSite: 1e9,
  }
  const shape = shapeOf({ machines: 4, placeCount: 3, groups: 1, code: { k: 2, m: 1 } })
  const { losses, years } = new PoolYears(shape, world, new Sfc32(7, 1)).run(200_000)
  // One of three is lost; then, for 14 days, one of the other two may be. A renewal process.
  const second = 1 - Math.exp((-2 * rate * 14) / DAYS_PER_YEAR)
  const expected = second / (1 / (3 * rate) + second / (2 * rate))
  const { low, high } = interval(losses)
  assert.ok(losses > 500, `${losses}`)
  assert.ok(low / years < expected && expected < high / years, `${losses / years} ${expected}`)
})

function lossesOf(o: { machines: number; places: number; k: number; m: number; years: number }) {
  const code = { k: o.k, m: o.m }
  const shape = shapeOf({ machines: o.machines, placeCount: o.places, groups: 12, code })
  return new PoolYears(shape, WORLDS.office, new Sfc32(3, o.m)).run(o.years)
}

test('more parity is never worse, within the error', () => {
  for (const [machines, places, k] of [
    [6, 1, 1],
    [6, 3, 2],
    [9, 2, 3],
    [9, 4, 4],
  ] as const) {
    let before = Number.POSITIVE_INFINITY
    for (let m = 1; k + m < machines; m++) {
      const { losses } = lossesOf({ machines, places, k, m, years: 8_000 })
      const { low, high } = interval(losses)
      assert.ok(low <= before, `${machines} machines, ${places} places, ${k}+${m}: ${losses}`)
      before = Math.max(high, 20)
    }
  }
})

test('the same seed gives the same years, and another one others', () => {
  const job = {
    machines: 6,
    places: 2,
    scenario: 'office',
    world: WORLDS.office,
    seed: 5,
    yearsMax: 5_000,
    lossesMax: 1e9,
    scheduleYears: 1,
    code: { k: 3, m: 2 },
  } as const
  const [one, two, other] = [job, job, { ...job, seed: 6 }].map((each) => simulateRow(each))
  assert.deepEqual({ ...one, seconds: 0 }, { ...two, seconds: 0 })
  assert.notDeepEqual(one?.years, other?.years)
})

test('pools of any shape: the planner decides, and nothing is lost where nothing fails', () => {
  const calm = { ...MACHINES_ONLY, machineLossPerYear: 1e-9 }
  fc.assert(
    fc.property(fc.integer({ min: 4, max: 25 }), fc.integer({ min: 1, max: 8 }), (machines, d) => {
      const placeCount = Math.min(d, machines - 1)
      const shape = shapeOf({ machines, placeCount, groups: 3 })
      assert.deepEqual(shape.code, recommendedCode(machines, placeCount))
      assert.ok(shape.margin >= shape.code.m - capOf(machines, placeCount, shape.code))
      const { losses, movedShare } = new PoolYears(shape, calm, new Sfc32(1, 1)).run(10)
      assert.deepEqual([losses, movedShare], [0, 0])
    }),
    { numRuns: 50 },
  )
})

test('places that get shards: as many as the planner places, never over its caps', () => {
  const machines = fc.integer({ min: 5, max: 20 })
  const state = fc.array(fc.tuple(fc.nat(9), fc.nat(9)), { minLength: 4, maxLength: 4 })
  fc.assert(
    fc.property(machines, fc.array(state, { minLength: 1, maxLength: 8 }), (count, states) => {
      const { planner, places, cap, code } = shapeOf({ machines: count, placeCount: 4, groups: 1 })
      assert.ok(planner !== undefined)
      const sizes = [0, 1, 2, 3].map((place) => places.filter((one) => one === place).length)
      for (const [i, one] of states.entries()) {
        // Where a place is not full, and which of its hosts run.
        const held = Uint8Array.from(
          sizes,
          (size, at) => (one[at]?.[0] ?? 0) % (1 + Math.min(size, cap)),
        )
        const open = Uint8Array.from(
          sizes,
          (size, at) => (one[at]?.[1] ?? 0) % (1 + size - (held[at] ?? 0)),
        )
        const holding = held.reduce((sum, more) => sum + more, 0)
        if (holding > code.k + code.m) continue
        const into = new Uint8Array(4)
        planner.choose({ held, open, into, first: i % 4, endangered: false })
        // A place takes what its hosts and the cap allow, all of them what is missing.
        const room = sizes.map((_, at) => Math.min(open[at] ?? 0, cap - (held[at] ?? 0)))
        for (const [at, added] of into.entries()) assert.ok(added <= (room[at] ?? 0))
        const most = room.reduce((sum, more) => sum + more, 0)
        const placed = into.reduce((sum, more) => sum + more, 0)
        assert.equal(placed, Math.min(most, code.k + code.m - holding))
      }
    }),
    { numRuns: 200 },
  )
})

test('a host that may stand in for another makes a pool safer, and moves more', () => {
  const pool = { machines: 9, placeCount: 3, groups: 12, code: { k: 4, m: 4 } }
  const [plain, doubled] = [false, true].map((doublesUp) =>
    new PoolYears(shapeOf({ ...pool, doublesUp }), WORLDS.always, new Sfc32(2, 2)).run(12_000),
  )
  assert.ok(plain !== undefined && doubled !== undefined)
  assert.ok(interval(doubled.losses).high < interval(plain.losses).high, `${plain.losses}`)
  assert.ok(doubled.movedShare > plain.movedShare)
})

test('a pool that cannot be is refused', () => {
  for (const [machines, placeCount] of [
    [2, 1],
    [9, 0],
    [4.5, 2],
    [Number.NaN, 2],
  ] as const) {
    assert.throws(() => shapeOf({ machines, placeCount, groups: 12 }), RangeError)
  }
})

test('repairs move what theory says: k + 1 shards for every shard of a lost machine', () => {
  const shape = shapeOf({ machines: 6, placeCount: 5, groups: 12, code: { k: 2, m: 3 } })
  const { movedShare, years } = new PoolYears(shape, MACHINES_ONLY, new Sfc32(1, 1)).run(50_000)
  const expected = 5 * 0.15 * 3 * 0.5
  assert.ok(Math.abs(movedShare / years / expected - 1) < 0.05, `${movedShare / years}`)
})

test('one place is lost with everything in it, whatever the code', () => {
  const { losses, years } = lossesOf({ machines: 9, places: 1, k: 4, m: 3, years: 40_000 })
  const { low, high } = interval(losses)
  assert.ok(low / years < 0.022 && high / years > 0.02, `${losses / years}`)
})

test('bounds of counts are those of the Poisson tables', () => {
  for (const [count, low, high] of [
    [1, 0.025, 5.57],
    [10, 4.8, 18.39],
    [100, 81.36, 121.63],
  ] as const) {
    const found = interval(count)
    assert.ok(Math.abs(found.low - low) < 0.05, `${found.low}`)
    assert.ok(Math.abs(found.high - high) < 0.05, `${found.high}`)
  }
  assert.equal(oneIn({ losses: 0, years: 300_000 }), 'none in 300,000; rarer than 1 in 100,000')
})

test('the page has every pool of the study, with the code that the planner gives it', () => {
  const page = readFileSync(PAGE, 'utf8')
  for (const { machines, places } of SHAPES) {
    for (const count of places) {
      const row = `| ${machines} | ${count} | ${codeText(recommendedCode(machines, count))}, `
      assert.ok(page.includes(row), `${row}: run pnpm durability`)
    }
  }
})
