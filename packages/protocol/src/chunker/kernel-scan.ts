/** The scan by the SIMD kernel: the same cuts, about four times faster. spec/chunking.md §3. */

import { assert } from '../assert.ts'
import { compileKernel, instantiateKernel, type KernelModule } from '../wasm.ts'
import { HISTORY_BYTES, plainScan, type Scan } from './gear.ts'
import { SIMD_BASE64 } from './kernel.wasm.ts'

const WINDOW_BYTES = 64 * 1024

let compiled: KernelModule | undefined

/** The scan of this machine: by the kernel, or in plain JavaScript where it has no SIMD. */
export function bestScan(gear: Uint32Array): Scan {
  compiled ??= compileKernel([SIMD_BASE64])
  return compiled === undefined ? plainScan(gear) : kernelScan(gear, compiled)
}

/**
 * A scan with `gear` in its own kernel instance of 128 KiB; input is copied into it 64 KiB at a
 * time.
 */
function kernelScan(gear: Uint32Array, module: KernelModule): Scan {
  const kernel = instantiateKernel(module)
  const scan = kernel.function('scan')
  const historyAddress = kernel.address('HISTORY')
  const history = kernel.memory.subarray(
    historyAddress,
    historyAddress + HISTORY_BYTES + WINDOW_BYTES,
  )
  writeTable(kernel.memory, kernel.address('TABLE'), gear)
  return ({ bytes, from, to }, threshold) => {
    for (let at = from; at < to; at += WINDOW_BYTES) {
      const length = Math.min(WINDOW_BYTES, to - at)
      history.set(bytes.subarray(at - HISTORY_BYTES, at + length))
      const cut = scan(length, threshold)
      if (cut > 0) return at + cut
    }
    return 0
  }
}

/** WebAssembly memory is little-endian whatever the machine is. */
function writeTable(memory: Uint8Array, address: number, gear: Uint32Array): void {
  assert(gear.length === 256, 'a gear table has 256 words')
  const view = new DataView(memory.buffer, address, 4 * gear.length)
  for (const [i, word] of gear.entries()) view.setUint32(4 * i, word, true)
}
