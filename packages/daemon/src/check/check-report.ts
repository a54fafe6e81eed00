/** What a check found: counts, problems (each told at once), and the figures of the summary. */

import { toHex } from '@moyai/protocol'
import type { CheckProblem, CheckStatusEvent, CheckSummary, Clock, Survives } from '@moyai/protocol'

/** Problems and paths listed in the summary; every problem is told as an event. */
const LISTED_MAX = 10_000
const STATUS_MS = 500

export type CheckEvent = CheckStatusEvent | CheckProblem
export type Phase = CheckStatusEvent['phase']

/** See the head of this file. */
export class CheckReport {
  snapshots = 0
  shardsRead = 0
  bytesRead = 0
  /** Packs with fewer than k shards, hex. */
  readonly lost = new Set<string>()
  readonly #clock: Clock
  readonly #onEvent: (event: CheckEvent) => void
  readonly #problems: CheckProblem[] = []
  readonly #affected = new Set<string>()
  readonly #missing = new Map<number, number>()
  #problemCount = 0
  #total = 0
  #full = 0
  #survives: Survives | undefined
  #phase: Phase = 'log'
  #done = 0
  #outOf = 0
  #statusAt = Number.NEGATIVE_INFINITY

  constructor(o: { clock: Clock; onEvent: (event: CheckEvent) => void }) {
    this.#clock = o.clock
    this.#onEvent = o.onEvent
  }

  problem(problem: Omit<CheckProblem, 'message_type'>): void {
    const whole: CheckProblem = { message_type: 'problem', ...problem }
    this.#problemCount += 1
    if (this.#problems.length < LISTED_MAX) this.#problems.push(whole)
    this.#onEvent(whole)
  }

  /** A path (with its snapshot) that cannot be restored in full. */
  affects(path: string): void {
    if (this.#affected.size < LISTED_MAX) this.#affected.add(path)
  }

  /** One stripe with `present` different good shards of `total`, of which `k` are needed. */
  stripe(pack: Uint8Array, o: { present: number; total: number; k: number }): void {
    this.#total += 1
    const missing = o.total - o.present
    if (o.present < o.k) this.lost.add(toHex(pack))
    else if (missing === 0) this.#full += 1
    else this.#missing.set(missing, (this.#missing.get(missing) ?? 0) + 1)
  }

  /** The least of all stripes counts. */
  survives(figures: Survives): void {
    const known = this.#survives
    this.#survives =
      known === undefined
        ? figures
        : {
            host: Math.min(known.host, figures.host),
            site: Math.min(known.site, figures.site),
            provider: Math.min(known.provider, figures.provider),
            org: Math.min(known.org, figures.org),
          }
  }

  begin(phase: Phase, outOf: number): void {
    this.#phase = phase
    this.#done = 0
    this.#outOf = outOf
    this.#statusAt = Number.NEGATIVE_INFINITY
    this.#status()
  }

  step(): void {
    this.#done += 1
    this.#status()
  }

  #status(): void {
    const now = this.#clock.monotonic()
    if (now - this.#statusAt < STATUS_MS) return
    this.#statusAt = now
    this.#onEvent({
      message_type: 'status',
      phase: this.#phase,
      stripes_done: this.#done,
      stripes_total: this.#outOf,
      bytes_read: this.bytesRead,
    })
  }

  summary(readData: boolean): CheckSummary {
    const stripes: CheckSummary['stripes'] = {
      total: this.#total,
      full: this.#full,
      unrecoverable: this.lost.size,
    }
    for (const [missing, count] of [...this.#missing].sort(([a], [b]) => a - b)) {
      stripes[`missing${missing}`] = count
    }
    return {
      message_type: 'summary',
      read_data: readData,
      snapshots: this.snapshots,
      stripes,
      shards_read: this.shardsRead,
      bytes_read: this.bytesRead,
      num_problems: this.#problemCount,
      problems: this.#problems,
      unrecoverable_packs: [...this.lost].sort(),
      affected: [...this.#affected].sort(),
      survives: this.#survives ?? { host: 0, site: 0, provider: 0, org: 0 },
    }
  }
}
