/**
 * Who is there (spec/liveness.md): takes note of who connects and who goes, and lets an hour pass
 * for all hosts at the top of each hour. By this host's own clock alone: what others think the time
 * is does not matter, nor what they say of one another.
 */

import {
  classify,
  HOLD_DOMAIN,
  HOLDS,
  HOST_STATES,
  HOUR_MS,
  hostDown,
  hostUp,
  livenessTable,
  type Clock,
  type HostFacts,
  type LivenessTable,
  skipHours,
  tickHour,
  toMoyaiError,
  utf8,
} from '@moyai/protocol'

import type { Database, Table } from '../database/index.ts'
import type { Logger } from '../logger.ts'
import { STOPPING } from './enough.ts'
import { livenessForgotten, livenessNotSaved } from './liveness-events.ts'
import { decodeLiveness, encodeLiveness } from './liveness-record.ts'
import type { HealthNetwork, HealthPool, HostState, LivenessView, SaidAbsence } from './ports.ts'

/** What a day taught is soon learned again; a crash sets absence clocks back by no more than it. */
const SAVE_HOURS = 24
/** An hour is watched when no more than half of it was missed, at either end. */
const MISSED_MS_MAX: number = HOUR_MS / 2
/** An office is silent from Friday evening to Monday morning, and nobody need be told. */
const SILENT_MS_MIN: number = 72 * HOUR_MS
const RECORD_KEY = utf8('presence')

export type LivenessOptions = {
  /** Hours between two saves. */
  saveHours?: number
}

export type LivenessComponents = {
  pool: Pick<HealthPool, 'self' | 'hosts' | 'absences'>
  network: Pick<HealthNetwork, 'connected' | 'isConnected' | 'on'>
  clock: Clock
  database: Database
  logger: Logger
}

/** What is known of one host's presence. */
export type Presence = {
  state: HostState
  /** When it was last connected, ms since 1970; undefined: never. */
  seenAt: number | undefined
  /** Expected hours for which it was missed. */
  absentHours: number
  /** Until when its absence is announced, ms since 1970; undefined when that is over. */
  awayUntil: number | undefined
  /** A person declared it lost, and it was not seen since. */
  declaredLost: boolean
  /** Why it is not presumed lost although it was missed for long enough. */
  held: 'domain' | 'share' | undefined
}

/** A site or provider; `hosts` (hex) are all that are in it. */
export type SilentDomain = { kind: 'site' | 'provider'; name: string; hosts: string[] }

const NOTHING: ReadonlyMap<string, SaidAbsence> = new Map()

function isSame(a: readonly HostFacts[], b: readonly HostFacts[]): boolean {
  if (a === b) return true
  if (a.length !== b.length) return false
  return a.every((host, i) => {
    const other = b[i] as HostFacts
    return (
      host.id === other.id &&
      host.site === other.site &&
      host.provider === other.provider &&
      host.alwaysOn === other.alwaysOn
    )
  })
}

/** See the head of this file. */
export class LivenessService implements LivenessView {
  readonly #components: LivenessComponents
  readonly #saveHours: number
  readonly #records: Table
  readonly #listeners = new Set<() => void>()
  readonly #stop = new AbortController()
  #table: LivenessTable
  #hosts: readonly HostFacts[] = []
  #absences: ReadonlyMap<string, SaidAbsence> = NOTHING
  #refuted = new Map<string, string>()
  /** The hour (since 1970) that is passing, and since when in it this host is watching, ms. */
  #hour = 0
  #watchedFrom = 0
  #unsavedHours = 0
  #running: Promise<void> | undefined
  #unlisten: (() => void)[] = []

  constructor(options: LivenessOptions, components: LivenessComponents) {
    this.#components = components
    this.#saveHours = options.saveHours ?? SAVE_HOURS
    this.#records = components.database.table('liveness', { cache: true })
    const { pool, clock } = components
    this.#table = livenessTable({ self: pool.self, hosts: [], now: clock.now() })
  }

