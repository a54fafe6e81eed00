/** Which stripes need something: found from the whereabouts, and again when these change. */

import { assessStripe, fromHex, isEndangered, placementMargin, toHex } from '@moyai/protocol'
import type { Code, planRepair, StripeHealth } from '@moyai/protocol'

import type { StripeView } from './ports.ts'
import { stripeKey } from './repair-claims.ts'
import type { RepairJobComponents } from './repair-job.ts'
import { RepairQueue } from './repair-queue.ts'
import type { HostStandings } from './repair-standings.ts'

/** Everything is looked at again so often, should an event have been missed. */
const RESCAN_MS: number = 6 * 3600 * 1000
/** Changes of one vault within this are looked at once. */
const DEBOUNCE_MS: number = 10 * 1000
/** Looking takes at most this part of the time. */
const SCAN_SHARE = 20
/** Stripes looked at before others get a turn of the event loop. */
const SCAN_BATCH = 128

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

export type RepairNeedsOptions = { rescanMs?: number; debounceMs?: number; plan: typeof planRepair }

type Components = Pick<RepairJobComponents, 'pool' | 'whereabouts' | 'clock' | 'breathe'>

export class RepairNeeds {
  readonly queue = new RepairQueue()
  /** Stripes of which too few shards are left, by key; they stay listed until a holder is back. */
  readonly lost = new Map<string, LostStripe>()
  readonly #o: RepairNeedsOptions
  readonly #c: Components
  readonly #standings: HostStandings
  /** Vaults (hex) with changes. */
  readonly #dirty = new Set<string>()
  readonly #margins = new Map<string, number>()
  #scannedAllAt = Number.NEGATIVE_INFINITY
  #scanAt = Number.NEGATIVE_INFINITY

  constructor(options: RepairNeedsOptions, components: Components, standings: HostStandings) {
    this.#o = options
    this.#c = components
    this.#standings = standings
  }

  /** Stripes of that vault (hex) are to be looked at again. */
  changed(vault: string): void {
    this.#dirty.add(vault)
  }

  /** All are. */
  allChanged(): void {
    this.#margins.clear()
    this.#scannedAllAt = Number.NEGATIVE_INFINITY
  }

  /** When `scan` has something to do next, ms since 1970. */
  nextScanAt(): number {
    const all = this.#scannedAllAt + (this.#o.rescanMs ?? RESCAN_MS)
    return this.#dirty.size > 0 ? Math.min(all, this.#scanAt) : all
  }

  /** Looks at what changed, unless it did just now; `all`: at everything. */
  async scan(signal: AbortSignal, all: boolean): Promise<void> {
    const { clock, whereabouts } = this.#c
    const begun = clock.monotonic()
    const now = clock.now()
    const everything = all || now - this.#scannedAllAt >= (this.#o.rescanMs ?? RESCAN_MS)
    if (!everything && (this.#dirty.size === 0 || now < this.#scanAt)) return
    const known = everything ? (await whereabouts.vaults()).map(toHex) : []
    const vaults = new Set([...this.#dirty, ...known])
    this.#dirty.clear()
    if (everything) this.#scannedAllAt = now
    for (const vault of vaults) await this.#scanVault(vault, signal)
    const tookMs = clock.monotonic() - begun
    this.#scanAt = clock.now() + Math.max(this.#o.debounceMs ?? DEBOUNCE_MS, SCAN_SHARE * tookMs)
  }

  async #scanVault(vault: string, signal: AbortSignal): Promise<void> {
    const stale = new Set(
      [...this.queue.keys(), ...this.lost.keys()].filter((key) => key.startsWith(vault)),
    )
    let seen = 0
    // Most stripes are whole, and of those nobody need be asked.
    let unasked: ((pack: Uint8Array) => string[]) | undefined
    const open = async (view: StripeView, health: StripeHealth): Promise<number> => {
      if (health.missing.length === 0) return 0
      unasked ??= (await this.#c.whereabouts.unasked?.(fromHex(vault))) ?? (() => [])
      return unasked(view.pack).filter((host) => this.#standings.of(host) === 'here').length
    }
    for await (const view of this.#c.whereabouts.stripes(fromHex(vault))) {
      signal.throwIfAborted()
      const health = this.assess(view)
      if (this.note(view, { open: await open(view, health), health })) stale.delete(stripeKey(view))
      if (++seen % SCAN_BATCH === 0) await this.#c.breathe()
    }
    for (const key of stale) {
      this.queue.delete(key)
      this.lost.delete(key)
    }
  }

  /**
   * Puts a stripe where it belongs; false when it needs nothing. `open`: so many hosts have not been
   * asked yet and may each have one of what seems to be missing; only what would have no margin
   * even so does not wait for them.
   */
  note(view: StripeView, o: { open?: number; health?: StripeHealth } = {}): boolean {
    const { pool, clock } = this.#c
    const key = stripeKey(view)
    const owner = pool.vaults().get(toHex(view.vault))
    const { open = 0, health = this.assess(view) } = o
    // Whether one missing shard can wait is all that the margin decides.
    const margin = health.missing.length === 1 ? this.#marginOf(view.code, owner) : 0
    const found = this.#o.plan({ code: view.code, health, margin })
    const hoped = Math.min(open, health.missing.length)
    const waits = hoped > 0 && !isEndangered(view.code, health.sure + hoped)
    const need = waits ? undefined : found
    if (need?.kind !== 'lost') this.lost.delete(key)
    if (need === undefined || need.kind === 'lost') this.queue.delete(key)
    if (need === undefined) return false
    const { vault, pack } = view
    if (need.kind === 'lost') {
      this.lost.set(key, { vault, pack, have: health.readable, need: view.code.k })
      return true
    }
    const { code, shardLength, created } = view
    const holders = view.places.flatMap(({ host, refuted }) => (refuted ? [] : host))
    const about = { key, vault, pack, code, class: view.class, shardLength, created }
    this.queue.put({ ...about, need, holders }, clock.now())
    return true
  }

  assess(view: StripeView): StripeHealth {
    return assessStripe({
      code: view.code,
      owner: this.#c.pool.vaults().get(toHex(view.vault)),
      places: view.places,
      standingOf: (host) => this.#standings.of(host),
      backSince: (host) => this.#standings.backSince(host),
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
}
