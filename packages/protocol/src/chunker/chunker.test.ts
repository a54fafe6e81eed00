import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { blake3, blake3Keyed } from '../blake3/index.ts'
import { concatBytes, fromHex, toHex } from '../bytes.ts'
import { CHUNK_BYTES_AVERAGE, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN } from '../limits.ts'
import { EASY_THRESHOLD, HARD_THRESHOLD, HISTORY_BYTES, plainScan } from './gear.ts'
import { Chunker, gearTable } from './index.ts'
import { bestScan } from './kernel-scan.ts'

/** What a linear congruential generator gives: noise that any language can make. */
function noise(length: number, seed = 1, kind = 'noise'): Uint8Array {
  const bytes = new Uint8Array(length)
  if (kind === 'zeros') return bytes
  let state = seed
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[i] = kind === 'text' ? 97 + ((state >>> 24) % 4) : state >>> 24
  }
  return bytes
}

/** Lengths of the chunks of `bytes`, asked for through windows of growing `windowBytes`. */
function cutAll(chunker: Chunker, bytes: Uint8Array, windowBytes = 2 * CHUNK_BYTES_MAX): number[] {
  const lengths: number[] = []
  let size = windowBytes
  for (let at = 0; at < bytes.length;) {
    const isLast = at + size >= bytes.length
    const length = chunker.next(bytes.subarray(at, at + size), isLast)
    if (length === 0) {
      size += windowBytes
      continue
    }
    lengths.push(length)
    at += length
    size = windowBytes
  }
  return lengths
}

/** Where chunks end. */
function ends(lengths: readonly number[]): number[] {
  let at = 0
  return lengths.map((length) => (at += length))
}

type Vectors = {
  seed: string
  gear: string
  cases: { kind: string; length: number; hash: string; chunks: number[] }[]
}

const url = new URL('../../../../test/vectors/chunker/cuts.json', import.meta.url)
const vectors = JSON.parse(readFileSync(url, 'utf8')) as Vectors
const gear = gearTable(fromHex(vectors.seed))
const chunker = new Chunker(gear)

test('chunker vectors: gear table and cuts', () => {
  // Goal: table and cuts are those of the specification.
  const words = Array.from(gear, (word) => word.toString(16).padStart(8, '0')).join(' ')
  assert.equal(words, vectors.gear)
  for (const { kind, length, hash, chunks } of vectors.cases) {
    const bytes = noise(length, 1, kind)
    assert.equal(toHex(blake3(bytes)), hash)
    assert.deepEqual(cutAll(chunker, bytes), chunks, `${kind} ${length}`)
  }
})

test('gear table: the expansion of the seed, and another for every seed', () => {
  // Goal: the table follows from the seed as specified, and only from it.
  const seed = fromHex(vectors.seed)
  const block = blake3Keyed(seed, Uint8Array.of(31, 0, 0, 0))
  const expected = Array.from({ length: 8 }, (_, i) =>
    new DataView(block.buffer).getUint32(4 * i, true),
  )
  assert.deepEqual(Array.from(gear.subarray(248)), expected)
  assert.equal(new Set(gear).size, 256)
  assert.notDeepEqual(gearTable(noise(32, 5)), gear)
  assert.throws(() => gearTable(seed.subarray(1)), { name: 'AssertionError' })
})

test('scan: the kernel finds what the plain scan finds', () => {
  // Goal: identical results for any content, stretch and threshold; low thresholds let hits fall
  // into every lane and block, and long stretches pass window boundaries.
  const plain = plainScan(gear)
  const kernel = bestScan(gear)
  const bytes = concatBytes(noise(150_000, 3), new Uint8Array(40_000), noise(80_000, 4, 'text'))
  fc.assert(
    fc.property(
      fc.integer({ min: HISTORY_BYTES, max: bytes.length }),
      fc.nat(bytes.length),
      fc.integer({ min: 8, max: 31 }),
      (from, length, bits) => {
        const stretch = { bytes, from, to: Math.min(bytes.length, from + length) }
        assert.equal(kernel(stretch, 2 ** bits), plain(stretch, 2 ** bits))
      },
    ),
    { numRuns: 300 },
  )
  assert.equal(kernel({ bytes, from: 100, to: 100 }, 2 ** 31), 0)
})

