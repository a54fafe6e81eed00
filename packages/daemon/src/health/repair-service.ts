/**
 * Keeps stripes whole: finds those with shards missing, most endangered first, and makes the shards
 * again on other hosts. Works on all stripes that concern this host, its own vault's and others',
 * with ciphertext alone. Never removes anything.
 *
 * Nothing is remembered over a restart: what is needed is found again from the whereabouts. The
 * owner's host has the highest rank for its own stripes while it is connected; stripes that its
 * store has not recorded yet are its settler's (store/settler.ts), and unknown here.
 */

import {
  claimYields,
  equalBytes,
  fromHex,
  isMoyaiError,
  MoyaiError,
  openReceipt,
  planRepair,
  repairDueAt,
  repairRanks,
  repairTargets,
  toHex,
} from '@moyai/protocol'

import type { KeyedLock } from '../shard-store/keyed-lock.ts'
import { ENOUGH } from './enough.ts'
import type { HealthNews, LivenessView, StripeView, TrustView } from './ports.ts'
import { RepairClaims, stripeKey } from './repair-claims.ts'
import { repairStripe } from './repair-job.ts'
import type { PlacedShard, RepairJobComponents, RepairResult } from './repair-job.ts'
import { RepairBudget } from './repair-budget.ts'
import { RepairNeeds } from './repair-needs.ts'
import type { RepairStats } from './repair-needs.ts'
import type { QueueEntry } from './repair-queue.ts'
import { HostStandings, WITNESS_MS } from './repair-standings.ts'

export type { LostStripe, RepairStats } from './repair-needs.ts'

/** Stripes repaired at once: one reads while the other commits. */
const PARALLEL = 2
/** A host is waited for so long before the next in rank takes over. */
const STALL_MS: number = 2 * 60 * 1000
/** A claim holds so long, and is renewed at half of it. */
const CLAIM_MS: number = 2 * 60 * 1000
/** After another host is done with a stripe, its receipts get so long to be taken in. */
const SETTLING_MS: number = 10 * 1000
/** What found no hosts is tried again when one connects, but not more often than this. */
const HOSTS_RETRY_MS: number = 10 * 60 * 1000
/** While its owner is there, a stripe so young is the owner's, who may be placing it still. */
const FRESH_MS: number = 3600 * 1000
/** Events within this are acted upon at once. */
const BATCH_MS = 2000
/** First wait after a failure; it doubles up to the last. */
const RETRY_MS: number = 60 * 1000
const RETRY_MS_MAX: number = 3600 * 1000
/** Between tries of a stripe that was signed wrong: its shards were read for nothing. */
const HOPELESS_MS: number = 7 * 24 * 3600 * 1000
/** Lost stripes listed; all are counted. */
const LOST_LISTED_MAX = 256
/** Receipts and claims taken from one message. */
const NEWS_ITEMS_MAX = 256

/** The protocol's decisions; a test may break one to see that others notice. */
export type RepairDecisions = {
  plan: typeof planRepair
  ranks: typeof repairRanks
  targets: typeof repairTargets
}

export type RepairOptions = {
  parallel?: number
  stallMs?: number
  claimMs?: number
  rescanMs?: number
  debounceMs?: number
  /** Limit of bytes per second of repairs that are not urgent; asked for before each stripe. */
  bytesPerSecond?: () => number
  decisions?: Partial<RepairDecisions>
  /** Taken for each stripe of this host's own vaults: its settler places shards of them, too. */
  ownLock?: KeyedLock
  /** A shard of this host's own vaults was placed, by whomever; `receipt` is verified. */
  onPlaced?: (vault: Uint8Array, pack: Uint8Array, shard: PlacedShard) => Promise<void>
}

export type RepairComponents = Omit<RepairJobComponents, 'breathe'> & {
  liveness: LivenessView
  trust: TrustView
  /** Lets other work of this thread have a turn. */
  breathe?: () => Promise<unknown>
}

