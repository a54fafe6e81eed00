/**
 * Who has what: asks hosts for their inventories, remembers what those said that are away, and
 * believes of nobody but this host that a shard is really there.
 *
 * A host that changed nothing costs one message: its digests are compared (spec/health.md §2), and
 * only buckets that differ are listed. What a host no longer lists, it no longer has; what it lists
 * although it could not prove it stays refuted until it has.
 */

import {
  equalBytes,
  fromHex,
  MoyaiError,
  openReceipt,
  openStripe,
  toHex,
  toMoyaiError,
  type Clock,
  type StripeDescriptor,
} from '@moyai/protocol'

import type { Database } from '../database/index.ts'
import type { Logger } from '../logger.ts'
import type { ShardStore } from '../shard-store/index.ts'
import { type OwnedStripes, OwnStripes } from './own-stripes.ts'
import { digestOf, PeerInventories } from './peer-inventories.ts'
import type {
  HealthNetwork,
  HealthNews,
  HealthPool,
  HealthReport,
  ShardPlace,
  StripeView,
  Whereabouts,
} from './ports.ts'
import { StripeTable, withPlace } from './stripe-table.ts'

type Shard = Parameters<Whereabouts['confirm']>[0]

export type WhereaboutsComponents = {
  network: HealthNetwork
  pool: HealthPool
  store: Pick<ShardStore, 'list' | 'stat' | 'vaults' | 'digests' | 'onChange'>
  /** This host's own vault (32 bytes) and its index; absent where it has none. */
  owned?: { vault: Uint8Array; index: OwnedStripes }
  database: Database
  clock: Clock
  logger: Logger
}

export type WhereaboutsOptions = {
  /** How often every connected host is asked although none said that anything changed, ms. */
  refreshMs?: number
  /** How long changes are gathered before others are told, or asked, ms. */
  gatherMs?: number
}

/** Anything missed is found within a day. */
const REFRESH_MS = 86_400_000
/** One store makes thousands of shards: hosts are told of them at once. */
const GATHER_MS = 15_000
/** Descriptors kept opened: verifying a signature costs a tenth of a millisecond. */
const OPENED_MAX = 1024

/** See the head of this file. */
export class WhereaboutsService implements Whereabouts {
  readonly #c: WhereaboutsComponents
  readonly #table: StripeTable
  readonly #peers: PeerInventories
  readonly #own: OwnStripes
  readonly #refreshMs: number
  readonly #gatherMs: number
  readonly #stop = new AbortController()
  readonly #listeners = new Set<(vault: string) => void>()
  readonly #opened = new Map<string, { envelope: Uint8Array; stripe: StripeDescriptor }>()
  readonly #presumedLost = new Map<string, ReadonlySet<string>>()
  /** Hosts to ask, and vaults of this host's store to read, at the next turn. */
  readonly #hostsDue = new Set<string>()
  readonly #vaultsDue = new Set<string>()
  readonly #unlisten: (() => void)[] = []
  #wake: () => void = () => undefined
  #running: Promise<void> | undefined
  #work: Promise<void> = Promise.resolve()

  constructor(options: WhereaboutsOptions, components: WhereaboutsComponents) {
    this.#c = components
    this.#table = new StripeTable(components.database)
    const { network, database, clock, pool, store, owned } = components
    const table = this.#table
    const changed = (vault: Uint8Array): void => this.#changed(vault)
    this.#peers = new PeerInventories({ network, table, database, clock, changed })
    const open = (vault: Uint8Array, pack: Uint8Array, envelope: Uint8Array): StripeDescriptor =>
      this.#open(vault, pack, envelope).stripe
    const peers = this.#peers
    this.#own = new OwnStripes({ pool, store, owned, table, peers, clock, open, changed })
    this.#refreshMs = options.refreshMs ?? REFRESH_MS
    this.#gatherMs = options.gatherMs ?? GATHER_MS
  }

