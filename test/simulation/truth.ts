/**
 * What is really where, which no host knows: the oracle that the invariants are checked against.
 *
 * A shard is intact at a host when its bytes are on the host's disk, undamaged, whether the host
 * runs or not. Stores say what they gained and lost; a stripe that was acknowledged and falls below
 * k distinct intact shards is lost, there and then.
 */

import type { Code, StripeDescriptor } from '@moyai/protocol'
import { equalBytes, toHex } from '@moyai/protocol'

import type { Journal } from './journal.ts'

export type Shard = {
  index: number
  bytes: Uint8Array
  /** 32 bytes for each 16 KiB. */
  groups: Uint8Array
}

export type TrueStripe = {
  /** `vault/pack`, hex. */
  key: string
  descriptor: StripeDescriptor
  envelope: Uint8Array
  code: Code
  /** Hex. */
  owner: string
  shards: readonly Shard[]
  /** The owner holds a receipt for every shard: from then on it must not be lost. */
  acknowledged: boolean
  /** Ids of hosts with the intact shard, by index. */
  intact: readonly Set<string>[]
  /** Indexes with an intact copy somewhere. */
  distinct: number
  /** When it last became less than whole; undefined while it is whole. */
  brokenAt: number | undefined
  lost: boolean
}

export type TruthOptions = {
  journal: Journal
  now: () => number
  /** Shards may be lost for good; only what the software does by itself is wrong. */
  beyondBudget: boolean
}

export const stripeKey = (o: { vault: Uint8Array; pack: Uint8Array }): string =>
  `${toHex(o.vault)}/${toHex(o.pack)}`

export class Truth {
  readonly stripes = new Map<string, TrueStripe>()
  readonly #byEnvelope = new Map<string, TrueStripe>()
  readonly #o: TruthOptions
  /** Distinct shards that went, and distinct shards that came back: counts of shards. */
  readonly figures = { lostShards: 0, healedShards: 0, lostStripes: 0, worstHealMs: 0 }

  constructor(o: TruthOptions) {
    this.#o = o
  }

  add(stripe: TrueStripe): void {
    this.stripes.set(stripe.key, stripe)
    this.#byEnvelope.set(signatureOf(stripe.envelope), stripe)
  }

  of(o: { vault: Uint8Array; pack: Uint8Array }): TrueStripe | undefined {
    return this.stripes.get(stripeKey(o))
  }

  /** The stripe that an envelope describes; undefined when its vault never signed that. */
  ofEnvelope(envelope: Uint8Array): TrueStripe | undefined {
    const stripe = this.#byEnvelope.get(signatureOf(envelope))
    return stripe !== undefined && equalBytes(stripe.envelope, envelope) ? stripe : undefined
  }

  /** All shards have been placed, and their receipts are with the owner. */
  acknowledge(stripe: TrueStripe): void {
    stripe.acknowledged = true
    if (stripe.distinct < stripe.code.k + stripe.code.m) stripe.brokenAt ??= this.#o.now()
  }

  gained(stripe: TrueStripe, index: number, host: string): void {
    const holders = stripe.intact[index]
    if (holders === undefined || holders.has(host)) return
    holders.add(host)
    if (holders.size > 1) return
    stripe.distinct += 1
    if (!stripe.acknowledged) return
    this.figures.healedShards += 1
    if (stripe.distinct === stripe.code.k + stripe.code.m && stripe.brokenAt !== undefined) {
      const took = this.#o.now() - stripe.brokenAt
      this.figures.worstHealMs = Math.max(this.figures.worstHealMs, took)
      stripe.brokenAt = undefined
    }
    if (stripe.lost && stripe.distinct >= stripe.code.k) stripe.lost = false
  }

  gone(stripe: TrueStripe, index: number, host: string, why: string): void {
    const holders = stripe.intact[index]
    if (holders === undefined || !holders.delete(host) || holders.size > 0) return
    stripe.distinct -= 1
    if (!stripe.acknowledged) return
    this.figures.lostShards += 1
    stripe.brokenAt ??= this.#o.now()
    if (stripe.distinct >= stripe.code.k || stripe.lost) return
    stripe.lost = true
    this.figures.lostStripes += 1
    if (this.#o.beyondBudget) {
      this.#o.journal.note('stripe-lost', `${shortKey(stripe)} (${why})`)
      return
    }
    this.#o.journal.violate(
      'no-loss',
      `stripe ${shortKey(stripe)} has ${stripe.distinct} of ${stripe.code.k} shards it needs: ${why}`,
    )
  }
}

function signatureOf(envelope: Uint8Array): string {
  return toHex(envelope.subarray(0, 16))
}

/** Enough of a stripe's name to tell it from the others. */
export function shortKey(o: { key: string }): string {
  const [vault = '', pack = ''] = o.key.split('/')
  return `${vault.slice(0, 6)}/${pack.slice(0, 6)}`
}
