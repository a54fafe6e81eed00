/**
 * The symbols of the process itself, through koffi.
 *
 * Node's program exports the zstd and OpenSSL that it is built with (a distribution's build links
 * them as shared libraries: the symbols are there as well). Calling them directly spares what
 * Node's own calls cost us most: a new buffer outside the heap for every blob, which makes V8
 * collect all of a small heap again and again. A call takes about a microsecond.
 */

import { createRequire } from 'node:module'

/** koffi gives pointers and 64-bit integers as numbers where they fit, else as bigints. */
export type NativeFunction = (...args: unknown[]) => number | bigint

export type NativeLibrary = { func(signature: string): NativeFunction }

/** Binds functions of this process; throws where koffi cannot load. */
export function openProcess(): NativeLibrary {
  const koffi = createRequire(import.meta.url)('koffi') as {
    load(path: string | null): NativeLibrary
  }
  return koffi.load(null)
}