  start(): void {
    const { network, store } = this.#c
    this.#unlisten.push(
      network.on('peer:up', (host) => this.#due(host)),
      store.onChange((vault) => {
        this.#vaultsDue.add(toHex(vault))
        this.#wake()
      }),
    )
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    for (const end of this.#unlisten) end()
    this.#stop.abort(new MoyaiError('ABORTED', 'the daemon is stopping'))
    this.#wake()
    await this.#running
    await this.#work.catch(() => undefined)
  }

  vaults(): Promise<Uint8Array[]> {
    return this.#table.vaults()
  }

  stripes(vault: Uint8Array): AsyncIterable<StripeView> {
    return this.#table.of(vault)
  }

  stripe(vault: Uint8Array, pack: Uint8Array): Promise<StripeView | undefined> {
    return this.#table.get(vault, pack)
  }

  onChange(listener: (vault: string) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async unasked(vault: Uint8Array): Promise<(pack: Uint8Array) => string[]> {
    const { pool } = this.#c
    // An owner has none of its own stripes.
    const owner = pool.vaults().get(toHex(vault))
    const others = pool.hosts().flatMap(({ id }) => (id === pool.self || id === owner ? [] : [id]))
    return this.#peers.unasked(others, vault)
  }

  /** The own vault has new stripes, or its index changed. */
  ownedChanged(): void {
    const { owned } = this.#c
    if (owned === undefined) return
    this.#vaultsDue.add(toHex(owned.vault))
    this.#wake()
  }

  /** Connected hosts (hex) that presumed `host` lost when they were last asked. */
  presumedLostBy(host: string): string[] {
    const { network } = this.#c
    return [...this.#presumedLost].flatMap(([observer, lost]) =>
      lost.has(host) && network.isConnected(observer) ? [observer] : [],
    )
  }

  /**
   * Digests of what this host has, for those who ask. STORE_OFFLINE when its disk is not there: who
   * asks must not take that for having nothing.
   */
  async inventories(): Promise<HealthReport['inventories']> {
    const { store } = this.#c
    const vaults = await store.vaults()
    const digests = vaults.map(async (vault) => ({
      vault,
      digest: digestOf(await store.digests(vault)),
    }))
    return Promise.all(digests)
  }

  /** Takes what `host` said without being asked; what has to be checked is done in turns. */
  onNews(host: string, news: HealthNews): void {
    if ((news.changed ?? []).length > 0) this.#due(host)
    const { placed = [] } = news
    if (placed.length > 0) {
      void this.#exclusively(() => this.#takeReceipts(placed)).catch((error: unknown) => {
        this.#c.logger.debug({ host, error: toMoyaiError(error).message }, 'receipts not taken')
      })
    }
  }

  async descriptor(
    vault: Uint8Array,
    pack: Uint8Array,
    signal: AbortSignal,
  ): Promise<{ envelope: Uint8Array; stripe: StripeDescriptor }> {
    const key = toHex(pack)
    const known = this.#opened.get(key)
    if (known !== undefined && equalBytes(known.stripe.vault, vault)) return known
    const { owned, store, pool, network } = this.#c
    if (owned !== undefined && equalBytes(owned.vault, vault)) {
      const record = await owned.index.stripe(pack)
      if (record !== undefined) return this.#open(vault, pack, record.envelope)
    }
    for (const { envelope } of await store.stat({ vault, pack })) {
      return this.#open(vault, pack, envelope)
    }
    const view = await this.stripe(vault, pack)
    for (const { host } of view?.places ?? []) {
      if (host === pool.self || !network.isConnected(host)) continue
      try {
        const [first] = await network.shards(host).stat({ vault, pack, signal })
        if (first !== undefined) return this.#open(vault, pack, first.envelope)
      } catch (error) {
        // Another holder has it, too.
        signal.throwIfAborted()
        this.#c.logger.debug({ host, error: toMoyaiError(error).message }, 'no descriptor')
      }
    }
    throw new MoyaiError('NOT_FOUND', 'no descriptor of this stripe is at hand')
  }

  async confirm(shard: Shard): Promise<void> {
    await this.#place(shard, { refuted: false })
  }

  async refute(shard: Shard): Promise<void> {
    await this.#place(shard, { refuted: true })
  }

