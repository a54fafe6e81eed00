/**
 * Choosing hosts under caps: at most so many of one site and so many of one provider, as many hosts
 * as possible.
 *
 * A host is an edge between its site and its provider, and a choice is a set of edges with bounded
 * degrees: the largest one is found by augmenting paths, exactly, so a placement that exists is
 * never missed. (A third kind of domain would make the question NP-hard; organisations are
 * therefore only preferred, see plan.ts.)
 */

import { defined } from '../assert.ts'
import { domainOf } from './hosts.ts'
import type { HostFacts } from './hosts.ts'

/** At most this many shards of one stripe in one site, and with one provider. */
export type Caps = { site: number; provider: number }

/** A step of an augmenting path: take `host`, after giving back `instead` one step before. */
type Step = { host: HostFacts; from: Step | undefined; instead: HostFacts | undefined }

export class Spread {
  readonly #candidates: readonly HostFacts[]
  readonly #chosen = new Set<HostFacts>()
  readonly #siteLoads = new Map<string, number>()
  readonly #providerLoads = new Map<string, number>()

  /**
   * `candidates` in order of preference; each may be chosen once. `fixed` hosts already have a
   * shard: they count for the caps and are never given back.
   */
  constructor(candidates: readonly HostFacts[], fixed: readonly HostFacts[] = []) {
    this.#candidates = candidates
    for (const host of fixed) this.#add(host, 1)
  }

  /** The hosts chosen so far, in order of preference. */
  chosen(): HostFacts[] {
    return this.#candidates.filter((host) => this.#chosen.has(host))
  }

  get size(): number {
    return this.#chosen.size
  }

  /**
   * Chooses hosts until there are `count`, or as many as the caps allow. Never takes the number
   * back.
   */
  grow(count: number, caps: Caps): void {
    while (this.#chosen.size < count && this.#augment(caps));
  }

  #add(host: HostFacts, difference: 1 | -1): void {
    const site = domainOf(host, 'site')
    const provider = domainOf(host, 'provider')
    this.#siteLoads.set(site, (this.#siteLoads.get(site) ?? 0) + difference)
    this.#providerLoads.set(provider, (this.#providerLoads.get(provider) ?? 0) + difference)
  }

  /** One more host, possibly by exchanging some; false when there is no way. */
  #augment(caps: Caps): boolean {
    const seenProviders = new Set<string>()
    const seenSites = new Set<string>()
    for (const host of this.#candidates) {
      const site = domainOf(host, 'site')
      if ((this.#siteLoads.get(site) ?? 0) >= caps.site || this.#chosen.has(host)) continue
      const queue: Step[] = [{ host, from: undefined, instead: undefined }]
      // The queue grows while it is read: every host enters it at most once, through its provider.
      for (const step of queue) {
        const provider = domainOf(step.host, 'provider')
        if ((this.#providerLoads.get(provider) ?? 0) < caps.provider) {
          this.#take(step)
          return true
        }
        if (seenProviders.has(provider)) continue
        seenProviders.add(provider)
        queue.push(...this.#exchanges(step, { provider, seenSites }))
      }
    }
    return false
  }

  /**
   * What could be taken if a chosen host of a full provider were given back: others of that host's
   * site.
   */
  *#exchanges(from: Step, o: { provider: string; seenSites: Set<string> }): Generator<Step> {
    for (const instead of this.#chosen) {
      if (domainOf(instead, 'provider') !== o.provider) continue
      const site = domainOf(instead, 'site')
      if (o.seenSites.has(site)) continue
      o.seenSites.add(site)
      for (const host of this.#candidates) {
        if (domainOf(host, 'site') !== site || this.#chosen.has(host)) continue
        yield { host, from, instead }
      }
    }
  }

  #take(last: Step): void {
    for (let step: Step | undefined = last; step !== undefined; step = step.from) {
      this.#chosen.add(step.host)
      this.#add(step.host, 1)
      if (step.instead === undefined) continue
      this.#chosen.delete(step.instead)
      this.#add(step.instead, -1)
    }
  }
}

/**
 * A function that says how many hosts can be chosen under caps, `countMax` at most; answers are
 * remembered.
 */
export function placeableOf(hosts: readonly HostFacts[], countMax: number): (caps: Caps) => number {
  // More than countMax hosts of the same site and provider make no difference: hundreds of hosts
  // stay cheap.
  const groups = new Map<string, HostFacts[]>()
  for (const host of hosts) {
    const key = JSON.stringify([domainOf(host, 'site'), domainOf(host, 'provider')])
    const group = groups.get(key) ?? []
    groups.set(key, group)
    if (group.length < countMax) group.push(host)
  }
  const candidates = [...groups.values()].flat()
  const known = new Map<string, number>()
  return (caps) => {
    const key = `${Math.min(caps.site, countMax)} ${Math.min(caps.provider, countMax)}`
    if (!known.has(key)) {
      const spread = new Spread(candidates)
      spread.grow(countMax, caps)
      known.set(key, spread.size)
    }
    return defined(known.get(key), 'just computed')
  }
}
