/**
 * Sending packs from the outbox to holders, and recording what is durable.
 *
 * A pack is *durable* when so many of its shards have receipts that one more loss is survivable
 * (`minimumShards`), and *full* when all have. Durable packs are recorded in the index in one
 * batch; the file of a full one is removed, that of another stays for the settler. Below the
 * minimum nothing is recorded and the store fails with TOO_FEW_HOSTS.
 */

import {
  decodeIndexSegment,
  equalBytes,
  isMoyaiError,
  minimumShards,
  MoyaiError,
  openReceipt,
  placeShards,
  toHex,
} from '@moyai/protocol'
import type { Clock, Hasher, HostFacts, StripeDescriptor } from '@moyai/protocol'

import type { Logger } from '../logger.ts'
import { OutboxFile, recycleOutboxPack } from './outbox.ts'
import type { StoreNetwork, StorePool } from './ports.ts'
import type { HolderRecord, VaultIndex } from './vault-index.ts'

/** Packs sent at once: each keeps a read buffer per shard. */
const PACKS_MAX = 3
/** How long a pack below the minimum waits for hosts to come back. */
export const PATIENCE_MS = 15_000
const RETRY_MS = 500
/**
 * One shard may take this long whatever happens, 4 MiB at 16 KiB/s, while no limit of this host's
 * own holds it back.
 */
const PUT_MS_MAX = 300_000
const PUT_WATCH_MS = 5_000

export type SenderOptions = {
  outbox: string
  patienceMs?: number
}

export type SenderComponents = {
  network: StoreNetwork
  pool: StorePool
  index: VaultIndex
  hasher: Hasher
  clock: Clock
  logger: Logger
}

/** What became of one pack. */
export type SendResult = {
  durable: boolean
  missing: number
  payloadBytes: number
  /** Hosts that its code takes to be durable. */
  needed: number
  /** Hosts (hex) that have no room left for this vault; complete where it is not durable. */
  full: ReadonlySet<string>
}

type Shipment = {
  file: OutboxFile
  placed: Map<number, HolderRecord>
  avoid: Set<string>
}

/** Sends packs; keeps counts for the summary. One per store, one for the settler. */
export class Sender {
  readonly #options: SenderOptions
  readonly #components: SenderComponents
  readonly #full = new Set<string>()
  bytesSent = 0
  shardsSent = 0

  constructor(options: SenderOptions, components: SenderComponents) {
    this.#options = options
    this.#components = components
  }

