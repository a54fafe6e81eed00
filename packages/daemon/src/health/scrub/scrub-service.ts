/**
 * Scrub: this host reads all shards that it keeps and compares them with their hashes, within 30
 * days, and sooner when there is reason to doubt the disk (an end that was no stop, an error).
 *
 * The store itself makes damage known (`onDamage`); repair hears it there. A turn reads what is due
 * for the time since the last one, in the order of their names, and remembers where it ended.
 * Bairavasundaram et al. (2007): scrubs of two weeks found more than 60 % of latent sector errors.
 */

import {
  type Clock,
  decodeAs,
  encodeCbor,
  fields,
  type Infer,
  isMoyaiError,
  s,
  toMoyaiError,
  utf8,
} from '@moyai/protocol'

import type { Database, Table } from '../../database/index.ts'
import type { Logger } from '../../logger.ts'
import type { ShardItem, ShardStore } from '../../shard-store/index.ts'
import { STOPPING } from '../enough.ts'

const DAY_MS = 86_400_000
/** A turn reads this part of a round: 12 a day keep each below some minutes even of 10 TB. */
const TICK_MS = 7_200_000
const ROUND_MS = 30 * DAY_MS
/** After an unclean end or an error. */
const HURRY_ROUND_MS = 7 * DAY_MS
/** After a start others come first: whoever restores, stores, and repairs. */
const START_MS = 900_000
/**
 * Pause after each shard, as a multiple of the time that its reading took: a third of a disk's time
 * at most.
 */
const PAUSE_FACTOR = 2
/** A pause is no longer than this, whatever a disk that sleeps took. */
const PAUSE_MS_MAX = 5_000
/** Shards listed at once: what a turn may read too much, which the next one reads less. */
const PAGE_ITEMS = 8
/** Damaged shards that a summary names. */
const NAMED_MAX = 100

const KEY = utf8('state')
const STATE_BYTES_MAX = 1024

const STATE = s.map({
  /** Where this round goes on; absent at its start. */
  cursor: s.optional(s.bytes({ min: 1, max: 128 })),
  /** When this round began, ms. */
  roundSince: s.int(),
  /** When the last turn ended: how much the next one has to read. */
  turnAt: s.int(),
  /** Bytes read in this round. */
  readBytes: s.int(),
  /** Bytes that the last turn read beyond its share. */
  aheadBytes: s.int(),
  /** This round, and the next, are to take 7 days. */
  isHurried: s.bool(),
  /** Something was damaged in this round. */
  hasFound: s.bool(),
  /** When the last round that was read to its end began. */
  wholeSince: s.optional(s.int()),
})
type State = Infer<typeof STATE>

export type ScrubOptions = {
  tickMs?: number
  startMs?: number
  roundMs?: number
  hurryRoundMs?: number
  /** As PAUSE_FACTOR; 0 for none. */
  pauseFactor?: number
}

export type ScrubComponents = {
  store: Pick<ShardStore, 'list' | 'verify' | 'usedBytes' | 'wasUnclean'>
  database: Database
  clock: Clock
  logger: Logger
}

/** What a scrub of everything found. */
export type ScrubFindings = {
  shards: number
  bytes: number
  /** Names of damaged shards, NAMED_MAX at most, and how many there are. */
  damaged: { vault: Uint8Array; pack: Uint8Array; index: number }[]
  damagedCount: number
}

export type ScrubProgress = { shards: number; bytes: number; bytesTotal: number; damaged: number }

/** See the head of this file. */
export class ScrubService {
  readonly #c: ScrubComponents
  readonly #o: Required<ScrubOptions>
  readonly #table: Table
  readonly #stop = new AbortController()
  #state: State | undefined
  #running: Promise<void> | undefined

