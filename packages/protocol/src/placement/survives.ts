/**
 * What may still be lost: spec/placement.md §4. Computed from shards that were found healthy, not
 * from a plan.
 */

import type { Code } from '../codec/codec.ts'
import { DOMAIN_KINDS, domainOf } from './hosts.ts'
import type { HostFacts, Policy } from './hosts.ts'

/**
 * Above this many domains that share shards, the exact search (2^n sets) gives way to a bound on
 * the safe side.
 */
const EXACT_DOMAINS_MAX = 16

/**
 * How many whole hosts, sites, providers and organisations may vanish, whichever they are, and `k`
 * different healthy shards remain. −1 in all four when there are fewer than `k` now. Copies of one
 * shard on several hosts count once. Hosts that are not in `hosts` count as one site, provider and
 * organisation together. Exact, except that with copies of one shard in different domains and more
 * than 16 domains the figure may be lower than the truth, never higher.
 */
export function survives(o: {
  shards: readonly { index: number; host: string }[]
  hosts: readonly HostFacts[]
  code: Code
}): Policy {
  const facts = new Map(o.hosts.map((host) => [host.id, host]))
  const result: Policy = { host: -1, site: -1, provider: -1, org: -1 }
  if (new Set(o.shards.map((shard) => shard.index)).size < o.code.k) return result
  for (const kind of DOMAIN_KINDS) {
    const domains = new Map<string, Set<number>>()
    for (const { index, host } of o.shards) {
      const known = facts.get(host)
      const unknown = kind === 'host' ? `=${host}` : ''
      // The sign keeps real names apart from the one that stands for all unknown hosts.
      const domain = known === undefined ? unknown : `=${domainOf(known, kind)}`
      domains.set(domain, (domains.get(domain) ?? new Set()).add(index))
    }
    result[kind] = worstCase([...domains.values()], o.code.k)
  }
  return result
}

/** The largest number of domains of which any may vanish, so that `k` different indexes remain. */
function worstCase(domains: readonly Set<number>[], k: number): number {
  const loads = domains.map((indexes) => indexes.size).sort((a, b) => b - a)
  const copies = loads.reduce((sum, load) => sum + load, 0)
  const distinct = new Set(domains.flatMap((indexes) => [...indexes])).size
  if (copies > distinct && domains.length <= EXACT_DOMAINS_MAX) return exhaustive(domains, k)
  // No index in two domains: the worst loss is that of the fullest ones. Otherwise this counts
  // every copy lost as an index lost, which is the safe side.
  let remaining = distinct
  let lost = 0
  for (const load of loads) {
    remaining -= load
    if (remaining < k) break
    lost++
  }
  return lost
}

/** All sets of domains: the smallest set whose loss leaves fewer than `k` indexes, less one. */
function exhaustive(domains: readonly Set<number>[], k: number): number {
  const low = domains.map((indexes) => bitsOf(indexes, 0))
  const high = domains.map((indexes) => bitsOf(indexes, 32))
  let smallest = domains.length
  for (let lost = 1; lost < 1 << domains.length; lost++) {
    let lowLeft = 0
    let highLeft = 0
    for (let i = 0; i < domains.length; i++) {
      if ((lost & (1 << i)) !== 0) continue
      lowLeft |= low[i] as number
      highLeft |= high[i] as number
    }
    if (countOnes(lowLeft) + countOnes(highLeft) < k) smallest = Math.min(smallest, countOnes(lost))
  }
  return smallest - 1
}

/** Bit `i` stands for index `from + i`; a code has at most 48 shards. */
function bitsOf(indexes: ReadonlySet<number>, from: number): number {
  let bits = 0
  for (const index of indexes) {
    if (index >= from && index < from + 32) bits |= 1 << (index - from)
  }
  return bits
}

function countOnes(bits: number): number {
  let count = 0
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++
  return count
}
