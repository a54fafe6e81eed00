/**
 * The hasher of the calling thread: the native BLAKE3 library for large buffers where it is
 * installed, else our own.
 *
 * The native library is 3 to 4 times faster on whole buffers. A call costs 3 µs, so small inputs
 * stay with the portable kernel; a new native object for each, which has to be collected, would
 * cost 10 µs more, so one is kept and reset. Both give the same bytes; one comparison at load time
 * proves it.
 */

import { createRequire } from 'node:module'

import { copyBytes, equalBytes, portableHasher } from '@moyai/protocol'
import type { Hasher } from '@moyai/protocol'

/** Below this, our own kernel is as fast. */
const NATIVE_BYTES_MIN = 8 * 1024

type NativeHasher = {
  reset(): void
  update(bytes: Uint8Array): unknown
  digestBuffer(): Uint8Array
}

type NativeLibrary = {
  Blake3Hasher: { new (): NativeHasher; newKeyed(key: Uint8Array): NativeHasher }
}

/** The same object for every input under one key. */
class ReusedHasher {
  readonly #native: NativeHasher
  readonly key: Uint8Array | undefined

  constructor(library: NativeLibrary, key?: Uint8Array) {
    this.key = key === undefined ? undefined : copyBytes(key)
    const { Blake3Hasher } = library
    this.#native = key === undefined ? new Blake3Hasher() : Blake3Hasher.newKeyed(key)
  }

  hash(bytes: Uint8Array): Uint8Array {
    this.#native.reset()
    this.#native.update(bytes)
    return copyBytes(this.#native.digestBuffer())
  }
}

function nativeHasher(library: NativeLibrary): Hasher {
  const plain = new ReusedHasher(library)
  let keyed: ReusedHasher | undefined
  return {
    hash: (bytes) =>
      bytes.length < NATIVE_BYTES_MIN ? portableHasher.hash(bytes) : plain.hash(bytes),
    keyedHash: (key, bytes) => {
      if (bytes.length < NATIVE_BYTES_MIN) return portableHasher.keyedHash(key, bytes)
      if (keyed?.key === undefined || !equalBytes(keyed.key, key)) {
        keyed = new ReusedHasher(library, key)
      }
      return keyed.hash(bytes)
    },
  }
}

/** Twice each, under two keys in turn: the reset is part of what has to be right. */
function agrees(hasher: Hasher): boolean {
  const bytes = new Uint8Array(3 * NATIVE_BYTES_MIN).map((_, i) => i ^ (i >> 8))
  return [1, 2, 1].every((fill) => {
    const key = new Uint8Array(32).fill(fill)
    const part = bytes.subarray(fill)
    return (
      equalBytes(hasher.hash(part), portableHasher.hash(part)) &&
      equalBytes(hasher.keyedHash(key, part), portableHasher.keyedHash(key, part))
    )
  })
}

/** A hasher for the calling thread; never throws. */
export function loadHasher(): Hasher {
  try {
    const load = createRequire(import.meta.url)
    const hasher = nativeHasher(load('@napi-rs/blake-hash') as NativeLibrary)
    return agrees(hasher) ? hasher : portableHasher
  } catch {
    return portableHasher // the package is optional
  }
}