test('scan: every hit of a stretch is found, one after the other', () => {
  // Goal: exhaustive over one long stretch: no hit lost between blocks, lanes or windows.
  const bytes = noise(300_000, 9)
  const all = (scan: typeof plain): number[] => {
    const hits: number[] = []
    let from = HISTORY_BYTES
    for (let cut = -1; cut !== 0; from = cut) {
      cut = scan({ bytes, from, to: bytes.length }, EASY_THRESHOLD * 16)
      if (cut > 0) hits.push(cut)
    }
    return hits
  }
  const plain = plainScan(gear)
  const hits = all(plain)
  assert.ok(hits.length > 10)
  assert.deepEqual(all(bestScan(gear)), hits)
})

test('chunker: chunks are the input, in bounds, with cuts as of the plain scan', () => {
  // Goal: nothing lost, nothing out of bounds, the kernel changes no cut, for kinds of content.
  const plain = new Chunker(gear, plainScan(gear))
  for (const [seed, kind] of [
    [2, 'noise'],
    [3, 'text'],
    [4, 'zeros'],
  ] as const) {
    const bytes = noise(9_500_000 + seed, seed, kind)
    const lengths = cutAll(chunker, bytes)
    assert.deepEqual(lengths, cutAll(plain, bytes), kind)
    assert.equal(ends(lengths).at(-1), bytes.length)
    for (const [i, length] of lengths.entries()) {
      assert.ok(length <= CHUNK_BYTES_MAX && length > 0)
      assert.ok(length >= CHUNK_BYTES_MIN || i === lengths.length - 1)
    }
  }
})

test('chunker: sizes gather around the average', () => {
  // Goal: normalisation works: the mean is near 1 MiB, and extremes are rare.
  const bytes = noise(48_000_000, 11)
  const lengths = cutAll(chunker, bytes).slice(0, -1)
  const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length
  assert.ok(mean > 0.8 * CHUNK_BYTES_AVERAGE && mean < 1.4 * CHUNK_BYTES_AVERAGE, `mean ${mean}`)
  const near = lengths.filter((length) => length > 0.5 * mean && length < 1.6 * mean)
  assert.ok(near.length > 0.7 * lengths.length, `${near.length} of ${lengths.length} are near`)
})

/** The 32 bytes before the first place in noise whose hash is in [from, to). */
function historyWithHash(from: number, to: number): Uint8Array {
  const bytes = noise(4_000_000, 51)
  const scan = plainScan(gear)
  for (let at = HISTORY_BYTES; ;) {
    at = scan({ bytes, from: at, to: bytes.length }, to)
    assert.ok(at > 0, 'the noise has such a place')
    const isBelow = from > 0 && scan({ bytes, from: at - 1, to: at }, from) === at
    if (!isBelow) return bytes.subarray(at - HISTORY_BYTES, at)
  }
}

