/**
 * Virtual time: one monotonic time for all hosts, and a wall clock for each.
 *
 * Whoever sleeps is in one heap. All sleepers of an instant wake, in an order that is drawn from
 * the seed, and then one turn of the event loop lets everything they started run dry. To make
 * instants few, long sleeps end on a grid: a timer may be late, and never is early.
 */

import { assert, MoyaiError, type Clock } from '@moyai/protocol'

import type { Dice } from './dice.ts'

/** Monday, so that weeks begin where calendars do: ms since 1970. */
export const EPOCH: number = Date.UTC(2026, 0, 5)
export const SECOND_MS = 1000
export const MINUTE_MS: number = 60 * SECOND_MS
export const HOUR_MS: number = 60 * MINUTE_MS
export const DAY_MS: number = 24 * HOUR_MS
export const WEEK_MS: number = 7 * DAY_MS
export const YEAR_MS: number = 365 * DAY_MS

/** Sleeps of at least so long end on the next multiple of so much. */
const GRIDS: readonly { from: number; grid: number }[] = [
  { from: 30 * MINUTE_MS, grid: 10 * MINUTE_MS },
  { from: 5 * MINUTE_MS, grid: MINUTE_MS },
  { from: SECOND_MS, grid: SECOND_MS },
  { from: 0, grid: 100 },
]

/** Instants without progress of time after which something turns in a circle. */
const TURNS_PER_INSTANT_MAX = 100_000

type Sleeper = {
  at: number
  order: number
  wake: () => void
  /** Gone before it was due. */
  void: boolean
}

/** See the head of this file. Times are ms since the beginning of the simulation. */
export class VirtualTime {
  #now = 0
  #instants = 0
  readonly #heap: Sleeper[] = []
  readonly #dice: Dice

  constructor(dice: Dice) {
    this.#dice = dice
  }

  get now(): number {
    return this.#now
  }

  /** How many instants there were: what a simulation costs. */
  get instants(): number {
    return this.#instants
  }

  /** Calls `wake` at the first grid point `milliseconds` from now; the function cancels it. */
  after(milliseconds: number, wake: () => void): () => void {
    const wait = Math.max(0, milliseconds)
    const grid = GRIDS.find(({ from }) => wait >= from)?.grid ?? 1
    return this.at(Math.ceil((this.#now + wait) / grid) * grid, wake)
  }

  /** Calls `wake` at that very time. */
  at(time: number, wake: () => void): () => void {
    const at = Math.max(this.#now, time)
    const sleeper: Sleeper = { at, order: this.#dice.next(), wake, void: false }
    this.#push(sleeper)
    return () => {
      sleeper.void = true
    }
  }

  /** Lets everything happen up to and including `end`. */
  async run(end: number): Promise<void> {
    await drain()
    let turns = 0
    for (let next = this.#heap[0]; next !== undefined && next.at <= end; next = this.#heap[0]) {
      if (next.at > this.#now) turns = 0
      this.#now = Math.max(this.#now, next.at)
      turns += 1
      assert(
        turns < TURNS_PER_INSTANT_MAX,
        'time goes on: something sleeps for nothing in a circle',
      )
      let woken = 0
      for (let top = this.#heap[0]; top !== undefined && top.at <= this.#now; top = this.#heap[0]) {
        this.#pop()
        if (top.void) continue
        woken += 1
        top.wake()
      }
      if (woken === 0) continue
      this.#instants += 1
      await drain()
    }
    this.#now = Math.max(this.#now, end)
  }

  #before(a: Sleeper, b: Sleeper): boolean {
    return a.at < b.at || (a.at === b.at && a.order < b.order)
  }

  #push(sleeper: Sleeper): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(sleeper)
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = heap[above] as Sleeper
      if (!this.#before(sleeper, parent)) break
      heap[at] = parent
      at = above
    }
    heap[at] = sleeper
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= heap.length) break
      const right = heap[below + 1]
      if (right !== undefined && this.#before(right, heap[below] as Sleeper)) below += 1
      const child = heap[below] as Sleeper
      if (!this.#before(child, last)) break
      heap[at] = child
      at = below
    }
    heap[at] = last
  }
}

/** Promise chains run dry before the event loop turns. */
function drain(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

function aborted(signal: AbortSignal): MoyaiError {
  return signal.reason instanceof MoyaiError
    ? signal.reason
    : new MoyaiError('ABORTED', 'the wait was interrupted', { cause: signal.reason })
}

/** The clock of one machine: it may be wrong, run fast, and be set by people. */
export class HostClock implements Clock {
  readonly #time: VirtualTime
  /** Parts per million that the wall clock runs fast. */
  readonly #drift: number
  #offset = 0

  constructor(time: VirtualTime, driftPpm: number) {
    this.#time = time
    this.#drift = driftPpm / 1e6
  }

  now(): number {
    return Math.floor(EPOCH + this.#time.now * (1 + this.#drift) + this.#offset)
  }

  monotonic(): number {
    return this.#time.now
  }

  /** Sets the wall clock forward or back by so many ms. */
  jump(milliseconds: number): void {
    this.#offset += milliseconds
  }

  /** How wrong the wall clock is, ms. */
  get error(): number {
    return this.now() - EPOCH - this.#time.now
  }

  /** NTP: the wall clock is right again. */
  correct(): void {
    this.#offset = -this.#time.now * this.#drift
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    if (signal === undefined) {
      return new Promise((resolve) => void this.#time.after(milliseconds, resolve))
    }
    if (signal.aborted) return Promise.reject(aborted(signal))
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        cancel()
        reject(aborted(signal))
      }
      const cancel = this.#time.after(milliseconds, () => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      })
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }
}
