/**
 * The settler: shards that found no host during a store are placed as soon as hosts are back, those
 * of a host that was revoked are placed anew, and those of one that is retiring move to others.
 *
 * Works on stripes that are recorded but not full, or have a shard where it cannot stay. Shards
 * come from the outbox file, if it is still there, else from the retiring host, else from any k
 * holders. A shard that moves is counted where it was until its new holder has signed for it, so
 * that nothing is lost when the daemon ends anywhere. It never runs beside a store: both would
 * place the same shards.
 *
 * The repair of this host (health/repair-service.ts) works on the same stripes once they are
 * recorded: for shards that hosts lost, which the index does not know of. Whoever works on a stripe
 * has its lock, and looks first at what the index has by then, so that no shard is placed twice.
 */

import {
  DOMAIN_KINDS,
  effectivePolicy,
  fromHex,
  isMoyaiError,
  MoyaiError,
  openStripe,
  placeShards,
  survives,
  toHex,
} from '@moyai/protocol'
import type { Clock, Codec, Hasher, StripeDescriptor } from '@moyai/protocol'

import type { Logger } from '../logger.ts'
import { KeyedLock } from '../shard-store/keyed-lock.ts'
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
  /** One at a time per pack (hex), shared with repair. */
  stripeLock?: KeyedLock
}

