/**
 * What a code can survive in a pool, and the caps for it: spec/placement.md §2.
 *
 * For a margin `t`, the worst `p` domains of a kind may hold `m − t` shards together, so one of them
 * at most ⌊(m − t) / p⌋. The margin of a code is the highest `t` for which so many hosts exist.
 */

import { assert } from '../assert.ts'
import type { Code } from '../codec/codec.ts'
import { chooseHosts } from './choose.ts'
import { GROUP_KINDS } from './hosts.ts'
import type { HostFacts, Policy } from './hosts.ts'
import { firstOfEach, loadsOf, numberDomains } from './spread.ts'
import type { Caps } from './spread.ts'

/** A pool as its stripes' owner sees it. */
export type Pool = {
  /** Every host but the owner's own. */
  holders: readonly HostFacts[]
  /** The policy; organisations are asked about only where two or more pool. */
  asked: Policy
  /** Whether `count` holders exist that keep the caps. Answers are remembered. */
  choosable: (caps: Caps, count: number) => boolean
}

/** What a code survives in a pool when all its shards are placed. */
export type Reach = {
  /** The part of the policy that is kept. */
  kept: Policy
  /** Shards at most in one domain; as many as the stripe has where nothing is asked. */
  caps: Caps
  /** Hosts that may be lost after the worst domains have gone. */
  margin: number
}

/** The possible holders: every host but the owner's own. */
export function holdersOf(hosts: readonly HostFacts[], owner: string): HostFacts[] {
  assert(new Set(hosts.map((host) => host.id)).size === hosts.length, 'each host once')
  return hosts.filter((host) => host.id !== owner)
}

/** `shardsMax`: the most shards that will be asked about. */
export function poolOf(o: {
  hosts: readonly HostFacts[]
  owner: string
  policy: Policy
  shardsMax: number
}): Pool {
  const holders = holdersOf(o.hosts, o.owner)
  const pools = new Set(o.hosts.map((host) => host.org)).size > 1
  // In the order of ids, so that what is found in time does not depend on the order of a list.
  const sorted = holders.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const candidates = firstOfEach(numberDomains(sorted), o.shardsMax)
  const largest = new Map<string, number>()
  const sizes = GROUP_KINDS.map((kind) => ({ kind, loads: loadsOf(candidates, kind) }))
  const choosable = (caps: Caps, count: number): boolean => {
    // Each kind alone says no at once in most cases.
    for (const { kind, loads } of sizes) {
      if (loads.reduce((sum, load) => sum + Math.min(load, caps[kind]), 0) < count) return false
    }
    const key = GROUP_KINDS.map((kind) => Math.min(caps[kind], o.shardsMax)).join(' ')
    const found =
      largest.get(key) ?? chooseHosts({ candidates, fixed: [], count: o.shardsMax, caps }).length
    largest.set(key, found)
    return found >= count
  }
  return { holders, asked: pools ? o.policy : { ...o.policy, org: 0 }, choosable }
}

/** The caps under which a code keeps `policy` and `margin` hosts more. */
function capsFor(code: Code, margin: number, policy: Policy): Caps {
  const cap = (times: number): number =>
    times === 0 ? code.k + code.m : Math.floor((code.m - margin) / times)
  return { site: cap(policy.site), provider: cap(policy.provider), org: cap(policy.org) }
}

/** Whether a code has that margin in the pool, under that policy. */
export function hasMargin(code: Code, o: { pool: Pool; policy: Policy; margin: number }): boolean {
  const { pool, policy, margin } = o
  // One host holds one shard: a margin counts what may go after it.
  if (code.m < policy.host || margin > code.m - 1) return false
  return pool.choosable(capsFor(code, margin, policy), wantedOf(code, pool))
}

/** A pool with fewer holders than the code has shards takes as many as it can. */
function wantedOf({ k, m }: Code, { holders }: Pool): number {
  return Math.min(k + m, holders.length)
}

/**
 * As much of the policy as `possible` allows, from `none` on: as many sites as asked for or else
 * fewer, then providers, then organisations, each with those before it.
 */
export function mostOf(asked: Policy, none: Policy, possible: (part: Policy) => boolean): Policy {
  const kept = { ...none }
  for (const kind of GROUP_KINDS) {
    for (let times = asked[kind]; times > 0; times--) {
      if (!possible({ ...kept, [kind]: times })) continue
      kept[kind] = times
      break
    }
  }
  return kept
}

/** What `code` survives in `pool`. */
export function reachOf(code: Code, pool: Pool): Reach {
  const none = { host: Math.min(code.m, pool.asked.host), site: 0, provider: 0, org: 0 }
  const kept = mostOf(pool.asked, none, (policy) =>
    pool.choosable(capsFor(code, 0, policy), wantedOf(code, pool)),
  )
  let margin = code.m - 1
  while (margin > 0 && !hasMargin(code, { pool, policy: kept, margin })) margin--
  return { kept, margin, caps: lowestCaps(code, { pool, kept, margin }) }
}

/**
 * The caps of what is kept; of a kind that is asked for but cannot be survived, the lowest that can
 * be had beside them.
 */
function lowestCaps(code: Code, o: { pool: Pool; kept: Policy; margin: number }): Caps {
  const { pool, kept } = o
  const caps = capsFor(code, Math.max(0, o.margin), kept)
  const wanted = wantedOf(code, pool)
  for (const kind of GROUP_KINDS) {
    if (kept[kind] > 0 || pool.asked[kind] === 0) continue
    let cap = 1
    while (cap < caps[kind] && !pool.choosable({ ...caps, [kind]: cap }, wanted)) cap++
    caps[kind] = cap
  }
  return caps
}
