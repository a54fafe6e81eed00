/**
 * The BLAKE3 kernel's host side: copies input into the kernel's window, 64 KiB at a time, and reads
 * results back. A window stays in the second-level cache, so the copy costs a few percent.
 * spec/hash.md.
 */

import { assert } from '../assert.ts'
import { GROUP_BYTES, HASH_BYTES } from '../limits.ts'
import { compileKernel, instantiateKernel, type KernelModule } from '../wasm.ts'
import type { BlakeTree } from './blake-tree.ts'
import { RELAXED_BASE64, SIMD_BASE64 } from './kernel.wasm.ts'
import { PlainBlake } from './plain.ts'

const WINDOW_BYTES = 64 * 1024
const WINDOW_GROUPS = WINDOW_BYTES / GROUP_BYTES
/** Windows are counted in 32 bits: 256 TiB, beyond any buffer. */
const WINDOWS_MAX = 2 ** 32
const KEYED_HASH = 16
const UNKEYED = 0

/** Builds of the kernel, best first. */
export const BLAKE_BUILDS: readonly string[] = [RELAXED_BASE64, SIMD_BASE64]

/**
 * One instance of the kernel with its own 128 KiB of memory. Calls are synchronous and keep no
 * state between them, so one instance serves a whole thread.
 */
export class BlakeKernel implements BlakeTree {
  readonly #input: Uint8Array
  readonly #key: Uint8Array
  readonly #out: Uint8Array
  readonly #cvs: Uint8Array
  readonly #hashWindow: (length: number, flags: number) => void
  readonly #absorbWindow: (length: number, window: number, flags: number, merges: number) => void
  readonly #finish: (flags: number) => void
  readonly #hashGroups: (length: number, firstGroup: number) => number
  readonly #pairLevel: (count: number) => number
  readonly #rootOfPair: () => void

  /** `compiled` is one of BLAKE_BUILDS. */
  constructor(compiled: KernelModule) {
    const kernel = instantiateKernel(compiled)
    const area = (name: string, length: number) => {
      const address = kernel.address(name)
      return kernel.memory.subarray(address, address + length)
    }
    this.#input = area('INPUT', WINDOW_BYTES)
    this.#key = area('KEY', HASH_BYTES)
    this.#out = area('OUT', HASH_BYTES)
    this.#cvs = area('CVS', WINDOW_GROUPS * HASH_BYTES)
    this.#hashWindow = kernel.function('hashWindow')
    this.#absorbWindow = kernel.function('absorbWindow')
    this.#finish = kernel.function('finish')
    this.#hashGroups = kernel.function('hashGroups')
    this.#pairLevel = kernel.function('pairLevel')
    this.#rootOfPair = kernel.function('rootOfPair')
  }

  hash(bytes: Uint8Array): Uint8Array {
    return this.#hash(bytes, UNKEYED)
  }

  keyedHash(key: Uint8Array, bytes: Uint8Array): Uint8Array {
    assert(key.length === HASH_BYTES, 'a BLAKE3 key has 32 bytes')
    this.#key.set(key)
    try {
      return this.#hash(bytes, KEYED_HASH)
    } finally {
      this.#key.fill(0)
    }
  }

  groupHashes(bytes: Uint8Array, firstGroup: number): Uint8Array {
    const groups = new Uint8Array(Math.max(1, Math.ceil(bytes.length / GROUP_BYTES)) * HASH_BYTES)
    for (let at = 0, out = 0; out < groups.length; at += WINDOW_BYTES) {
      const length = this.#load(bytes, at)
      const count = this.#hashGroups(length, firstGroup + at / GROUP_BYTES)
      groups.set(this.#cvs.subarray(0, count * HASH_BYTES), out)
      out += count * HASH_BYTES
    }
    return groups
  }

  parentLevel(cvs: Uint8Array): Uint8Array {
    assert(cvs.length % HASH_BYTES === 0, 'whole chaining values')
    const parents = new Uint8Array(Math.ceil(cvs.length / (2 * HASH_BYTES)) * HASH_BYTES)
    for (let at = 0, out = 0; at < cvs.length; at += WINDOW_BYTES) {
      const length = this.#load(cvs, at)
      const count = this.#pairLevel(length / HASH_BYTES)
      parents.set(this.#input.subarray(0, count * HASH_BYTES), out)
      out += count * HASH_BYTES
    }
    return parents
  }

  rootOfPair(pair: Uint8Array): Uint8Array {
    assert(pair.length === 2 * HASH_BYTES, 'two chaining values')
    this.#input.set(pair)
    this.#rootOfPair()
    return this.#out.slice()
  }

  /** Copies the window of `bytes` at `at` into the kernel; returns its length. */
  #load(bytes: Uint8Array, at: number): number {
    const length = Math.min(bytes.length - at, WINDOW_BYTES)
    this.#input.set(bytes.subarray(at, at + length))
    return length
  }

  #hash(bytes: Uint8Array, flags: number): Uint8Array {
    const windows = Math.ceil(bytes.length / WINDOW_BYTES)
    assert(windows < WINDOWS_MAX, 'a buffer that the window counter can count')
    if (windows <= 1) {
      this.#hashWindow(this.#load(bytes, 0), flags)
      return this.#out.slice()
    }
    for (let window = 0; window < windows; window++) {
      const length = this.#load(bytes, window * WINDOW_BYTES)
      const isLast = window === windows - 1
      this.#absorbWindow(length, window, flags, isLast ? 0 : trailingZeros(window + 1))
    }
    this.#finish(flags)
    return this.#out.slice()
  }
}

function trailingZeros(value: number): number {
  return 31 - Math.clz32(value & -value)
}

let shared: BlakeTree | undefined

/** The BLAKE3 of this thread, chosen at the first call: the kernel, or plain JavaScript. */
export function sharedKernel(): BlakeTree {
  if (shared === undefined) {
    const compiled = compileKernel(BLAKE_BUILDS)
    shared = compiled === undefined ? new PlainBlake() : new BlakeKernel(compiled)
  }
  return shared
}
