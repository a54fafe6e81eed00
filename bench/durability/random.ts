/** Random numbers for millions of years: the same seed gives the same years. */

/** sfc32 (Chris Doty-Humphrey, PractRand): 128 bits of state, mean period 2^127. */
export class Sfc32 {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number, stream: number) {
    this.#a = seed | 0
    this.#b = stream | 0
    this.#c = Math.floor(seed / 2 ** 32) | 0
    // The state is mixed after some fifteen steps; neighbouring seeds are then unlike.
    for (let i = 0; i < 20; i++) this.unit()
  }

  /** From 0 (included) to 1 (not included), 32 bits. */
  unit(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum
    this.#c |= 0
    return (sum >>> 0) / 2 ** 32
  }

  /** A whole number from 0 to `count` − 1. */
  below(count: number): number {
    return Math.floor(this.unit() * count)
  }

  /** The time to the next event of a memoryless process, in the inverse unit of `rate`. */
  wait(rate: number): number {
    return -Math.log1p(-this.unit()) / rate
  }
}