/** See the head of this file. */
export class RepairService {
  readonly #o: RepairOptions
  readonly #c: RepairJobComponents
  readonly #liveness: LivenessView
  readonly #decisions: RepairDecisions
  readonly #standings: HostStandings
  readonly #needs: RepairNeeds
  readonly #claims = new RepairClaims()
  readonly #budget: RepairBudget
  readonly #active = new Map<string, AbortController>()
  readonly #told = new Set<Promise<void>>()
  readonly #stop = new AbortController()
  #offs: (() => void)[] = []
  #wake = new AbortController()
  #running: Promise<void> | undefined
  /** Counts connections made and lost: ranks hold as long as it stands. */
  #connections = 0
  #hostsChangedAt = Number.NEGATIVE_INFINITY
  readonly #figures = { bytesFetched: 0, bytesPlaced: 0, repaired: 0, shards: 0, busyMs: 0 }

  constructor(options: RepairOptions, components: RepairComponents) {
    const { liveness, trust, breathe, ...rest } = components
    this.#o = options
    this.#c = { ...rest, breathe: breathe ?? (() => new Promise((done) => setImmediate(done))) }
    this.#liveness = liveness
    const protocols = { plan: planRepair, ranks: repairRanks, targets: repairTargets }
    this.#decisions = { ...protocols, ...options.decisions }
    this.#standings = new HostStandings({ ...rest, liveness, trust })
    const { plan } = this.#decisions
    this.#needs = new RepairNeeds({ ...options, plan }, this.#c, this.#standings)
    this.#budget = new RepairBudget(this.#c.clock, options.bytesPerSecond)
  }

  /** Begins to watch; the first look at everything is the loop's. */
  start(): void {
    this.watch()
    this.#running = this.#loop()
  }

