/**
 * A limit of bytes per second that many transfers share: whoever comes first goes first, and a new
 * rate holds at once, also for those who wait.
 */

import { assert, MoyaiError } from '@moyai/protocol'
import type { Clock } from '@moyai/protocol'

import type { Rate } from './timetable.ts'

/** What may go at once after a pause. */
const BURST_SECONDS = 0.25
/** A part that one transfer takes at a time: small enough that many take turns within a second. */
const PART_SECONDS = 0.1
const PART_BYTES_MIN = 16 * 1024

type Waiter = { bytes: number; turn: PromiseWithResolvers<void> }

/** See the head of this file: a token bucket whose debt is paid by whoever comes next. */
export class RateLimit {
  readonly #clock: Clock
  readonly #waiters: Waiter[] = []
  #rate: Rate
  /** Bytes that may go now; negative after a transfer that was larger. */
  #tokens = 0
  #filledAt: number
  #serving = false
  #changed = new AbortController()

  constructor(clock: Clock, rate?: Rate) {
    this.#clock = clock
    this.#rate = rate
    this.#tokens = this.#burst()
    this.#filledAt = clock.monotonic()
  }

  get rate(): Rate {
    return this.#rate
  }

  /** A new limit, from now on. */
  set(rate: Rate): void {
    if (rate === this.#rate) return
    this.#fill()
    this.#rate = rate
    this.#tokens = Math.min(this.#tokens, this.#burst())
    this.#changed.abort()
  }

  /** True while somebody waits: what is slow then is slow on purpose. */
  get isHolding(): boolean {
    return this.#waiters.length > 0
  }

  /** Bytes that one transfer should take at a time, `bytes` at most. */
  part(bytes: number): number {
    if (this.#rate === undefined) return bytes
    return Math.min(bytes, Math.max(PART_BYTES_MIN, Math.floor(this.#rate * PART_SECONDS)))
  }

  /** Waits until `bytes` may go. ABORTED when `signal` aborts first; then none were taken. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    assert(bytes > 0, 'a transfer has bytes')
    if (this.#rate === undefined && this.#waiters.length === 0) return
    if (signal.aborted) throw new MoyaiError('ABORTED', 'no longer wanted')
    const waiter: Waiter = { bytes, turn: Promise.withResolvers<void>() }
    const leave = (): void => {
      const at = this.#waiters.indexOf(waiter)
      if (at < 0) return
      this.#waiters.splice(at, 1)
      waiter.turn.reject(new MoyaiError('ABORTED', 'no longer wanted'))
    }
    signal.addEventListener('abort', leave, { once: true })
    this.#waiters.push(waiter)
    void this.#serve()
    try {
      await waiter.turn.promise
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }

  async #serve(): Promise<void> {
    if (this.#serving) return
    this.#serving = true
    while (this.#waiters.length > 0) {
      this.#fill()
      if (this.#rate === undefined || this.#tokens > 0) {
        const first = this.#waiters.shift() as Waiter
        if (this.#rate !== undefined) this.#tokens -= first.bytes
        first.turn.resolve()
        continue
      }
      const waitMs = Math.max(1, Math.ceil((1000 * (1 - this.#tokens)) / this.#rate))
      if (this.#changed.signal.aborted) this.#changed = new AbortController()
      // a new rate ends the wait
      await this.#clock.sleep(waitMs, this.#changed.signal).catch(() => undefined)
    }
    this.#serving = false
  }

  #burst(): number {
    return this.#rate === undefined ? 0 : this.#rate * BURST_SECONDS
  }

  #fill(): void {
    const now = this.#clock.monotonic()
    const seconds = (now - this.#filledAt) / 1000
    this.#filledAt = now
    if (this.#rate === undefined) this.#tokens = 0
    else this.#tokens = Math.min(this.#burst(), this.#tokens + seconds * this.#rate)
  }
}

/** What payload of all connections may take together. */
export type Rates = { upload: RateLimit; download: RateLimit }

/**
 * As many of `bytes` as `limit` lets through at a time, once it has. The signal is asked for only
 * when there is a limit. ABORTED.
 */
export async function paced(
  limit: RateLimit | undefined,
  bytes: number,
  signal: () => AbortSignal,
): Promise<number> {
  if (limit?.rate === undefined) return bytes
  const part = limit.part(bytes)
  await limit.take(part, signal())
  return part
}
