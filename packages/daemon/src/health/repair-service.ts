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
  assessStripe,
  claimYields,
  fromHex,
  hostStanding,
  isLossAgreed,
  isMoyaiError,
  MoyaiError,
  openReceipt,
  placementMargin,
  planRepair,
  repairDueAt,
  repairRanks,
  repairTargets,
  toHex,
} from '@moyai/protocol'
import type { Code, HostStanding } from '@moyai/protocol'

import type { HealthNews, LivenessView, StripeView, TrustView } from './ports.ts'
import { RepairClaims, stripeKey } from './repair-claims.ts'
import { repairStripe } from './repair-job.ts'
import type { PlacedShard, RepairJobComponents } from './repair-job.ts'
import { RepairBudget } from './repair-budget.ts'
import { RepairQueue } from './repair-queue.ts'
import type { QueueEntry } from './repair-queue.ts'

/** Stripes repaired at once: one reads while the other commits. */
const PARALLEL = 2
/** A host is waited for so long before the next in rank takes over. */
const STALL_MS: number = 2 * 60 * 1000
/** A claim holds so long, and is renewed at half of it. */
const CLAIM_MS: number = 2 * 60 * 1000
/** Everything is looked at again so often, should an event have been missed. */
const RESCAN_MS: number = 6 * 3600 * 1000
/** Changes of one vault within this are looked at once. */
const DEBOUNCE_MS: number = 10 * 1000
/** Looking takes at most this part of the time. */
const SCAN_SHARE = 20
/** First wait after a failure; it doubles up to the last. */
const RETRY_MS: number = 60 * 1000
const RETRY_MS_MAX: number = 3600 * 1000
/** Hosts asked whether they agree that one is lost; each at most so often. */
const WITNESSES_MAX = 8
const WITNESS_MS: number = 15 * 60 * 1000
/** Lost stripes listed; all are counted. */
const LOST_LISTED_MAX = 256
/** Receipts and claims taken from one message. */
const NEWS_ITEMS_MAX = 256
/** Stripes looked at before others get a turn of the event loop. */
const SCAN_BATCH = 128

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
  /** How long repairs of the own vault wait that can: the store places shards by itself, too. */
  ownDelayMs?: number
  decisions?: Partial<RepairDecisions>
  /** A shard of this host's own vaults was placed, by whomever; `receipt` is verified. */
  onPlaced?: (vault: Uint8Array, pack: Uint8Array, shard: PlacedShard) => Promise<void>
}

export type RepairComponents = Omit<RepairJobComponents, 'breathe'> & {
  liveness: LivenessView
  trust: TrustView
  /** Lets other work of this thread have a turn. */
  breathe?: () => Promise<unknown>
}

export type LostStripe = {
  vault: Uint8Array
  pack: Uint8Array
  /** Different shards that somebody may still have, and how many are needed. */
  have: number
  need: number
}

export type RepairStats = {
  queue: number
  active: number
  /** Seconds until the queue is empty at the present pace; undefined before it is known. */
  etaSeconds: number | undefined
  lost: { count: number; stripes: readonly LostStripe[] }
  bytesFetched: number
  bytesPlaced: number
  /** Stripes that were repaired, and shards placed. */
  repaired: number
  shards: number
}

/** See the head of this file. */
export class RepairService {
  readonly #o: RepairOptions
  readonly #c: RepairJobComponents
  readonly #liveness: LivenessView
  readonly #trust: TrustView
  readonly #decisions: RepairDecisions
  readonly #queue = new RepairQueue()
  readonly #claims = new RepairClaims()
  readonly #budget: RepairBudget
  readonly #lost = new Map<string, LostStripe>()
  readonly #active = new Map<string, AbortController>()
  readonly #dirty = new Set<string>()
  readonly #standings = new Map<string, HostStanding>()
  readonly #backSince = new Map<string, number>()
  readonly #presumedLost = new Set<string>()
  /** What others presume lost, and when they said so. */
  readonly #witnesses = new Map<string, { at: number; lost: ReadonlySet<string> }>()
  readonly #margins = new Map<string, number>()
  readonly #told = new Set<Promise<void>>()
  readonly #stop = new AbortController()
  #offs: (() => void)[] = []
  #wake = new AbortController()
  #running: Promise<void> | undefined
  #scannedAllAt = Number.NEGATIVE_INFINITY
  #scanAt = Number.NEGATIVE_INFINITY
  #hostsChangedAt = Number.NEGATIVE_INFINITY
  readonly #figures = { bytesFetched: 0, bytesPlaced: 0, repaired: 0, shards: 0, busyMs: 0 }