test('chunker: exactly where the thresholds begin to hold', () => {
  // Goal: lengths at the minimum, the average and the maximum belong to the side the rules say.
  const hard = historyWithHash(0, HARD_THRESHOLD)
  const easy = historyWithHash(HARD_THRESHOLD, EASY_THRESHOLD)
  const cutOf = (history: Uint8Array, end: number): number => {
    const bytes = new Uint8Array(CHUNK_BYTES_MAX + 100)
    bytes.set(history, end - HISTORY_BYTES)
    return chunker.next(bytes, false)
  }
  assert.equal(cutOf(hard, CHUNK_BYTES_MIN), CHUNK_BYTES_MAX)
  assert.equal(cutOf(hard, CHUNK_BYTES_MIN + 1), CHUNK_BYTES_MIN + 1)
  assert.equal(cutOf(easy, CHUNK_BYTES_MIN + 1), CHUNK_BYTES_MAX)
  assert.equal(cutOf(hard, CHUNK_BYTES_AVERAGE), CHUNK_BYTES_AVERAGE)
  assert.equal(cutOf(easy, CHUNK_BYTES_AVERAGE), CHUNK_BYTES_MAX)
  assert.equal(cutOf(easy, CHUNK_BYTES_AVERAGE + 1), CHUNK_BYTES_AVERAGE + 1)
  assert.equal(cutOf(easy, CHUNK_BYTES_MAX - 1), CHUNK_BYTES_MAX - 1)
  assert.equal(cutOf(easy, CHUNK_BYTES_MAX + 1), CHUNK_BYTES_MAX)
})

test('chunker: small files are one chunk, and an empty one none', () => {
  // Goal: below the minimum nothing is cut, and the last chunk may be short.
  for (const length of [1, 31, 32, 33, 1000, CHUNK_BYTES_MIN - 1, CHUNK_BYTES_MIN]) {
    assert.equal(chunker.next(noise(length), true), length)
    assert.equal(chunker.next(noise(length), false), 0)
  }
  assert.equal(chunker.next(new Uint8Array(0), true), 0)
  assert.equal(chunker.next(new Uint8Array(0), false), 0)
})

test('chunker: a full window always gives a chunk', () => {
  // Goal: a caller with windows of CHUNK_BYTES_MAX never waits for ever, even on zeros.
  assert.equal(chunker.next(new Uint8Array(CHUNK_BYTES_MAX), false), CHUNK_BYTES_MAX)
  assert.equal(chunker.next(new Uint8Array(CHUNK_BYTES_MAX - 1), false), 0)
  assert.equal(chunker.next(new Uint8Array(CHUNK_BYTES_MAX + 9), false), CHUNK_BYTES_MAX)
})

test('chunker: windows do not move cuts', () => {
  // Goal: the same cuts whatever windows the caller reads through, and from shared memory.
  const bytes = noise(7_000_000, 21)
  const expected = cutAll(chunker, bytes)
  fc.assert(
    fc.property(fc.integer({ min: 200_000, max: 5_000_000 }), (windowBytes) => {
      assert.deepEqual(cutAll(chunker, bytes, windowBytes), expected)
    }),
    { numRuns: 12 },
  )
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length + 5)).subarray(5)
  shared.set(bytes)
  assert.deepEqual(cutAll(chunker, shared), expected)
})

test('chunker: after an insertion the cuts fall on the same content again', () => {
  // Goal: a change near the start of a file costs few new chunks.
  const bytes = noise(16_000_000, 31)
  const before = ends(cutAll(chunker, bytes))
  for (const [at, inserted] of [
    [0, 1],
    [700_000, 17],
    [1_500_000, 100_000],
  ] as const) {
    const changed = concatBytes(bytes.subarray(0, at), noise(inserted, 77), bytes.subarray(at))
    const after = new Set(ends(cutAll(chunker, changed)).map((end) => end - inserted))
    const kept = before.filter((end) => end > at && after.has(end))
    const behind = before.filter((end) => end > at)
    assert.ok(kept.length >= behind.length - 4, `${kept.length} of ${behind.length} cuts kept`)
  }
})

test('chunker: one instance serves files in any order', () => {
  // Goal: nothing of one file is left when the next one starts.
  const first = noise(3_000_000, 41)
  const second = noise(3_000_000, 42)
  const expected = cutAll(new Chunker(gear), second)
  cutAll(chunker, first)
  chunker.next(first.subarray(0, 1_000_000), false)
  assert.deepEqual(cutAll(chunker, second), expected)
  assert.ok(HARD_THRESHOLD < EASY_THRESHOLD)
})
