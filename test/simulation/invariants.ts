/**
 * What must hold at every moment, and what must be reached once faults stop. Loss is watched by the
 * oracle (truth.ts) at every change; the rest here.
 */

import {
  domainOf,
  GROUP_KINDS,
  isEndangered,
  LAZY_MARGIN_MIN,
  placementCaps,
  placementMargin,
  repairTargets,
  SURPLUS_WAIT_MS,
} from '@moyai/protocol'

import type { SimHost } from './host.ts'
import { HOUR_MS } from './time.ts'
import { shortKey, type TrueStripe } from './truth.ts'
import type { World } from './world.ts'

/**
 * Repairs move at most so much for each shard that was truly lost: k fetched, one placed, and half
 * of that again for repairs that a fault interrupted.
 */
const TRAFFIC_FACTOR = 1.5
/** Shards that may be moved without any having been lost: hosts that were away too long. */
const TRAFFIC_FREE_SHARDS = 200
/** From then on a host that is away counts as lost: what is moved for it is no storm. */
const EXCUSED_AWAY_MS: number = 72 * HOUR_MS

/** How many shards this pool could have intact of the stripe, by the rules of every placement. */
function shardsPossible(world: World, stripe: TrueStripe): number {
  const able = world.living().filter(({ store }) => store.lie === undefined)
  const stays = new Map<number, string>()
  for (const [index, holders] of stripe.intact.entries()) {
    const used = new Set(stays.values())
    const host = able.find(({ id }) => holders.has(id) && !used.has(id))
    if (host !== undefined) stays.set(index, host.id)
  }
  const wanted = stripe.shards.map(({ index }) => index).filter((index) => !stays.has(index))
  if (wanted.length === 0) return stays.size
  const targets = repairTargets({
    // Hosts count that are in the pool's log, the dead ones too, but get nothing.
    hosts: world.members().map((host) => host.facts(able.includes(host))),
    owner: stripe.owner,
    code: stripe.code,
    stripe: stripe.descriptor.pack,
    stays,
    wanted,
    endangered: isEndangered(stripe.code, stays.size),
    policy: world.policy,
    shardLength: stripe.descriptor.shardLength,
  })
  return stays.size + targets.size
}

/** Shards of the stripe that repair may leave missing: with much margin one is not worth it yet. */
function lazyShards(world: World, stripe: TrueStripe): number {
  const margin = placementMargin({
    hosts: world.members().map((host) => host.facts(true)),
    owner: stripe.owner,
    code: stripe.code,
    policy: world.policy,
  })
  return margin >= LAZY_MARGIN_MIN ? 1 : 0
}

/** Indexes whose shard is intact at a host that stays in the pool. */
export function soundShards(world: World, stripe: TrueStripe): number {
  return stripe.intact.filter((holders) =>
    [...holders].some((id) => world.byId.get(id)?.retiring === false),
  ).length
}

/** Stripes that are less than whole although they could be; what the liveness phase waits for. */
export function unhealed(world: World): TrueStripe[] {
  return [...world.truth.stripes.values()].filter((stripe) => {
    if (!stripe.acknowledged || stripe.lost) return false
    const sound = soundShards(world, stripe)
    if (sound === stripe.shards.length) return false
    return sound < shardsPossible(world, stripe) - lazyShards(world, stripe)
  })
}

/** Copies of shards beyond one each. */
export function surplusCopies(world: World): number {
  let count = 0
  for (const stripe of world.truth.stripes.values()) {
    for (const holders of stripe.intact) count += Math.max(0, holders.size - 1)
  }
  return count
}

/** Watches what hosts put, remove and move. */
export class Invariants {
  readonly #world: World
  /** Shards whose loss somebody may have believed in, rightly or not. */
  #excusedShards = 0
  readonly #excused = new Set<string>()
  /** True time of each marker. */
  readonly #markedAt = new Map<string, number>()
  readonly #awaySince = new Map<string, number>()

  constructor(world: World) {
    this.#world = world
  }

  /** Every simulated hour. */
  check(): void {
    this.#checkTraffic()
  }