/** What is still without a holder after a round, and how many shards still have to move. */
export type SettleResult = { stripes: number; shards: number; leaving: number }

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
  readonly #lock: KeyedLock

  constructor(o: { outbox: string }, components: SettlerComponents) {
    this.#outbox = o.outbox
    this.#components = components
    this.#lock = components.stripeLock ?? new KeyedLock()
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

  /**
   * Tries once to place every shard that has no holder, or that cannot stay with it; ends early
   * when `hurry` says so.
   */
  async settle(o: { signal: AbortSignal; hurry: () => boolean }): Promise<SettleResult> {
    const { signal } = o
    const { index, logger } = this.#components
    await this.#writeOff(signal)
    const files = new Set(await listOutbox(this.#outbox))
    const sender = new Sender({ outbox: this.#outbox }, this.#components)
    const unsettled: Uint8Array[] = []
    for await (const { pack } of index.unsettled()) unsettled.push(pack)
    for (const pack of unsettled) {
      signal.throwIfAborted()
      if (o.hurry()) break
      let missing: number
      try {
        missing = await this.#lock.run(toHex(pack), async () =>
          files.has(toHex(pack))
            ? (await sender.send(pack, { patient: false, signal })).missing
            : this.#rebuild(pack, signal),
        )
      } catch (error) {
        if (!isTorn(error)) throw error
        await removeOutboxPack(this.#outbox, pack)
        missing = await this.#lock.run(toHex(pack), () => this.#rebuild(pack, signal))
      }
      if (missing > 0) logger.debug({ pack: toHex(pack), missing }, 'not settled yet')
    }
    const left = { stripes: 0, shards: 0, leaving: await this.#drain(o) }
    for await (const { missing } of index.unsettled()) {
      left.stripes++
      left.shards += missing
    }
    if (unsettled.length > 0 || left.leaving > 0) logger.info(left, 'settled what could be')
    return left
  }

  /** Forgets that revoked hosts keep anything: their shards are without a holder now. */
  async #writeOff(signal: AbortSignal): Promise<void> {
    const { index, pool, logger } = this.#components
    const gone = pool.revoked()
    if (gone.size === 0) return
    let shards = 0
    for await (const lost of index.allHolders()) {
      signal.throwIfAborted()
      if (!gone.has(lost.host)) continue
      const record = await index.stripe(lost.pack)
      if (record === undefined) continue
      const { k, m } = openStripe(record.envelope)
      const holders = await index.holders(lost.pack)
      const left = holders.filter(({ host, receipt }) => !gone.has(host) && receipt !== undefined)
      // The mark first: a daemon that ends between the two finds the shard again.
      await index.settle(lost.pack, { holders: [], missing: k + m - left.length })
      await index.removeHolder(lost.pack, lost.index)
      shards++
    }
    if (shards > 0) logger.warn({ shards }, 'shards at revoked hosts count as lost')
  }

  /** Moves shards away from retiring hosts; how many are left there that no host can take now. */
  async #drain(o: { signal: AbortSignal; hurry: () => boolean }): Promise<number> {
    const { index, pool, logger } = this.#components
    const retiring = pool.retiring()
    if (retiring.size === 0) return 0
    let left = 0
    let moved = 0
    for await (const { pack, host, index: at } of index.allHolders()) {
      if (!retiring.has(host)) continue
      if (o.hurry()) {
        left++
        continue
      }
      o.signal.throwIfAborted()
      await this.#lock.run(toHex(pack), () => this.#rebuild(pack, o.signal))
      const now = (await index.holders(pack)).find((holder) => holder.index === at)
      const stays = now !== undefined && retiring.has(now.host)
      if (stays && !(await this.#spare(pack, at))) left++
      else moved++
    }
    if (moved > 0) logger.info({ moved, left }, 'moved shards from retiring hosts')
    return left
  }

  /**
   * A smaller pool may have no host for a shard that moves, even with all that are away now back.
   * Where the shards at hosts in use keep the policy without it, the retiring host is not kept
   * waiting: the shard counts as one without a holder, and is made again when the pool grows.
   * Whether that was so.
   */
  async #spare(pack: Uint8Array, at: number): Promise<boolean> {
    const { index, pool } = this.#components
    const record = await index.stripe(pack)
    if (record === undefined) return true
    const { k, m } = openStripe(record.envelope)
    const retiring = pool.retiring()
    const shards = (await index.holders(pack)).filter(
      ({ host, receipt }) => !retiring.has(host) && receipt !== undefined,
    )
    const hosts = pool.hosts()
    const wanted = effectivePolicy(hosts, pool.policy())
    const { assignment } = placeShards({
      hosts: hosts.map((host) => ({ ...host, online: true })),
      owner: pool.self,
      code: { k, m },
      stripe: pack,
      already: new Map(shards.map(({ index: number, host }) => [number, host])),
      policy: wanted,
    })
    if (assignment[at] !== undefined) return false
    const figures = survives({ shards, hosts, code: { k, m } })
    if (!DOMAIN_KINDS.every((kind) => figures[kind] >= wanted[kind])) return false
    await index.settle(pack, { holders: [], missing: k + m - shards.length })
    await index.removeHolder(pack, at)
    return true
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

  /** Makes shards that nobody has, or that cannot stay where they are, and places them. */
  async #replace({ stripe, envelope, holders, signal }: Work): Promise<void> {
    const { pool, codec } = this.#components
    const { k, m, shardLength, pack } = stripe
    const retiring = pool.retiring()
    const staying = [...holders].filter(([, { host }]) => !retiring.has(host))
    const already = new Map(staying.map(([at, { host }]) => [at, host]))
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
      (entry): entry is [number, string] => entry[1] !== undefined && !already.has(entry[0]),
    )
    if (todo.length === 0) return
    const shards = codec.allocate((k + m) * shardLength)
    const wanted = todo.map(([at]) => at)
    if (!(await this.#obtain({ stripe, holders, shards, wanted, signal }))) return
    for (const [at, host] of todo) {
      const bytes = shards.subarray(at * shardLength, (at + 1) * shardLength)
      await this.#place({ stripe, envelope, holders, signal }, { at, host, bytes })
    }
  }

  /** Puts one shard; who has it is only changed when the new holder has signed for it. */
  async #place(work: Work, o: { at: number; host: string; bytes: Uint8Array }): Promise<void> {
    const { stripe, envelope, holders, signal } = work
    const { at, host, bytes } = o
    try {
      const answer = await this.#components.network.shards(host).put({
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
      const pack = toHex(stripe.pack)
      this.#components.logger.warn({ host, pack, error: text }, 'shard not accepted')
    }
  }

  /**
   * Brings the shards `wanted` into `shards`: read as they are from who has them, or made again of
   * any k. False when neither can be done now.
   */
  async #obtain(o: {
    stripe: StripeDescriptor
    holders: Map<number, HolderRecord>
    shards: Uint8Array
    wanted: readonly number[]
    signal: AbortSignal
  }): Promise<boolean> {
    const { stripe, holders, shards, wanted } = o
    const { k, m, shardLength } = stripe
    const present = Array.from({ length: k + m }, () => false)
    const order = [...wanted, ...holders.keys()]
    for (const at of order) {
      const isThere = present.filter(Boolean).length
      if (isThere >= k || wanted.every((one) => present[one])) break
      const holder = holders.get(at)
      if (holder !== undefined && present[at] !== true) present[at] = await this.#read(o, holder)
    }
    if (wanted.every((one) => present[one])) return true
    if (present.filter(Boolean).length < k) return false
    this.#components.codec.reconstruct({ k, m }, shardLength, shards, present)
    return true
  }

  /** Reads one shard to its place in `shards`; whether it is there, verified. */
  async #read(
    o: { stripe: StripeDescriptor; shards: Uint8Array; signal: AbortSignal },
    { index, host }: HolderRecord,
  ): Promise<boolean> {
    const { vault, pack, shardLength, shardHashes } = o.stripe
    const root = shardHashes[index]
    if (root === undefined) return false
    let at = index * shardLength
    try {
      const source = this.#components.network.shards(host).get({
        vault,
        pack,
        index,
        offset: 0,
        length: shardLength,
        root,
        shardLength,
        signal: o.signal,
      })
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
