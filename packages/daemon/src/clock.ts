/**
 * Clocks: the machine's, and one that a test moves by hand.
 *
 * Everything that waits or dates something takes a `Clock` (protocol/ports.ts), so that a test of
 * "after 24 hours" takes microseconds and never depends on the speed of the machine.
 */

import { MoyaiError, type Clock } from '@moyai/protocol'

/** Longest delay that setTimeout keeps; anything longer fires at once (Node reduces it to 1 ms). */
const TIMEOUT_MS_MAX = 2 ** 31 - 1

function aborted(signal: AbortSignal): MoyaiError {
  return signal.reason instanceof MoyaiError
    ? signal.reason
    : new MoyaiError('ABORTED', 'the wait was interrupted', { cause: signal.reason })
}

/** Resolves after at most TIMEOUT_MS_MAX; rejects as soon as `signal` aborts. */
function sleepOnce(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, milliseconds)
    function onAbort(): void {
      clearTimeout(timer)
      reject(aborted(signal as AbortSignal))
    }
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/**
 * The machine's clock. `sleep` rejects with ABORTED (or the signal's MoyaiError) when its signal
 * aborts.
 */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) throw aborted(signal)
    let rest = Math.max(0, milliseconds)
    do {
      const step = Math.min(rest, TIMEOUT_MS_MAX)
      await sleepOnce(step, signal)
      rest -= step
    } while (rest > 0)
  },
}

type Sleeper = { at: number; order: number; wake: () => void }

/**
 * A clock that stands still until a test advances it. Sleepers wake in the order of their
 * deadlines, and whatever they start runs before the next one wakes.
 */
export class ManualClock implements Clock {
  #wall: number
  #steady = 0
  #order = 0
  readonly #sleepers = new Set<Sleeper>()

  /** `now`: the wall time to start from, ms since the epoch. */
  constructor(now: number = Date.UTC(2026, 10, 22)) {
    this.#wall = now
  }

  now(): number {
    return this.#wall
  }

  monotonic(): number {
    return this.#steady
  }

  /** How many are asleep: what a test waits for before it advances. */
  get sleepers(): number {
    return this.#sleepers.size
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(aborted(signal))
    return new Promise((resolve, reject) => {
      const at = this.#steady + Math.max(0, milliseconds)
      const sleeper: Sleeper = { at, order: this.#order++, wake }
      const sleepers = this.#sleepers
      function wake(): void {
        sleepers.delete(sleeper)
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }
      function onAbort(): void {
        sleepers.delete(sleeper)
        reject(aborted(signal as AbortSignal))
      }
      sleepers.add(sleeper)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Lets `milliseconds` pass on both clocks. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#steady + milliseconds
    await settle()
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#pass(next.at - this.#steady)
      next.wake()
      await settle()
    }
    this.#pass(end - this.#steady)
    await settle()
  }

  /** Sets the wall clock forward or back, as a person or NTP does; nobody wakes. */
  jump(milliseconds: number): void {
    this.#wall += milliseconds
  }

  #pass(milliseconds: number): void {
    const step = Math.max(0, milliseconds)
    this.#steady += step
    this.#wall += step
  }

  #next(end: number): Sleeper | undefined {
    let first: Sleeper | undefined
    for (const sleeper of this.#sleepers) {
      if (sleeper.at > end) continue
      const earlier =
        first === undefined ||
        sleeper.at < first.at ||
        (sleeper.at === first.at && sleeper.order < first.order)
      if (earlier) first = sleeper
    }
    return first
  }
}

/** Lets promise chains run dry, including those that hop over one turn of the event loop. */
async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
}
