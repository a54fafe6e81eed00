/**
 * The little of WebAssembly that kernels need: no import, one memory of fixed size, numbers in and
 * out. Typed here because neither the ES library nor Node's types declare `WebAssembly`.
 */

import { assert } from './assert.ts'

/** A compiled kernel: immutable, cheap to make instances of. */
export type KernelModule = { readonly module: object }

/**
 * An instance: its memory, addresses of its areas and its functions, by their names in the source.
 */
export type KernelInstance = {
  /** The whole memory. It never grows, so the view stays valid. */
  readonly memory: Uint8Array
  address(name: string): number
  function(name: string): (...values: number[]) => number
}

type WebAssemblyApi = {
  Module: new (binary: Uint8Array) => object
  Instance: new (module: object, imports: object) => { exports: Record<string, unknown> }
}

const webAssembly = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly

/** Bytes of a base64 text of our own; throws on any other. */
function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
}

/** Compiles a kernel from the base64 text that scripts/kernels.ts generated. */
export function compileKernelModule(base64: string): KernelModule {
  return { module: new webAssembly.Module(fromBase64(base64)) }
}

/** A new instance with its own memory. */
export function instantiateKernel(compiled: KernelModule): KernelInstance {
  const { exports } = new webAssembly.Instance(compiled.module, {})
  const { buffer } = exports['memory'] as { buffer: ArrayBuffer }
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
