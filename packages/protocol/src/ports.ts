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

/** zstd between buffers of the caller: nothing is allocated for the bytes. */
export interface Compressor {
  /**
   * Compresses `raw` into one frame at the start of `target`; the count of bytes written, or
   * undefined when the frame does not fit there. `level` is zstd's, 1 to 19.
   */
  compress(raw: Uint8Array, level: number, target: Uint8Array): number | undefined
  /**
   * True when `frame` is one whole zstd frame, with nothing behind it, of exactly `target.length`
   * (at least one) bytes, which are then in `target`; else `target` holds nothing of use.
   */
  decompress(frame: Uint8Array, target: Uint8Array): boolean
}

/** AES-256-GCM between buffers of the caller; the tag of SEAL_TAG_BYTES follows the ciphertext. */
export interface Aead {
  /**
   * Writes ciphertext and tag to the start of `target`. A nonce (12 bytes) must never come twice
   * under one key (32 bytes).
   */
  seal(o: {
    key: Uint8Array
    nonce: Uint8Array
    aad: Uint8Array
    plaintext: Uint8Array
    target: Uint8Array
  }): void
  /**
   * Writes the plaintext to the start of `target`; false, and no plaintext left there, unless key,
   * nonce, aad and every bit are right. `sealed` has at least the tag.
   */
  open(o: {
    key: Uint8Array
    nonce: Uint8Array
    aad: Uint8Array
    sealed: Uint8Array
    target: Uint8Array
  }): boolean
}
