/**
 * The code in plain JavaScript: oracle of the tests, and what runs where there is no WebAssembly.
 *
 * About 100 MB of data a second for 2+3; a table look-up per byte and coefficient.
 */

import { defined } from '../assert.ts'
import { assertStripe, checkPresent } from './codec.ts'
import type { Code, Codec } from './codec.ts'
import { productsOf } from './matrix.ts'
import { encodePlan, reconstructPlan } from './plan.ts'
import type { Plan } from './plan.ts'

/** The code of spec/code.md without WebAssembly. */
export function plainCodec(): Codec {
  return { encode, reconstruct, allocate: (bytes) => new Uint8Array(bytes) }
}

function encode(code: Code, shardLength: number, shards: Uint8Array): void {
  assertStripe(code, shardLength, shards)
  combine(encodePlan(code), shardLength, shards)
}

function reconstruct(
  code: Code,
  shardLength: number,
  shards: Uint8Array,
  present: readonly boolean[],
  wanted?: readonly number[],
): void {
  assertStripe(code, shardLength, shards)
  checkPresent(code, present)
  combine(reconstructPlan(code, present, wanted), shardLength, shards)
}

function combine({ sources, targets, matrix }: Plan, length: number, shards: Uint8Array): void {
  const shard = (index: number): Uint8Array => shards.subarray(index * length, (index + 1) * length)
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
