/** BLAKE3: our own SIMD kernel, the same bytes as every other implementation. spec/hash.md. */

import type { Hasher } from '../ports.ts'
import { sharedKernel } from './kernel.ts'

/** BLAKE3 hash of `bytes`, 32 bytes. */
export function blake3(bytes: Uint8Array): Uint8Array {
  return sharedKernel().hash(bytes)
}

/** Keyed BLAKE3 hash of `bytes`, 32 bytes; `key` has 32 bytes. */
export function blake3Keyed(key: Uint8Array, bytes: Uint8Array): Uint8Array {
  return sharedKernel().keyedHash(key, bytes)
}

/** The kernel behind the port: runs wherever Node runs, no native code. */
export const portableHasher: Hasher = { hash: blake3, keyedHash: blake3Keyed }