  constructor(options: RepairOptions, components: RepairComponents) {
    const { liveness, trust, breathe, ...rest } = components
    this.#o = options
    this.#c = { ...rest, breathe: breathe ?? (() => new Promise((done) => setImmediate(done))) }
    this.#liveness = liveness
    this.#trust = trust
    const protocols = { plan: planRepair, ranks: repairRanks, targets: repairTargets }
    this.#decisions = { ...protocols, ...options.decisions }
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
        this.#dirty.add(vault)
        this.#wakeUp()
      }),
      this.#liveness.onChange(() => this.#wakeUp()),
      network.on('peer:up', () => {
        this.#hostsChangedAt = this.#c.clock.now()
        this.#wakeUp()
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
    for (const { need, shardLength } of this.#queue.ordered())
      left += need.wanted.length * shardLength
    const pace = busyMs > 0 ? (1000 * figures.bytesPlaced) / busyMs : 0
    return {
      queue: this.#queue.size,
      active: this.#active.size,
      etaSeconds: left === 0 ? 0 : pace > 0 ? Math.ceil(left / pace) : undefined,
      lost: { count: this.#lost.size, stripes: [...this.#lost.values()].slice(0, LOST_LISTED_MAX) },
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
      if (this.#queue.get(stripeKey(stripe)) === undefined) continue
      this.#dirty.add(toHex(stripe.vault))
      this.#wakeUp()
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
    const owner = pool.vaults().get(toHex(vault))
    const stays = this.#assess(view, owner).stays
    const need = { kind: 'repair', wanted: [index], stays, distance: 0, endangered: false } as const
    const signal = this.#stop.signal
    const targets = (): Map<number, string> => new Map([[index, pool.self]])
    const { placed } = await this.#repair({ view, need, owner, signal, targets, urgent: true })
    if (placed.length === 0) throw new MoyaiError('NO_SPACE', 'the shard could not be stored')
  }

  /**
   * One pass: looks at what changed, then repairs all that is due. Returns ms until something else
   * may be. `all`: looks at everything, and waits for nobody's rank.
   */
  async turn(signal: AbortSignal, o: { all?: boolean } = {}): Promise<number> {
    const { clock } = this.#c
    const both = AbortSignal.any([signal, this.#stop.signal])
    await this.#updateStandings(both)
    await this.#scan(both, o.all === true)
    const running = new Set<Promise<void>>()
    for (;;) {
      const entry = both.aborted ? undefined : this.#pick(o.all === true)
      if (entry !== undefined && running.size < (this.#o.parallel ?? PARALLEL)) {
        const job = this.#run(entry, both).finally(() => running.delete(job))
        running.add(job)
      } else if (running.size === 0) break
      else await Promise.race(running)
    }
    return Math.max(0, this.#nextAt() - clock.now())
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
    }
  }

  #wakeUp(): void {
    this.#wake.abort()
  }

  // ---- what is needed ---------------------------------------------------------------------------

  /** Brings the standings of hosts up to date; where one changed, everything is looked at again. */
  async #updateStandings(signal: AbortSignal): Promise<void> {
    const { pool, clock } = this.#c
    const retiring = pool.retiring()
    const revoked = pool.revoked()
    const hosts = pool.hosts()
    let changed = hosts.length !== this.#standings.size
    for (const { id } of hosts) {
      const state = this.#liveness.stateOf(id)
      if (state === 'presumed-lost') this.#presumedLost.add(id)
      else if (this.#presumedLost.delete(id)) this.#backSince.set(id, clock.now())
      const agreed = state === 'presumed-lost' && (await this.#isAgreed(id, signal))
      const standing = hostStanding({
        member: !revoked.has(id),
        state,
        agreed,
        retiring: retiring.has(id),
        trusted: this.#trust.isTrusted(id),
      })
      if (this.#standings.get(id) === standing) continue
      this.#standings.set(id, standing)
      changed = true
    }
    for (const id of this.#standings.keys()) {
      if (!hosts.some((host) => host.id === id)) this.#standings.delete(id)
    }
    if (!changed) return
    this.#margins.clear()
    this.#scannedAllAt = Number.NEGATIVE_INFINITY
  }

  async #isAgreed(lost: string, signal: AbortSignal): Promise<boolean> {
    const { network, clock, pool } = this.#c
    const others = network.connected().filter((host) => host !== lost && host !== pool.self)
    for (const host of others.slice(0, WITNESSES_MAX)) {
      const before = this.#witnesses.get(host)
      if (before !== undefined && clock.now() - before.at < WITNESS_MS) continue
      try {
        const { presumedLost } = await network.ask(host, signal)
        this.#witnesses.set(host, { at: clock.now(), lost: new Set(presumedLost) })
      } catch {
        signal.throwIfAborted() // another may answer
      }
    }
    const said = [...this.#witnesses]
      .filter(([host, { at }]) => host !== lost && clock.now() - at < 2 * WITNESS_MS)
      .map(([, witness]) => witness.lost)
    return isLossAgreed({ host: lost, connected: others.length, presumedLost: said })
  }

  async #scan(signal: AbortSignal, all: boolean): Promise<void> {
    const { clock, whereabouts } = this.#c
    const begun = clock.monotonic()
    const now = clock.now()
    const everything = all || now - this.#scannedAllAt >= (this.#o.rescanMs ?? RESCAN_MS)
    if (!everything && (this.#dirty.size === 0 || now < this.#scanAt)) return
    const vaults = everything ? (await whereabouts.vaults()).map(toHex) : [...this.#dirty]
    this.#dirty.clear()
    if (everything) {
      this.#scannedAllAt = now
      this.#queue.clearCut()
    }
    for (const vault of vaults) await this.#scanVault(vault, signal)
    const tookMs = clock.monotonic() - begun
    this.#scanAt = clock.now() + Math.max(this.#o.debounceMs ?? DEBOUNCE_MS, SCAN_SHARE * tookMs)
  }

  async #scanVault(vault: string, signal: AbortSignal): Promise<void> {
    const stale = new Set(
      [...this.#queue.ordered().map(({ key }) => key), ...this.#lost.keys()].filter((key) =>
        key.startsWith(vault),
      ),
    )
    let seen = 0
    const unasked = await this.#c.whereabouts.unasked?.(fromHex(vault))
    const isOpen = ({ pack }: StripeView): boolean =>
      unasked?.(pack).some((host) => this.#standings.get(host) === 'here') === true
    for await (const view of this.#c.whereabouts.stripes(fromHex(vault))) {
      signal.throwIfAborted()
      if (this.#note(view, isOpen(view))) stale.delete(stripeKey(view))
      if (++seen % SCAN_BATCH === 0) await this.#c.breathe()
    }
    for (const key of stale) {
      this.#queue.delete(key)
      this.#lost.delete(key)
    }
  }

  /**
   * Puts a stripe where it belongs; false when it needs nothing. `isOpen`: a host that has not been
   * asked yet may have what seems to be missing; only what has no margin does not wait for it.
   */
  #note(view: StripeView, isOpen = false): boolean {
    const { pool, clock } = this.#c
    const owner = pool.vaults().get(toHex(view.vault))
    const health = this.#assess(view, owner)
    const margin = this.#marginOf(view.code, owner)
    const need = this.#decisions.plan({ code: view.code, health, margin })
    if (need === undefined || (isOpen && !need.endangered)) return false
    const key = stripeKey(view)
    const { vault, pack } = view
    if (need.kind === 'lost') {
      this.#lost.set(key, { vault, pack, have: health.readable, need: view.code.k })
      this.#queue.delete(key)
      return true
    }
    this.#lost.delete(key)
    const { code, class: kind, shardLength, created } = view
    const holders = view.places.flatMap(({ host, refuted }) => (refuted ? [] : host))
    const entry = { key, vault, pack, code, class: kind, shardLength, created, need, holders }
    this.#queue.put(entry, clock.now())
    return true
  }

  #assess(view: StripeView, owner: string | undefined): ReturnType<typeof assessStripe> {
    return assessStripe({
      code: view.code,
      owner,
      places: view.places,
      standingOf: (host) => this.#standings.get(host) ?? 'gone',
      backSince: (host) => this.#backSince.get(host),
    })
  }

  #marginOf(code: Code, owner = ''): number {
    const key = `${code.k}+${code.m} ${owner}`
    const known = this.#margins.get(key)
    if (known !== undefined) return known
    const { pool } = this.#c
    const margin = placementMargin({ hosts: pool.hosts(), owner, code, policy: pool.policy() })
    this.#margins.set(key, margin)
    return margin
  }

  // ---- whose turn -------------------------------------------------------------------------------

  #pick(all: boolean): QueueEntry | undefined {
    const now = this.#c.clock.now()
    return this.#queue.ordered().find((entry) => {
      if (this.#active.has(entry.key)) return false
      return (all && entry.notBefore <= now) || this.#dueAt(entry) <= now
    })
  }

  #nextAt(): number {
    const now = this.#c.clock.now()
    let next = this.#scannedAllAt + (this.#o.rescanMs ?? RESCAN_MS)
    if (this.#dirty.size > 0) next = Math.min(next, this.#scanAt)
    for (const entry of this.#queue.ordered()) next = Math.min(next, this.#dueAt(entry))
    return Math.max(next, now + 1)
  }

  /** When this stripe is this host's to repair; infinite when it is not connected to be so. */
  #dueAt(entry: QueueEntry): number {
    const { clock, pool } = this.#c
    const { key, need, since } = entry
    const { endangered } = need
    const due = repairDueAt({
      ranks: this.#ranksOf(entry),
      self: pool.self,
      since,
      stallMs: this.#o.stallMs ?? STALL_MS,
      endangered,
      workedAt: (host) => this.#claims.workedAt(host),
    })
    if (due < 0) return Number.POSITIVE_INFINITY
    const wanted = entry.wantsHostsAt ?? Number.POSITIVE_INFINITY
    const retry = this.#hostsChangedAt > wanted ? 0 : entry.notBefore
    let at = Math.max(due, retry)
    const isOwn = pool.vaults().get(toHex(entry.vault)) === pool.self
    if (isOwn && !endangered) at = Math.max(at, since + (this.#o.ownDelayMs ?? 0))
    for (const claim of this.#claims.of(key, clock.now())) at = Math.max(at, claim.until)
    return at
  }

  #ranksOf({ pack, vault, holders }: Pick<QueueEntry, 'pack' | 'vault' | 'holders'>): string[] {
    const { pool, network } = this.#c
    const owner = pool.vaults().get(toHex(vault))
    const isLive = (host: string): boolean =>
      (host === pool.self || network.isConnected(host)) &&
      (this.#standings.get(host) ?? 'gone') !== 'gone'
    const live = [...holders, ...(owner === undefined ? [] : [owner])].filter(isLive)
    return this.#decisions.ranks({ pack, live, owner })
  }

  /** Another host claims a stripe that this one is at work on: the one of higher rank goes on. */
  #yieldTo(host: string, key: string): void {
    const job = this.#active.get(key)
    const entry = this.#queue.get(key)
    if (job === undefined || entry === undefined) return
    const ranks = this.#ranksOf(entry)
    if (!claimYields({ ranks, self: this.#c.pool.self, other: host })) return
    job.abort(new MoyaiError('ABORTED', 'another host repairs this stripe'))
  }

  // ---- doing it ---------------------------------------------------------------------------------

  async #run(entry: QueueEntry, signal: AbortSignal): Promise<void> {
    const { clock, whereabouts, pool, logger } = this.#c
    const { vault, pack, key } = entry
    const stop = new AbortController()
    const both = AbortSignal.any([signal, stop.signal])
    this.#active.set(key, stop)
    const begun = clock.monotonic()
    const owner = pool.vaults().get(toHex(vault))
    const told = new Set(this.#ranksOf(entry).filter((host) => host !== pool.self))
    try {
      const view = await whereabouts.stripe(vault, pack)
      if (view === undefined || !this.#note(view)) return this.#queue.delete(key)
      const { need } = entry
      if (this.#lost.has(key)) return
      this.#tell(told, { claims: [{ vault, pack, holdsMs: this.#o.claimMs ?? CLAIM_MS }] })
      const { targets } = this.#decisions
      const urgent = need.endangered || need.distance <= 0
      const job = { view, need, owner, signal: both, targets, urgent }
      const { placed, missing } = await this.#repair(job)
      const again = await whereabouts.stripe(vault, pack)
      if (missing === 0) this.#figures.repaired++
      if (again === undefined || !this.#note(again)) this.#queue.delete(key)
      else this.#failed(entry, missing > 0)
      this.#tell(told, { done: [{ vault, pack }], placed: placed.map(({ receipt }) => receipt) })
    } catch (error) {
      if (signal.aborted) return
      this.#tell(told, { done: [{ vault, pack }] })
      const wantsHosts = isMoyaiError(error, 'NOT_ENOUGH_SHARDS', 'NO_SPACE', 'HOST_UNREACHABLE')
      if (!stop.signal.aborted) this.#failed(entry, wantsHosts)
      logger.debug({ pack: toHex(pack), error: String(error) }, 'a stripe is not repaired yet')
    } finally {
      this.#active.delete(key)
      this.#figures.busyMs += clock.monotonic() - begun
    }
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
    owner: string | undefined
    signal: AbortSignal
    targets: typeof repairTargets
    urgent: boolean
  }): Promise<{ placed: PlacedShard[]; missing: number }> {
    const { view, need, owner, signal, targets, urgent } = o
    const { vault, pack } = view
    const { envelope, stripe } = await this.#c.whereabouts.descriptor(vault, pack, signal)
    const result = await repairStripe(this.#c, {
      envelope,
      stripe,
      view,
      need,
      owner,
      readable: (host) => this.#standings.get(host) !== 'gone',
      trusted: (host) => this.#standings.get(host) !== 'distrusted',
      targets,
      pace: (bytes) => this.#budget.take(bytes, { urgent, signal }),
      onFetched: (bytes) => void (this.#figures.bytesFetched += bytes),
      onPlaced: (bytes) => void (this.#figures.bytesPlaced += bytes),
      signal,
    })
    this.#figures.shards += result.placed.length
    if (owner === this.#c.pool.self) {
      for (const shard of result.placed) await this.#o.onPlaced?.(vault, pack, shard)
    }
    return result
  }

  /** A receipt that another host sent: the shard is there, whoever says so. */
  async #learn(envelope: Uint8Array): Promise<void> {
    const { pool, whereabouts, logger } = this.#c
    try {
      const { vault, pack, index, host, pool: id } = openReceipt(envelope)
      const holder = toHex(host)
      const mine = pool.id()
      if (mine === undefined || toHex(id) !== toHex(mine)) return
      if (!this.#standings.has(holder)) return
      await whereabouts.confirm({ vault, pack, index, host: holder })
      if (pool.vaults().get(toHex(vault)) !== pool.self) return
      await this.#o.onPlaced?.(vault, pack, { index, host: holder, receipt: envelope })
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
