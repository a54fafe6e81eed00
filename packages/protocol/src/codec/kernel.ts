/**
 * The code by our own SIMD kernel (assembly/reed-solomon.ts).
 *
 * The kernel works on its memory alone. A buffer of `allocate` is such a memory, with the kernel's
 * data in its first page, and is coded where it lies. Any other buffer is copied in and out in
 * blocks that stay in a second-level cache, which costs a quarter of the speed. So whoever codes
 * again and again in one buffer takes it from `allocate`; for a single stripe it is not worth it.
 */

import { assert, defined } from '../assert.ts'
import { compileKernel, createKernelMemory, instantiateKernel, PAGE_BYTES } from '../wasm.ts'
import type { KernelInstance, KernelModule } from '../wasm.ts'
import { assertStripe, checkPresent } from './codec.ts'
import type { Code, Codec } from './codec.ts'
import { RELAXED_BASE64, SIMD_BASE64 } from './kernel.wasm.ts'
import { multiply } from './matrix.ts'
import { encodePlan, reconstructPlan } from './plan.ts'
import type { Plan } from './plan.ts'

/** Builds of the kernel, best first. */
export const CODEC_BUILDS: readonly string[] = [RELAXED_BASE64, SIMD_BASE64]

/** Bytes that the kernel takes at once; no shard that it works on may be shorter. */
const STEP_BYTES = 32
/**
 * Blocks of all shards together: well within 512 KiB, the smallest second-level caches of today.
 */
const WINDOW_BYTES = 384 * 1024
/** Beyond this, blocks bring nothing more. */
const BLOCK_BYTES_MAX = 64 * 1024
/** A memory is made in half a millisecond, in which a smaller buffer is copied several times. */
const IN_PLACE_BYTES_MIN = 1024 * 1024
/**
 * Plans with their tables, of at most 16 KiB each: the usual code and its usual losses. A plan is
 * made in 20 µs for 4+2 and in a millisecond for 32+16.
 */
const PLANS_MAX = 64
/** Tables of one factor: products of the low and of the high four bits of a byte. */
const TABLE_BYTES = 32
/** Rows that the kernel sums in one pass. */
const ROWS_MAX = 4

/** A plan as the kernel wants it. */
type Program = Pick<Plan, 'sources' | 'targets'> & { tables: Uint8Array }

/**
 * The code of spec/code.md by the first of `builds` that this machine can run; undefined where it
 * can run none. The instance serves one thread.
 */
export function kernelCodec(builds: readonly string[] = CODEC_BUILDS): Codec | undefined {
  const compiled = compileKernel(builds)
  return compiled === undefined ? undefined : new KernelCodec(compiled)
}

class KernelCodec implements Codec {
  readonly #compiled: KernelModule
  /** Those of `allocate`, by their buffers. */
  readonly #workspaces = new WeakMap<ArrayBufferLike, Workspace>()
  readonly #programs = new Map<string, Program>()
  #window: Workspace | undefined

  constructor(compiled: KernelModule) {
    this.#compiled = compiled
  }

  allocate(bytes: number): Uint8Array {
    if (bytes < IN_PLACE_BYTES_MIN) return new Uint8Array(bytes)
    try {
      const workspace = new Workspace(this.#compiled, bytes)
      this.#workspaces.set(workspace.bytes.buffer, workspace)
      return workspace.bytes
    } catch (error) {
      // a memory reserves much address space, which a system may limit: then copying has to do
      if (!(error instanceof RangeError)) throw error
      return new Uint8Array(bytes)
    }
  }

  encode(code: Code, shardLength: number, shards: Uint8Array): void {
    assertStripe(code, shardLength, shards)
    if (code.m === 0) return
    const key = `${code.k}+${code.m}`
    this.#run(
      this.#program(key, () => encodePlan(code)),
      shardLength,
      shards,
    )
  }

  reconstruct(
    code: Code,
    shardLength: number,
    shards: Uint8Array,
    present: readonly boolean[],
    wanted?: readonly number[],
  ): void {
    assertStripe(code, shardLength, shards)
    checkPresent(code, present)
    if (present.every(Boolean)) return
    const key = `${code.k}+${code.m} ${present.map(Number).join('')} ${wanted?.join() ?? ''}`
    this.#run(
      this.#program(key, () => reconstructPlan(code, present, wanted)),
      shardLength,
      shards,
    )
  }

  /** The program of `key`, made at its first use. */
  #program(key: string, plan: () => Plan): Program {
    let program = this.#programs.get(key)
    if (program === undefined) {
      program = compilePlan(plan())
      if (this.#programs.size >= PLANS_MAX) this.#programs.clear()
      this.#programs.set(key, program)
    }
    return program
  }

  #run(program: Program, shardLength: number, shards: Uint8Array): void {
    const workspace = this.#workspaces.get(shards.buffer)
    if (workspace === undefined || shardLength < STEP_BYTES) {
      this.#window ??= new Workspace(this.#compiled, WINDOW_BYTES)
      this.#window.runOn(program, shardLength, shards)
    } else {
      workspace.run(program, { base: shards.byteOffset, stride: shardLength }, shardLength)
    }
  }
}

