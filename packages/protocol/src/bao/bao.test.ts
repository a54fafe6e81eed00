import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { blake3 } from '../blake3/index.ts'
import { PlainBlake } from '../blake3/plain.ts'
import { concatBytes, fromHex, toHex } from '../bytes.ts'
import { isMoyaiError, type MoyaiError } from '../errors.ts'
import { GROUP_BYTES, HASH_BYTES, HASHED_PAYLOAD_BYTES_MAX } from '../limits.ts'
import {
  alignedRange,
  type ByteRange,
  GroupHasher,
  groupHashes,
  rootFromGroups,
  sliceProof,
  type SliceOptions,
  SliceVerifier,
} from './index.ts'

function counting(length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = i % 251
  return bytes
}

/** Bytes that differ from place to place, so that groups cannot stand in for one another. */
function payloadOf(length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = Math.imul(i, 2_654_435_761) >>> 24
  return bytes
}

/** `bytes` cut at `cuts`, which are taken modulo what is left. */
function split(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const parts: Uint8Array[] = []
  let rest = bytes
  for (const cut of cuts) {
    const at = cut % (rest.length + 1)
    parts.push(rest.subarray(0, at))
    rest = rest.subarray(at)
  }
  return [...parts, rest]
}

/** Payload lengths around group boundaries; ranges within; splits of what is sent. */
const payloadLengths: fc.Arbitrary<number> = fc
  .tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: -3, max: 9000 }))
  .map(([groups, more]) => Math.max(1, groups * GROUP_BYTES + more))
const slices: fc.Arbitrary<{ payload: Uint8Array; range: ByteRange; cuts: number[] }> = fc
  .record({
    payloadLength: payloadLengths,
    offset: fc.nat(),
    length: fc.nat(),
    cuts: fc.array(fc.oneof(fc.nat(40_000), fc.constant(GROUP_BYTES)), { maxLength: 12 }),
  })
  .map(({ payloadLength, offset, length, cuts }) => {
    const from = offset % payloadLength
    const range = { offset: from, length: 1 + (length % (payloadLength - from)) }
    return { payload: payloadOf(payloadLength), range, cuts }
  })

function optionsFor(payload: Uint8Array, range: ByteRange): SliceOptions {
  const proof = sliceProof(groupHashes(payload), payload.length, range)
  return { root: blake3(payload), payloadLength: payload.length, ...range, proof }
}

function coverOf(payload: Uint8Array, range: ByteRange): Uint8Array {
  const { offset, length } = alignedRange(range, payload.length)
  return payload.subarray(offset, offset + length)
}

/** All that a verifier gives out before it ends or fails, and how it failed. */
function receive(
  options: SliceOptions,
  parts: readonly Uint8Array[],
): { bytes: Uint8Array; error: MoyaiError | undefined } {
  const good: Uint8Array[] = []
  try {
    const verifier = new SliceVerifier(options)
    for (const part of parts) good.push(...verifier.push(part))
    verifier.finish()
    return { bytes: concatBytes(...good), error: undefined }
  } catch (error) {
    assert.ok(isMoyaiError(error), String(error))
    return { bytes: concatBytes(...good), error }
  }
}

type Vectors = {
  roots: { payloadLength: number; root: string; groups: string }[]
  slices: {
    name: string
    payloadLength: number
    offset: number
    length: number
    root: string
    proof: string
    sent: { offset: number; length: number; flipBitAt?: number }
    expect: string
  }[]
}

const url = new URL('../../../../test/vectors/bao/slices.json', import.meta.url)
const vectors = JSON.parse(readFileSync(url, 'utf8')) as Vectors

test('bao vectors: roots and group hashes', () => {
  // Goal: the tree above groups ends in the hash that the native library gave.
  for (const { payloadLength, root, groups } of vectors.roots) {
    const payload = counting(payloadLength)
    assert.equal(toHex(groupHashes(payload)), groups)
    const hasher = new GroupHasher()
    hasher.update(payload)
    assert.equal(toHex(hasher.digest().root), root)
  }
})

