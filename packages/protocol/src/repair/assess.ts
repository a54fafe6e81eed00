/**
 * How a stripe is doing, from what is known of its shards' places: spec/repair.md §1.
 *
 * Three things are told apart that a plain count of shards mixes up: what is there and may stay,
 * what can still be read and has to be elsewhere, and what is only hoped for.
 */

import type { Code } from '../codec/codec.ts'

/**
 * What a host's shards are worth. `here`: they count, whether it is online or away. `doubtful`:
 * missed for so long that they may be gone, or presumed lost by this host alone. `emptied`: it is
 * retiring, they count until they are elsewhere. `distrusted`: they may be read, every byte being
 * proved, and do not count. `gone`: presumed lost, revoked, or no host of this pool.
 */
export type HostStanding = 'here' | 'doubtful' | 'emptied' | 'distrusted' | 'gone'

/** What `hostStanding` asks of a host. */
export type HostCondition = {
  /** Certified and not revoked. */
  member: boolean
  state: 'online' | 'away' | 'suspect' | 'presumed-lost'
  /** For `presumed-lost`: whether another observer says so, too. */
  agreed: boolean
  retiring: boolean
  trusted: boolean
}

/** The standing of a host; of two reasons against it the worse one. */
export function hostStanding(o: HostCondition): HostStanding {
  if (!o.member || (o.state === 'presumed-lost' && o.agreed)) return 'gone'
  if (!o.trusted) return 'distrusted'
  if (o.state === 'suspect' || o.state === 'presumed-lost') return 'doubtful'
  return o.retiring ? 'emptied' : 'here'
}

/** One place of one shard, as far as this decision needs it. */
export type StripePlace = { index: number; host: string; seenAt: number; refuted: boolean }

export type RepairFacts = {
  code: Code
  /** Id of the owner's host: what it has of its own stripes does not count. */
  owner: string | undefined
  places: readonly StripePlace[]
  standingOf: (host: string) => HostStanding
  /**
   * Since when a host that had been presumed lost is back, ms: what it was not seen with since then
   * is not believed to be there. Undefined for all others.
   */
  backSince?: (host: string) => number | undefined
}

/** A stripe's shards by what they are worth; every index is in exactly one of the first four. */
export type StripeHealth = {
  /** Host by index: there, and may stay. No host twice. */
  stays: ReadonlyMap<number, string>
  /** Host by index: nobody has seen that host for long; no host twice, none of `stays`. */
  doubtful: ReadonlyMap<number, string>
  /** There, but at a host that is being emptied, or one that has another shard of this stripe. */
  leaving: readonly number[]
  /** Nowhere, or only where it does not count. Ascending. */
  missing: readonly number[]
  /** Different indexes that count: those of the first three. */
  healthy: number
  /** Those of them that do not depend on a doubtful host. */
  sure: number
  /** Different indexes that somebody may still have, distrusted hosts included. */
  readable: number
}

/** See the head of this file. The order of `places` makes no difference. */
export function assessStripe(o: RepairFacts): StripeHealth {
  const shards = o.code.k + o.code.m
  const hosts = {
    here: new Map<number, string[]>(),
    doubtful: new Map<number, string[]>(),
    emptied: new Map<number, string[]>(),
    distrusted: new Map<number, string[]>(),
  }
  for (const { index, host, refuted, seenAt } of o.places) {
    const standing = o.standingOf(host)
    if (index >= shards || refuted || standing === 'gone' || host === o.owner) continue
    const back = o.backSince?.(host)
    const counts = back === undefined || seenAt >= back
    const group = hosts[counts ? standing : 'distrusted']
    group.set(index, [...(group.get(index) ?? []), host])
  }
  for (const group of Object.values(hosts)) for (const list of group.values()) list.sort()
  const stays = match(hosts.here, shards, new Set())
  const used = new Set(stays.values())
  const unsure = new Map([...hosts.doubtful].filter(([index]) => !stays.has(index)))
  // An index that is at a host in use, crowded or not, does not have to be hoped for.
  for (const index of [...hosts.here.keys(), ...hosts.emptied.keys()]) unsure.delete(index)
  const doubtful = match(unsure, shards, used)
  const leaving: number[] = []
  const missing: number[] = []
  let readable = 0
  let crowded = 0
  for (let index = 0; index < shards; index++) {
    const there = hosts.here.has(index) || hosts.emptied.has(index)
    if (there || hosts.doubtful.has(index) || hosts.distrusted.has(index)) readable++
    if (stays.has(index) || doubtful.has(index)) continue
    if (there || unsure.has(index)) leaving.push(index)
    else missing.push(index)
    if (!there && unsure.has(index)) crowded++
  }
  const healthy = shards - missing.length
  return {
    stays,
    doubtful,
    leaving,
    missing,
    healthy,
    sure: healthy - doubtful.size - crowded,
    readable,
  }
}

/**
 * As many indexes as possible, each with one of its hosts, no host twice, and none of `used`: by
 * augmenting paths, in the order of indexes and ids.
 */
function match(
  hosts: ReadonlyMap<number, readonly string[]>,
  shards: number,
  used: ReadonlySet<string>,
): Map<number, string> {
  const indexOf = new Map<string, number>()
  const place = (index: number, seen: Set<string>): boolean => {
    for (const host of hosts.get(index) ?? []) {
      if (used.has(host) || seen.has(host)) continue
      seen.add(host)
      const other = indexOf.get(host)
      if (other !== undefined && !place(other, seen)) continue
      indexOf.set(host, index)
      return true
    }
    return false
  }
  for (let index = 0; index < shards; index++) place(index, new Set())
  return new Map([...indexOf].map(([host, index]) => [index, host]))
}