/** An instance of the kernel in a memory of its own: the kernel's data, then `bytes`. */
class Workspace {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly #kernel: KernelInstance
  readonly #addresses: DataView
  readonly #combine: (sources: number, targets: number, length: number) => void
  readonly #sources: number
  readonly #targets: number
  readonly #tables: number
  #loaded: Program | undefined

  constructor(compiled: KernelModule, bytes: number) {
    const memory = createKernelMemory(PAGE_BYTES + bytes)
    this.#kernel = instantiateKernel(compiled, memory)
    assert(this.#kernel.address('END') <= PAGE_BYTES, "the kernel's data fits its page")
    this.bytes = new Uint8Array(memory.buffer, PAGE_BYTES, bytes)
    this.#addresses = new DataView(memory.buffer, 0, PAGE_BYTES)
    this.#combine = this.#kernel.function('combine')
    this.#sources = this.#kernel.address('SOURCES')
    this.#targets = this.#kernel.address('TARGETS')
    this.#tables = this.#kernel.address('TABLES')
  }

  /** Runs where shard i lies at `base + i * stride`; `length` is at least STEP_BYTES. */
  run(program: Program, at: { base: number; stride: number }, length: number): void {
    const address = (i: number): number => at.base + i * at.stride
    this.#load(program, address)
    this.#combine(program.sources.length, program.targets.length, length)
  }

  /** Runs on shards that lie elsewhere, block by block through `bytes`. */
  runOn(program: Program, shardLength: number, shards: Uint8Array): void {
    const { sources, targets } = program
    const room = Math.floor(WINDOW_BYTES / (sources.length + targets.length))
    const stride = Math.min(BLOCK_BYTES_MAX, room - (room % STEP_BYTES))
    const slots = [...sources, ...targets]
    // shard i takes the slot that stands for it in the order of sources and targets
    this.#load(program, (i) => PAGE_BYTES + slots.indexOf(i) * stride)
    for (let offset = 0; offset < shardLength; offset += stride) {
      const length = Math.min(stride, shardLength - offset)
      for (const [slot, i] of sources.entries()) {
        const from = i * shardLength + offset
        this.bytes.set(shards.subarray(from, from + length), slot * stride)
      }
      // up to whole steps: what lies behind the block is computed, too, and not read
      const whole = Math.ceil(length / STEP_BYTES) * STEP_BYTES
      this.#combine(sources.length, targets.length, whole)
      for (const [t, i] of targets.entries()) {
        const from = (sources.length + t) * stride
        shards.set(this.bytes.subarray(from, from + length), i * shardLength + offset)
      }
    }
  }

  #load(program: Program, address: (shard: number) => number): void {
    for (const [s, i] of program.sources.entries()) {
      this.#addresses.setUint32(this.#sources + 4 * s, address(i), true)
    }
    for (const [t, i] of program.targets.entries()) {
      this.#addresses.setUint32(this.#targets + 4 * t, address(i), true)
    }
    if (this.#loaded === program) return
    this.#kernel.memory.set(program.tables, this.#tables)
    this.#loaded = program
  }
}

/** Tables in the order in which the kernel's passes read them. */
function compilePlan({ sources, targets, matrix }: Plan): Program {
  const tables = new Uint8Array(targets.length * sources.length * TABLE_BYTES)
  let at = 0
  for (let done = 0; done < targets.length;) {
    const left = targets.length - done
    const rows = Math.ceil(left / Math.ceil(left / ROWS_MAX))
    for (const s of sources.keys()) {
      for (let row = done; row < done + rows; row++, at += TABLE_BYTES) {
        const factor = defined(matrix[row]?.[s], 'a coefficient')
        for (let value = 0; value < 16; value++) {
          tables[at + value] = multiply(factor, value)
          tables[at + 16 + value] = multiply(factor, value << 4)
        }
      }
    }
    done += rows
  }
  return { sources, targets, tables }
}