test('bao vectors: slices, failures included', () => {
  // Goal: each case gives its range, or its error code and nothing but bytes of the range.
  assert.ok(vectors.slices.some(({ expect }) => expect !== 'ok'))
  const payload = counting(200_000)
  for (const { name, root, proof, sent, expect, ...asked } of vectors.slices) {
    const bytes = payload.slice(sent.offset, sent.offset + sent.length)
    const flipped = sent.flipBitAt
    if (flipped !== undefined) bytes[flipped] = (bytes[flipped] as number) ^ 1
    const options = { ...asked, root: fromHex(root), proof: fromHex(proof) }
    const { bytes: received, error } = receive(options, [bytes])
    assert.equal(error?.code ?? 'ok', expect, name)
    if (error !== undefined) continue
    const expected = payload.subarray(asked.offset, asked.offset + asked.length)
    assert.deepEqual(received, expected, name)
  }
})

test('root: equals the plain BLAKE3 hash, and groups equal the subtrees', () => {
  // Goal: `b3sum` of a payload is the root of its tree, for every shape of tree.
  for (let groups = 2; groups <= 34; groups++) {
    for (const more of [-GROUP_BYTES + 1, -1, 0]) {
      const payload = payloadOf(groups * GROUP_BYTES + more)
      assert.deepEqual(rootFromGroups(groupHashes(payload), payload.length), blake3(payload))
    }
  }
  const payload = payloadOf(2 * GROUP_BYTES + 5)
  const last = payload.subarray(2 * GROUP_BYTES)
  assert.deepEqual(groupHashes(last, 2), new PlainBlake().groupHashes(last, 2))
  assert.deepEqual(
    groupHashes(payload).subarray(2 * HASH_BYTES),
    new PlainBlake().groupHashes(last, 2),
  )
})

test('root: refuses group hashes that are not those of the length', () => {
  // Goal: a header read from a disk cannot make this read or allocate anything odd.
  const groups = groupHashes(payloadOf(3 * GROUP_BYTES))
  const root = (length: number) => () => rootFromGroups(groups, length)
  for (const length of [0, 1, GROUP_BYTES, 2 * GROUP_BYTES, 3 * GROUP_BYTES + 1, -1, 0.5, NaN]) {
    assert.throws(root(length), { code: 'MALFORMED' }, `length ${length}`)
  }
  assert.throws(root(HASHED_PAYLOAD_BYTES_MAX + 1), { code: 'TOO_LARGE' })
  assert.throws(() => rootFromGroups(groups.subarray(0, HASH_BYTES), 100), { code: 'MALFORMED' })
  assert.throws(() => rootFromGroups(groups.subarray(1), 3 * GROUP_BYTES), { code: 'MALFORMED' })
})

test('group hasher: every split of updates gives the same hashes', () => {
  // Goal: root and groups do not depend on how the payload arrived.
  fc.assert(
    fc.property(slices, ({ payload, cuts }) => {
      const hasher = new GroupHasher()
      for (const part of split(payload, cuts)) hasher.update(part)
      assert.equal(hasher.length, payload.length)
      const { root, groups } = hasher.digest()
      assert.deepEqual(root, blake3(payload))
      assert.deepEqual(groups, groupHashes(payload))
    }),
    { numRuns: 100 },
  )
})

test('group hasher: nothing, one group in every way, and many groups', () => {
  // Goal: the payload of one group, whose root is not its group hash, is right however it came.
  const empty = new GroupHasher().digest()
  assert.deepEqual(empty.root, blake3(new Uint8Array(0)))
  assert.deepEqual(empty.groups, groupHashes(new Uint8Array(0)))
  const payload = payloadOf(GROUP_BYTES)
  for (const cut of [0, 1, 5000, GROUP_BYTES]) {
    const hasher = new GroupHasher()
    hasher.update(payload.subarray(0, cut))
    hasher.update(payload.subarray(cut))
    assert.deepEqual(hasher.digest().root, blake3(payload), `cut at ${cut}`)
  }
  const large = payloadOf(300 * GROUP_BYTES + 1)
  const hasher = new GroupHasher()
  for (let at = 0; at < large.length; at += 50_000) hasher.update(large.subarray(at, at + 50_000))
  assert.deepEqual(hasher.digest().root, blake3(large))
  assert.throws(() => hasher.digest(), { name: 'AssertionError' })
  assert.throws(() => hasher.update(large), { name: 'AssertionError' })
})