  constructor(options: ScrubOptions, components: ScrubComponents) {
    this.#o = {
      tickMs: TICK_MS,
      startMs: START_MS,
      roundMs: ROUND_MS,
      hurryRoundMs: HURRY_ROUND_MS,
      pauseFactor: PAUSE_FACTOR,
      ...options,
    }
    this.#c = components
    this.#table = components.database.table('scrub')
  }

  start(): void {
    this.#running ??= this.#run()
  }

  async stop(): Promise<void> {
    this.#stop.abort(STOPPING)
    await this.#running
  }

  /** When (ms) the last round began that read everything; undefined before there was one. */
  async lastScrubAt(): Promise<number | undefined> {
    return (await this.#load()).wholeSince
  }

  async #run(): Promise<void> {
    const { clock, logger } = this.#c
    const { signal } = this.#stop
    let waitMs = this.#o.startMs
    for (;;) {
      await clock.sleep(waitMs, signal).catch(() => undefined)
      if (signal.aborted) return
      waitMs = this.#o.tickMs
      try {
        await this.turn(signal)
      } catch (error) {
        if (signal.aborted) return
        logger.warn({ error: toMoyaiError(error).message }, 'scrub: a turn ended early')
      }
    }
  }

  /**
   * Reads as much as the time since the last turn asks for. Rejects with ABORTED, DISK,
   * STORE_OFFLINE.
   */
  async turn(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#c
    const state = await this.#load()
    const roundMs = state.isHurried ? this.#o.hurryRoundMs : this.#o.roundMs
    const now = clock.now()
    // A clock that was set back must not stop the scrub; one turn does not read more than a round.
    const elapsedMs = Math.min(roundMs, now >= state.turnAt ? now - state.turnAt : this.#o.tickMs)
    const used = await store.usedBytes()
    let budget = Math.ceil((used * elapsedMs) / roundMs) - state.aheadBytes
    state.turnAt = now
    try {
      while (budget > 0) {
        const page = await store.list({ ...cursorOf(state.cursor), limit: PAGE_ITEMS })
        for (const item of page.items) {
          const isWhole = await this.#verify(item, signal)
          budget -= item.length
          state.readBytes += item.length
          state.hasFound ||= !isWhole
        }
        if (page.next === undefined) {
          this.#endRound(state)
          break
        }
        state.cursor = page.next
      }
    } finally {
      state.aheadBytes = Math.max(0, -budget)
      await this.#save(state)
    }
  }

  /**
   * Reads everything now, without the pauses of the background. Rejects with ABORTED, DISK,
   * STORE_OFFLINE.
   */
  async scrub(o: {
    signal: AbortSignal
    onProgress?: (progress: ScrubProgress) => void
  }): Promise<ScrubFindings> {
    const { store, clock } = this.#c
    const began = clock.now()
    const bytesTotal = await store.usedBytes()
    const summary: ScrubFindings = { shards: 0, bytes: 0, damaged: [], damagedCount: 0 }
    let cursor: Uint8Array | undefined
    do {
      const page = await store.list({ ...cursorOf(cursor), limit: PAGE_ITEMS })
      for (const item of page.items) {
        o.signal.throwIfAborted()
        summary.shards++
        summary.bytes += item.length
        if (!(await this.#isWhole(item))) {
          summary.damagedCount++
          const { vault, pack, index } = item
          if (summary.damaged.length < NAMED_MAX) summary.damaged.push({ vault, pack, index })
        }
        const { shards, bytes, damagedCount: damaged } = summary
        o.onProgress?.({ shards, bytes, bytesTotal, damaged })
      }
      cursor = page.next
    } while (cursor !== undefined)
    const state = await this.#load()
    state.wholeSince = began
    state.roundSince = began
    delete state.cursor
    state.isHurried = summary.damagedCount > 0
    await this.#save(state)
    return summary
  }

  #endRound(state: State): void {
    const { clock, logger } = this.#c
    logger.info({ bytes: state.readBytes }, 'scrub: all shards were read')
    state.wholeSince = state.roundSince
    state.roundSince = clock.now()
    state.readBytes = 0
    state.isHurried = state.hasFound
    state.hasFound = false
    delete state.cursor
  }

  /** False when the shard is damaged; pauses afterwards. */
  async #verify(item: ShardItem, signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#c
    signal.throwIfAborted()
    const began = clock.monotonic()
    const isWhole = await this.#isWhole(item)
    const pauseMs = (clock.monotonic() - began) * this.#o.pauseFactor
    if (pauseMs >= 1) await clock.sleep(Math.min(PAUSE_MS_MAX, pauseMs), signal)
    return isWhole
  }

  async #isWhole(item: ShardItem): Promise<boolean> {
    const { store, logger } = this.#c
    try {
      await store.verify(item)
      return true
    } catch (error) {
      // Trimmed since it was listed.
      if (isMoyaiError(error, 'NOT_FOUND')) return true
      if (!isMoyaiError(error, 'SHARD_DAMAGED', 'DISK')) throw error
      const { code, message } = error
      const index = item.index
      logger.warn({ code, message, index }, 'scrub: a shard is damaged')
      const state = await this.#load()
      state.isHurried = true
      return false
    }
  }

  async #load(): Promise<State> {
    if (this.#state !== undefined) return this.#state
    const now = this.#c.clock.now()
    const value = await this.#table.get(KEY)
    const kept = value === undefined ? undefined : decodedState(value)
    const state: State = kept ?? {
      roundSince: now,
      turnAt: now,
      readBytes: 0,
      aheadBytes: 0,
      isHurried: false,
      hasFound: false,
    }
    if (this.#c.store.wasUnclean) state.isHurried = true
    this.#state ??= state
    return this.#state
  }

  async #save(state: State): Promise<void> {
    await this.#table.put(KEY, encodeCbor(fields(state)))
  }
}

function cursorOf(cursor: Uint8Array | undefined): { cursor?: Uint8Array } {
  return cursor === undefined ? {} : { cursor }
}

function decodedState(value: Uint8Array): State | undefined {
  try {
    return decodeAs(STATE, value, { bytesMax: STATE_BYTES_MAX, what: 'scrub state' })
  } catch {
    // Another version wrote it: the round begins anew.
    return undefined
  }
}
