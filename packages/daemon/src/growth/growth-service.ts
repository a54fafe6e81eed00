/**
 * Gives the owner's stripes more parity when the pool has grown: spec/growth.md §2.
 *
 * A longer descriptor is signed and recorded with its new shards as missing; placing them is the
 * same work as placing any shard that has no holder, and goes on after a restart. What is placed is
 * not touched: the stripe never survives less than before.
 */

import {
  MoyaiError,
  blake3,
  defined,
  equalBytes,
  needsMore,
  openStripe,
  signStripe,
  toHex,
  toMoyaiError,
} from '@moyai/protocol'
import type { Clock, Code, Codec, Growth, Signer, StripeDescriptor } from '@moyai/protocol'

import type { HealthNetwork, HealthPool } from '../health/ports.ts'
import type { Logger } from '../logger.ts'
import type { HolderRecord, VaultIndex } from '../store/index.ts'

const HOUR_MS = 3_600_000
/**
 * How long a pool has to stay as it is before stripes follow it: who invites ten machines does so
 * within a day, and each of them would be worth another code.
 */
const SETTLE_MS: number = 24 * HOUR_MS
/**
 * Bytes read and placed in an hour, 10 GiB a day: a vault of 300 GiB follows its pool within some
 * months, beside everything else that the line is for.
 */
const BYTES_PER_TURN: number = 440 * 2 ** 20

export type GrowthServiceOptions = {
  intervalMs?: number
  settleMs?: number
  bytesPerTurn?: number
  /** The code of data stripes that a person has set: then nothing is extended. */
  fixed?: Code | undefined
}

export type GrowthServiceComponents = {
  pool: HealthPool
  index: Pick<VaultIndex, 'stripes' | 'holders' | 'extend'>
  network: Pick<HealthNetwork, 'shards'>
  /** The vault's key, which signs descriptors. */
  vault: Signer
  codec: Codec
  clock: Clock
  logger: Logger
  /** Some shards have no holder yet: whoever places them may begin. */
  onExtended: () => void
}

/** What a turn did: stripes that got a longer descriptor, and those that need storing anew. */
export type GrowthTurn = { extended: number; recode: number }

type Seen = { pool: string; since: number }

export class GrowthService {
  readonly #o: Required<Omit<GrowthServiceOptions, 'fixed'>> & { fixed: Code | undefined }
  readonly #parts: GrowthServiceComponents
  /** The pool as it was seen, and since when (monotonic ms); undefined at first. */
  #seen: Seen | undefined
  /** The pool that all stripes were found to fit. */
  #done: string | undefined
  readonly #stopping = new AbortController()
  #running: Promise<void> | undefined

