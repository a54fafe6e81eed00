/**
 * A pool, its code, and where shards go: all three decided by the protocol's own planner, which the
 * simulated years call through a memory of its answers.
 */

import { type Code, type HostFacts, placementCaps, placeShards, planCode } from '@moyai/protocol'

const OWNER = 'owner'

/** Free space of an empty host; all alike, so that the draw between hosts is even. */
const FREE_BYTES = 1e12

export type Shape = {
  /** Every host's place, by its number; the owner's own host is not among them. */
  places: readonly number[]
  placeCount: number
  code: Code
  /** Hosts that may still be lost after the worst place has gone; below 0: not even the place. */
  margin: number
  /** Shards of one stripe at most in one place. */
  cap: number
  /** Shards of each group per host: group × hosts + host. */
  home: Uint8Array
  /** Shards of all groups per host. */
  load: Int32Array
  groups: number
  /**
   * Chooses hosts for missing shards. Undefined where a host may have several of one stripe: they
   * are kept even over the hosts that run.
   */
  planner: Planner | undefined
}

function hostsOf(machines: number, placeCount: number): HostFacts[] {
  // The owner's host comes first and is somewhere else, as in the recommended table.
  return Array.from({ length: machines }, (_, i) => ({
    id: i === 0 ? OWNER : `host ${i}`,
    org: 'one',
    site: i === 0 ? 'owner' : `place ${i % placeCount}`,
    provider: 'self',
    online: true,
    freeBytes: FREE_BYTES,
  }))
}

/** The code that the planner gives a pool of so many machines, dealt out over so many places. */
export function recommendedCode(machines: number, placeCount: number): Code {
  return planCode({ hosts: hostsOf(machines, placeCount), owner: OWNER, class: 'data' }).code
}

/**
 * A pool of `machines`, the owner's own among them, the others dealt out over `placeCount` places.
 * The code is the planner's unless given. A code with more shards than there are hosts (Tahoe's
 * 3-of-10 in a small pool) has several on each, dealt out evenly; `doublesUp` asks for that in any
 * pool, as what placement could do and does not.
 */
export function shapeOf(o: {
  machines: number
  placeCount: number
  groups: number
  code?: Code | undefined
  doublesUp?: boolean
}): Shape {
  const isCount = (count: number): boolean => Number.isSafeInteger(count) && count > 0
  if (!isCount(o.placeCount) || !isCount(o.machines) || o.machines < 3) {
    throw new RangeError('a pool has three machines or more, in one place or more')
  }
  const hosts = hostsOf(o.machines, o.placeCount)
  const code = o.code ?? recommendedCode(o.machines, o.placeCount)
  const holders = hosts.slice(1)
  const places = holders.map((_, i) => (i + 1) % o.placeCount)
  const fits = code.k + code.m <= holders.length
  const home = new Uint8Array(o.groups * holders.length)
  const load = new Int32Array(holders.length)
  const numbers = new Map(holders.map((host, i) => [host.id, i]))
  for (let group = 0; group < o.groups; group++) {
    const { assignment } = fits
      ? placeShards({ hosts, owner: OWNER, code, stripe: Uint8Array.of(group) })
      : { assignment: dealt(holders, code, group) }
    for (const id of assignment) {
      const host = numbers.get(id ?? '')
      if (host === undefined) continue
      const at = group * holders.length + host
      home[at] = (home[at] as number) + 1
      load[host] = (load[host] as number) + 1
    }
  }
  const cap = fits ? capOf(o.machines, o.placeCount, code) : code.k + code.m
  const margin = marginOf({ home, places, placeCount: o.placeCount, m: code.m })
  const planner = fits && o.doublesUp !== true ? new Planner(hosts, code, places) : undefined
  const { placeCount, groups } = o
  return { places, placeCount, code, margin, cap, home, load, groups, planner }
}

function dealt(holders: readonly HostFacts[], { k, m }: Code, group: number): string[] {
  return Array.from({ length: k + m }, (_, i) => holders[(group + i) % holders.length]?.id ?? '')
}

/** m less the shards in the fullest place, of the worst group. */
function marginOf(o: {
  home: Uint8Array
  places: readonly number[]
  placeCount: number
  m: number
}): number {
  let fullest = 0
  for (let from = 0; from < o.home.length; from += o.places.length) {
    const loads = Array.from({ length: o.placeCount }, () => 0)
    for (const [i, place] of o.places.entries()) {
      loads[place] = (loads[place] ?? 0) + (o.home[from + i] ?? 0)
    }
    fullest = Math.max(fullest, ...loads)
  }
  return o.m - fullest
}