  /** A shard arrived at a host: never two shards of one stripe at one host. */
  placed(host: SimHost, stripe: TrueStripe, index: number): void {
    const world = this.#world
    const others = host.store.indexesOf(stripe).filter((one) => one !== index)
    if (others.length > 0) {
      const text = `${host.name} got shard ${index} of ${shortKey(stripe)} and has ${others.join()}`
      world.journal.violate('one-shard-per-host', text)
    }
    this.#checkCaps(host, stripe, index)
    if (host.id === stripe.owner) {
      world.journal.violate('owner-holds-none', `${host.name} got a shard of its own stripe`)
    }
  }

  /** The waiting time of a copy begins. */
  marked(host: SimHost, stripe: TrueStripe, index: number): void {
    this.#markedAt.set(`${host.id} ${stripe.key} ${index}`, this.#world.time.now)
  }

  /**
   * A copy is about to go as surplus: there is another one, intact, and its marker stood for the
   * wait in true time.
   */
  trimmed(host: SimHost, stripe: TrueStripe, index: number): void {
    const { journal, time } = this.#world
    const others = [...(stripe.intact[index] ?? [])].filter((id) => id !== host.id)
    const about = `${host.name} let go of shard ${index} of ${shortKey(stripe)}`
    journal.note('trimmed', `${host.name} shard ${index} of ${shortKey(stripe)}`)
    if (others.length === 0) journal.violate('surplus-has-another-copy', `${about}: the last one`)
    const stood = time.now - (this.#markedAt.get(`${host.id} ${stripe.key} ${index}`) ?? time.now)
    if (stood >= SURPLUS_WAIT_MS - HOUR_MS) return
    journal.violate(
      'surplus-waits',
      `${about} after ${Math.round(stood / HOUR_MS)} of ${SURPLUS_WAIT_MS / HOUR_MS} hours`,
    )
  }

  /**
   * Caps are kept where a stripe is not endangered. Only hosts that this one sees are counted: of
   * those beyond a partition nobody here knows, and may believe the worst.
   */
  #checkCaps(host: SimHost, stripe: TrueStripe, index: number): void {
    const world = this.#world
    if (!stripe.acknowledged) return
    const seen = stripe.intact.flatMap((holders, at) =>
      at === index ? [] : [...holders].filter((id) => host.node.peers.has(id)),
    )
    const holders = new Set(seen)
    // One more than endangered: the host that placed it may have known of one fewer.
    if (isEndangered(stripe.code, holders.size - 1)) return
    const hosts = world.members().map((one) => one.facts(true))
    const { code, owner } = stripe
    const caps = placementCaps({ hosts, owner, code, policy: world.policy })
    const facts = new Map(hosts.map((one) => [one.id, one]))
    const own = facts.get(host.id)
    if (own === undefined) return
    for (const kind of GROUP_KINDS) {
      const domain = domainOf(own, kind)
      const count = [...holders].filter((id) => {
        const other = facts.get(id)
        return other !== undefined && domainOf(other, kind) === domain
      }).length
      if (count < caps[kind]) continue
      const text = `${host.name} got shard ${index} of ${shortKey(stripe)}: number ${count + 1}`
      world.journal.violate('caps', `${text} of ${domain}, where ${caps[kind]} may be`)
    }
  }

  #checkTraffic(): void {
    const world = this.#world
    const { now } = world.time
    for (const host of world.hosts) {
      if (host.on) {
        this.#awaySince.delete(host.id)
        this.#excused.delete(host.id)
        continue
      }
      const since = this.#awaySince.get(host.id) ?? now
      this.#awaySince.set(host.id, since)
      if (now - since < EXCUSED_AWAY_MS || this.#excused.has(host.id)) continue
      this.#excused.add(host.id)
      this.#excusedShards += host.store.count
    }
    const { get, put } = world.traffic
    let widest = 1
    let shardBytes = 1
    for (const { code, descriptor } of world.truth.stripes.values()) {
      widest = Math.max(widest, code.k)
      shardBytes = descriptor.shardLength * world.shape.weight
    }
    const lost = world.truth.figures.lostShards + this.#excusedShards + world.excusedShards
    const most = (TRAFFIC_FACTOR * lost + TRAFFIC_FREE_SHARDS) * (widest + 1) * shardBytes
    if (get + put <= most) return
    const shards = Math.round((get + put) / shardBytes)
    world.journal.violate('no-storm', `${shards} shards were moved for ${lost} that were lost`)
  }
}
