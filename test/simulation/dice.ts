/** Randomness of a simulation: everything that happens by chance comes from one seed. */

import { createHash } from 'node:crypto'

import { SeededRandom } from '@moyai/daemon'
import { assert, type Random } from '@moyai/protocol'

/** Fast reproducible numbers (xoshiro128**): which fault strikes whom, and when. */
export class Dice {
  readonly #state: Uint32Array
  readonly #seed: string

  constructor(seed: string) {
    this.#seed = seed
    const hash = createHash('sha256').update(`moyai simulation ${seed}`).digest()
    this.#state = new Uint32Array(4)
    for (let i = 0; i < 4; i++) this.#state[i] = hash.readUInt32LE(4 * i)
  }

  /** Dice of their own for one purpose: drawing from them changes nothing elsewhere. */
  fork(purpose: string): Dice {
    return new Dice(`${this.#seed}/${purpose}`)
  }

  /** A whole number from 0 to 2^32 - 1. */
  next(): number {
    const s = this.#state
    const [a = 0, b = 0, c = 0, d = 0] = s
    const five = Math.imul(b, 5)
    const result = Math.imul((five << 7) | (five >>> 25), 9) >>> 0
    const c2 = c ^ a
    const d2 = d ^ b
    s[1] = b ^ c2
    s[0] = a ^ d2
    s[2] = c2 ^ (b << 9)
    s[3] = (d2 << 11) | (d2 >>> 21)
    return result
  }

  /** From 0 up to, not including, 1. */
  unit(): number {
    return this.next() / 2 ** 32
  }

  /** True with that probability. */
  chance(probability: number): boolean {
    return this.unit() < probability
  }

  /** A whole number from `low` to `high`, both included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.unit() * (high - low + 1))
  }

  pick<T>(from: readonly T[]): T {
    assert(from.length > 0, 'something to pick from')
    return from[this.int(0, from.length - 1)] as T
  }

  shuffle<T>(items: readonly T[]): T[] {
    const result = [...items]
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.int(0, i)
      const held = result[i] as T
      result[i] = result[j] as T
      result[j] = held
    }
    return result
  }

  /** Time until the next of events that come `perYear` times on average, ms. */
  wait(perYear: number): number {
    return (-Math.log(1 - this.unit()) / perYear) * YEAR_MS
  }
}

const YEAR_MS = 365 * 24 * 3_600_000

/** Bytes drawn from the cipher at once: services ask for 4 to 32 at a time. */
const RESERVE_BYTES = 4096

/** `SeededRandom` for services, which ask for a few bytes thousands of times. */
export class BufferedRandom implements Random {
  readonly #source: SeededRandom
  #reserve: Uint8Array = new Uint8Array(0)

  constructor(seed: string) {
    this.#source = new SeededRandom(seed)
  }

  bytes(length: number): Uint8Array {
    if (length > RESERVE_BYTES) return this.#source.bytes(length)
    if (this.#reserve.length < length) this.#reserve = this.#source.bytes(RESERVE_BYTES)
    const given = this.#reserve.slice(0, length)
    this.#reserve = this.#reserve.subarray(length)
    return given
  }
}
