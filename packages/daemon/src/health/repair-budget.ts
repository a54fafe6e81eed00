/** How fast repairs may move bytes. */

import { GROUP_BYTES } from '@moyai/protocol'
import type { Clock } from '@moyai/protocol'

import { RateLimit } from '../bandwidth/rate-limit.ts'

/**
 * Bytes per second of all repairs of this host where nobody limited its upload: a quarter of a
 * gigabit port, so that stores and restores hardly notice, and 4 TB in three days.
 */
export const REPAIR_BYTES_PER_SECOND = 32_000_000
/** The part of the upload limit that repairs take, where one is set. */
const UPLOAD_SHARE = 0.3

/** Read at a time of each source: one frame of the wire. */
const RANGE_BYTES_MAX: number = 256 * 1024
/**
 * A range takes so long at most where the rate is slow: holders give up a put of which nothing
 * comes for a minute (REQUEST_IDLE_MS).
 */
const RANGE_SECONDS = 20

/** The rate for repairs where uploads are limited to `upload` bytes per second. */
export function repairRate(upload: number | undefined): number {
  return upload === undefined ? REPAIR_BYTES_PER_SECOND : upload * UPLOAD_SHARE
}

/** Paces what is not urgent; what is urgent goes as fast as it can and is not counted. */
export class RepairBudget {
  readonly #limit: RateLimit
  readonly #rate: () => number

  constructor(clock: Clock, rate: () => number = () => REPAIR_BYTES_PER_SECOND) {
    this.#rate = rate
    this.#limit = new RateLimit(clock, rate())
  }

  /** Bytes of each of `shards` that one of `jobs` may move at a time: whole groups. */
  rangeBytes(o: { shards: number; jobs: number }): number {
    const bytes = (RANGE_SECONDS * this.#rate()) / (o.shards * o.jobs)
    const groups = Math.max(1, Math.floor(bytes / GROUP_BYTES))
    return Math.min(RANGE_BYTES_MAX, groups * GROUP_BYTES)
  }

  /** Waits until `bytes` may go. ABORTED. */
  async take(bytes: number, o: { urgent: boolean; signal: AbortSignal }): Promise<void> {
    if (o.urgent) return
    this.#limit.set(this.#rate())
    await this.#limit.take(bytes, o.signal)
  }
}
