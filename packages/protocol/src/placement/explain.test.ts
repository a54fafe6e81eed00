// Goal: what the explanation says is so: losses that are not named are survived, and the change
// that it proposes does what it says. Method: known answers; random pools, placed and lost.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'

import {
  explainPolicy,
  explanationLines,
  GROUP_KINDS,
  placeShards,
  planCode,
  survives,
} from './index.ts'
import type { HostFacts, PolicyExplanation } from './index.ts'

/** `site/provider/organisation`, the owner's first. */
function poolOf(places: readonly string[], alwaysOn = 0): HostFacts[] {
  return places.map((place, i) => {
    const [site = '', provider = 'self', org = 'x'] = place.split('/')
    return { id: `h${i}`, site, provider, org, online: true, freeBytes: 1, alwaysOn: i < alwaysOn }
  })
}

function explain(places: readonly string[], alwaysOn = 0): PolicyExplanation {
  return explainPolicy({ hosts: poolOf(places, alwaysOn), owner: 'h0', class: 'data' })
}

test('one office is red whatever the code, and a second one is what helps', () => {
  for (const count of [2, 3, 6, 9, 20]) {
    const { red, cannot, change } = explain(Array<string>(count).fill('osaka'))
    assert.equal(red, true)
    assert.equal(cannot[0], 'an office fire in osaka loses this')
    assert.equal(change?.text, 'add a host in a second office')
  }
  const { plan, change } = explain(Array<string>(9).fill('osaka'))
  assert.deepEqual([plan.code, plan.survives.site], [{ k: 4, m: 3 }, 0])
  assert.deepEqual([change?.plan.code, change?.plan.survives.site], [{ k: 1, m: 2 }, 1])
})

test('a single provider is red, and is named', () => {
  const { red, cannot, change } = explain(['t/a', 'u/a', 'v/a', 'w/a', 'x/a', 'y/a'])
  assert.equal(red, true)
  assert.deepEqual(cannot, [
    'the end of the account at a loses this',
    'the loss of 4 hosts, or of 4 sites before a repair can lose this',
  ])
  assert.equal(change?.needed, true)
  assert.equal(change?.plan.survives.provider, 1)
})

test('an organisation that keeps all of it is named', () => {
  const { red, cannot } = explain(['a/self/x', 'b/self/y', 'c/self/y', 'd/self/y'])
  assert.equal(red, true)
  assert.equal(cannot[0], 'the withdrawal of organisation y loses this')
  assert.equal(explain(['a', 'b', 'c', 'd']).red, false, 'a single one is not held against it')
})

test('a pool with nothing missing is told what would be cheaper, or nothing', () => {
  const six = explain(['t/a', 't/b', 'o/a', 'o/b', 'n/a', 'n/b'])
  assert.deepEqual([six.plan.code, six.overhead, six.red], [{ k: 1, m: 3 }, 4, false])
  assert.equal(six.change?.needed, false)
  assert.deepEqual(six.change?.plan.code, { k: 2, m: 3 })
  const own = explain(['t', 't', 'o', 'o', 'n', 'n'])
  assert.equal(own.change, undefined)
  assert.deepEqual(explanationLines(own), [
    '2+3 on 5 possible holders: survives 3 hosts, or any 1 site or 1 provider and 1 host more',
    'overhead: 2.50 bytes are kept for each byte stored',
    'the loss of 4 hosts, or of 2 sites before a repair can lose this',
    'nothing is missing',
  ])
})

test('two hosts are proposed where one changes nothing', () => {
  const { plan, change } = explain(['a', 'b', 'a', 'b', 'a', 'b', 'a'])
  assert.deepEqual([plan.code, plan.margin], [{ k: 2, m: 4 }, 1])
  assert.deepEqual([change?.text, change?.hosts], ['add 2 hosts in another office', 2])
  assert.deepEqual([change?.plan.code, change?.plan.margin], [{ k: 3, m: 5 }, 2])
})

test('restores at night are explained by who is awake', () => {
  const places = ['a', 'b', 'c', 'd', 'a', 'b', 'c', 'd', 'a', 'b', 'c', 'd']
  assert.equal(explain(places).nights, undefined)
  const few = '1 host runs day and night, 6 are needed to restore: not at night'
  assert.equal(explain(places, 2).nights, few)
  const enough = '3 hosts run day and night, 2 are needed to restore at night'
  assert.equal(explain(places, 4).nights, enough)
})

const places = fc.record({
  site: fc.constantFrom('a', 'b', 'c', 'd'),
  provider: fc.constantFrom('self', 'self', 'p', 'q'),
  org: fc.constantFrom('x', 'x', 'y'),
})

test('what is not named is survived, and the change keeps its word', () => {
  fc.assert(
    fc.property(fc.array(places, { minLength: 2, maxLength: 14 }), fc.nat(), (facts, seed) => {
      const hosts = poolOf(facts.map(({ site, provider, org }) => `${site}/${provider}/${org}`))
      const o = { hosts, owner: 'h0', class: 'data' as const }
      const { plan, red, cannot, change } = explainPolicy(o)
      assert.deepEqual(plan, planCode(o))
      const stripe = Uint8Array.of(seed, seed >> 8)
      const { assignment } = placeShards({ hosts, owner: 'h0', code: plan.code, stripe })
      const shards = assignment.map((id, index) => ({ index, host: id ?? assert.fail() }))
      const real = survives({ shards, hosts, code: plan.code })
      if (cannot.length === 1) {
        const several = new Set(facts.map(({ org }) => org)).size > 1
        for (const kind of GROUP_KINDS) {
          assert.ok(real[kind] >= 1 || (kind === 'org' && !several), kind)
        }
      }
      assert.ok(!red || cannot.length > 1, 'what makes it red is named')
      if (change === undefined || !change.needed) assert.equal(plan.met, true)
      if (change === undefined) return
      assert.ok(change.hosts === 1 || change.hosts === 2)
      if (red) assert.ok(change.needed)
      if (!change.needed) assert.ok(change.plan.met)
    }),
    { numRuns: 400 },
  )
})
