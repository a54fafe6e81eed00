/**
 * Which hosts: spec/placement.md §3. One shard of a stripe per host, never the owner's own, only
 * hosts that are online, caps per site, provider and organisation.
 */

import { assert } from '../assert.ts'
import { blake3 } from '../blake3/index.ts'
import { concatBytes, utf8 } from '../bytes.ts'
import { isCode } from '../codec/codec.ts'
import type { Code } from '../codec/codec.ts'
import { chooseHosts } from './choose.ts'
import type { ChooseOptions } from './choose.ts'
import { GROUP_KINDS, nightsByDefault } from './hosts.ts'
import type { GroupKind, HostFacts, Policy } from './hosts.ts'
import { placementCaps } from './plan.ts'
import { holdersOf } from './reach.ts'
import { numberDomains } from './spread.ts'
import type { Candidate } from './spread.ts'

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
  /** Whether stripes are to be read while only always-on hosts run; as in `planCode`. */
  nights?: boolean
}

/** Host id per shard index; undefined where no host is left under the rules. */
export type Placement = { assignment: (string | undefined)[] }

/**
 * Assigns hosts to all shards that are not placed yet: as many as the caps allow, domains loaded
 * evenly, the order of hosts drawn by rendezvous hashing in proportion to free space. Where nights
 * matter, one shard more than a reader needs goes to always-on hosts first. Same arguments, same
 * answer.
 */
export function placeShards(o: PlaceOptions): Placement {
  assert(isCode(o.code), 'a code within the limits')
  const shards = o.code.k + o.code.m
  const already = o.already ?? new Map<number, string>()
  const assignment = Array.from({ length: shards }, (_, index) => already.get(index))
  const missing = assignment.flatMap((id, index) => (id === undefined ? [index] : []))
  const holders = holdersOf(o.hosts, o.owner)
  const taken = new Set(already.values())
  const eligible = holders.filter((host) => isEligible(host, o) && !taken.has(host.id))
  const fixed = holders.filter((host) => taken.has(host.id))
  const numbered = numberDomains([...fixed, ...rendezvousOrder(eligible, o.stripe)])
  const search: Search = {
    candidates: numbered.slice(fixed.length),
    fixed: numbered.slice(0, fixed.length),
    count: missing.length,
    caps: placementCaps(o),
    shards,
  }
  const chosen =
    (o.nights ?? nightsByDefault(holders))
      ? chooseForNights(search, o.code.k + 1)
      : chooseEvenly(search)
  for (const [i, { host }] of chosen.entries()) {
    const index = missing[i]
    if (index !== undefined) assignment[index] = host.id
  }
  return { assignment }
}

type Search = ChooseOptions & {
  /** Shards of the whole stripe. */
  shards: number
}

/** The largest choice under the caps, and of these one with the lowest loads. */
function chooseEvenly(search: Search): Candidate[] {
  const { caps, fixed, candidates, shards } = search
  const largest = chooseHosts(search)
  const lowest = (kind: GroupKind): number => {
    const domains = new Set([...fixed, ...candidates].map((one) => one[kind])).size
    return Math.ceil(shards / Math.max(1, domains))
  }
  const even = { site: lowest('site'), provider: lowest('provider'), org: lowest('org') }
  for (let more = 0; more < shards; more++) {
    const under = (kind: GroupKind): number => Math.min(caps[kind], even[kind] + more)
    const lower = { site: under('site'), provider: under('provider'), org: under('org') }
    if (GROUP_KINDS.every((kind) => lower[kind] === caps[kind])) break
    const chosen = chooseHosts({ ...search, caps: lower })
    if (chosen.length === largest.length) return chosen
  }
  return largest
}

/**
 * Always-on hosts first, until `readers` of them have a shard; never at the price of a shard that
 * could be placed otherwise.
 */
function chooseForNights(search: Search, readers: number): Candidate[] {
  const plain = chooseEvenly(search)
  const isAwake = ({ host }: Candidate): boolean => host.alwaysOn === true
  const wanted = readers - search.fixed.filter(isAwake).length
  if (plain.filter(isAwake).length >= wanted) return plain
  const awake = chooseEvenly({
    ...search,
    candidates: search.candidates.filter(isAwake),
    count: Math.min(search.count, Math.max(0, wanted)),
  })
  const rest = chooseEvenly({
    ...search,
    candidates: search.candidates.filter((one) => !awake.includes(one)),
    fixed: [...search.fixed, ...awake],
    count: search.count - awake.length,
  })
  return awake.length + rest.length < plain.length ? plain : [...awake, ...rest]
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
