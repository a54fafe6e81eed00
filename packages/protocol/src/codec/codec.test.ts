import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, toHex } from '../bytes.ts'
import { isMoyaiError } from '../errors.ts'
import { CODE_K_MAX, CODE_M_MAX } from '../limits.ts'
import { isCode, plainCodec, reedSolomonErasureCodec } from './index.ts'
import type { Code, Codec } from './index.ts'
import { invertMatrix, multiplyMatrices, generatorMatrix } from './matrix.ts'

const WASM = createRequire(import.meta.url).resolve(
  'reed-solomon-erasure/reed_solomon_erasure_bg.wasm',
)
const codecs: [string, Codec][] = [
  ['plain', plainCodec()],
  ['reed-solomon-erasure', reedSolomonErasureCodec(readFileSync(WASM))],
]

const codes = fc.record({
  k: fc.integer({ min: 1, max: CODE_K_MAX }),
  m: fc.integer({ min: 0, max: CODE_M_MAX }),
})

/** Bytes that differ from shard to shard, without a random source. */
function pattern(length: number, seed = 1): Uint8Array {
  let state = (seed * 2_654_435_761) >>> 0
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state >>> 24
  })
}

function stripe(codec: Codec, code: Code, shardLength: number, seed = 1): Uint8Array {
  const shards = codec.allocate((code.k + code.m) * shardLength)
  shards.set(pattern(code.k * shardLength, seed))
  codec.encode(code, shardLength, shards)
  return shards
}

function notEnough(error: unknown): boolean {
  return isMoyaiError(error, 'NOT_ENOUGH_SHARDS')
}

describe('matrix', () => {
  it('has an identity on top and every k rows of it are independent', () => {
    // Goal: the two properties the code rests on. Method: all k-subsets of rows of some small
    // codes.
    for (const [k, m] of [
      [1, 3],
      [2, 3],
      [3, 3],
      [4, 4],
    ] as const) {
      const matrix = generatorMatrix(k, m)
      for (let mask = 0; mask < 1 << (k + m); mask++) {
        const rows = matrix.filter((_, row) => mask & (1 << row))
        if (rows.length !== k) continue
        const product = multiplyMatrices(rows, invertMatrix(rows))
        assert.deepEqual(
          product.map((row) => [...row]),
          Array.from({ length: k }, (_r, r) => Array.from({ length: k }, (_c, c) => +(r === c))),
        )
      }
      assert.deepEqual(
        matrix.slice(0, k).flatMap((row) => [...row]),
        Array.from({ length: k * k }, (_, i) => +(i % (k + 1) === 0)),
      )
    }
  })
})

for (const [name, codec] of codecs) {
  describe(`codec ${name}`, () => {
    it('agrees with the vectors, failures included', () => {
      // Goal: another implementation of spec/code.md can be checked with the same files.
      const url = new URL('../../../../test/vectors/code/code.json', import.meta.url)
      const { cases } = JSON.parse(readFileSync(url, 'utf8')) as { cases: Vector[] }
      assert.ok(cases.length >= 10)
      for (const vector of cases) checkVector(codec, vector)
    })

    it('rebuilds all shards from any k, parity too', () => {
      // Goal: every k of k+m are enough. Method: random codes, lengths and losses up to m; lost
      // shards are garbage.
      fc.assert(
        fc.property(
          codes,
          fc.integer({ min: 1, max: 200 }),
          fc.integer({ min: 0, max: 2 ** 31 }),
          fc.infiniteStream(fc.nat()),
          (code, shardLength, seed, choices) => {
            const whole = stripe(codec, code, shardLength, seed)
            const present = Array.from({ length: code.k + code.m }, () => true)
            const damaged = whole.slice()
            for (let i = 0; i < code.m; i++) {
              const lost = (choices.next().value as number) % present.length
              present[lost] = false
              damaged.fill(0xee, lost * shardLength, (lost + 1) * shardLength)
            }
            codec.reconstruct(code, shardLength, damaged, present)
            assert.deepEqual(damaged, whole)
          },
        ),
        { numRuns: 100 },
      )
    })

    it('rebuilds every pattern of losses of small codes', () => {
      // Goal: no pattern is special. Method: all subsets of 2+3 and 1+4, refused exactly when fewer
      // than k remain.
      for (const code of [
        { k: 2, m: 3 },
        { k: 1, m: 4 },
        { k: 3, m: 2 },
        { k: 4, m: 0 },
      ]) {
        const whole = stripe(codec, code, 33)
        for (let mask = 0; mask < 1 << (code.k + code.m); mask++) {
          const present = Array.from({ length: code.k + code.m }, (_, i) => (mask & (1 << i)) !== 0)
          const damaged = whole.slice()
          for (const [i, there] of present.entries()) {
            if (!there) damaged.fill(0, i * 33, (i + 1) * 33)
          }
          const before = damaged.slice()
          if (present.filter(Boolean).length < code.k) {
            assert.throws(() => codec.reconstruct(code, 33, damaged, present), notEnough)
            assert.deepEqual(damaged, before)
          } else {
            codec.reconstruct(code, 33, damaged, present)
            assert.deepEqual(damaged, whole)
          }
        }
      }
    })

    it('gives a buffer of zeros, and takes any other', () => {
      // Goal: `allocate` is only about speed. Method: a view into the middle of a larger buffer.
      const code = { k: 2, m: 2 }
      assert.deepEqual(codec.allocate(5), new Uint8Array(5))
      const around = new Uint8Array(4 * 100 + 20).fill(7)
      const view = around.subarray(10, 410)
      view.set(pattern(200))
      codec.encode(code, 100, view)
      assert.deepEqual(view, stripe(codec, code, 100))
      assert.ok(around.subarray(0, 10).every((byte) => byte === 7))
      assert.ok(around.subarray(410).every((byte) => byte === 7))
    })

    it('asserts on misuse', () => {
      // Goal: a wrong call is a bug of ours and never touches memory.
      const shards = new Uint8Array(50)
      for (const [code, length] of [
        [{ k: 0, m: 5 }, 10],
        [{ k: 2, m: 3 }, 9],
        [{ k: 2, m: 3 }, 0],
        [{ k: CODE_K_MAX + 1, m: 1 }, 1],
        [{ k: 2.5, m: 2.5 }, 10],
      ] as const) {
        assert.throws(() => codec.encode(code, length, shards), { name: 'AssertionError' })
      }
      assert.throws(() => codec.reconstruct({ k: 2, m: 3 }, 10, shards, [true, true]), {
        name: 'AssertionError',
      })
    })
  })
}

