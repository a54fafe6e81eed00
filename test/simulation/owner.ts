/**
 * An owner that stores: codes a stripe, places it by the protocol's own plan, and counts it as
 * stored when it holds a receipt for every shard. What failed is tried again, elsewhere.
 */

import { openReceipt, placeShards, planCode, toHex, type StripeClass } from '@moyai/protocol'

import type { SimHost } from './host.ts'
import type { SimNetwork } from './network.ts'
import { HOUR_MS, YEAR_MS } from './time.ts'
import type { TrueStripe } from './truth.ts'
import type { World } from './world.ts'

/** What the owner's index says of a stripe. */
export type OwnStripe = { stripe: TrueStripe; placed: Map<number, string> }

const CLASSES: readonly StripeClass[] = ['data', 'data', 'data', 'meta', 'critical']

/** Makes a stripe of the host's vault, of the code that suits the pool now. */
export function newStripe(world: World, host: SimHost, kind: StripeClass): TrueStripe | undefined {
  if (host.vault === undefined) return undefined
  const hosts = world.members().map((one) => one.facts(true))
  const { code } = planCode({ hosts, owner: host.id, class: kind, policy: world.policy })
  const now = host.clock.now()
  const stripe = host.vault.stripe({
    code,
    class: kind,
    now,
    protectedUntil: now + 2 * YEAR_MS,
  })
  world.truth.add(stripe)
  return stripe
}

/** Stripes that are stored before the simulation begins: everybody was there for it. */
export function storeAtOnce(world: World, host: SimHost, count: number): void {
  const facts = world.members().map((one) => one.facts(true))
  for (let i = 0; i < count; i++) {
    const stripe = newStripe(world, host, world.dice.pick(CLASSES))
    if (stripe === undefined) return
    const { assignment } = placeShards({
      hosts: facts,
      owner: host.id,
      code: stripe.code,
      stripe: stripe.descriptor.pack,
      policy: world.policy,
      shardLength: stripe.descriptor.shardLength,
    })
    const placed = new Map<number, string>()
    for (const [index, id] of assignment.entries()) {
      const shard = stripe.shards[index]
      if (id === undefined || shard === undefined) continue
      world.byId.get(id)?.store.keep(stripe, shard)
      placed.set(index, id)
    }
    host.own.set(stripe.key, { stripe, placed })
    if (placed.size === stripe.shards.length) world.truth.acknowledge(stripe)
  }
}

/** Places what is not placed yet, with hosts that are there; true when all of it is. */
async function settle(o: {
  world: World
  host: SimHost
  network: SimNetwork
  own: OwnStripe
  signal: AbortSignal
}): Promise<boolean> {
  const { world, host, network, own, signal } = o
  const { stripe, placed } = own
  const { assignment } = placeShards({
    hosts: world.members().map((one) => one.facts(host.node.peers.has(one.id))),
    owner: host.id,
    code: stripe.code,
    stripe: stripe.descriptor.pack,
    already: placed,
    policy: world.policy,
    shardLength: stripe.descriptor.shardLength,
    avoid: world.retiringHosts,
  })
  for (const [index, id] of assignment.entries()) {
    const shard = stripe.shards[index]
    if (id === undefined || shard === undefined || placed.has(index)) continue
    try {
      const payload = async function* (): AsyncGenerator<Uint8Array> {
        yield shard.bytes
      }
      const { envelope, descriptor } = stripe
      const { vault, pack } = descriptor
      const held = await network.shards(id).stat({ vault, pack, signal })
      // Repaired there meanwhile, by a host that has a shard of it already.
      for (const one of held) if (!placed.has(one.index)) placed.set(one.index, id)
      if (held.some((one) => one.index !== index)) continue
      const { receipt } = await network.shards(id).put({ envelope, index, payload, signal })
      placed.set(index, toHex(openReceipt(receipt).host))
    } catch {
      signal.throwIfAborted()
    }
  }
  return placed.size === stripe.shards.length
}

/** Stores a new stripe now and then while the host runs, until `signal` aborts. */
export async function ownerLoop(o: {
  world: World
  host: SimHost
  network: SimNetwork
  signal: AbortSignal
}): Promise<void> {
  const { world, host, signal } = o
  try {
    for (;;) {
      await host.clock.sleep(HOUR_MS, signal)
      const settling = [...host.own.values()].filter(({ stripe }) => !stripe.acknowledged)
      if (settling.length === 0 && !world.calm && host.dice.chance(1 / 900)) {
        const stripe = newStripe(world, host, host.dice.pick(CLASSES))
        if (stripe === undefined) return
        const own = { stripe, placed: new Map<number, string>() }
        host.own.set(stripe.key, own)
        settling.push(own)
      }
      for (const own of settling) {
        if (!(await settle({ ...o, own }))) continue
        world.truth.acknowledge(own.stripe)
        world.journal.note('stored', `${host.name} ${own.stripe.code.k}+${own.stripe.code.m}`)
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}
