/**
 * Writes code.json beside this file: `node test/vectors/code/generate.ts`. The plain codec writes
 * it, every codec is held to it.
 */

import { writeFileSync } from 'node:fs'
import { plainCodec, toHex } from '@moyai/protocol'

const CASES: [k: number, m: number, shardLength: number, lost: number[]][] = [
  [1, 0, 8, []],
  [1, 0, 8, [0]],
  [1, 1, 8, [0]],
  [1, 1, 8, [0, 1]],
  [1, 2, 8, [0, 2]],
  [1, 4, 16, [0, 1, 2, 4]],
  [2, 3, 16, [0, 1, 2]],
  [2, 3, 16, [2, 3, 4]],
  [2, 3, 16, [0, 2, 4]],
  [2, 3, 16, [0, 1, 2, 3]],
  [3, 5, 16, [0, 1, 2, 3, 4]],
  [4, 4, 17, [1, 3, 5, 7]],
  [8, 6, 8, [0, 1, 2, 3, 4, 5]],
  [8, 6, 8, [0, 1, 2, 3, 4, 5, 6]],
  [32, 16, 4, [0, 5, 10, 15, 20, 25, 30, 31, 32, 33, 34, 35, 36, 37, 38, 47]],
]

const cases = CASES.map(([k, m, shardLength, lost], index) => {
  const shards = new Uint8Array((k + m) * shardLength)
  let state = index + 1
  for (let i = 0; i < k * shardLength; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    shards[i] = state >>> 24
  }
  plainCodec().encode({ k, m }, shardLength, shards)
  return {
    name: `${k}+${m} without ${lost.length === 0 ? 'losses' : lost.join(', ')}`,
    k,
    m,
    shardLength,
    shards: Array.from({ length: k + m }, (_, i) =>
      toHex(shards.subarray(i * shardLength, (i + 1) * shardLength)),
    ),
    lost,
    expect: k + m - lost.length < k ? 'NOT_ENOUGH_SHARDS' : 'ok',
  }
})

const comment =
  'shards: hex of all k+m shards. Encoding the first k gives the others. Without those in lost, reconstruction gives' +
  ' all shards again, or the error named in expect. See spec/code.md.'
writeFileSync(
  new URL('code.json', import.meta.url),
  `${JSON.stringify({ comment, cases }, undefined, 2)}\n`,
)