  /**
   * Sends what is missing of one pack and records it if it is durable then. `patient`: wait a while
   * for hosts when it is below the minimum. Errors of the file itself (HASH_MISMATCH, TRUNCATED,
   * MALFORMED …) are thrown: it is torn.
   */
  async send(pack: Uint8Array, o: { patient: boolean; signal: AbortSignal }): Promise<SendResult> {
    const { index, hasher, clock } = this.#components
    await using file = await OutboxFile.open(this.#options.outbox, pack, hasher)
    const known = (await index.holders(pack)).filter((holder) => holder.receipt !== undefined)
    const placed = new Map(known.map((holder) => [holder.index, holder]))
    const shipment: Shipment = { file, placed, avoid: new Set(this.#full) }
    const { descriptor } = file
    const minimum = minimumShards(descriptor)
    const deadline = clock.monotonic() + (this.#options.patienceMs ?? PATIENCE_MS)
    for (;;) {
      await this.#place(shipment, o.signal)
      o.signal.throwIfAborted()
      if (placed.size >= minimum || !o.patient || clock.monotonic() >= deadline) break
      await clock.sleep(RETRY_MS, o.signal)
      shipment.avoid = new Set(this.#full)
    }
    const durable = placed.size >= minimum
    const full = durable ? this.#full : this.#fullFor(descriptor.shardLength)
    const missing = descriptor.k + descriptor.m - placed.size
    if (durable) await this.#record(shipment, missing)
    if (durable && missing === 0) await recycleOutboxPack(this.#options.outbox, pack)
    return { durable, missing, payloadBytes: file.payloadBytes, needed: minimum, full }
  }

  /** Hosts that have no room for a shard: that said so, or refused one. */
  #fullFor(shardLength: number): Set<string> {
    const { pool } = this.#components
    const full = new Set(this.#full)
    for (const { id, online, freeBytes } of pool.hosts()) {
      if (id !== pool.self && online && freeBytes < shardLength) full.add(id)
    }
    return full
  }

  /** Places and sends shards until all are there or no host is left to try. */
  async #place(shipment: Shipment, signal: AbortSignal): Promise<void> {
    const { pool } = this.#components
    const { file, placed, avoid } = shipment
    const { k, m, shardLength, pack } = file.descriptor
    while (placed.size < k + m) {
      signal.throwIfAborted()
      const already = new Map([...placed].map(([index, holder]) => [index, holder.host]))
      const { assignment } = placeShards({
        hosts: pool.hosts(),
        owner: pool.self,
        code: { k, m },
        stripe: pack,
        already,
        policy: pool.policy(),
        shardLength,
        avoid,
      })
      const todo: { index: number; host: string }[] = []
      for (const [index, host] of assignment.entries()) {
        if (host !== undefined && !placed.has(index)) todo.push({ index, host })
      }
      if (todo.length === 0) return
      await Promise.all(todo.map((target) => this.#put(shipment, target, signal)))
    }
  }

  /** Sends one shard; a host that fails is avoided for this pack, a full one for all packs. */
  async #put(
    shipment: Shipment,
    target: { index: number; host: string },
    signal: AbortSignal,
  ): Promise<void> {
    const { network, logger } = this.#components
    const { file, placed, avoid } = shipment
    const { index, host } = target
    let sent = 0
    const over = new AbortController()
    try {
      const answer = await network.shards(host).put({
        envelope: file.envelope,
        index,
        payload: () => counted(file.shard(index), (bytes) => (sent += bytes)),
        signal: AbortSignal.any([signal, this.#tooLate(over.signal)]),
      })
      checkReceipt(answer.receipt, { descriptor: file.descriptor, ...target })
      placed.set(index, { index, host, receipt: answer.receipt })
      this.bytesSent += sent
      if (sent > 0) this.shardsSent++
    } catch (error) {
      this.bytesSent += sent
      signal.throwIfAborted()
      avoid.add(host)
      if (isMoyaiError(error, 'NO_SPACE', 'QUOTA')) this.#full.add(host)
      const pack = toHex(file.descriptor.pack)
      logger.warn({ host, pack, index, error: describe(error) }, 'shard not accepted')
      if (isMoyaiError(error, 'HASH_MISMATCH', 'TRUNCATED')) await file.verify(index)
    } finally {
      over.abort()
    }
  }

  /** Aborts when a shard took longer than PUT_MS_MAX, unless `over` does first. */
  #tooLate(over: AbortSignal): AbortSignal {
    const late = new AbortController()
    void this.#watch(late, over)
    return late.signal
  }

  async #watch(late: AbortController, over: AbortSignal): Promise<void> {
    const { clock, network } = this.#components
    try {
      for (let left = PUT_MS_MAX; left > 0;) {
        await clock.sleep(PUT_WATCH_MS, over)
        if (network.isSendingHeldBack?.() !== true) left -= PUT_WATCH_MS
      }
    } catch {
      return // the shard is there, or was refused
    }
    late.abort(new MoyaiError('TIMED_OUT', 'the host takes the shard too slowly'))
  }

  async #record(shipment: Shipment, missing: number): Promise<void> {
    const { file, placed } = shipment
    const { envelope, salt, packClass, segment, descriptor } = file
    const { index } = this.#components
    const holders = [...placed.values()]
    if ((await index.stripe(descriptor.pack)) !== undefined) {
      await index.settle(descriptor.pack, { holders, missing })
      return
    }
    const packs = decodeIndexSegment(segment)
    await index.recordPack({
      stripe: { pack: descriptor.pack, envelope, salt, packClass },
      blobs: packs.flatMap((pack) => pack.blobs),
      holders,
      segment,
      missing,
    })
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  count: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const bytes of source) {
    count(bytes.length)
    yield bytes
  }
}

/**
 * HOST_REFUSED unless the receipt is for exactly this shard, by exactly this host; BAD_SIGNATURE,
 * MALFORMED.
 */
export function checkReceipt(
  envelope: Uint8Array,
  o: { descriptor: StripeDescriptor; index: number; host: string },
): void {
  const receipt = openReceipt(envelope)
  const { descriptor } = o
  const hash = descriptor.shardHashes[o.index]
  const fits =
    toHex(receipt.host) === o.host &&
    receipt.index === o.index &&
    equalBytes(receipt.pack, descriptor.pack) &&
    equalBytes(receipt.vault, descriptor.vault) &&
    hash !== undefined &&
    equalBytes(receipt.shardHash, hash)
  if (!fits) throw new MoyaiError('HOST_REFUSED', 'the receipt is for something else')
}

/** Online hosts besides the owner, for messages. */
export function onlineHolders(hosts: readonly HostFacts[], self: string): number {
  return hosts.filter((host) => host.online && host.id !== self).length
}

/**
 * What a store fails with when a pack cannot reach its minimum of holders; `full` hosts have no
 * room.
 */
export function tooFewHosts(pool: StorePool, full: ReadonlySet<string>): MoyaiError {
  const hosts = pool.hosts()
  const others = hosts.length - 1
  const online = onlineHolders(hosts, pool.self)
  const names = [...full].map((host) => pool.nameOf(host)).sort()
  const data = { online, full: names, hosts: others }
  if (full.size > 0) {
    return new MoyaiError(
      'NO_SPACE',
      `${full.size} of ${online} reachable hosts have no room left for this vault ` +
        `(${names.join(', ')}); nothing was committed`,
      {
        hint:
          'offer more space, there or here: a host may take what it gives ' +
          '(moyai pool hosts shows both); or add a host to the pool',
        data,
      },
    )
  }
  return new MoyaiError(
    'TOO_FEW_HOSTS',
    `only ${online} of ${others} other hosts can take data now; nothing was committed`,
    {
      hint: 'start more hosts of the pool and store again: nothing is sent twice',
      data,
    },
  )
}

/** A bounded queue of packs in front of a sender; a failed pack fails everything after it. */
export class SendQueue {
  readonly #send: (pack: Uint8Array) => Promise<void>
  readonly #waiting: Uint8Array[] = []
  #active = 0
  #failure: { error: unknown } | undefined
  readonly #idle: (() => void)[] = []
  readonly #ended: (() => void)[] = []

  /** The outbox's credit bounds how many packs can wait. */
  constructor(send: (pack: Uint8Array) => Promise<void>) {
    this.#send = send
  }

  add(pack: Uint8Array): void {
    this.#waiting.push(pack)
    this.#next()
  }

  /** Resolves when nothing waits; rejects with the first failure. */
  async idle(): Promise<void> {
    while (this.#failure === undefined && (this.#active > 0 || this.#waiting.length > 0)) {
      await new Promise<void>((resolve) => this.#idle.push(resolve))
    }
    if (this.#failure !== undefined) throw this.#failure.error
  }

  /** Resolves when nothing is under way any more; what waits is dropped. */
  async end(): Promise<void> {
    this.#failure ??= { error: new MoyaiError('ABORTED', 'the store has ended') }
    this.#waiting.length = 0
    while (this.#active > 0) await new Promise<void>((resolve) => this.#ended.push(resolve))
  }

  #next(): void {
    while (this.#active < PACKS_MAX && this.#failure === undefined) {
      const pack = this.#waiting.shift()
      if (pack === undefined) break
      this.#active++
      void this.#run(pack)
    }
    if (this.#active > 0 && this.#failure === undefined) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  async #run(pack: Uint8Array): Promise<void> {
    try {
      await this.#send(pack)
    } catch (error) {
      this.#failure ??= { error }
    }
    this.#active--
    if (this.#active === 0) for (const resolve of this.#ended.splice(0)) resolve()
    this.#next()
  }
}
