/**
 * Which copies of a stripe's shards are more than are wanted: spec/surplus.md §1.
 *
 * After a host came back, or a shard was moved, one shard may be at two hosts. One copy of each
 * index stays: together those that spread best. Everybody who knows the same places names the same
 * copies; where knowledge differs, the rules of the shard store (marker.ts) keep the last one.
 */

import { blake3 } from '../blake3/index.ts'
import { compareBytes, concatBytes, utf8 } from '../bytes.ts'
import type { Code } from '../codec/codec.ts'
import {
  DEFAULT_POLICY,
  DOMAIN_KINDS,
  GROUP_KINDS,
  domainOf,
  survives,
} from '../placement/index.ts'
import type { HostFacts, Policy } from '../placement/index.ts'

/**
 * What a host's copies are worth here. `stays`: they count. `leaves`: the host is being emptied, or
 * is not believed: what is elsewhere too may go. `unsure`: anything else; they do not count, and
 * nothing is said of them.
 */
export type CopyStanding = 'stays' | 'leaves' | 'unsure'

/** What `copyStanding` asks of a host. */
export type CopyCondition = {
  /** Certified and not revoked. */
  member: boolean
  state: 'online' | 'away' | 'suspect' | 'presumed-lost'
  retiring: boolean
  trusted: boolean
}

export function copyStanding(o: CopyCondition): CopyStanding {
  if (!o.member || o.state === 'suspect' || o.state === 'presumed-lost') return 'unsure'
  return o.retiring || !o.trusted ? 'leaves' : 'stays'
}

export type SurplusFacts = {
  code: Code
  /** Id of the pack, 32 bytes: what the order of equal copies is drawn from. */
  pack: Uint8Array
  /** Id of the owner's host: what it has of its own stripes does not count. */
  owner: string | undefined
  places: readonly { index: number; host: string; refuted: boolean }[]
  hosts: readonly HostFacts[]
  policy?: Policy
  standingOf: (host: string) => CopyStanding
}

/** A copy that may go, and the host whose copy of the same shard stays. */
export type SurplusPlace = { index: number; host: string; stays: string }

/**
 * The surplus copies, by index, then host. None unless every shard of the stripe has a copy that
 * counts, all at different hosts; and none if without them the stripe survived less than before
 * and less than `policy` asks for. The order of `places` and `hosts` makes no difference.
 */
export function surplusOf(o: SurplusFacts): SurplusPlace[] {
  if (!hasCopies(o.places)) return []
  const { code, policy = DEFAULT_POLICY } = o
  const facts = new Map(o.hosts.map((host) => [host.id, host]))
  const known = o.places.filter(
    ({ index, host, refuted }) =>
      !refuted && index < code.k + code.m && host !== o.owner && facts.has(host),
  )
  const counting = known.filter(({ host }) => o.standingOf(host) === 'stays')
  // Some shard is nowhere: that is the rule while a host is missing, and costs nothing more.
  if (new Set(counting.map(({ index }) => index)).size < code.k + code.m) return []
  const order = rendezvous(o.pack, new Set(counting.map(({ host }) => host)))
  const options = Array.from({ length: code.k + code.m }, (_, index): HostFacts[] => {
    const ids = new Set(counting.filter((one) => one.index === index).map(({ host }) => host))
    return order.flatMap((id) => (ids.has(id) ? [facts.get(id) as HostFacts] : []))
  })
  const chosen = distinctHosts(options)
  if (chosen === undefined) return []
  improve(chosen, { options, policy })
  const kept = chosen.map(({ id }, index) => ({ index, host: id }))
  if (isLessThanBefore(o, { counting, kept, policy })) return []
  const surplus = new Map<string, SurplusPlace>()
  for (const { index, host } of known) {
    const stays = chosen[index]?.id
    if (stays === undefined || stays === host || o.standingOf(host) === 'unsure') continue
    surplus.set(`${index} ${host}`, { index, host, stays })
  }
  return [...surplus.values()].sort((a, b) => a.index - b.index || (a.host < b.host ? -1 : 1))
}