test('slices: every range in every split arrives exactly', () => {
  // Goal: every honest slice verifies and is trimmed to what was asked.
  fc.assert(
    fc.property(slices, ({ payload, range, cuts }) => {
      const cover = coverOf(payload, range)
      const { bytes, error } = receive(optionsFor(payload, range), split(cover, cuts))
      assert.equal(error, undefined)
      assert.deepEqual(bytes, payload.subarray(range.offset, range.offset + range.length))
    }),
    { numRuns: 200 },
  )
})

test('slices: no flipped bit passes, and nothing of a bad group comes out', () => {
  // Goal: whatever comes out of a verifier that was fed damaged bytes is a prefix of the truth.
  fc.assert(
    fc.property(slices, fc.nat(), fc.nat(7), ({ payload, range, cuts }, place, bit) => {
      const cover = Uint8Array.from(coverOf(payload, range))
      const at = place % cover.length
      cover[at] = (cover[at] as number) ^ (1 << bit)
      const { bytes, error } = receive(optionsFor(payload, range), split(cover, cuts))
      assert.equal(error?.code, 'HASH_MISMATCH')
      const truth = payload.subarray(range.offset, range.offset + range.length)
      assert.deepEqual(bytes, truth.subarray(0, bytes.length))
      const goodBytes = alignedRange(range, payload.length).offset + at - range.offset
      assert.ok(bytes.length <= Math.max(0, goodBytes), 'nothing from the damage on')
    }),
    { numRuns: 200 },
  )
})

test('slices: every single bit of a small payload and of its proof matters', () => {
  // Goal: exhaustive where it is affordable: no bit of the proof or of the root is ignored.
  const payload = payloadOf(3 * GROUP_BYTES)
  const range = { offset: GROUP_BYTES + 5, length: 20 }
  const options = optionsFor(payload, range)
  const cover = coverOf(payload, range)
  for (const field of ['proof', 'root'] as const) {
    for (let bit = 0; bit < options[field].length * 8; bit++) {
      const changed = Uint8Array.from(options[field])
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
      const { bytes, error } = receive({ ...options, [field]: changed }, [cover])
      assert.equal(error?.code, 'HASH_MISMATCH', `${field} bit ${bit}`)
      assert.equal(bytes.length, 0)
    }
  }
})

test('slices: truncation and extra bytes are refused', () => {
  // Goal: the end of a slice is verified as well as its bytes.
  fc.assert(
    fc.property(slices, fc.nat(), ({ payload, range, cuts }, place) => {
      const options = optionsFor(payload, range)
      const cover = coverOf(payload, range)
      const short = cover.subarray(0, place % cover.length)
      assert.equal(receive(options, split(short, cuts)).error?.code, 'TRUNCATED')
      const long = concatBytes(cover, new Uint8Array(1 + (place % 40_000)))
      const code = receive(options, split(long, cuts)).error?.code
      assert.ok(code === 'MALFORMED' || code === 'HASH_MISMATCH', String(code))
      assert.equal(receive(options, [cover, Uint8Array.of(0)]).error?.code, 'MALFORMED')
    }),
    { numRuns: 100 },
  )
})

test('slices: a proof has exactly one valid length, and fits only its range and payload', () => {
  // Goal: proofs that are cut, padded, or made for another range, length or payload do not verify.
  fc.assert(
    fc.property(slices, slices, fc.nat(), ({ payload, range }, other, cut) => {
      const options = optionsFor(payload, range)
      const parts = [coverOf(payload, range)]
      const long = { ...options, proof: concatBytes(options.proof, new Uint8Array(64)) }
      assert.equal(receive(long, parts).error?.code, 'MALFORMED')
      if (options.proof.length > 0) {
        const proof = options.proof.subarray(0, cut % options.proof.length)
        assert.equal(receive({ ...options, proof }, parts).error?.code, 'MALFORMED')
      }
      if (other.payload.length !== payload.length) {
        const foreign = optionsFor(other.payload, other.range)
        const { bytes, error } = receive({ ...foreign, root: options.root }, [
          coverOf(other.payload, other.range),
        ])
        assert.equal(error?.code, 'HASH_MISMATCH')
        assert.equal(bytes.length, 0)
      }
    }),
    { numRuns: 100 },
  )
})

