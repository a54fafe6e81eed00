/**
 * Which hosts: spec/placement.md §3. One shard of a stripe per host, never the owner's own, only
 * hosts that are online, caps per site and provider.
 */

import { assert } from '../assert.ts'
import { blake3 } from '../blake3/index.ts'
import { concatBytes, utf8 } from '../bytes.ts'
import { isCode } from '../codec/codec.ts'
import type { Code } from '../codec/codec.ts'
import { domainOf } from './hosts.ts'
import type { HostFacts, Policy } from './hosts.ts'
import { holdersOf, placementCaps } from './plan.ts'
import { Spread } from './spread.ts'

/**
 * A host with all the free space of the emptiest one draws this often, one with little of it once.
 */
const DRAWS_MAX = 8

export type PlaceOptions = {
  /** Every certified host of the pool, online or not. */
  hosts: readonly HostFacts[]
  owner: string
  code: Code
  /** What the order of hosts is drawn from: the pack's id. */
  stripe: Uint8Array
  /** Shard index → host id of the shards that are placed already; they stay where they are. */
  already?: ReadonlyMap<number, string>
  policy?: Policy
  /** Hosts with less free space than this are passed over; 1 when absent. */
  shardLength?: number
  /** Hosts that refused or failed and must not be tried again for this stripe. */
  avoid?: ReadonlySet<string>
}

/** Host id per shard index; undefined where no host is left under the rules. */
export type Placement = { assignment: (string | undefined)[] }

/**
 * Assigns hosts to all shards that are not placed yet: as many as the rules allow, sites loaded
 * evenly, the order of hosts drawn by rendezvous hashing in proportion to free space. Same
 * arguments, same answer.
 */
export function placeShards(o: PlaceOptions): Placement {
  assert(isCode(o.code), 'a code within the limits')
  const shards = o.code.k + o.code.m
  const already = o.already ?? new Map<number, string>()
  const assignment = Array.from({ length: shards }, (_, index) => already.get(index))
  const holders = holdersOf(o.hosts, o.owner)
  const taken = new Set(already.values())
  const fixed = holders.filter((host) => taken.has(host.id))
  const free = holders.filter((host) => isEligible(host, o) && !taken.has(host.id))
  const missing = assignment.flatMap((id, index) => (id === undefined ? [index] : []))
  const candidates = rendezvousOrder(free, o.stripe)
  const spread = new Spread(candidates, fixed)
  const caps = placementCaps(o)
  const evenly = (kind: 'site' | 'provider'): number => {
    const domains = new Set([...fixed, ...candidates].map((host) => domainOf(host, kind)))
    return Math.min(caps[kind], Math.ceil(shards / Math.max(1, domains.size)))
  }
  // Caps rise step by step, so that no site is filled up while another could take one more.
  const even = { site: evenly('site'), provider: evenly('provider') }
  for (let site = 1; site <= even.site; site++) {
    spread.grow(missing.length, { site, provider: even.provider })
  }
  for (let site = even.site; site <= caps.site; site++) {
    spread.grow(missing.length, { site, provider: caps.provider })
  }
  for (const [i, host] of spread.chosen().entries()) {
    const index = missing[i]
    if (index !== undefined) assignment[index] = host.id
  }
  return { assignment }
}

function isEligible(host: HostFacts, o: PlaceOptions): boolean {
  return host.online && host.freeBytes >= (o.shardLength ?? 1) && !o.avoid?.has(host.id)
}

/**
 * Hosts in weighted rendezvous order: the hash of stripe and host gives eight draws, a host counts
 * the first 1 to 8 of them by its free space, and the highest draw goes first.
 */
function rendezvousOrder(hosts: readonly HostFacts[], stripe: Uint8Array): HostFacts[] {
  let freeMax = 1
  for (const host of hosts) freeMax = Math.max(freeMax, host.freeBytes)
  const draws = hosts.map((host) => {
    const hash = blake3(concatBytes(stripe, utf8(host.id)))
    const view = new DataView(hash.buffer, hash.byteOffset, hash.byteLength)
    const count = Math.max(1, Math.ceil((DRAWS_MAX * host.freeBytes) / freeMax))
    let best = 0
    for (let draw = 0; draw < count; draw++) best = Math.max(best, view.getUint32(4 * draw, true))
    return { host, best }
  })
  draws.sort((a, b) => b.best - a.best || (a.host.id < b.host.id ? -1 : 1))
  return draws.map(({ host }) => host)
}

/**
 * Shards below which a stripe counts as not stored at all: with fewer, one loss more is the end of
 * it.
 */
export function minimumShards({ k, m }: Code): number {
  return k + Math.min(1, m)
}
