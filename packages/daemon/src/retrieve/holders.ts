/**
 * Who has which shard: by the receipts in the index, and by asking every host.
 *
 * A receipt says who took a shard when it was stored; repair may have moved it since, and after a
 * rebuild of the index there are none. So what hosts say they have (`stat`) is added when receipts
 * do not suffice. Their word needs no trust: whatever they send is verified.
 */

import { toHex } from '@moyai/protocol'
import type { Clock, StripeDescriptor } from '@moyai/protocol'

import type { HostHealth } from './host-health.ts'
import type { PackIndex, ShardHosts } from './ports.ts'

/** Packs whose holders are remembered. */
const PACKS_MAX = 1024
/** A host that does not say what it has in this time is not waited for. */
const STAT_MS = 5000
/** What a host said is asked again after this time. */
const DISCOVERED_MS = 30_000

type Known = { byIndex: Map<number, string[]>; discoveredAt: number }

export type HoldersComponents = {
  index: Pick<PackIndex, 'holders'>
  hosts: ShardHosts
  health: HostHealth
  clock: Clock
}

/** See the head of this file. */
export class Holders {
  readonly #components: HoldersComponents
  readonly #packs = new Map<string, Promise<Known>>()

  constructor(components: HoldersComponents) {
    this.#components = components
  }

  /** Hosts (hex ids) that may have shard `index`, those that work first. */
  async of(stripe: StripeDescriptor, index: number): Promise<string[]> {
    const { health } = this.#components
    const hosts = (await this.#known(stripe)).byIndex.get(index) ?? []
    const avoided = (host: string): number => (health.avoids(host, stripe.pack, index) ? 1 : 0)
    return hosts.toSorted((a, b) => avoided(a) - avoided(b))
  }

  /** Shard indexes of the stripe but those of `skip`, the most promising first. */
  async order(stripe: StripeDescriptor, skip: ReadonlySet<number>): Promise<number[]> {
    const { hosts, health } = this.#components
    const { byIndex } = await this.#known(stripe)
    const members = new Set(hosts.hosts())
    const rank = (index: number): number => {
      const known = byIndex.get(index)
      if (known === undefined) return 3
      if (!known.some((host) => members.has(host))) return 2
      return known.every((host) => health.avoids(host, stripe.pack, index)) ? 1 : 0
    }
    const indexes = Array.from({ length: stripe.k + stripe.m }, (_, index) => index)
    return indexes.filter((index) => !skip.has(index)).sort((a, b) => rank(a) - rank(b))
  }

  /** Asks every host which shards of the stripe it has, and remembers the answers. */
  async discover(stripe: StripeDescriptor, signal: AbortSignal): Promise<void> {
    const { clock, hosts } = this.#components
    const known = await this.#known(stripe)
    if (clock.monotonic() - known.discoveredAt < DISCOVERED_MS) return
    known.discoveredAt = clock.monotonic()
    await Promise.all(
      hosts.hosts().map(async (host) => {
        for (const index of await this.#ask(host, stripe, signal)) {
          const list = known.byIndex.get(index) ?? []
          if (!list.includes(host)) list.push(host)
          known.byIndex.set(index, list)
        }
      }),
    )
  }

  async #ask(host: string, stripe: StripeDescriptor, signal: AbortSignal): Promise<number[]> {
    const { clock, hosts } = this.#components
    const done = new AbortController()
    const both = AbortSignal.any([signal, done.signal])
    try {
      const { vault, pack } = stripe
      const asked = hosts.shards(host).stat({ vault, pack, signal: both })
      const answer = await Promise.race([asked, clock.sleep(STAT_MS, both)])
      const shards = stripe.k + stripe.m
      return (answer ?? [])
        .map(({ index }) => index)
        .filter((index) => Number.isInteger(index) && index >= 0 && index < shards)
    } catch {
      return [] // away or in trouble: it is not among those who have it now
    } finally {
      done.abort()
    }
  }

  #known(stripe: StripeDescriptor): Promise<Known> {
    const key = toHex(stripe.pack)
    let known = this.#packs.get(key)
    if (known === undefined) {
      known = this.#load(stripe)
      this.#packs.set(key, known)
      if (this.#packs.size > PACKS_MAX) {
        const [oldest] = this.#packs.keys()
        if (oldest !== undefined) this.#packs.delete(oldest)
      }
    }
    return known
  }

  async #load(stripe: StripeDescriptor): Promise<Known> {
    const byIndex = new Map<number, string[]>()
    for (const { index, host } of await this.#components.index.holders(stripe.pack)) {
      byIndex.set(index, [...(byIndex.get(index) ?? []), host])
    }
    return { byIndex, discoveredAt: Number.NEGATIVE_INFINITY }
  }
}