  /** Takes note of events without acting on them: for whoever calls `turn` himself. */
  watch(): void {
    const { whereabouts, network } = this.#c
    this.#offs = [
      whereabouts.onChange((vault) => {
        this.#needs.changed(vault)
        this.#wakeUp()
      }),
      this.#liveness.onChange(() => this.#wakeUp()),
      network.on('peer:up', () => {
        this.#connections++
        this.#hostsChangedAt = this.#c.clock.now()
        if (this.#needs.queue.size > 0) this.#wakeUp()
      }),
      network.on('peer:down', () => {
        this.#connections++
        if (this.#needs.queue.size > 0) this.#wakeUp()
      }),
    ]
  }

  async stop(): Promise<void> {
    for (const off of this.#offs) off()
    this.#offs = []
    this.#stop.abort(new MoyaiError('ABORTED', 'the daemon stops'))
    await this.#running
    await Promise.all(this.#told)
  }

  stats(): RepairStats {
    const { busyMs, ...figures } = this.#figures
    let left = 0
    for (const { need, shardLength } of this.#needs.queue.ordered())
      left += need.wanted.length * shardLength
    const pace = busyMs > 0 ? (1000 * figures.bytesPlaced) / busyMs : 0
    return {
      queue: this.#needs.queue.size,
      active: this.#active.size,
      etaSeconds: left === 0 ? 0 : pace > 0 ? Math.ceil(left / pace) : undefined,
      lost: {
        count: this.#needs.lost.size,
        stripes: [...this.#needs.lost.values()].slice(0, LOST_LISTED_MAX),
      },
      ...figures,
    }
  }

  /** What another host told: claims, ends of claims, receipts. Nothing of it may be true. */
  async onNews(host: string, news: HealthNews): Promise<void> {
    const now = this.#c.clock.now()
    for (const claim of (news.claims ?? []).slice(0, NEWS_ITEMS_MAX)) {
      this.#claims.add(host, claim, now)
      this.#yieldTo(host, stripeKey(claim))
    }
    for (const stripe of (news.done ?? []).slice(0, NEWS_ITEMS_MAX)) {
      this.#claims.remove(host, stripe, now)
      const entry = this.#needs.queue.get(stripeKey(stripe))
      if (entry === undefined) continue
      entry.notBefore = Math.max(entry.notBefore, now + SETTLING_MS)
    }
    for (const envelope of (news.placed ?? []).slice(0, NEWS_ITEMS_MAX)) await this.#learn(envelope)
  }

  /**
   * Makes this host's own shard of a stripe again: `put` of the store replaces a damaged file. Does
   * nothing when the shard is whole. NOT_FOUND when this host is to have none of it;
   * NOT_ENOUGH_SHARDS.
   */
  async repairOwn(vault: Uint8Array, pack: Uint8Array, index: number): Promise<void> {
    const { whereabouts, pool } = this.#c
    await whereabouts.refute({ vault, pack, index, host: pool.self })
    const view = await whereabouts.stripe(vault, pack)
    if (view === undefined) throw new MoyaiError('NOT_FOUND', 'nothing is known of this stripe')
    const stays = this.#needs.assess(view).stays
    const need = { kind: 'repair', wanted: [index], stays, distance: 0, endangered: false } as const
    const signal = this.#stop.signal
    const targets: typeof repairTargets = ({ wanted, avoid }) =>
      new Map(avoid?.has(pool.self) === true ? [] : wanted.map((at) => [at, pool.self]))
    const { placed } = await this.#repair({ view, need, signal, targets, urgent: true })
    if (placed.length === 0) throw new MoyaiError('NO_SPACE', 'the shard could not be stored')
  }

  /**
   * One pass: looks at what changed, then repairs all that is due. Returns ms until something else
   * may be. `all`: looks at everything, and waits for nobody's rank.
   */
  async turn(signal: AbortSignal, o: { all?: boolean; onDone?: () => void } = {}): Promise<number> {
    const { clock } = this.#c
    const both = AbortSignal.any([signal, this.#stop.signal])
    if (await this.#standings.update(both)) this.#needs.allChanged()
    await this.#needs.scan(both, o.all === true)
    const running = new Set<Promise<void>>()
    for (;;) {
      const entry = both.aborted ? undefined : this.#pick(o.all === true)
      if (entry !== undefined && running.size < (this.#o.parallel ?? PARALLEL)) {
        const job = this.#run(entry, both).finally(() => {
          running.delete(job)
          o.onDone?.()
        })
        running.add(job)
      } else if (running.size === 0) break
      else await Promise.race(running)
    }
    return Math.max(0, this.#nextAt() - clock.now())
  }

  /**
   * Repairs at once, as far as this host can, all that needs it, whoever's turn it would be; what
   * another host is at work on is left to it. `onProgress` is called after each stripe.
   */
  async now(o: { signal: AbortSignal; onProgress?: () => void }): Promise<void> {
    const { whereabouts, clock } = this.#c
    await whereabouts.refresh({ signal: o.signal })
    for (const entry of this.#needs.queue.ordered()) entry.notBefore = clock.now()
    try {
      await this.turn(o.signal, { all: true, ...(o.onProgress && { onDone: o.onProgress }) })
    } finally {
      this.#wakeUp()
    }
    o.signal.throwIfAborted()
  }

  async #loop(): Promise<void> {
    const { clock, logger } = this.#c
    const { signal } = this.#stop
    while (!signal.aborted) {
      this.#wake = new AbortController()
      let waitMs = RETRY_MS
      try {
        waitMs = await this.turn(signal)
      } catch (error) {
        if (signal.aborted) return
        logger.warn({ error: String(error) }, 'a pass of repairs failed')
      }
      const wake = AbortSignal.any([signal, this.#wake.signal])
      await clock.sleep(waitMs, wake).catch(() => undefined)
      if (!signal.aborted) await clock.sleep(BATCH_MS, signal).catch(() => undefined)
    }
  }

  #wakeUp(): void {
    this.#wake.abort(ENOUGH)
  }

  // ---- whose turn -------------------------------------------------------------------------------

  #pick(all: boolean): QueueEntry | undefined {
    const now = this.#c.clock.now()
    for (const entry of this.#needs.queue.ordered()) {
      if (this.#active.has(entry.key)) continue
      const isFree = entry.notBefore <= now && this.#claims.of(entry.key, now).length === 0
      if ((all && isFree) || this.#dueAt(entry) <= now) return entry
    }
    return undefined
  }

  #nextAt(): number {
    const now = this.#c.clock.now()
    let next = this.#needs.nextScanAt()
    if (this.#standings.isDisputed) next = Math.min(next, now + WITNESS_MS)
    for (const entry of this.#needs.queue.ordered()) {
      // those that another turn is at work on are its own
      if (!this.#active.has(entry.key)) next = Math.min(next, this.#dueAt(entry))
    }
    return Math.max(next, now + 1)
  }

  /** When this stripe is this host's to repair; infinite while it has no rank. */
  #dueAt(entry: QueueEntry): number {
    const { clock, pool } = this.#c
    const { key, need, since } = entry
    const due = repairDueAt({
      ranks: this.#ranksOf(entry),
      self: pool.self,
      since,
      stallMs: this.#o.stallMs ?? STALL_MS,
      endangered: need.endangered,
      workedAt: (host) => this.#claims.workedAt(host),
    })
    if (due < 0) return Number.POSITIVE_INFINITY
    const owner = pool.vaults().get(toHex(entry.vault))
    const isBusy = owner !== undefined && this.#c.network.isConnected(owner)
    // an owner's clock that is ahead holds nothing up
    const ripe = isBusy ? Math.min(entry.created, since) + FRESH_MS : 0
    const failedAt = entry.wantsHostsAt ?? Number.POSITIVE_INFINITY
    const soon = failedAt + (need.endangered ? SETTLING_MS : HOSTS_RETRY_MS)
    const isNews = this.#hostsChangedAt > failedAt
    let at = Math.max(due, ripe, isNews ? Math.min(soon, entry.notBefore) : entry.notBefore)
    for (const claim of this.#claims.of(key, clock.now())) at = Math.max(at, claim.until)
    return at
  }

  /** The hosts that can repair the stripe now, best first. */
  #ranksOf(entry: QueueEntry): readonly string[] {
    if (entry.ranksAt === this.#connections) return entry.ranks
    const { pool, network } = this.#c
    const owner = pool.vaults().get(toHex(entry.vault))
    const isLive = (host: string): boolean =>
      (host === pool.self || network.isConnected(host)) && this.#standings.of(host) !== 'gone'
    const live = [...entry.holders, ...(owner === undefined ? [] : [owner])].filter(isLive)
    entry.ranks = this.#decisions.ranks({ pack: entry.pack, live, owner })
    entry.ranksAt = this.#connections
    return entry.ranks
  }

  /** Another host claims a stripe that this one is at work on: the one of higher rank goes on. */
  #yieldTo(host: string, key: string): void {
    const job = this.#active.get(key)
    const entry = this.#needs.queue.get(key)
    if (job === undefined || entry === undefined) return
    const ranks = this.#ranksOf(entry)
    if (!claimYields({ ranks, self: this.#c.pool.self, other: host })) return
    job.abort(new MoyaiError('ABORTED', 'another host repairs this stripe'))
  }

  async #run(entry: QueueEntry, signal: AbortSignal): Promise<void> {
    const { clock, pool, logger } = this.#c
    const { vault, pack, key } = entry
    const stop = new AbortController()
    this.#active.set(key, stop)
    const begun = clock.monotonic()
    const hosts = new Set(this.#ranksOf(entry).filter((host) => host !== pool.self))
    const job = { entry, hosts, signal: AbortSignal.any([signal, stop.signal]) }
    const lock = pool.vaults().get(toHex(vault)) === pool.self ? this.#o.ownLock : undefined
    try {
      await (lock?.run(toHex(pack), () => this.#attempt(job)) ?? this.#attempt(job))
    } catch (error) {
      if (signal.aborted) return
      if (entry.claimed) this.#tell(hosts, { done: [{ vault, pack }] })
      const wantsHosts = isMoyaiError(error, 'NOT_ENOUGH_SHARDS', 'NO_SPACE', 'HOST_UNREACHABLE')
      if (!stop.signal.aborted) this.#failed(entry, wantsHosts)
      if (isMoyaiError(error, 'HASH_MISMATCH')) entry.notBefore = clock.now() + HOPELESS_MS
      logger.debug({ pack: toHex(pack), error: String(error) }, 'a stripe is not repaired yet')
    } finally {
      this.#active.delete(key)
      this.#figures.busyMs += clock.monotonic() - begun
    }
  }

  /** Looks once more whether the stripe needs anything, says that this host does it, and does. */
  async #attempt(o: {
    entry: QueueEntry
    hosts: ReadonlySet<string>
    signal: AbortSignal
  }): Promise<void> {
    const { entry, hosts, signal } = o
    const { vault, pack, key } = entry
    const { whereabouts, clock } = this.#c
    const queue = this.#needs.queue
    const view = await whereabouts.stripe(vault, pack)
    if (view === undefined || !this.#needs.note(view)) return queue.delete(key)
    if (queue.get(key) !== entry) return
    const { need } = entry
    const holdsMs = this.#o.claimMs ?? CLAIM_MS
    let claimedAt = Number.NEGATIVE_INFINITY
    entry.claimed = false
    const progress = (): void => {
      if (clock.monotonic() - claimedAt < holdsMs / 2) return
      claimedAt = clock.monotonic()
      entry.claimed = true
      this.#tell(hosts, { claims: [{ vault, pack, holdsMs }] })
    }
    const urgent = need.endangered || need.distance <= 0
    const { targets } = this.#decisions
    const { placed, missing } = await this.#repair({
      view,
      need,
      signal,
      targets,
      urgent,
      progress,
    })
    if (missing === 0) this.#figures.repaired++
    this.#tell(hosts, { done: [{ vault, pack }], placed: placed.map(({ receipt }) => receipt) })
    const again = await whereabouts.stripe(vault, pack)
    if (again === undefined || !this.#needs.note(again)) queue.delete(key)
    else this.#failed(entry, missing > 0)
  }

  #failed(entry: QueueEntry, wantsHosts: boolean): void {
    const waitMs = Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** entry.attempts)
    entry.attempts++
    entry.notBefore = this.#c.clock.now() + waitMs
    entry.wantsHostsAt = wantsHosts ? this.#c.clock.now() : undefined
  }

  async #repair(o: {
    view: StripeView
    need: QueueEntry['need']
    signal: AbortSignal
    targets: typeof repairTargets
    urgent: boolean
    progress?: () => void
  }): Promise<RepairResult> {
    const { view, need, signal, targets, urgent, progress } = o
    const { vault, pack } = view
    const owner = this.#c.pool.vaults().get(toHex(vault))
    const { envelope, stripe } = await this.#c.whereabouts.descriptor(vault, pack, signal)
    if (stripe.k !== view.code.k || stripe.m !== view.code.m) {
      throw new MoyaiError('MALFORMED', 'the descriptor is of another code')
    }
    const result = await repairStripe(this.#c, {
      envelope,
      stripe,
      view,
      need,
      owner,
      readable: (host) => this.#standings.of(host) !== 'gone',
      trusted: (host) => !['distrusted', 'gone'].includes(this.#standings.of(host)),
      targets,
      onBegin: () => progress?.(),
      pace: (bytes) => {
        progress?.()
        return this.#budget.take(bytes, { urgent, signal })
      },
      rangeBytes: this.#budget.rangeBytes({
        shards: view.code.k + need.wanted.length,
        jobs: this.#o.parallel ?? PARALLEL,
      }),
      onFetched: (bytes) => void (this.#figures.bytesFetched += bytes),
      onPlaced: (bytes) => void (this.#figures.bytesPlaced += bytes),
      signal,
    })
    this.#figures.shards += result.placed.length
    const taken = owner === this.#c.pool.self ? result.placed : []
    for (const shard of taken) await this.#o.onPlaced?.(vault, pack, shard)
    return result
  }

  /**
   * A receipt that another host sent. Whereabouts take them, too; this is for the owner, whose
   * index has the holders of its stripes.
   */
  async #learn(envelope: Uint8Array): Promise<void> {
    const { pool, logger } = this.#c
    const { onPlaced } = this.#o
    // most are about vaults of others: no signature is verified for them
    const own = [...pool.vaults()].flatMap(([vault, owner]) => (owner === pool.self ? vault : []))
    const bytes = Buffer.from(envelope.buffer, envelope.byteOffset, envelope.byteLength)
    const about = own.find((vault) => bytes.includes(fromHex(vault)))
    if (onPlaced === undefined || about === undefined) return
    try {
      const { vault, pack, index, host, pool: id } = openReceipt(envelope)
      const holder = toHex(host)
      const mine = pool.id()
      if (mine === undefined || !equalBytes(id, mine) || toHex(vault) !== about) return
      const isHolder = holder !== pool.self && !pool.revoked().has(holder)
      if (!isHolder || !pool.hosts().some((known) => known.id === holder)) return
      await onPlaced(vault, pack, { index, host: holder, receipt: envelope })
    } catch (error) {
      logger.debug({ error: String(error) }, 'a receipt that was told is none')
    }
  }

  /** Tells hosts without waiting: whoever does not hear it does some work twice. */
  #tell(hosts: ReadonlySet<string>, news: HealthNews): void {
    const { network, logger } = this.#c
    for (const host of hosts) {
      if (!network.isConnected(host)) continue
      const told = network
        .tell(host, news, this.#stop.signal)
        .catch((error: unknown) => logger.debug({ host, error: String(error) }, 'news not told'))
        .finally(() => this.#told.delete(told))
      this.#told.add(told)
    }
  }
}
