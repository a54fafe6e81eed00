// Goal: the code that is chosen is the right one by the rules of spec/placement.md §2, and cheap.
// Method: an oracle that shares nothing with the planner: all codes, all sets of hosts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'

import { DEFAULT_POLICY, domainOf, GROUP_KINDS, planCode } from './index.ts'
import type { HostFacts, Policy } from './index.ts'

type Code = { k: number; m: number }
/** The most shards in one site, with one provider, and in one organisation. */
type Loads = readonly number[]

const OWNER = 'owner'

function poolOf(places: readonly string[], alwaysOn = 0): HostFacts[] {
  const holders = places.map((place, i) => {
    const [site = '', provider = '', org = ''] = place.split('/')
    return { id: `h${i}`, site, provider, org, online: true, freeBytes: 1, alwaysOn: i < alwaysOn }
  })
  const owner = { site: 'home', provider: 'self', org: 'x', online: true, freeBytes: 1 }
  return [{ ...owner, id: OWNER }, ...holders]
}

/** For each number of hosts, the loads of all sets of so many. */
function allLoads(holders: readonly HostFacts[]): Loads[][] {
  const found = Array.from(holders, () => new Map<string, Loads>())
  for (let set = 1; set < 1 << holders.length; set++) {
    const members = holders.filter((_, i) => (set & (1 << i)) !== 0)
    const loads = GROUP_KINDS.map((kind) => {
      const counts = new Map<string, number>()
      for (const host of members) {
        counts.set(domainOf(host, kind), (counts.get(domainOf(host, kind)) ?? 0) + 1)
      }
      return Math.max(...counts.values())
    })
    found[members.length - 1]?.set(loads.join(), loads)
  }
  return [[], ...found.map((one) => [...one.values()])]
}

/** Whether the policy's worst losses and `margin` hosts more leave k shards of some placement. */
function reaches({ k, m }: Code, loads: Loads[][], o: { policy: Policy; margin: number }): boolean {
  if (m < o.policy.host || m - 1 < o.margin) return false
  return (loads[k + m] ?? []).some((load) =>
    GROUP_KINDS.every(
      (kind, i) => m - o.policy[kind] * (load[i] ?? 0) >= o.margin || o.policy[kind] === 0,
    ),
  )
}

type Choice = { code: Code; margin: number; rivals: Code[]; policy: Policy }

/** The choice by the rules, and all codes that reach as much. */
function oracle(hosts: readonly HostFacts[], asked: Policy): Choice {
  const holders = hosts.filter((host) => host.id !== OWNER)
  const h = holders.length
  const awake = holders.filter((host) => host.alwaysOn === true).length
  const loads = allLoads(holders)
  const codes: Code[] = []
  for (let k = awake >= 3 ? Math.min(8, awake - 1) : 8; k >= 1; k--) {
    for (let m = 2; k + m <= Math.min(h, 14); m++) if (m / k >= 0.75) codes.push({ k, m })
  }
  const steps = h <= 5 ? [{ margin: 2, overhead: 2.5 }] : []
  for (let margin = h <= 5 ? 1 : 2; margin >= 0; margin--) {
    steps.push({ margin, overhead: h <= 5 ? 4 : 3 })
  }
  for (const policy of partsOf(asked)) {
    for (const { margin, overhead } of steps) {
      const rivals = codes.filter(
        (code) => 1 + code.m / code.k <= overhead && reaches(code, loads, { policy, margin }),
      )
      const code = rivals[0]
      if (code !== undefined) return { code, margin, rivals, policy }
    }
  }
  return assert.fail('1+2 is always possible')
}

/** The policy and all less of it, what matters most first. */
function partsOf(asked: Policy): Policy[] {
  const down = (from: number, to = 0): number[] =>
    Array.from({ length: from - to + 1 }, (_, i) => from - i)
  return down(asked.site).flatMap((site) =>
    down(asked.provider).flatMap((provider) =>
      down(asked.org).flatMap((org) =>
        down(asked.host, Math.min(2, asked.host)).map((host) => ({ host, site, provider, org })),
      ),
    ),
  )
}

const overhead = ({ k, m }: Code): number => 1 + m / k

function compare(hosts: readonly HostFacts[], policy: Policy): void {
  const pools = new Set(hosts.map((host) => host.org)).size > 1
  const right = oracle(hosts, pools ? policy : { ...policy, org: 0 })
  const plan = planCode({ hosts, owner: OWNER, class: 'data', policy })
  const context = JSON.stringify({ hosts, policy, right, plan })
  assert.deepEqual(plan.code, right.code, context)
  assert.ok(plan.margin >= right.margin, context)
  // Of two codes that survive two whole sites, the larger may cost more: 3+4 instead of 2+2.
  if (GROUP_KINDS.every((kind) => policy[kind] <= 1)) {
    const cheapest = Math.min(...right.rivals.map(overhead))
    assert.equal(overhead(plan.code), cheapest, context)
  }
  for (const kind of ['host', ...GROUP_KINDS] as const) {
    assert.ok(plan.survives[kind] >= right.policy[kind], context)
  }
}

/** All pools of so many hosts of these places, whatever their order. */
function* multisets(places: readonly string[], count: number): Generator<string[]> {
  if (count === 0) yield []
  for (const [i, place] of places.entries()) {
    if (count === 0) return
    for (const rest of multisets(places.slice(i), count - 1)) yield [place, ...rest]
  }
}

function cross(...parts: string[][]): string[] {
  return parts.reduce(
    (all, part) =>
      all.flatMap((left) => part.map((right) => (left === '' ? right : `${left}/${right}`))),
    [''],
  )
}

test('all pools of 3 to 6 holders in two sites, with two providers, of two organisations', () => {
  for (let count = 3; count <= 6; count++) {
    for (const places of multisets(cross(['a', 'b'], ['p', 'q'], ['x', 'y']), count)) {
      compare(poolOf(places), DEFAULT_POLICY)
    }
  }
})

test('all pools of 3 to 7 holders in up to four offices and one rented place', () => {
  for (let count = 3; count <= 7; count++) {
    const places = ['a/self/x', 'b/self/x', 'c/self/x', 'd/self/x', 'v/p/x']
    for (const chosen of multisets(places, count)) compare(poolOf(chosen), DEFAULT_POLICY)
  }
})

test('random pools of 3 to 8 holders under random policies', () => {
  const places = cross(['a', 'b', 'c', 'd'], ['self', 'p', 'q'], ['x', 'y', 'z'])
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...places), { minLength: 3, maxLength: 8 }),
      fc.integer({ min: 0, max: 8 }),
      fc.record({
        host: fc.integer({ min: 0, max: 4 }),
        site: fc.integer({ min: 0, max: 2 }),
        provider: fc.integer({ min: 0, max: 2 }),
        org: fc.integer({ min: 0, max: 2 }),
      }),
      (chosen, alwaysOn, policy) => compare(poolOf(chosen, alwaysOn), policy),
    ),
    { numRuns: 1500 },
  )
})