/** Where a stripe stands. */
type Situation = {
  /** Hosts of each place that have a shard of it. */
  held: Uint8Array
  /** Hosts of each place that run and have none. */
  open: Uint8Array
  /** So few shards are left that the caps give way. */
  endangered: boolean
}

/**
 * `placeShards`, asked once per situation. All places of a simulated pool are alike, and so are the
 * hosts of one, so a situation is: for each place, how many hosts have a shard and how many could
 * take one. Which of a place's hosts takes it, the caller decides.
 */
export class Planner {
  readonly #hosts: readonly HostFacts[]
  readonly #code: Code
  readonly #places: readonly number[]
  readonly #placeCount: number
  readonly #base: number
  readonly #answers = new Map<number, Uint8Array>()
  readonly #endangered = new Map<number, Uint8Array>()
  readonly #order: Int32Array
  readonly #keys: Int32Array

  constructor(hosts: readonly HostFacts[], code: Code, places: readonly number[]) {
    this.#hosts = hosts
    this.#code = code
    this.#places = places
    this.#placeCount = 1 + Math.max(...places)
    this.#base = 1 + Math.ceil(places.length / this.#placeCount)
    this.#order = new Int32Array(this.#placeCount)
    this.#keys = new Int32Array(this.#placeCount)
    // Every situation must have a number of its own.
    if (this.#base ** (2 * this.#placeCount) >= Number.MAX_SAFE_INTEGER) {
      throw new RangeError('too many places and hosts to number their situations')
    }
  }

  /** Situations that the protocol's planner was asked about. */
  get asked(): number {
    return this.#answers.size + this.#endangered.size
  }

  /**
   * How many new shards each place gets, written to `into`. Among places in the same situation
   * `first` comes first.
   */
  choose(o: Situation & { into: Uint8Array; first: number }): void {
    const { held, open, into } = o
    const answers = o.endangered ? this.#endangered : this.#answers
    const count = this.#placeCount
    const [order, keys] = [this.#order, this.#keys]
    for (let step = 0; step < count; step++) {
      const place = (o.first + step) % count
      const key = (held[place] as number) * this.#base + (open[place] as number)
      let at = step
      for (; at > 0 && (keys[at - 1] as number) > key; at--) {
        keys[at] = keys[at - 1] as number
        order[at] = order[at - 1] as number
      }
      keys[at] = key
      order[at] = place
    }
    let situation = 0
    for (let i = 0; i < count; i++) situation = situation * this.#base ** 2 + (keys[i] as number)
    let answer = answers.get(situation)
    if (answer === undefined) {
      answer = this.#ask(o)
      answers.set(situation, answer)
    }
    for (let i = 0; i < count; i++) into[order[i] as number] = answer[i] as number
  }

  #ask({ held, open, endangered }: Situation): Uint8Array {
    const seen = new Uint8Array(this.#placeCount)
    const already = new Map<number, string>()
    const hosts = this.#hosts.map((host, i) => {
      const place = this.#places[i - 1]
      if (place === undefined) return host
      const rank = seen[place] as number
      seen[place] = rank + 1
      const holds = rank < (held[place] as number)
      if (holds) already.set(already.size, host.id)
      const online = rank < (held[place] as number) + (open[place] as number)
      return { ...host, online }
    })
    const placed = placeAll({ hosts, code: this.#code, already, endangered })
    const added = new Uint8Array(this.#placeCount)
    const placeOf = new Map(hosts.slice(1).map((host, i) => [host.id, this.#places[i] as number]))
    for (const id of placed) {
      const place = placeOf.get(id)
      if (place !== undefined) added[place] = (added[place] as number) + 1
    }
    return Uint8Array.from(this.#order, (place) => added[place] as number)
  }
}

/**
 * Hosts for the missing shards. The caps give way only for a stripe that is endangered, and only
 * for shards that have no host under them, as in the protocol's repairs.
 */
function placeAll(o: {
  hosts: readonly HostFacts[]
  code: Code
  already: ReadonlyMap<number, string>
  endangered: boolean
}): string[] {
  const place = { ...o, owner: OWNER, stripe: Uint8Array.of(0) }
  const { assignment } = placeShards(place)
  const isNew = (id: string | undefined, index: number): id is string =>
    id !== undefined && !o.already.has(index)
  if (!o.endangered) return assignment.filter(isNew)
  const kept = new Map([...assignment.entries()].filter((one) => one[1] !== undefined))
  const already = kept as Map<number, string>
  const policy = { host: 1, site: 0, provider: 0, org: 0 }
  return placeShards({ ...place, already, policy }).assignment.filter(isNew)
}

/** Shards of one stripe at most in one place, as the planner says it. */
export function capOf(machines: number, placeCount: number, code: Code): number {
  return placementCaps({ hosts: hostsOf(machines, placeCount), owner: OWNER, code }).site
}
