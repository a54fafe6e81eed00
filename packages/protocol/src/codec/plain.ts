/**
 * The code in plain JavaScript: oracle of the tests, and what runs where there is no WebAssembly.
 *
 * About 100 MB of data a second for 2+3; a table look-up per byte and coefficient.
 */

import { defined } from '../assert.ts'
import { assertStripe, checkPresent } from './codec.ts'
import type { Code, Codec } from './codec.ts'
import { generatorMatrix, invertMatrix, multiplyMatrices, productsOf } from './matrix.ts'
import type { Matrix } from './matrix.ts'

/** The code of spec/code.md without WebAssembly. */
export function plainCodec(): Codec {
  return { encode, reconstruct, allocate: (bytes) => new Uint8Array(bytes) }
}

function encode(code: Code, shardLength: number, shards: Uint8Array): void {
  assertStripe(code, shardLength, shards)
  const matrix = generatorMatrix(code.k, code.m)
  const sources = Array.from({ length: code.k }, (_, i) => i)
  const targets = Array.from({ length: code.m }, (_, i) => code.k + i)
  combine(matrix.slice(code.k), { shards, shardLength, sources, targets })
}

function reconstruct(
  code: Code,
  shardLength: number,
  shards: Uint8Array,
  present: readonly boolean[],
): void {
  assertStripe(code, shardLength, shards)
  checkPresent(code, present)
  const all = Array.from({ length: code.k + code.m }, (_, i) => i)
  const sources = all.filter((i) => present[i]).slice(0, code.k)
  const targets = all.filter((i) => !present[i])
  if (targets.length === 0) return
  const matrix = generatorMatrix(code.k, code.m)
  const rows = (indexes: readonly number[]): Matrix =>
    indexes.map((i) => defined(matrix[i], 'a row of the generator'))
  // Any k rows of the generator are independent: their inverse leads from those shards back to the
  // data.
  const fromSources = multiplyMatrices(rows(targets), invertMatrix(rows(sources)))
  combine(fromSources, { shards, shardLength, sources, targets })
}

type Combination = {
  shards: Uint8Array
  shardLength: number
  sources: readonly number[]
  targets: readonly number[]
}

/** Target shard t becomes the sum over all source shards s of matrix[t][s] × s. */
function combine(matrix: Matrix, { shards, shardLength, sources, targets }: Combination): void {
  const shard = (index: number): Uint8Array =>
    shards.subarray(index * shardLength, (index + 1) * shardLength)
  for (const [t, target] of targets.entries()) {
    const output = shard(target)
    output.fill(0)
    for (const [s, source] of sources.entries()) {
      const factor = defined(matrix[t]?.[s], 'a coefficient')
      if (factor !== 0) addProducts(output, shard(source), productsOf(factor))
    }
  }
}

function addProducts(output: Uint8Array, input: Uint8Array, products: Uint8Array): void {
  for (let i = 0; i < output.length; i++) {
    output[i] = (output[i] as number) ^ (products[input[i] as number] as number)
  }
}
