/** What happened, as a hash of all of it, and its last lines. */

import { createHash, type Hash } from 'node:crypto'

import { DAY_MS, HOUR_MS, MINUTE_MS, type VirtualTime } from './time.ts'

/** Lines that a failure shows. */
const TAIL_LINES = 60

/** An invariant that does not hold: the reason to stop a simulation. */
export class Violation extends Error {
  readonly invariant: string
  readonly time: number

  constructor(invariant: string, text: string, time: number) {
    super(text)
    this.name = 'Violation'
    this.invariant = invariant
    this.time = time
  }
}

/** `day 37 09:10:04`. */
export function timeText(time: number): string {
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0')
  const rest = time % DAY_MS
  const seconds = (rest % MINUTE_MS) / 1000
  return `day ${Math.floor(time / DAY_MS)} ${two(rest / HOUR_MS)}:${two((rest % HOUR_MS) / MINUTE_MS)}:${two(seconds)}`
}

export class Journal {
  readonly #time: VirtualTime
  readonly #hash: Hash = createHash('sha256')
  readonly #tail: string[] = []
  readonly #sink: ((line: string) => void) | undefined
  readonly counts = new Map<string, number>()
  /** The first violation; the world stops at it. */
  violation: Violation | undefined
  #lines = 0

  /** `sink` gets every line, for `--trace`. */
  constructor(time: VirtualTime, sink?: (line: string) => void) {
    this.#time = time
    this.#sink = sink
  }

  get lines(): number {
    return this.#lines
  }

  /** Something happened: `kind` is counted, all of it is hashed. */
  note(kind: string, text: string): void {
    const line = `${timeText(this.#time.now)} ${kind} ${text}`
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
    this.#hash.update(line).update('\n')
    this.#lines += 1
    this.#tail.push(line)
    if (this.#tail.length > 2 * TAIL_LINES) this.#tail.splice(0, TAIL_LINES)
    this.#sink?.(line)
  }

  /** An invariant does not hold; only the first one counts. */
  violate(invariant: string, text: string): void {
    if (this.violation !== undefined) return
    this.note('VIOLATION', `${invariant}: ${text}`)
    this.violation = new Violation(invariant, text, this.#time.now)
  }

  tail(): string[] {
    return this.#tail.slice(-TAIL_LINES)
  }

  /** Of everything so far: 16 hex digits. */
  digest(): string {
    return this.#hash.copy().digest('hex').slice(0, 16)
  }
}
