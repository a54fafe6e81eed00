/** What encoding and reconstructing have in common: some shards are sums of products of others. */

import { defined } from '../assert.ts'
import type { Code } from './codec.ts'
import { generatorMatrix, invertMatrix, multiplyMatrices } from './matrix.ts'
import type { Matrix } from './matrix.ts'

/** Shard `targets[t]` is the sum over all s of `matrix[t][s]` times shard `sources[s]`. */
export type Plan = {
  readonly sources: readonly number[]
  readonly targets: readonly number[]
  readonly matrix: Matrix
}

/** Parity from data. */
export function encodePlan({ k, m }: Code): Plan {
  return {
    sources: Array.from({ length: k }, (_, i) => i),
    targets: Array.from({ length: m }, (_, i) => k + i),
    matrix: generatorMatrix(k, m).slice(k),
  }
}

/**
 * Every shard that is not `present`, or those of them that are `wanted`, from the first k that are;
 * spec/code.md §4.
 */
export function reconstructPlan(
  { k, m }: Code,
  present: readonly boolean[],
  wanted?: readonly number[],
): Plan {
  const all = Array.from({ length: k + m }, (_, i) => i)
  const sources = all.filter((i) => present[i]).slice(0, k)
  const targets = all.filter((i) => !present[i] && (wanted?.includes(i) ?? true))
  if (targets.length === 0) return { sources, targets, matrix: [] }
  const generator = generatorMatrix(k, m)
  const rows = (indexes: readonly number[]): Matrix =>
    indexes.map((i) => defined(generator[i], 'a row of the generator'))
  // Any k rows of the generator are independent: their inverse leads from those shards back to the
  // data.
  const matrix = multiplyMatrices(rows(targets), invertMatrix(rows(sources)))
  return { sources, targets, matrix }
}
