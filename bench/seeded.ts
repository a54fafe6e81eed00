/** Bytes and numbers that are the same in every run. */

import { createCipheriv, createHash } from 'node:crypto'

/** Numbers from 0 (included) to 1 (not included): xorshift32 of `seed`. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

/** A key stream: incompressible, fast to make, never twice the same block. */
export function keyStream(seed: string): (bytes: number) => Buffer {
  const key = createHash('sha256').update(seed).digest().subarray(0, 16)
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16))
  return (bytes) => cipher.update(Buffer.alloc(bytes))
}