test('slices: hostile numbers are refused before anything is allocated', () => {
  // Goal: no range or length that a peer may send gets past the checks, on either side.
  const payload = payloadOf(3 * GROUP_BYTES)
  const groups = groupHashes(payload)
  const root = blake3(payload)
  const bad: [number, number, number][] = [
    [payload.length, -1, 10],
    [payload.length, 0, 0],
    [payload.length, 0, -5],
    [payload.length, 0, payload.length + 1],
    [payload.length, payload.length, 1],
    [payload.length, Number.MAX_SAFE_INTEGER, 1],
    [payload.length, 1, Number.MAX_SAFE_INTEGER],
    [payload.length, 2 ** 53, 1],
    [payload.length, 0.5, 1],
    [payload.length, Number.NaN, 1],
    [payload.length, 0, Number.POSITIVE_INFINITY],
    [0, 0, 1],
    [-1, 0, 1],
    [Number.NaN, 0, 1],
    [1.5, 0, 1],
  ]
  for (const [payloadLength, offset, length] of bad) {
    const range = { offset, length }
    const name = `${payloadLength} ${offset} ${length}`
    assert.throws(() => alignedRange(range, payloadLength), { code: 'MALFORMED' }, name)
    assert.throws(() => sliceProof(groups, payloadLength, range), { code: 'MALFORMED' }, name)
    const proof = new Uint8Array(0)
    const make = () => new SliceVerifier({ root, payloadLength, ...range, proof })
    assert.throws(make, { code: 'MALFORMED' }, name)
  }
  const huge = { root, payloadLength: 2 ** 52, offset: 0, length: 2 ** 52, proof: groups }
  assert.throws(() => new SliceVerifier(huge), { code: 'TOO_LARGE' })
  const shortRoot = { ...optionsFor(payload, { offset: 0, length: 1 }), root: root.subarray(1) }
  assert.throws(() => new SliceVerifier(shortRoot), { code: 'MALFORMED' })
})

test('slices: after a failure a verifier gives nothing more', () => {
  // Goal: a caller that ignores the error cannot get bytes by pushing good ones.
  const payload = payloadOf(4 * GROUP_BYTES)
  const range = { offset: 0, length: payload.length }
  const verifier = new SliceVerifier(optionsFor(payload, range))
  assert.equal(verifier.push(payload.subarray(0, GROUP_BYTES)).length, 1)
  const damaged = payload.slice(GROUP_BYTES, 2 * GROUP_BYTES).fill(0)
  assert.throws(() => verifier.push(damaged), { code: 'HASH_MISMATCH' })
  const rest = payload.subarray(GROUP_BYTES, 2 * GROUP_BYTES)
  assert.throws(() => verifier.push(rest), { code: 'HASH_MISMATCH' })
  assert.throws(() => verifier.finish(), { code: 'HASH_MISMATCH' })
})

test('aligned range: the smallest whole groups around a range', () => {
  // Goal: readers on both sides agree on what is sent.
  const length = 5 * GROUP_BYTES + 7
  const cover = (offset: number, bytes: number) => alignedRange({ offset, length: bytes }, length)
  assert.deepEqual(cover(0, 1), { offset: 0, length: GROUP_BYTES })
  assert.deepEqual(cover(GROUP_BYTES - 1, 2), { offset: 0, length: 2 * GROUP_BYTES })
  assert.deepEqual(cover(GROUP_BYTES, GROUP_BYTES), { offset: GROUP_BYTES, length: GROUP_BYTES })
  assert.deepEqual(cover(5 * GROUP_BYTES, 7), { offset: 5 * GROUP_BYTES, length: 7 })
  assert.deepEqual(cover(0, length), { offset: 0, length })
})
