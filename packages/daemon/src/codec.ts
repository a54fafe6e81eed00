/**
 * The erasure code of this machine: our SIMD kernel, else the reference package's WebAssembly, else
 * plain JavaScript.
 */

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { kernelCodec, plainCodec, reedSolomonErasureCodec } from '@moyai/protocol'
import type { Codec } from '@moyai/protocol'

/**
 * The package's own entry point hides its memory (spec/code.md §5), so the module file is loaded by
 * itself.
 */
const WASM = 'reed-solomon-erasure/reed_solomon_erasure_bg.wasm'

/**
 * A codec for the calling thread. Synchronous; compiles for some milliseconds, so each thread makes
 * one and keeps it.
 */
export function loadCodec(): Codec {
  const codec = kernelCodec()
  if (codec !== undefined) return codec
  // `node --jitless` is the one way to be without it.
  if (!('WebAssembly' in globalThis)) return plainCodec()
  // The package is a dependency of protocol, not of the daemon: it is looked up from there.
  const protocol = createRequire(import.meta.resolve('@moyai/protocol'))
  return reedSolomonErasureCodec(readFileSync(protocol.resolve(WASM)))
}