  async refresh(o: { host?: string; signal: AbortSignal }): Promise<void> {
    const { network, logger } = this.#c
    for (const host of o.host === undefined ? network.connected() : [o.host]) {
      try {
        await this.#exclusively(async () => {
          const { presumedLost } = await this.#peers.ask(host, o.signal)
          this.#presumedLost.set(host, new Set(presumedLost))
        })
      } catch (error) {
        o.signal.throwIfAborted()
        logger.debug({ host, error: toMoyaiError(error).message }, 'inventory not read')
      }
    }
  }

  /** Brings the table in line with this host's own shards and index. */
  async refreshOwn(): Promise<void> {
    await this.#exclusively(async () => {
      const { store, owned } = this.#c
      const vaults = new Map((await store.vaults()).map((vault) => [toHex(vault), vault]))
      for (const vault of await this.vaults()) vaults.set(toHex(vault), vault)
      if (owned !== undefined) vaults.set(toHex(owned.vault), owned.vault)
      for (const vault of vaults.values()) await this.#own.read(vault)
    })
  }

  #due(host: string): void {
    this.#hostsDue.add(host)
    this.#wake()
  }

  async #run(): Promise<void> {
    const { clock, network, logger } = this.#c
    const { signal } = this.#stop
    let refreshAt = clock.monotonic() + this.#refreshMs
    try {
      await this.refreshOwn()
      for (const host of network.connected()) this.#hostsDue.add(host)
      while (!signal.aborted) {
        await this.#turn(signal)
        if (clock.monotonic() >= refreshAt) {
          refreshAt = clock.monotonic() + this.#refreshMs
          for (const host of network.connected()) this.#hostsDue.add(host)
          continue
        }
        await this.#pause(refreshAt - clock.monotonic(), signal)
      }
    } catch (error) {
      if (!signal.aborted) logger.error({ error: toMoyaiError(error).message }, 'whereabouts end')
    }
  }

  /** Sleeps until something is due, and then a little longer, so that more comes together. */
  async #pause(milliseconds: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#c
    const wake = new AbortController()
    this.#wake = () => wake.abort()
    if (this.#hostsDue.size > 0 || this.#vaultsDue.size > 0) wake.abort()
    const either = AbortSignal.any([signal, wake.signal])
    await clock.sleep(milliseconds, either).catch(() => undefined)
    this.#wake = () => undefined
    if (wake.signal.aborted && !signal.aborted) {
      await clock.sleep(this.#gatherMs, signal).catch(() => undefined)
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { network, logger } = this.#c
    const changed = [...this.#vaultsDue].map(fromHex)
    this.#vaultsDue.clear()
    for (const vault of changed) {
      const isNew = await this.#exclusively(() => this.#own.read(vault))
      if (isNew) for (const host of network.connected()) this.#hostsDue.add(host)
    }
    const hosts = [...this.#hostsDue]
    this.#hostsDue.clear()
    for (const host of hosts) {
      if (network.isConnected(host)) await this.refresh({ host, signal })
    }
    if (changed.length === 0) return
    const told = network.connected().map(async (host) => {
      try {
        await network.tell(host, { changed }, signal)
      } catch (error) {
        // It finds the difference when it asks.
        logger.debug({ host, error: toMoyaiError(error).message }, 'not told of new shards')
      }
    })
    await Promise.all(told)
  }

  /** One change of many records at a time: each of them reads before it writes. */
  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#work
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#work = promise
    try {
      await before
      return await work()
    } finally {
      resolve()
    }
  }

  #open(
    vault: Uint8Array,
    pack: Uint8Array,
    envelope: Uint8Array,
  ): { envelope: Uint8Array; stripe: StripeDescriptor } {
    const stripe = openStripe(envelope)
    if (!equalBytes(stripe.vault, vault) || !equalBytes(stripe.pack, pack)) {
      throw new MoyaiError('HOST_REFUSED', 'a descriptor of another stripe was given')
    }
    const opened = { envelope, stripe }
    const [oldest] = this.#opened.keys()
    if (this.#opened.size >= OPENED_MAX && oldest !== undefined) this.#opened.delete(oldest)
    this.#opened.set(toHex(pack), opened)
    return opened
  }

  async #place(shard: Shard, { refuted }: { refuted: boolean }): Promise<void> {
    const { vault, pack, index, host } = shard
    const seenAt = this.#c.clock.now()
    const isNews = await this.#table.change(vault, pack, (record) => {
      if (record === undefined) return undefined
      return withPlace(record, { index, host, seenAt, refuted })
    })
    if (isNews) this.#changed(vault)
  }

  #changed(vault: Uint8Array): void {
    const key = toHex(vault)
    for (const listener of this.#listeners) listener(key)
  }

  /** Receipts that others sent: a shard was placed, and its holder signed for it. */
  async #takeReceipts(envelopes: readonly Uint8Array[]): Promise<void> {
    const { pool, clock } = this.#c
    const id = pool.id()
    for (const envelope of envelopes) {
      const receipt = openReceipt(envelope)
      const { vault, pack, index } = receipt
      const host = toHex(receipt.host)
      const isMember = pool.hosts().some((one) => one.id === host)
      if (id === undefined || !equalBytes(receipt.pool, id) || !isMember) continue
      if ((await this.stripe(vault, pack)) === undefined) continue
      const { stripe } = await this.descriptor(vault, pack, this.#stop.signal)
      const hash = stripe.shardHashes[index]
      if (hash === undefined || !equalBytes(hash, receipt.shardHash)) continue
      const place: ShardPlace = { index, host, seenAt: clock.now(), refuted: false }
      await this.#table.change(vault, pack, (record) =>
        record === undefined ? undefined : withPlace(record, place),
      )
      this.#changed(vault)
    }
  }
}
