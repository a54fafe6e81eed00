/**
 * Choosing hosts under caps of two kinds of domains (say, sites and providers), as many as
 * possible.
 *
 * A host is an edge between its domains of the two kinds, and a choice is a set of edges with
 * bounded degrees: the largest one is found by augmenting paths, exactly, so a choice that exists
 * is never missed. For three kinds, see choose.ts.
 */

import { domainOf, GROUP_KINDS } from './hosts.ts'
import type { GroupKind, HostFacts } from './hosts.ts'

/** At most this many shards of one stripe in one domain of each kind. */
export type Caps = Record<GroupKind, number>

/** A host and the numbers of its domains: equal numbers, same domain. */
export type Candidate = Record<GroupKind, number> & { host: HostFacts }

/** Numbers the domains of each kind from 0. Keeps the order. */
export function numberDomains(hosts: readonly HostFacts[]): Candidate[] {
  const numbers = { site: new Map(), provider: new Map(), org: new Map() }
  const numberOf = (host: HostFacts, kind: GroupKind): number => {
    const known: Map<string, number> = numbers[kind]
    const domain = domainOf(host, kind)
    const number = known.get(domain) ?? known.size
    known.set(domain, number)
    return number
  }
  return hosts.map((host) => ({
    host,
    site: numberOf(host, 'site'),
    provider: numberOf(host, 'provider'),
    org: numberOf(host, 'org'),
  }))
}

/** How many of `candidates` are in each domain of that kind, by its number. */
export function loadsOf(candidates: Iterable<Candidate>, kind: GroupKind): number[] {
  const loads: number[] = []
  for (const one of candidates) loads[one[kind]] = (loads[one[kind]] ?? 0) + 1
  return loads
}

/**
 * At most `count` hosts of each site, provider and organisation together, the first ones: more of
 * the same make no difference to what can be chosen, and hundreds of hosts stay cheap.
 */
export function firstOfEach(candidates: readonly Candidate[], count: number): Candidate[] {
  const seen = new Map<string, number>()
  return candidates.filter((one) => {
    const key = GROUP_KINDS.map((kind) => one[kind]).join(' ')
    const before = seen.get(key) ?? 0
    seen.set(key, before + 1)
    return before < count
  })
}

/** A step of an augmenting path: take `one`, after giving back `instead` one step before. */
type Step = { one: Candidate; from: Step | undefined; instead: Candidate | undefined }

export class Spread {
  readonly #candidates: readonly Candidate[]
  readonly #chosen = new Set<Candidate>()
  readonly #kinds: readonly [GroupKind, GroupKind]
  readonly #loads: readonly [number[], number[]]

  /**
   * `candidates` in order of preference; each may be chosen once. `fixed` hosts already have a
   * shard: they count for the caps and are never given back.
   */
  constructor(
    candidates: readonly Candidate[],
    fixed: readonly Candidate[],
    kinds: readonly [GroupKind, GroupKind],
  ) {
    this.#candidates = candidates
    this.#kinds = kinds
    this.#loads = [loadsOf(fixed, kinds[0]), loadsOf(fixed, kinds[1])]
  }

  /** The hosts chosen so far, in order of preference. */
  chosen(): Candidate[] {
    return this.#candidates.filter((one) => this.#chosen.has(one))
  }

  /**
   * Chooses hosts until there are `count`, or as many as the caps allow. Never takes the number
   * back.
   */
  grow(count: number, caps: Caps): void {
    while (this.#chosen.size < count && this.#augment(caps));
  }

  #add(one: Candidate, difference: 1 | -1): void {
    for (const i of [0, 1] as const) {
      const domain = one[this.#kinds[i]]
      this.#loads[i][domain] = (this.#loads[i][domain] ?? 0) + difference
    }
  }

  /** One more host, possibly by exchanging some; false when there is no way. */
  #augment(caps: Caps): boolean {
    const [from, to] = this.#kinds
    const [fromLoads, toLoads] = this.#loads
    const seenTo = new Set<number>()
    const seenFrom = new Set<number>()
    for (const one of this.#candidates) {
      if ((fromLoads[one[from]] ?? 0) >= caps[from] || this.#chosen.has(one)) continue
      const queue: Step[] = [{ one, from: undefined, instead: undefined }]
      // The queue grows while it is read: every host enters it at most once, through its domain.
      for (const step of queue) {
        const domain = step.one[to]
        if ((toLoads[domain] ?? 0) < caps[to]) {
          this.#take(step)
          return true
        }
        if (seenTo.has(domain)) continue
        seenTo.add(domain)
        queue.push(...this.#exchanges(step, { domain, seenFrom }))
      }
    }
    return false
  }

  /**
   * What could be taken if a chosen host of a full domain were given back: others of that host's
   * domain of the first kind.
   */
  *#exchanges(from: Step, o: { domain: number; seenFrom: Set<number> }): Generator<Step> {
    const [first, second] = this.#kinds
    for (const instead of this.#chosen) {
      if (instead[second] !== o.domain || o.seenFrom.has(instead[first])) continue
      o.seenFrom.add(instead[first])
      for (const one of this.#candidates) {
        if (one[first] !== instead[first] || this.#chosen.has(one)) continue
        yield { one, from, instead }
      }
    }
  }

  #take(last: Step): void {
    for (let step: Step | undefined = last; step !== undefined; step = step.from) {
      this.#chosen.add(step.one)
      this.#add(step.one, 1)
      if (step.instead === undefined) continue
      this.#chosen.delete(step.instead)
      this.#add(step.instead, -1)
    }
  }
}
