// Goal: under caps of three kinds the largest choice is found, and no cap is ever broken. Method:
// pools whose sites, providers and organisations overlap at random, against all subsets.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'

import { chooseHosts } from './choose.ts'
import { GROUP_KINDS } from './hosts.ts'
import { type Candidate, type Caps, loadsOf } from './spread.ts'

const small = fc.integer({ min: 0, max: 3 })
const candidate = fc.record({ site: small, provider: small, org: fc.integer({ min: 0, max: 2 }) })
const cap = fc.integer({ min: 0, max: 4 })
const caps = fc.record({ site: cap, provider: cap, org: cap })

function candidatesOf(places: readonly Omit<Candidate, 'host'>[]): Candidate[] {
  return places.map((place, i) => {
    const facts = { id: `${i}`, site: '', provider: '', org: '', online: true, freeBytes: 1 }
    return { ...place, host: facts }
  })
}

/** Whether `chosen` can be added to `fixed`: no domain over its cap gets any of them. */
function keeps(chosen: readonly Candidate[], fixed: readonly Candidate[], limits: Caps): boolean {
  return GROUP_KINDS.every((kind) => {
    const loads = loadsOf([...fixed, ...chosen], kind)
    return chosen.every((one) => (loads[one[kind]] ?? 0) <= limits[kind])
  })
}

test('the largest choice is found, beside shards that are placed already', () => {
  fc.assert(
    fc.property(
      fc.array(candidate, { minLength: 7, maxLength: 11 }),
      fc.array(candidate, { maxLength: 3 }),
      caps,
      (open, placed, limits) => {
        const all = candidatesOf([...placed, ...open])
        const fixed = all.slice(0, placed.length)
        const candidates = all.slice(placed.length)
        const chosen = chooseHosts({ candidates, fixed, count: 14, caps: limits })
        assert.ok(keeps(chosen, fixed, limits))
        assert.equal(new Set(chosen).size, chosen.length)
        let best = 0
        for (let set = 0; set < 1 << candidates.length; set++) {
          const subset = candidates.filter((_, i) => (set & (1 << i)) !== 0)
          if (subset.length > best && keeps(subset, fixed, limits)) best = subset.length
        }
        assert.equal(chosen.length, best)
      },
    ),
    { numRuns: 400 },
  )
})

test('no cap is broken in pools too large to try all subsets', () => {
  const wide = fc.integer({ min: 0, max: 7 })
  const place = fc.record({ site: wide, provider: wide, org: wide })
  fc.assert(
    fc.property(fc.array(place, { minLength: 12, maxLength: 60 }), caps, (places, limits) => {
      const candidates = candidatesOf(places)
      const chosen = chooseHosts({ candidates, fixed: [], count: 14, caps: limits })
      assert.ok(chosen.length <= 14 && keeps(chosen, [], limits))
    }),
    { numRuns: 2000 },
  )
})
