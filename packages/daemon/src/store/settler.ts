/**
 * The settler: shards that found no host during a store are placed as soon as hosts are back.
 *
 * Works on stripes that are recorded but not full. Their shards come from the outbox file, if it is
 * still there, else from any k holders. It never runs beside a store: both would place the same
 * shards.
 */

import { fromHex, isMoyaiError, MoyaiError, openStripe, placeShards, toHex } from '@moyai/protocol'
import type { Clock, Codec, Hasher, StripeDescriptor } from '@moyai/protocol'

import type { Logger } from '../logger.ts'
import { listOutbox, removeOutboxPack } from './outbox.ts'
import type { StoreNetwork, StorePool } from './ports.ts'
import { checkReceipt, Sender, tooFewHosts } from './sender.ts'
import type { HolderRecord, VaultIndex } from './vault-index.ts'

export type SettlerComponents = {
  network: StoreNetwork
  pool: StorePool
  index: VaultIndex
  codec: Codec
  hasher: Hasher
  clock: Clock
  logger: Logger
}

/** What is still without a holder after a round. */
export type SettleResult = { stripes: number; shards: number }

type Work = {
  stripe: StripeDescriptor
  envelope: Uint8Array
  holders: Map<number, HolderRecord>
  signal: AbortSignal
}

/** See the head of this file. */
export class Settler {
  readonly #outbox: string
  readonly #components: SettlerComponents

  constructor(o: { outbox: string }, components: SettlerComponents) {
    this.#outbox = o.outbox
    this.#components = components
  }