type Places = readonly { index: number; host: string }[]

/** Whether `kept` alone survives less than `counting` did, where that is less than is asked for. */
function isLessThanBefore(
  { hosts, code }: SurplusFacts,
  o: { counting: Places; kept: Places; policy: Policy },
): boolean {
  const after = survives({ shards: o.kept, hosts, code })
  const facts = new Map(hosts.map((host) => [host.id, host]))
  const isShort = (kind: keyof Policy, most: number): boolean =>
    after[kind] < Math.min(most, o.policy[kind])
  // The last domain is never survived: this spares most stripes the exact figure for copies, which
  // is a thousand times slower.
  const short = DOMAIN_KINDS.filter((kind) => {
    const domains = o.counting.map(({ host }) => domainOf(facts.get(host) as HostFacts, kind))
    return isShort(kind, new Set(domains).size - 1)
  })
  if (short.length === 0) return false
  const before = survives({ shards: o.counting, hosts, code })
  return short.some((kind) => isShort(kind, before[kind]))
}

/** Whether some index is at two places: of most stripes nothing else needs to be looked at. */
function hasCopies(places: SurplusFacts['places']): boolean {
  const seen = new Set<number>()
  for (const { index } of places) {
    if (seen.has(index)) return true
    seen.add(index)
  }
  return false
}

/** Hosts in an order drawn from the pack; free space plays no part, because it changes. */
function rendezvous(pack: Uint8Array, hosts: ReadonlySet<string>): string[] {
  return [...hosts]
    .map((host) => ({ host, draw: blake3(concatBytes(pack, utf8(host))) }))
    .sort((a, b) => compareBytes(b.draw, a.draw))
    .map(({ host }) => host)
}

/** One of its options for each index, no host twice; undefined when there is no such choice. */
function distinctHosts(options: readonly (readonly HostFacts[])[]): HostFacts[] | undefined {
  const indexOf = new Map<HostFacts, number>()
  const place = (index: number, seen: Set<HostFacts>): boolean => {
    for (const host of options[index] ?? []) {
      if (seen.has(host)) continue
      seen.add(host)
      const other = indexOf.get(host)
      if (other !== undefined && !place(other, seen)) continue
      indexOf.set(host, index)
      return true
    }
    return false
  }
  if (!options.every((_, index) => place(index, new Set()))) return undefined
  const chosen: HostFacts[] = []
  for (const [host, index] of indexOf) chosen[index] = host
  return chosen
}

/** Exchanges one host at a time for a better one, as long as there is one. */
function improve(
  chosen: HostFacts[],
  o: { options: readonly (readonly HostFacts[])[]; policy: Policy },
): void {
  for (let better = true; better;) {
    better = false
    for (const [index, hosts] of o.options.entries()) {
      for (const host of hosts.length > 1 ? hosts : []) {
        if (chosen.includes(host)) continue
        const other = chosen.with(index, host)
        if (compare(spreadOf(other, o.policy), spreadOf(chosen, o.policy)) >= 0) continue
        chosen[index] = host
        better = true
      }
    }
  }
}

/** Smaller is better. First what the worst domains of the policy hold; then how uneven all are. */
type SpreadFigure = [worst: number, uneven: number]

function spreadOf(chosen: readonly HostFacts[], policy: Policy): SpreadFigure {
  let worst = 0
  let uneven = 0
  for (const kind of GROUP_KINDS) {
    const loads = new Map<string, number>()
    for (const host of chosen) {
      const domain = domainOf(host, kind)
      loads.set(domain, (loads.get(domain) ?? 0) + 1)
    }
    const sorted = [...loads.values()].sort((a, b) => b - a)
    const lost = sorted.slice(0, policy[kind]).reduce((sum, load) => sum + load, 0)
    worst = Math.max(worst, lost)
    uneven += sorted.reduce((sum, load) => sum + load * load, 0)
  }
  return [worst, uneven]
}

function compare(a: SpreadFigure, b: SpreadFigure): number {
  return a[0] - b[0] || a[1] - b[1]
}
