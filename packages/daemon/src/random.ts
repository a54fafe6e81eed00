/** Randomness: the system's, and a seeded one whose every byte a test can reproduce. */

import { createCipheriv, createHash, randomFillSync, type Cipheriv } from 'node:crypto'

import { assert, type Random } from '@moyai/protocol'

/** One call asks for a key, a salt or a test file, never for gigabytes. */
const RANDOM_BYTES_MAX = 2 ** 26

/** The operating system's cryptographic source. */
export const systemRandom: Random = {
  bytes(length: number): Uint8Array {
    assert(Number.isSafeInteger(length) && length >= 0, 'a random length is a count of bytes')
    assert(length <= RANDOM_BYTES_MAX, 'a random length is bounded')
    return randomFillSync(new Uint8Array(length))
  },
}

/**
 * A reproducible stream of bytes: AES-256-CTR under the hash of the seed. For tests and simulations
 * only.
 */
export class SeededRandom implements Random {
  readonly #cipher: Cipheriv

  constructor(seed: string | number) {
    const key = createHash('sha256').update(`moyai seeded random ${seed}`).digest()
    this.#cipher = createCipheriv('aes-256-ctr', key, new Uint8Array(16))
  }

  bytes(length: number): Uint8Array {
    assert(Number.isSafeInteger(length) && length >= 0, 'a random length is a count of bytes')
    assert(length <= RANDOM_BYTES_MAX, 'a random length is bounded')
    return new Uint8Array(this.#cipher.update(new Uint8Array(length)))
  }
}
