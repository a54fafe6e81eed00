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
  toHex,
  toMoyaiError,
  type Clock,
  type StripeDescriptor,
} from '@moyai/protocol'

import type { Database } from '../database/index.ts'
import type { Logger } from '../logger.ts'
import type { ShardStore } from '../shard-store/index.ts'
import { KeyedLock } from '../shard-store/keyed-lock.ts'
import { type OwnedStripes, OwnStripes } from './own-stripes.ts'
import { ENOUGH } from './enough.ts'
import { OpenedStripes } from './opened-stripes.ts'
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
import { SilentHosts } from './silent-hosts.ts'
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
/** After a turn that failed. */
const RETRY_MS = 60_000
/** Hosts that are asked at the same time. */
const ASKED_AT_ONCE = 4
/**
 * What one host is given to list all that changed, page by page. What was read by then is kept.
 */
const ASK_MS = 600_000
/** Messages with receipts that wait to be checked, of 48 at most each: 64 repaired stripes. */
const NEWS_TAKEN_MAX = 64

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
  readonly #opened = new OpenedStripes()
  /** Hosts that did not answer when they were asked last. */
  readonly #silent = new SilentHosts()
  /** Hosts that were told of this host's start. */
  readonly #greeted = new Set<string>()
  /** Hosts to ask, and vaults of this host's store to read, at the next turn. */
  readonly #hostsDue = new Set<string>()
  readonly #vaultsDue = new Set<string>()
  readonly #unlisten: (() => void)[] = []
  readonly #asking = new KeyedLock()
  #newsTaking = 0
  /** All of the own store and index is to be read, not only what is said to have changed. */
  #isAllDue = true
  #isPoolDue = false
  /** Revoked hosts that no record names any more. */
  readonly #dropped = new Set<string>()
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
      this.#opened.open(vault, pack, envelope).stripe
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

  /** Hosts were certified or revoked. */
  poolChanged(): void {
    this.#isPoolDue = true
    this.#wake()
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
    if (placed.length === 0) return
    // Not worth remembering: what was placed is listed, too.
    if (this.#newsTaking >= NEWS_TAKEN_MAX) return this.#due(host)
    this.#newsTaking++
    void this.#exclusively(() => this.#takeReceipts(host, placed)).finally(() => this.#newsTaking--)
  }

  async descriptor(
    vault: Uint8Array,
    pack: Uint8Array,
    signal: AbortSignal,
  ): Promise<{ envelope: Uint8Array; stripe: StripeDescriptor }> {
    const known = this.#opened.get(vault, pack)
    if (known !== undefined) return known
    const { owned, store, pool, network } = this.#c
    if (owned !== undefined && equalBytes(owned.vault, vault)) {
      const record = await owned.index.stripe(pack)
      if (record !== undefined) return this.#opened.open(vault, pack, record.envelope)
    }
    for (const { envelope } of await store.stat({ vault, pack })) {
      return this.#opened.open(vault, pack, envelope)
    }
    const view = await this.stripe(vault, pack)
    for (const { host } of view?.places ?? []) {
      if (host === pool.self || !network.isConnected(host)) continue
      try {
        const [first] = await network.shards(host).stat({ vault, pack, signal })
        if (first !== undefined) return this.#opened.open(vault, pack, first.envelope)
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
    const hosts = o.host === undefined ? this.#c.network.connected() : [o.host]
    await this.#askAll(hosts, o.signal)
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

  /** Asks a few hosts at a time, so that a slow one keeps only itself waiting. */
  async #askAll(hosts: readonly string[], signal: AbortSignal): Promise<void> {
    const left = hosts[Symbol.iterator]()
    const lane = async (): Promise<void> => {
      for (const host of left) await this.#asking.run(host, () => this.#ask(host, signal))
    }
    await Promise.all(Array.from({ length: Math.min(ASKED_AT_ONCE, hosts.length) }, lane))
    signal.throwIfAborted()
  }

  /** Rejects for nothing: what a host does not answer is asked again another time. */
  async #ask(host: string, signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#c
    const done = new AbortController()
    const either = AbortSignal.any([signal, done.signal])
    const late = clock.sleep(ASK_MS, either).then(
      () => done.abort(new MoyaiError('TIMED_OUT', 'its inventory takes too long')),
      () => undefined,
    )
    try {
      await this.#peers.ask(host, either)
      this.#silent.answered(host)
      await this.#greet(host, either)
    } catch (error) {
      if (signal.aborted) return
      this.#silent.failed(host, clock.monotonic())
      logger.debug({ host, error: toMoyaiError(error).message }, 'inventory not read')
    } finally {
      done.abort(ENOUGH)
      await late
    }
  }

  /** Who did not notice that this host was away for a moment asks it again because of this. */
  async #greet(host: string, signal: AbortSignal): Promise<void> {
    const some = this.#c.owned?.vault ?? (await this.vaults())[0]
    if (some === undefined || this.#greeted.has(host)) return
    await this.#c.network.tell(host, { changed: [some] }, signal)
    this.#greeted.add(host)
  }

  #due(host: string): void {
    this.#hostsDue.add(host)
    this.#wake()
  }

  async #run(): Promise<void> {
    const { clock, network, logger } = this.#c
    const { signal } = this.#stop
    let refreshAt = clock.monotonic()
    while (!signal.aborted) {
      try {
        if (clock.monotonic() >= refreshAt) {
          refreshAt = clock.monotonic() + this.#refreshMs
          this.#isAllDue = true
          for (const host of network.connected()) this.#hostsDue.add(host)
        }
        await this.#turn(signal)
        const silentAt = this.#silent.nextAt((host) => network.isConnected(host))
        const next = Math.min(refreshAt, silentAt)
        await this.#pause(next - clock.monotonic(), signal)
        for (const host of this.#silent.due(clock.monotonic())) this.#hostsDue.add(host)
      } catch (error) {
        if (signal.aborted) return
        // Such as a disk that is not there: what was due is due still, and the disk may come back.
        logger.warn({ error: toMoyaiError(error).message }, 'whereabouts not brought up to date')
        await clock.sleep(RETRY_MS, signal).catch(() => undefined)
      }
    }
  }

  /** A host that was put out has nothing that counts. */
  async #dropRevoked(): Promise<void> {
    const revoked = this.#c.pool.revoked()
    if ([...revoked].every((host) => this.#dropped.has(host))) return
    for (const vault of await this.vaults()) {
      if (await this.#table.removeHosts(vault, revoked)) this.#changed(vault)
    }
    for (const host of revoked) this.#dropped.add(host)
  }

  /** Sleeps until something is due, and then a little longer, so that more comes together. */
  async #pause(milliseconds: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#c
    const wake = new AbortController()
    this.#wake = () => wake.abort(ENOUGH)
    if (this.#hostsDue.size > 0 || this.#vaultsDue.size > 0 || this.#isPoolDue) wake.abort(ENOUGH)
    this.#isPoolDue = false
    const either = AbortSignal.any([signal, wake.signal])
    await clock.sleep(milliseconds, either).catch(() => undefined)
    this.#wake = () => undefined
    if (wake.signal.aborted && !signal.aborted) {
      await clock.sleep(this.#gatherMs, signal).catch(() => undefined)
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { network } = this.#c
    let failure: unknown
    try {
      await this.#dropRevoked()
      await this.#readOwn(signal)
    } catch (error) {
      // Others have no part in that, and are asked all the same.
      failure = error
    }
    const hosts = [...this.#hostsDue].filter((host) => network.isConnected(host))
    this.#hostsDue.clear()
    await this.#askAll(hosts, signal)
    if (failure !== undefined) throw failure
  }

  /** Reads what changed in the own store and index, and tells others; stays due if that fails. */
  async #readOwn(signal: AbortSignal): Promise<void> {
    if (this.#isAllDue) await this.refreshOwn()
    this.#isAllDue = false
    const read: Uint8Array[] = []
    try {
      for (const key of this.#vaultsDue) {
        this.#vaultsDue.delete(key)
        try {
          const isNew = await this.#exclusively(() => this.#own.read(fromHex(key)))
          if (isNew) for (const host of this.#c.network.connected()) this.#hostsDue.add(host)
        } catch (error) {
          this.#vaultsDue.add(key)
          throw error
        }
        read.push(fromHex(key))
      }
    } finally {
      await this.#tellChanged(read, signal)
    }
  }

  async #tellChanged(changed: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
    const { network, logger } = this.#c
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

  async #place(shard: Shard, { refuted }: { refuted: boolean }): Promise<void> {
    const { vault, pack, index, host } = shard
    const seenAt = this.#c.clock.now()
    let isNews = false
    await this.#table.change(vault, pack, (record) => {
      if (record === undefined) return undefined
      // Every audit confirms: that what counted counts still is nothing to look at a vault for.
      isNews = placeOf(record, shard)?.refuted !== refuted
      return withPlace(record, { index, host, seenAt, refuted })
    })
    if (isNews) this.#changed(vault)
  }

  #changed(vault: Uint8Array): void {
    const key = toHex(vault)
    for (const listener of this.#listeners) listener(key)
  }

  /** Receipts that `from` sent: a shard was placed, and its holder signed for it. */
  async #takeReceipts(from: string, envelopes: readonly Uint8Array[]): Promise<void> {
    for (const envelope of envelopes) {
      if (this.#stop.signal.aborted) return
      try {
        await this.#takeReceipt(envelope)
      } catch (error) {
        const { message } = toMoyaiError(error)
        this.#c.logger.debug({ host: from, error: message }, 'receipt not taken')
      }
    }
  }

  async #takeReceipt(envelope: Uint8Array): Promise<void> {
    const { pool, clock } = this.#c
    const id = pool.id()
    const receipt = openReceipt(envelope)
    const { vault, pack, index } = receipt
    const host = toHex(receipt.host)
    const isMember = pool.hosts().some((one) => one.id === host) && !pool.revoked().has(host)
    if (id === undefined || !equalBytes(receipt.pool, id) || !isMember) return
    if ((await this.stripe(vault, pack)) === undefined) return
    const { stripe } = await this.descriptor(vault, pack, this.#stop.signal)
    const hash = stripe.shardHashes[index]
    if (hash === undefined || !equalBytes(hash, receipt.shardHash)) return
    const place: ShardPlace = { index, host, seenAt: clock.now(), refuted: false }
    // A place that is known gains nothing by a receipt, which may be an old one that is shown
    // again: not even one that was refuted.
    const isNews = await this.#table.change(vault, pack, (record) =>
      record === undefined || placeOf(record, place) !== undefined
        ? undefined
        : withPlace(record, place),
    )
    if (!isNews) return
    // The holder has the last word: also if it has let the shard go since it signed.
    if (host !== pool.self) await this.#peers.doubt(host, vault, pack)
    this.#due(host)
    this.#changed(vault)
  }
}

function placeOf(
  { places }: { places: readonly ShardPlace[] },
  shard: { index: number; host: string },
): ShardPlace | undefined {
  return places.find(({ index, host }) => index === shard.index && host === shard.host)
}