  /** Recalls what was learned, and watches from now on. */
  async start(): Promise<void> {
    const { network, clock } = this.#components
    this.#sync()
    await this.#recall()
    this.#hour = Math.floor(clock.now() / HOUR_MS)
    this.#watchedFrom = clock.now()
    this.#unlisten = [
      network.on('peer:up', (host) => this.#up(host)),
      network.on('peer:down', (host) => this.#down(host)),
    ]
    for (const host of network.connected()) this.#up(host)
    this.#judge()
    this.#running = this.#watch()
  }

  async stop(): Promise<void> {
    for (const unlisten of this.#unlisten) unlisten()
    this.#stop.abort(STOPPING)
    const wasRunning = this.#running !== undefined
    await this.#running
    if (wasRunning) await this.#save()
  }

  stateOf(host: string): HostState {
    if (host === this.#components.pool.self) return 'online'
    const slot = this.#slotOf(host)
    return slot === undefined
      ? 'away'
      : (HOST_STATES[this.#table.state[slot] as number] as HostState)
  }

  wouldBeLost(host: string): boolean {
    const slot = this.#slotOf(host)
    if (slot === undefined) return false
    return this.#table.overdue[slot] === 1 || this.stateOf(host) === 'presumed-lost'
  }

  /** Undefined for this host itself, and for who is no member. */
  presenceOf(host: string): Presence | undefined {
    const slot = this.#slotOf(host)
    if (slot === undefined) return undefined
    const { seenAt, awayUntil, absentHours, declaredLost, hold } = this.#table
    const held = HOLDS[hold[slot] as number]
    const isAway = (awayUntil[slot] as number) > this.#components.clock.now()
    return {
      state: this.stateOf(host),
      seenAt: seenAt[slot] || undefined,
      absentHours: absentHours[slot] as number,
      awayUntil: isAway ? awayUntil[slot] : undefined,
      declaredLost: declaredLost[slot] === 1,
      held: held === 'none' ? undefined : held,
    }
  }

  /**
   * Sites and providers that are silent as a whole, longer than over a weekend, and for that hold
   * their hosts back.
   */
  silentDomains(): SilentDomain[] {
    const { groups, hold, hosts, seenAt, connected } = this.#table
    const now = this.#components.clock.now()
    const isGone = (slot: number): boolean =>
      connected[slot] === 0 && now - (seenAt[slot] as number) >= SILENT_MS_MIN
    const told = new Set<number>()
    return groups.flatMap(({ kind, name, slots, hasSelf }) => {
      const isSilent = !hasSelf && slots.every(isGone)
      const held = slots.filter((slot) => hold[slot] === HOLD_DOMAIN && !told.has(slot))
      if (!isSilent || held.length === 0) return []
      // A site is told before the company that runs its machines.
      for (const slot of held) told.add(slot)
      return [{ kind, name, hosts: slots.map((slot) => hosts[slot] as string) }]
    })
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Takes over what changed in the pool's log. */
  refresh(): void {
    this.#sync()
    this.#judge()
  }

  /**
   * Brings everything up to date, and lets the hour pass that is over, if one is. Called by itself
   * at the top of each hour.
   */
  async turn(): Promise<void> {
    this.#sync()
    const now = this.#components.clock.now()
    const hour = Math.floor(now / HOUR_MS)
    if (hour !== this.#hour) {
      const start = this.#hour * HOUR_MS
      const isWatched = this.#watchedFrom - start <= MISSED_MS_MAX
      const isOnTime = hour === this.#hour + 1 && now - hour * HOUR_MS <= MISSED_MS_MAX
      if (isWatched && isOnTime) tickHour(this.#table, start, now)
      else skipHours(this.#table, isOnTime ? now : start + HOUR_MS, now)
      this.#watchedFrom = isOnTime ? hour * HOUR_MS : now
      this.#hour = hour
      this.#unsavedHours++
    }
    this.#judge()
    if (this.#unsavedHours >= this.#saveHours) await this.#save()
  }

  async #watch(): Promise<void> {
    const { clock } = this.#components
    const { signal } = this.#stop
    while (!signal.aborted) {
      try {
        await clock.sleep(HOUR_MS - (clock.now() % HOUR_MS), signal)
      } catch {
        // Only `stop` ends the sleep.
        return
      }
      await this.turn()
    }
  }

  #judge(): void {
    if (classify(this.#table, this.#components.clock.now())) this.#tell()
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }

  #slotOf(host: string): number | undefined {
    return this.#table.slots.get(host)
  }

  #up(host: string): void {
    if (this.#slotOf(host) === undefined) this.#sync()
    const slot = this.#slotOf(host)
    if (slot === undefined) return
    const changed = hostUp(this.#table, slot, this.#components.clock.now())
    this.#refute(host)
    if (changed) this.#tell()
  }

  #down(host: string): void {
    const slot = this.#slotOf(host)
    if (slot === undefined || this.#components.network.isConnected(host)) return
    if (hostDown(this.#table, slot, this.#components.clock.now())) this.#tell()
  }

  /** The host is there: a declaration that it is lost was wrong, or no longer holds. */
  #refute(host: string): void {
    const said = this.#absences.get(host)
    if (said?.lost !== undefined) this.#refuted.set(host, said.lost)
  }

  /** Takes over who is in the pool, and what was said of them. */
  #sync(): void {
    const { pool, network, clock } = this.#components
    const hosts = pool.hosts()
    const isNew = !isSame(hosts, this.#hosts)
    if (isNew) {
      this.#hosts = hosts
      const now = clock.now()
      this.#table = livenessTable({ self: pool.self, hosts, now, before: this.#table })
      for (const [host, slot] of this.#table.slots) {
        if (network.isConnected(host)) hostUp(this.#table, slot, now)
      }
    }
    const absences = pool.absences?.() ?? NOTHING
    if (!isNew && absences === this.#absences) return
    this.#absences = absences
    this.#hear()
  }

  #hear(): void {
    const { awayUntil, declaredLost, connected, hosts } = this.#table
    for (const [host, id] of this.#refuted) {
      if (this.#absences.get(host)?.lost !== id) this.#refuted.delete(host)
    }
    for (let slot = 0; slot < hosts.length; slot++) {
      const host = hosts[slot] as string
      const said = this.#absences.get(host)
      if (connected[slot] === 1) this.#refute(host)
      awayUntil[slot] = said?.awayUntil ?? 0
      declaredLost[slot] = Number(said?.lost !== undefined && this.#refuted.get(host) !== said.lost)
    }
  }

  async #recall(): Promise<void> {
    const { clock, logger } = this.#components
    const record = await this.#records.get(RECORD_KEY)
    if (record === undefined) return
    try {
      const { savedAt, refuted } = decodeLiveness(record, this.#table)
      this.#refuted = refuted
      skipHours(this.#table, savedAt, clock.now())
      this.#hear()
    } catch (error) {
      livenessForgotten(logger, toMoyaiError(error))
    }
  }

  async #save(): Promise<void> {
    const { clock, logger } = this.#components
    this.#unsavedHours = 0
    const record = encodeLiveness(this.#table, { savedAt: clock.now(), refuted: this.#refuted })
    try {
      await this.#records.put(RECORD_KEY, record)
    } catch (error) {
      livenessNotSaved(logger, toMoyaiError(error))
    }
  }
}
