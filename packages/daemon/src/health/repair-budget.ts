/** How fast repairs may move bytes. */

import type { Clock } from '@moyai/protocol'

import { RateLimit } from '../bandwidth/rate-limit.ts'

/**
 * Bytes per second of all repairs of this host where nobody limited its upload: a quarter of a
 * gigabit port, so that stores and restores hardly notice, and 4 TB in three days.
 */
export const REPAIR_BYTES_PER_SECOND = 32_000_000
/** The part of the upload limit that repairs take, where one is set. */
const UPLOAD_SHARE = 0.3

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

  /** Waits until `bytes` may go. ABORTED. */
  async take(bytes: number, o: { urgent: boolean; signal: AbortSignal }): Promise<void> {
    if (o.urgent) return
    this.#limit.set(this.#rate())
    await this.#limit.take(bytes, o.signal)
  }
}
