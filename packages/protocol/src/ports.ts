/**
 * Ports: how effects reach code that must stay deterministic. The daemon has the real ones, tests
 * and the simulator have their own; protocol only ever receives them.
 */

/** Wall and monotonic time, both in milliseconds. */
export interface Clock {
  /** Milliseconds since the Unix epoch; can jump. */
  now(): number
  /** Milliseconds since some fixed moment; never goes back. */
  monotonic(): number
  /** Resolves after `milliseconds`, or rejects with ABORTED as soon as `signal` aborts. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>
}

/** A cryptographic source of randomness in production, a seeded one in tests. */
export interface Random {
  /** `length` fresh random bytes. */
  bytes(length: number): Uint8Array
}

/**
 * BLAKE3 over whole buffers: the portable kernel, or a native library that gives the same bytes
 * faster.
 */
export interface Hasher {
  /** 32-byte BLAKE3 hash. */
  hash(bytes: Uint8Array): Uint8Array
  /** 32-byte keyed BLAKE3 hash; `key` is 32 bytes. */
  keyedHash(key: Uint8Array, bytes: Uint8Array): Uint8Array
}