  constructor(options: GrowthServiceOptions, components: GrowthServiceComponents) {
    this.#o = {
      intervalMs: HOUR_MS,
      settleMs: SETTLE_MS,
      bytesPerTurn: BYTES_PER_TURN,
      ...options,
      fixed: options.fixed,
    }
    this.#parts = components
  }

  start(): void {
    this.#running ??= this.#run(this.#stopping.signal)
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  /**
   * One look at the pool, and as many stripes as a turn may move bytes for. Stripes that cannot be
   * read now are passed over until the next turn; rejects when `signal` aborts, and for errors of
   * the index.
   */
  async turn(signal: AbortSignal): Promise<GrowthTurn> {
    const turn: GrowthTurn = { extended: 0, recode: 0 }
    const pool = this.#poolKey()
    if (this.#o.fixed !== undefined || pool === this.#done || !this.#isSettled(pool)) return turn
    const needs = new Map<string, Growth | undefined>()
    let left = this.#o.bytesPerTurn
    let isDone = true
    for await (const { pack, envelope } of this.#parts.index.stripes()) {
      signal.throwIfAborted()
      const stripe = openStripe(envelope)
      const growth = this.#need(stripe, needs)
      if (growth?.kind === 'recode') turn.recode++
      if (growth?.kind !== 'extend') continue
      isDone = false
      if (left <= 0) break
      const holders = await this.#parts.index.holders(pack)
      // What lacks a shard is mended first: then there is margin again, and one thing at a time.
      if (holders.filter(({ receipt }) => receipt !== undefined).length < stripe.k + stripe.m) {
        continue
      }
      left -= (stripe.k + growth.code.m - stripe.m) * stripe.shardLength
      if (await this.#extend({ stripe, holders, m: growth.code.m, signal })) turn.extended++
    }
    if (isDone) this.#done = pool
    if (turn.extended > 0) this.#parts.onExtended()
    return turn
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#parts
    while (!signal.aborted) {
      try {
        await clock.sleep(this.#o.intervalMs, signal)
        const turn = await this.turn(signal)
        if (turn.extended > 0) logger.info(turn, 'stripes get more parity')
      } catch (error) {
        if (signal.aborted) return
        const { code, message } = toMoyaiError(error)
        logger.error({ code, error: message }, 'stripes could not be looked through')
      }
    }
  }

  /** Everything that a code depends on; who is online is not part of it. */
  #poolKey(): string {
    const { pool } = this.#parts
    const hosts = this.#hosts().map(({ id, org, site, provider, alwaysOn }) =>
      [id, org, site, provider, alwaysOn === true].join('\u0000'),
    )
    return [...hosts.sort(), JSON.stringify(pool.policy())].join('\n')
  }

  /** Hosts of tomorrow: retiring ones give their shards away. */
  #hosts(): ReturnType<HealthPool['hosts']> {
    const { pool } = this.#parts
    const [retiring, revoked] = [pool.retiring(), pool.revoked()]
    return pool.hosts().filter(({ id }) => !retiring.has(id) && !revoked.has(id))
  }

  #isSettled(pool: string): boolean {
    const now = this.#parts.clock.monotonic()
    if (this.#seen?.pool !== pool) this.#seen = { pool, since: now }
    return now - this.#seen.since >= this.#o.settleMs
  }

  #need(stripe: StripeDescriptor, known: Map<string, Growth | undefined>): Growth | undefined {
    const key = `${stripe.k}+${stripe.m} ${stripe.class}`
    if (known.has(key)) return known.get(key)
    const { pool } = this.#parts
    const code = { k: stripe.k, m: stripe.m }
    const about = { code, class: stripe.class, owner: pool.self, policy: pool.policy() }
    const growth = needsMore({ ...about, hosts: this.#hosts() })
    known.set(key, growth)
    return growth
  }

  /** Signs and records the longer descriptor; false when the stripe cannot be read now. */
  async #extend(o: {
    stripe: StripeDescriptor
    holders: readonly HolderRecord[]
    m: number
    signal: AbortSignal
  }): Promise<boolean> {
    const { stripe, m, signal } = o
    try {
      const shardHashes = await this.#hashes(o)
      const longer: StripeDescriptor = { ...stripe, m, shardHashes }
      const envelope = signStripe(longer, this.#parts.vault)
      await this.#parts.index.extend(stripe.pack, { envelope, missing: m - stripe.m })
      return true
    } catch (error) {
      signal.throwIfAborted()
      const { code, message } = toMoyaiError(error)
      const about = { pack: toHex(stripe.pack), code, error: message }
      this.#parts.logger.warn(about, 'a stripe could not be extended now')
      return false
    }
  }

  /**
   * Hashes of all shards of the longer stripe, from any k. HASH_MISMATCH when those that were there
   * come out otherwise: then the shards do not belong together, and nothing more is built on them.
   */
  async #hashes(o: {
    stripe: StripeDescriptor
    holders: readonly HolderRecord[]
    m: number
    signal: AbortSignal
  }): Promise<Uint8Array[]> {
    const { stripe, m } = o
    const { k, shardLength } = stripe
    const shards = this.#parts.codec.allocate((k + m) * shardLength)
    const present = Array.from({ length: k + m }, () => false)
    for (const holder of o.holders) {
      if (present.filter(Boolean).length === k) break
      present[holder.index] = await this.#read(holder, { ...o, shards })
    }
    this.#parts.codec.reconstruct({ k, m }, shardLength, shards, present)
    const hashes = present.map((_, i) =>
      blake3(shards.subarray(i * shardLength, (i + 1) * shardLength)),
    )
    for (const [i, hash] of stripe.shardHashes.entries()) {
      if (equalBytes(hash, defined(hashes[i], 'a hash'))) continue
      throw new MoyaiError('HASH_MISMATCH', 'the shards of this stripe do not belong together')
    }
    return hashes
  }

  /** Reads one shard to its place; whether it is there, verified. */
  async #read(
    { index, host }: HolderRecord,
    o: { stripe: StripeDescriptor; shards: Uint8Array; signal: AbortSignal },
  ): Promise<boolean> {
    const { vault, pack, shardLength, shardHashes } = o.stripe
    const root = defined(shardHashes[index], 'the hash of a shard that has a holder')
    const about = { vault, pack, index, offset: 0, length: shardLength, root, shardLength }
    let at = index * shardLength
    try {
      const source = this.#parts.network.shards(host).get({ ...about, signal: o.signal })
      for await (const bytes of source) {
        o.shards.set(bytes, at)
        at += bytes.length
      }
      return at === (index + 1) * shardLength
    } catch {
      o.signal.throwIfAborted() // another holder will do
      return false
    }
  }
}
