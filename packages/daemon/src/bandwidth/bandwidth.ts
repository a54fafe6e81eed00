/** The bandwidth limits of this host: two timetables, and what they say now. */

import type { Clock } from '@moyai/protocol'

import { RateLimit } from './rate-limit.ts'
import { rateAt, weekTime } from './timetable.ts'
import type { Rate, Timetable } from './timetable.ts'

/** Limits begin and end within a second of the full minute. */
const TICK_MS = 1000

export type Direction = 'upload' | 'download'
export const DIRECTIONS: readonly Direction[] = ['upload', 'download']

/** See the head of this file. `start` and `stop` are for the hours; `set` works without. */
export class Bandwidth {
  readonly upload: RateLimit
  readonly download: RateLimit
  readonly #clock: Clock
  readonly #stop = new AbortController()
  #tables: Record<Direction, Timetable>
  #running: Promise<void> | undefined

  constructor(tables: Record<Direction, Timetable>, clock: Clock) {
    this.#clock = clock
    this.#tables = tables
    this.upload = new RateLimit(clock)
    this.download = new RateLimit(clock)
    this.#apply()
  }

  /** What is set, and what of it holds now. */
  get state(): Record<Direction, { text: string; now: Rate }> {
    const of = (one: Direction): { text: string; now: Rate } => ({
      text: this.#tables[one].text,
      now: this[one].rate,
    })
    return { upload: of('upload'), download: of('download') }
  }

  /** New timetables; transfers under way obey at once. */
  set(tables: Partial<Record<Direction, Timetable>>): void {
    this.#tables = { ...this.#tables, ...tables }
    this.#apply()
  }

  start(): void {
    this.#running ??= this.#watch()
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  #apply(): void {
    const now = weekTime(this.#clock.now())
    for (const one of DIRECTIONS) this[one].set(rateAt(this.#tables[one], now))
  }

  async #watch(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#clock.sleep(TICK_MS, this.#stop.signal).catch(() => undefined)
      this.#apply()
    }
  }
}
