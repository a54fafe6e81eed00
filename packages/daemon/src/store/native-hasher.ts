/**
 * The hasher of the calling thread: the native BLAKE3 library for large buffers where it is
 * installed, else our own.
 *
 * The native library is 3 to 4 times faster on whole buffers, but each call costs a
 * garbage-collected native object, so small inputs stay with the portable kernel. Both give the
 * same bytes; one comparison at load time proves it.
 */

import { createRequire } from 'node:module'

import { copyBytes, equalBytes, portableHasher } from '@moyai/protocol'
import type { Hasher } from '@moyai/protocol'

/** Below this, our own kernel is as fast and leaves nothing to collect. */
const NATIVE_BYTES_MIN = 64 * 1024

type NativeLibrary = {
  blake3(bytes: Uint8Array): Uint8Array
  Blake3Hasher: {
    newKeyed(key: Uint8Array): { update(bytes: Uint8Array): unknown; digestBuffer(): Uint8Array }
  }
}

function agrees(library: NativeLibrary): boolean {
  const key = new Uint8Array(32).fill(7)
  const bytes = new Uint8Array(3000).map((_, i) => i)
  const keyed = library.Blake3Hasher.newKeyed(key)
  keyed.update(bytes)
  return (
    equalBytes(library.blake3(bytes), portableHasher.hash(bytes)) &&
    equalBytes(keyed.digestBuffer(), portableHasher.keyedHash(key, bytes))
  )
}

/** A hasher for the calling thread; never throws. */
export function loadHasher(): Hasher {
  let library: NativeLibrary
  try {
    library = createRequire(import.meta.url)('@napi-rs/blake-hash') as NativeLibrary
    if (!agrees(library)) return portableHasher
  } catch {
    return portableHasher // the package is optional
  }
  return {
    hash: (bytes) =>
      bytes.length < NATIVE_BYTES_MIN
        ? portableHasher.hash(bytes)
        : copyBytes(library.blake3(bytes)),
    keyedHash: (key, bytes) => {
      if (bytes.length < NATIVE_BYTES_MIN) return portableHasher.keyedHash(key, bytes)
      const hasher = library.Blake3Hasher.newKeyed(key)
      hasher.update(bytes)
      return copyBytes(hasher.digestBuffer())
    },
  }
}
