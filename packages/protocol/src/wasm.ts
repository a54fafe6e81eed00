/**
 * The little of WebAssembly that kernels need: one memory of fixed size, numbers in and out. Typed
 * here because neither the ES library nor Node's types declare `WebAssembly`.
 */

import { assert } from './assert.ts'

/** A compiled kernel: immutable, cheap to make instances of. */
export type KernelModule = { readonly module: object }

/** A memory that the host makes for kernels that import theirs. It never grows. */
export type KernelMemory = { readonly buffer: ArrayBuffer }

/**
 * An instance: its memory, addresses of its areas and its functions, by their names in the source.
 */
export type KernelInstance = {
  /** The whole memory. It never grows, so the view stays valid. */
  readonly memory: Uint8Array<ArrayBuffer>
  address(name: string): number
  function(name: string): (...values: number[]) => number
}

type WebAssemblyApi = {
  validate(binary: Uint8Array): boolean
  Module: new (binary: Uint8Array) => object
  Instance: new (module: object, imports: object) => { exports: Record<string, unknown> }
  Memory: new (limits: { initial: number; maximum: number }) => KernelMemory
}

/** Absent under `node --jitless`. */
const webAssembly = (globalThis as unknown as { WebAssembly?: WebAssemblyApi }).WebAssembly

export const PAGE_BYTES: number = 64 * 1024

/** Bytes of a base64 text of our own; throws on any other. */
function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
}

/**
 * Compiles the first of `builds`, best first, that this machine has the instructions for: base64
 * texts that scripts/kernels.ts generated. Undefined where there is none, or no WebAssembly.
 */
export function compileKernel(builds: readonly string[]): KernelModule | undefined {
  if (webAssembly === undefined) return undefined
  for (const build of builds) {
    const binary = fromBase64(build)
    if (webAssembly.validate(binary)) return { module: new webAssembly.Module(binary) }
  }
  return undefined
}

/** A zeroed memory of `bytes`, rounded up to pages. RangeError when there is no room for it. */
export function createKernelMemory(bytes: number): KernelMemory {
  assert(webAssembly !== undefined, 'this runtime has WebAssembly')
  const pages = Math.ceil(bytes / PAGE_BYTES)
  return new webAssembly.Memory({ initial: pages, maximum: pages })
}

/** A new instance: with its own memory, or in `memory` when it is a kernel that imports one. */
export function instantiateKernel(compiled: KernelModule, memory?: KernelMemory): KernelInstance {
  assert(webAssembly !== undefined, 'this runtime has WebAssembly')
  const imports = memory === undefined ? {} : { env: { memory } }
  const { exports } = new webAssembly.Instance(compiled.module, imports)
  const { buffer } = memory ?? (exports['memory'] as KernelMemory)
  return {
    memory: new Uint8Array(buffer),
    address(name) {
      const global = exports[name] as { value: unknown } | undefined
      assert(typeof global?.value === 'number', `kernel exports address ${name}`)
      return global.value
    },
    function(name) {
      const candidate = exports[name]
      assert(typeof candidate === 'function', `kernel exports function ${name}`)
      return candidate as (...values: number[]) => number
    },
  }
}
