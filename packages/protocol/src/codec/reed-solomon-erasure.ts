/**
 * The code by the WebAssembly module of the package `reed-solomon-erasure`.
 *
 * What has to be known of version 0.1.0 of that package, each found by running it:
 * - its JavaScript wrapper does not export the memory, so the `.wasm` is instantiated here;
 * - shards may lie only in pages that we grew ourselves, where its allocator never looks;
 * - it leaks about a kilobyte at every call and grows its memory now and then, which detaches all
 *   views: no view of it may leave this file, and an instance is replaced once it has grown by
 *   LEAK_BYTES_MAX;
 * - `reconstruct` restores data shards only, and returns 0 with lost parity still lost: parity is
 *   encoded again;
 * - it knows no code without parity.
 *
 * The work goes strip by strip through a small window, which stays in the processor's cache: that
 * is no slower than whole shards in place, although it copies.
 */

import { assert } from '../assert.ts'
import { MoyaiError } from '../errors.ts'
import { CODE_K_MAX, CODE_M_MAX } from '../limits.ts'
import { assertStripe, checkPresent } from './codec.ts'
import type { Code, Codec } from './codec.ts'

/**
 * Bytes of each shard that one call works on: 14 shards of it are 448 KiB, within a second-level
 * cache.
 */
const STRIP_BYTES = 32 * 1024
const PAGE_BYTES = 64 * 1024
/** 8 MiB of leak are some thousand calls; a new instance costs a fraction of a millisecond. */
const LEAK_BYTES_MAX = 8 * 1024 * 1024

type Exports = {
  memory: { readonly buffer: ArrayBuffer; grow(pages: number): number }
  encode(shards: number, shardSize: number, k: number, m: number): number
  reconstruct(shards: number, shardSize: number, k: number, m: number, flags: number): number
}

/** The part of the WebAssembly interface that is used here; it is no part of the es2024 library. */
type WebAssemblyApi = {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object, imports: object) => { exports: Record<string, unknown> }
}

type Kernel = { exports: Exports; window: number; flags: number; bytesAtStart: number }

function webAssembly(): WebAssemblyApi {
  const api = (globalThis as { WebAssembly?: WebAssemblyApi }).WebAssembly
  assert(api !== undefined, 'this runtime has WebAssembly')
  return api
}

/**
 * The code of spec/code.md by the reference package. `wasm` is the content of its
 * `reed_solomon_erasure_bg.wasm`; compiling takes some milliseconds, once.
 */
export function reedSolomonErasureCodec(wasm: Uint8Array): Codec {
  return new ReedSolomonErasure(new (webAssembly().Module)(wasm))
}

class ReedSolomonErasure implements Codec {
  readonly #module: object
  #kernel: Kernel | undefined

  constructor(module: object) {
    this.#module = module
  }

  allocate(bytes: number): Uint8Array {
    return new Uint8Array(bytes)
  }

  encode(code: Code, shardLength: number, shards: Uint8Array): void {
    assertStripe(code, shardLength, shards)
    if (code.m === 0) return
    const { k, m } = code
    this.#strips({ shardLength, shards }, (strip) => {
      strip.load(0, k)
      const { exports, window } = this.#current()
      this.#check('encode', exports.encode(window, strip.length, k, m))
      strip.store(k, k + m)
    })
  }

  reconstruct(
    code: Code,
    shardLength: number,
    shards: Uint8Array,
    present: readonly boolean[],
  ): void {
    assertStripe(code, shardLength, shards)
    checkPresent(code, present)
    if (present.every(Boolean)) return
    const { k, m } = code
    const dataLost = present.slice(0, k).includes(false)
    const parityLost = present.slice(k).includes(false)
    this.#strips({ shardLength, shards }, (strip) => {
      strip.load(0, k + m)
      const { exports, window, flags } = this.#current()
      if (dataLost) {
        new Uint8Array(exports.memory.buffer).set(present.map(Number), flags)
        this.#check('reconstruct', exports.reconstruct(window, strip.length, k, m, flags))
      }
      if (parityLost) this.#check('encode', exports.encode(window, strip.length, k, m))
      for (const [index, there] of present.entries()) {
        if (!there) strip.store(index, index + 1)
      }
    })
  }

  /** The kernel of the current strip. */
  #current(): Kernel {
    assert(this.#kernel !== undefined, 'a kernel was made for this strip')
    return this.#kernel
  }

  /** Makes the kernel, or replaces one that has leaked too much; only ever between two strips. */
  #renew(): void {
    const kernel = this.#kernel
    if (kernel !== undefined) {
      const grown = kernel.exports.memory.buffer.byteLength - kernel.bytesAtStart
      if (grown < LEAK_BYTES_MAX) return
    }
    const instance = new (webAssembly().Instance)(this.#module, {})
    const exports = instance.exports as Exports
    // One page behind the window for the flags, of which there are at most 48.
    const windowBytes = (CODE_K_MAX + CODE_M_MAX) * STRIP_BYTES
    const window = exports.memory.grow(windowBytes / PAGE_BYTES + 1) * PAGE_BYTES
    this.#kernel = {
      exports,
      window,
      flags: window + windowBytes,
      bytesAtStart: exports.memory.buffer.byteLength,
    }
  }

  #strips(
    { shardLength, shards }: { shardLength: number; shards: Uint8Array },
    work: (strip: Strip) => void,
  ): void {
    for (let offset = 0; offset < shardLength; offset += STRIP_BYTES) {
      this.#renew()
      const { exports, window } = this.#current()
      const length = Math.min(STRIP_BYTES, shardLength - offset)
      const inShards = (index: number): number => index * shardLength + offset
      work({
        length,
        load: (from, to) => {
          const memory = new Uint8Array(exports.memory.buffer)
          for (let i = from; i < to; i++) {
            memory.set(shards.subarray(inShards(i), inShards(i) + length), window + i * length)
          }
        },
        store: (from, to) => {
          // A new view each time: the call between may have grown the memory.
          const memory = new Uint8Array(exports.memory.buffer)
          for (let i = from; i < to; i++) {
            const at = window + i * length
            shards.set(memory.subarray(at, at + length), inShards(i))
          }
        },
      })
    }
  }

  #check(what: string, status: number): void {
    if (status !== 0) throw new MoyaiError('INTERNAL', `reed-solomon ${what} failed: ${status}`)
  }
}

/** One strip of all shards; `load` and `store` copy those of shards `from` to `to` (exclusive). */
type Strip = {
  length: number
  load(from: number, to: number): void
  store(from: number, to: number): void
}