  /**
   * Finishes what an interrupted store left in the outbox: packs that become durable are recorded,
   * torn files are removed, and so are those whose code this pool can no longer hold. TOO_FEW_HOSTS
   * when one cannot be finished now.
   */
  async resume(o: { signal: AbortSignal; patienceMs?: number }): Promise<void> {
    const { index, logger, pool } = this.#components
    const patience = o.patienceMs === undefined ? {} : { patienceMs: o.patienceMs }
    const sender = new Sender({ outbox: this.#outbox, ...patience }, this.#components)
    await index.recover()
    for (const name of await listOutbox(this.#outbox)) {
      const pack = fromHex(name)
      if ((await index.stripe(pack)) !== undefined) continue
      try {
        const { durable, needed, full } = await sender.send(pack, {
          patient: true,
          signal: o.signal,
        })
        if (durable) continue
        // while enough hosts are certified this is about waiting; else the code is one of a larger
        // pool
        if (pool.hosts().length - 1 >= needed) throw tooFewHosts(pool, full)
        await removeOutboxPack(this.#outbox, pack)
      } catch (error) {
        if (!isTorn(error)) throw error
        logger.warn({ pack: name }, 'torn outbox file removed')
        await removeOutboxPack(this.#outbox, pack)
      }
    }
  }

  /** Tries once to place every shard that has no holder; ends early when `hurry` says so. */
  async settle(o: { signal: AbortSignal; hurry: () => boolean }): Promise<SettleResult> {
    const { signal } = o
    const { index, logger } = this.#components
    const files = new Set(await listOutbox(this.#outbox))
    const sender = new Sender({ outbox: this.#outbox }, this.#components)
    const unsettled: Uint8Array[] = []
    for await (const { pack } of index.unsettled()) unsettled.push(pack)
    for (const pack of unsettled) {
      signal.throwIfAborted()
      if (o.hurry()) break
      let missing: number
      try {
        missing = files.has(toHex(pack))
          ? (await sender.send(pack, { patient: false, signal })).missing
          : await this.#rebuild(pack, signal)
      } catch (error) {
        if (!isTorn(error)) throw error
        await removeOutboxPack(this.#outbox, pack)
        missing = await this.#rebuild(pack, signal)
      }
      if (missing > 0) logger.debug({ pack: toHex(pack), missing }, 'not settled yet')
    }
    const left = { stripes: 0, shards: 0 }
    for await (const { missing } of index.unsettled()) {
      left.stripes++
      left.shards += missing
    }
    if (unsettled.length > 0) logger.info(left, 'settled what could be')
    return left
  }

  /**
   * Has all shards of a stripe confirmed or placed, made again from its holders. Returns how many
   * are not.
   */
  async #rebuild(pack: Uint8Array, signal: AbortSignal): Promise<number> {
    const { index } = this.#components
    const record = await index.stripe(pack)
    if (record === undefined) return 0
    const { envelope } = record
    const stripe = openStripe(envelope)
    const holders = new Map((await index.holders(pack)).map((holder) => [holder.index, holder]))
    const work = { stripe, envelope, holders, signal }
    await this.#confirm(work)
    await this.#replace(work)
    const confirmed = [...holders.values()].filter((holder) => holder.receipt !== undefined)
    const missing = stripe.k + stripe.m - confirmed.length
    await index.settle(pack, { holders: [...holders.values()], missing })
    return missing
  }

  /**
   * Asks hosts that were only seen to have a shard for their receipts; forgets those that have
   * none.
   */
  async #confirm({ stripe, envelope, holders, signal }: Work): Promise<void> {
    const { index, network } = this.#components
    for (const [at, { host, receipt }] of holders) {
      if (receipt !== undefined) continue
      try {
        const answer = await network
          .shards(host)
          .put({ envelope, index: at, payload: nothing, signal })
        checkReceipt(answer.receipt, { descriptor: stripe, index: at, host })
        holders.set(at, { index: at, host, receipt: answer.receipt })
      } catch (error) {
        signal.throwIfAborted()
        // a host that is away may still have it
        if (isMoyaiError(error, 'HOST_UNREACHABLE')) continue
        holders.delete(at)
        await index.removeHolder(stripe.pack, at)
      }
    }
  }

  /** Makes shards that nobody has, and places them. */
  async #replace({ stripe, envelope, holders, signal }: Work): Promise<void> {
    const { pool, network, codec } = this.#components
    const { k, m, shardLength, pack } = stripe
    const already = new Map([...holders].map(([at, holder]) => [at, holder.host]))
    const placement = placeShards({
      hosts: pool.hosts(),
      owner: pool.self,
      code: { k, m },
      stripe: pack,
      already,
      policy: pool.policy(),
      shardLength,
    })
    const todo = [...placement.assignment.entries()].filter(
      (entry): entry is [number, string] => entry[1] !== undefined && !holders.has(entry[0]),
    )
    if (todo.length === 0) return
    const shards = codec.allocate((k + m) * shardLength)
    const present = await this.#fetch({ stripe, holders, shards, signal })
    if (present.filter(Boolean).length < k) return
    codec.reconstruct({ k, m }, shardLength, shards, present)
    for (const [at, host] of todo) {
      const bytes = shards.subarray(at * shardLength, (at + 1) * shardLength)
      try {
        const answer = await network.shards(host).put({
          envelope,
          index: at,
          payload: () => pieces(bytes),
          signal,
        })
        checkReceipt(answer.receipt, { descriptor: stripe, index: at, host })
        holders.set(at, { index: at, host, receipt: answer.receipt })
      } catch (error) {
        signal.throwIfAborted()
        const text = error instanceof Error ? error.message : String(error)
        this.#components.logger.warn({ host, pack: toHex(pack), error: text }, 'shard not accepted')
      }
    }
  }

  /** Reads any k shards into `shards`; tells which are there, verified. */
  async #fetch(o: {
    stripe: StripeDescriptor
    holders: Map<number, HolderRecord>
    shards: Uint8Array
    signal: AbortSignal
  }): Promise<boolean[]> {
    const { stripe, holders, shards, signal } = o
    const { k, m, shardLength, vault, pack, shardHashes } = stripe
    const present = Array.from({ length: k + m }, () => false)
    let count = 0
    for (const { index, host } of holders.values()) {
      const root = shardHashes[index]
      if (count === k || root === undefined) continue
      try {
        let at = index * shardLength
        const source = this.#components.network.shards(host).get({
          vault,
          pack,
          index,
          offset: 0,
          length: shardLength,
          root,
          shardLength,
          signal,
        })
        for await (const bytes of source) {
          shards.set(bytes, at)
          at += bytes.length
        }
        present[index] = at === (index + 1) * shardLength
        if (present[index]) count++
      } catch {
        signal.throwIfAborted() // another holder will do
      }
    }
    return present
  }
}

function isTorn(error: unknown): boolean {
  const codes = ['TRUNCATED', 'MALFORMED', 'HASH_MISMATCH', 'BAD_SIGNATURE', 'UNKNOWN_VERSION']
  return error instanceof MoyaiError && codes.includes(error.code)
}

/** The payload of a shard that the host should have: it is not sent to one that has not. */
async function* nothing(): AsyncGenerator<Uint8Array> {
  yield* []
  throw new MoyaiError('NOT_FOUND', 'the shard is not here either')
}

/** `bytes` in frames of at most 256 KiB. */
async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  const step = 256 * 1024
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step)
}
