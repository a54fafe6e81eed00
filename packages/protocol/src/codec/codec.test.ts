import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, toHex } from '../bytes.ts'
import { isMoyaiError } from '../errors.ts'
import { CODE_K_MAX, CODE_M_MAX } from '../limits.ts'
import { isCode, kernelCodec, plainCodec, reedSolomonErasureCodec } from './index.ts'
import type { Code, Codec } from './index.ts'
import { CODEC_BUILDS } from './kernel.ts'
import { invertMatrix, multiplyMatrices, generatorMatrix } from './matrix.ts'

const WASM = createRequire(import.meta.url).resolve(
  'reed-solomon-erasure/reed_solomon_erasure_bg.wasm',
)
const codecs: [string, Codec][] = [
  ['plain', plainCodec()],
  ['reed-solomon-erasure', reedSolomonErasureCodec(readFileSync(WASM))],
  ...CODEC_BUILDS.map((build, i): [string, Codec] => [`kernel build ${i}`, kernelOf(build)]),
]

/** One build of the kernel, though a machine would choose only the first that it can run. */
function kernelOf(build: string): Codec {
  const codec = kernelCodec([build])
  assert.ok(codec !== undefined, 'this machine can run every build')
  return codec
}

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

/** A number below `limit`, different from call to call, without a random source. */
function sequence(seed: number): (limit: number) => number {
  let state = seed >>> 0
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
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

    it('rebuilds what is wanted of what is lost', () => {
      const code = { k: 3, m: 4 }
      const whole = stripe(codec, code, 100, 5)
      const present = [true, false, true, false, true, false, false]
      for (const wanted of [[1], [3], [5, 6], [1, 3, 5, 6]]) {
        const damaged = whole.slice()
        for (const i of [1, 3, 5, 6]) damaged.fill(0xee, i * 100, (i + 1) * 100)
        codec.reconstruct(code, 100, damaged, present, wanted)
        for (const i of [0, 2, 4, ...wanted]) {
          const [from, to] = [i * 100, (i + 1) * 100]
          assert.deepEqual(damaged.subarray(from, to), whole.subarray(from, to))
        }
      }
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
    // Goal: one may take over from another. Method: random codes, lengths around the strips and
    // blocks of the wasm ones.
    fc.assert(
      fc.property(
        codes,
        fc.constantFrom(1, 31, 32, 33, 63, 1000, 8191, 32 * 1024 - 1, 32 * 1024, 65_537, 80_003),
        (code, length) => {
          const k = length > 1000 ? Math.min(code.k, 4) : code.k
          const m = length > 1000 ? Math.min(code.m, 3) : code.m
          const [first, ...others] = codecs.map(([, codec]) => stripe(codec, { k, m }, length))
          for (const [i, other] of others.entries()) {
            assert.ok(first && Buffer.compare(first, other) === 0, `codec ${i + 1}`)
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  it('agree with the package for every code that there is', () => {
    // Goal: the kernels' parity and reconstruction are the package's for all k and m. Method: for
    // each of the 512 codes, lengths that change from code to code, parity from every build, then
    // as many shards lost as the code bears, rebuilt by every build.
    const [, reference] = codecs[1] as [string, Codec]
    const pick = sequence(7)
    for (let k = 1; k <= CODE_K_MAX; k++) {
      for (let m = 1; m <= CODE_M_MAX; m++) {
        const code = { k, m }
        const length = 1 + pick(100)
        const whole = stripe(reference, code, length, 16 * k + m)
        const present = Array.from({ length: k + m }, () => true)
        for (let lost = 0; lost < m; lost++) {
          let at = pick(k + m)
          while (!present[at]) at = (at + 1) % (k + m)
          present[at] = false
        }
        const what = `${k}+${m}, ${length} bytes, present ${present.map(Number).join('')}`
        for (const [name, codec] of codecs.slice(2)) {
          const encoded = whole.slice().fill(0xaa, k * length)
          codec.encode(code, length, encoded)
          assert.ok(Buffer.compare(encoded, whole) === 0, `${name} encodes ${what}`)
          for (const [i, there] of present.entries()) {
            if (!there) encoded.fill(0xbb, i * length, (i + 1) * length)
          }
          codec.reconstruct(code, length, encoded, present)
          assert.ok(Buffer.compare(encoded, whole) === 0, `${name} rebuilds ${what}`)
        }
      }
    }
  })

  it('code in their own memory and in any other alike', () => {
    // Goal: a buffer of `allocate` is coded where it lies, with the same bytes. Method: codes with
    // and without a rest of the pass of four rows, lengths that are no whole steps, a view that
    // begins anywhere, two buffers in turn.
    for (const [name, codec] of codecs.slice(2)) {
      const buffers = [codec.allocate(1_500_000), codec.allocate(1_048_576)]
      assert.ok(buffers.every((buffer) => buffer.every((byte) => byte === 0)))
      const pick = sequence(11)
      for (let round = 0; round < 60; round++) {
        const code = { k: 1 + pick(12), m: 1 + pick(9) }
        const length = 1 + pick(round % 3 === 0 ? 60 : 40_000)
        const start = pick(100)
        const buffer = buffers[round % 2] as Uint8Array
        buffer.fill(7)
        const shards = buffer.subarray(start, start + (code.k + code.m) * length)
        const expected = stripe(plainCodec(), code, length, round)
        shards.set(expected.subarray(0, code.k * length))
        codec.encode(code, length, shards)
        assert.ok(Buffer.compare(shards, expected) === 0, `${name} encodes`)
        const present = Array.from({ length: code.k + code.m }, (_, i) => i >= code.m)
        shards.fill(0xcc, 0, code.m * length)
        codec.reconstruct(code, length, shards, present)
        assert.ok(Buffer.compare(shards, expected) === 0, `${name} rebuilds`)
        assert.ok(buffer.subarray(0, start).every((byte) => byte === 7))
        assert.ok(buffer.subarray(start + shards.length).every((byte) => byte === 7))
      }
    }
  })

  it('are chosen by what the machine can run', () => {
    // Goal: a machine without any of the builds gets no kernel, and no error.
    assert.ok(kernelCodec() !== undefined)
    assert.equal(kernelCodec([]), undefined)
    assert.equal(kernelCodec([btoa('no WebAssembly')]), undefined)
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
