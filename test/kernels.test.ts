/** What the kernels' own tests cannot do in a process without native code and compiler. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { blake3, blake3Keyed } from '@moyai/protocol'
import { native } from '../scripts/native-blake3.ts'
import { compileKernel, KERNELS, readRepositoryFile } from '../scripts/kernels.ts'
import type { KernelSource } from '../scripts/kernels.ts'

for (const kernel of KERNELS) {
  test(`kernels: ${kernel.target} is what ${kernel.source} compiles to`, async () => {
    // Goal: nobody has to believe a binary: it follows from its source by `pnpm kernels`.
    assert.equal(
      readRepositoryFile(kernel.target),
      await compileKernel(kernel, readRepositoryFile(kernel.source)),
    )
  })
}

test('kernels: a source that does not compile is an error that says so', async () => {
  // Goal: the comparison above cannot pass by comparing nothing.
  const bad: KernelSource = { source: 'bad.ts', target: '', builds: ['SIMD'], memory: [] }
  await assert.rejects(compileKernel(bad, 'export function f(): i32 { return x }'), /bad\.ts/)
})

test('blake3: every length up to ten chunks, and any long input, equal the native library', () => {
  // Goal: agreement with an independent implementation, far beyond the committed vectors.
  const input = Uint8Array.from({ length: 400_000 }, (_, i) => (i * 2_654_435_761) >>> 24)
  const key = Buffer.from(input.subarray(0, 32))
  const agree = (bytes: Uint8Array): void => {
    assert.deepEqual(blake3(bytes), new Uint8Array(native.blake3(bytes)), `${bytes.length} bytes`)
    const keyed = native.Blake3Hasher.newKeyed(key).update(bytes).digestBuffer()
    assert.deepEqual(blake3Keyed(key, bytes), new Uint8Array(keyed), `keyed, ${bytes.length}`)
  }
  for (let length = 0; length <= 10 * 1024 + 1; length++) agree(input.subarray(0, length))
  const stretch = fc.tuple(fc.nat(input.length), fc.nat(input.length))
  fc.assert(
    fc.property(stretch, ([a, b]) => agree(input.subarray(Math.min(a, b), Math.max(a, b)))),
    { numRuns: 300 },
  )
})
