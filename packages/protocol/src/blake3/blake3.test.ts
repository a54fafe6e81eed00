import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { toHex, utf8 } from '../bytes.ts'
import { GROUP_BYTES, HASH_BYTES } from '../limits.ts'
import { blake3, blake3Keyed, BlakeKernel, portableHasher } from './index.ts'
import { referenceBlake3, referenceSubtree } from './reference.ts'

type Vectors = {
  key: string
  cases: { inputLength: number; hash: string; keyedHash: string }[]
}

const url = new URL('../../../../test/vectors/blake3/hashes.json', import.meta.url)
const vectors = JSON.parse(readFileSync(url, 'utf8')) as Vectors
const key = utf8(vectors.key)

/** The input of the official vectors. */
function counting(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i % 251)
}

test('blake3 vectors: plain and keyed hashes of every length', () => {
  // Goal: the kernel gives what the native library gave, whose first cases are the official ones.
  assert.ok(vectors.cases.length > 40)
  for (const { inputLength, hash, keyedHash } of vectors.cases) {
    const input = counting(inputLength)
    assert.equal(toHex(blake3(input)), hash, `length ${inputLength}`)
    assert.equal(toHex(blake3Keyed(key, input)), keyedHash, `keyed, length ${inputLength}`)
    assert.equal(toHex(portableHasher.hash(input)), hash)
    assert.equal(toHex(portableHasher.keyedHash(key, input)), keyedHash)
  }
})

test('blake3 reference: the oracle of these tests agrees with the vectors', () => {
  // Goal: the oracle is not wrong in the same way as the kernel.
  for (const { inputLength, hash, keyedHash } of vectors.cases) {
    if (inputLength > 10_000) continue
    const input = counting(inputLength)
    assert.equal(toHex(referenceBlake3(input)), hash)
    assert.equal(toHex(referenceBlake3(input, key)), keyedHash)
  }
})

test('blake3: content of every length equals the reference', () => {
  // Goal: no length or content goes another way. Lengths cluster around chunk and lane boundaries.
  const lengths = fc
    .tuple(fc.nat(20), fc.integer({ min: -2, max: 2 }))
    .map(([chunks, more]) => Math.max(0, 1024 * chunks + more))
  const input = fc
    .oneof(lengths, fc.nat(5000))
    .chain((length) => fc.uint8Array({ minLength: length, maxLength: length }))
  const keys = fc.uint8Array({ minLength: HASH_BYTES, maxLength: HASH_BYTES })
  fc.assert(
    fc.property(input, keys, (bytes, anyKey) => {
      assert.deepEqual(blake3(bytes), referenceBlake3(bytes))
      assert.deepEqual(blake3Keyed(anyKey, bytes), referenceBlake3(bytes, anyKey))
    }),
    { numRuns: 60 },
  )
})

test('blake3: messages of several windows equal the reference', () => {
  // Goal: the stack of windows merges right for counts with every pattern of low bits.
  const windowBytes = 64 * 1024
  for (const length of [1, 2, 3, 4, 5, 7].map((windows) => windows * windowBytes)) {
    const input = counting(length + 1)
    for (const bytes of [input.subarray(0, length), input]) {
      assert.deepEqual(blake3(bytes), referenceBlake3(bytes), `length ${bytes.length}`)
    }
  }
})

test('blake3: views at any offset, and of shared memory', () => {
  // Goal: the kernel reads exactly the view that it was given.
  const shared = new Uint8Array(new SharedArrayBuffer(70_000))
  shared.set(counting(70_000))
  for (const [from, to] of [
    [1, 1025],
    [3, 66_000],
    [69_999, 70_000],
  ]) {
    const view = shared.subarray(from, to)
    assert.deepEqual(blake3(view), referenceBlake3(Uint8Array.from(view)))
  }
})

test('blake3: calls leave nothing behind, and results are copies', () => {
  // Goal: neither a key nor a longer input changes a later hash, and an earlier result stays.
  const kernel = new BlakeKernel()
  const short = counting(100)
  const expected = referenceBlake3(short)
  const first = kernel.hash(short)
  kernel.keyedHash(key, counting(200_000))
  kernel.groupHashes(counting(100_000), 7)
  assert.deepEqual(kernel.hash(short), expected)
  assert.deepEqual(first, expected)
  assert.throws(() => kernel.keyedHash(key.subarray(1), short), { name: 'AssertionError' })
})

test('group hashes: subtrees with their place in the payload, beyond 2^32 chunks, too', () => {
  // Goal: chunk counters are right in both words, wherever the bytes stand in the payload.
  const kernel = new BlakeKernel()
  const bytes = counting(5 * GROUP_BYTES + 1500)
  for (const firstGroup of [0, 1, 3, 1000, 2 ** 28 - 1, 2 ** 28, 2 ** 31]) {
    const hashes = kernel.groupHashes(bytes, firstGroup)
    assert.equal(hashes.length, 6 * HASH_BYTES)
    for (const group of [0, 1, 4, 5]) {
      const part = bytes.subarray(group * GROUP_BYTES, (group + 1) * GROUP_BYTES)
      assert.deepEqual(
        hashes.subarray(group * HASH_BYTES, (group + 1) * HASH_BYTES),
        referenceSubtree(part, (firstGroup + group) * 16),
        `group ${firstGroup + group}`,
      )
    }
  }
})