describe('codecs', () => {
  it('agree byte for byte', () => {
    // Goal: one may take over from the other. Method: random codes, lengths around the strip of the
    // wasm one.
    const [first, second] = codecs.map(([, codec]) => codec) as [Codec, Codec]
    fc.assert(
      fc.property(
        codes,
        fc.constantFrom(1, 2, 63, 1000, 32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1),
        (code, length) => {
          const k = length > 1000 ? Math.min(code.k, 4) : code.k
          const m = length > 1000 ? Math.min(code.m, 3) : code.m
          assert.ok(
            Buffer.compare(stripe(first, { k, m }, length), stripe(second, { k, m }, length)) === 0,
          )
        },
      ),
      { numRuns: 60 },
    )
  })

  it('survive thousands of calls of changing codes with bounded memory', () => {
    // Goal: the leak of the reference package stays bounded and no view goes stale. Method: 2000
    // stripes.
    const codec = reedSolomonErasureCodec(readFileSync(WASM))
    const before = process.memoryUsage().arrayBuffers + process.memoryUsage().external
    for (let round = 0; round < 2000; round++) {
      const code = { k: 1 + (round % 32), m: 1 + (round % 16) }
      const shards = stripe(codec, code, 16, round)
      const whole = round % 100 === 0 ? shards.slice() : undefined
      const present = Array.from({ length: code.k + code.m }, (_, i) => i >= code.m)
      shards.fill(0, 0, 16 * code.m)
      codec.reconstruct(code, 16, shards, present)
      if (whole !== undefined) assert.deepEqual(shards, whole)
    }
    const after = process.memoryUsage().arrayBuffers + process.memoryUsage().external
    assert.ok(after - before < 128 * 1024 * 1024, `grew by ${after - before}`)
  })

  it('know which codes are within the limits', () => {
    // Goal: the check that decoders use.
    assert.ok(isCode({ k: 1, m: 0 }))
    assert.ok(isCode({ k: CODE_K_MAX, m: CODE_M_MAX }))
    for (const [k, m] of [
      [0, 1],
      [1, -1],
      [33, 1],
      [1, 17],
      [1.5, 1],
      [Number.NaN, 1],
    ] as const) {
      assert.ok(!isCode({ k, m }))
    }
  })
})

type Vector = {
  name: string
  k: number
  m: number
  shardLength: number
  shards: string[]
  lost: number[]
  expect: string
}

function checkVector(
  codec: Codec,
  { name, k, m, shardLength, shards, lost, expect }: Vector,
): void {
  const whole = fromHex(shards.join(''))
  const encoded = whole.slice()
  encoded.fill(0xaa, k * shardLength)
  codec.encode({ k, m }, shardLength, encoded)
  assert.equal(toHex(encoded), toHex(whole), name)
  const damaged = whole.slice()
  for (const i of lost) damaged.fill(0xbb, i * shardLength, (i + 1) * shardLength)
  const present = Array.from({ length: k + m }, (_, i) => !lost.includes(i))
  if (expect === 'ok') {
    codec.reconstruct({ k, m }, shardLength, damaged, present)
    assert.equal(toHex(damaged), toHex(whole), name)
  } else {
    assert.throws(
      () => codec.reconstruct({ k, m }, shardLength, damaged, present),
      (error) => isMoyaiError(error) && error.code === expect,
      name,
    )
  }
}
