import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { toHex, utf8 } from '../bytes.ts'
import { GROUP_BYTES, HASH_BYTES } from '../limits.ts'
import { compileKernel } from '../wasm.ts'
import type { BlakeTree } from './blake-tree.ts'
import { blake3, blake3Keyed, portableHasher } from './index.ts'
import { BLAKE_BUILDS, BlakeKernel, sharedKernel } from './kernel.ts'
import { PlainBlake } from './plain.ts'

type Vectors = {
  key: string
  cases: { inputLength: number; hash: string; keyedHash: string }[]
}

const url = new URL('../../../../test/vectors/blake3/hashes.json', import.meta.url)
const vectors = JSON.parse(readFileSync(url, 'utf8')) as Vectors
const key = utf8(vectors.key)

const plain = new PlainBlake()

/** Every build of the kernel, though a machine would choose only the first that it can run. */
const kernels: [string, BlakeTree][] = BLAKE_BUILDS.map((build, i) => {
  const compiled = compileKernel([build])
  assert.ok(compiled !== undefined, 'this machine can run every build')
  return [`build ${i}`, new BlakeKernel(compiled)]
})

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
    // the oracle of the other tests is not wrong in the same way as the kernel
    assert.equal(toHex(plain.hash(input)), hash, `plain, length ${inputLength}`)
    assert.equal(toHex(plain.keyedHash(key, input)), keyedHash)
  }
})

test('blake3: the first build is what this machine chose, and plain is chosen without any', () => {
  // Goal: the choice is made by what the machine can run, and never fails.
  assert.equal(kernels.length, 2)
  assert.ok(sharedKernel() instanceof BlakeKernel)
  const beyondAnyMachine = btoa('\0asm\u0001\0\0\0\u0063\u0001\0')
  assert.equal(compileKernel([beyondAnyMachine]), undefined)
  assert.ok(compileKernel([beyondAnyMachine, ...BLAKE_BUILDS]) !== undefined)
})

for (const [name, kernel] of kernels) {
  test(`blake3 ${name}: content of every length equals the plain one`, () => {
    // Goal: no length or content goes another way. Lengths cluster around chunk and lane
    // boundaries.
    const lengths = fc
      .tuple(fc.nat(40), fc.integer({ min: -2, max: 2 }))
      .map(([chunks, more]) => Math.max(0, 1024 * chunks + more))
    const input = fc
      .oneof(lengths, fc.nat(5000))
      .chain((length) => fc.uint8Array({ minLength: length, maxLength: length }))
    const keys = fc.uint8Array({ minLength: HASH_BYTES, maxLength: HASH_BYTES })
    fc.assert(
      fc.property(input, keys, (bytes, anyKey) => {
        assert.deepEqual(kernel.hash(bytes), plain.hash(bytes))
        assert.deepEqual(kernel.keyedHash(anyKey, bytes), plain.keyedHash(anyKey, bytes))
      }),
      { numRuns: 60 },
    )
  })

  test(`blake3 ${name}: every number of chunks up to the window, whole and not`, () => {
    // Goal: every way of filling lanes and pairing values.
    for (let chunks = 0; chunks <= 66; chunks++) {
      for (const more of [0, 1, 700]) {
        const bytes = counting(1024 * chunks + more)
        assert.deepEqual(kernel.hash(bytes), plain.hash(bytes), `length ${bytes.length}`)
      }
    }
  })

  test(`blake3 ${name}: messages of several windows equal the plain one`, () => {
    // Goal: the stack of windows merges right for counts with every pattern of low bits.
    const windowBytes = 64 * 1024
    for (const length of [1, 2, 3, 4, 5, 7].map((windows) => windows * windowBytes)) {
      const input = counting(length + 1)
      for (const bytes of [input.subarray(0, length), input]) {
        assert.deepEqual(kernel.hash(bytes), plain.hash(bytes), `length ${bytes.length}`)
      }
    }
  })

  test(`blake3 ${name}: views at any offset, and of shared memory`, () => {
    // Goal: the kernel reads exactly the view that it was given.
    const shared = new Uint8Array(new SharedArrayBuffer(70_000))
    shared.set(counting(70_000))
    for (const [from, to] of [
      [1, 1025],
      [3, 66_000],
      [69_999, 70_000],
    ]) {
      const view = shared.subarray(from, to)
      assert.deepEqual(kernel.hash(view), plain.hash(Uint8Array.from(view)))
    }
  })

  test(`blake3 ${name}: calls leave nothing behind, and results are copies`, () => {
    // Goal: neither a key nor a longer input changes a later hash, and an earlier result stays.
    const short = counting(100)
    const expected = plain.hash(short)
    const first = kernel.hash(short)
    kernel.keyedHash(key, counting(200_000))
    kernel.groupHashes(counting(100_000), 7)
    assert.deepEqual(kernel.hash(short), expected)
    assert.deepEqual(first, expected)
    assert.throws(() => kernel.keyedHash(key.subarray(1), short), { name: 'AssertionError' })
    assert.throws(() => plain.keyedHash(key.subarray(1), short), { name: 'AssertionError' })
  })

  test(`group hashes ${name}: subtrees with their place, beyond 2^32 chunks, too`, () => {
    // Goal: chunk counters are right in both words, wherever the bytes stand in the payload.
    const bytes = counting(5 * GROUP_BYTES + 1500)
    for (const firstGroup of [0, 1, 3, 1000, 2 ** 28 - 1, 2 ** 28, 2 ** 31]) {
      const hashes = kernel.groupHashes(bytes, firstGroup)
      assert.equal(hashes.length, 6 * HASH_BYTES)
      assert.deepEqual(hashes, plain.groupHashes(bytes, firstGroup), `from group ${firstGroup}`)
    }
  })

  test(`tree levels ${name}: parents and roots of any number of values`, () => {
    // Goal: what stands above groups equals the plain one, an odd last value included.
    for (let count = 1; count <= 70; count++) {
      const level = counting(count * HASH_BYTES)
      assert.deepEqual(kernel.parentLevel(level), plain.parentLevel(level), `${count} values`)
    }
    const pair = counting(2 * HASH_BYTES)
    assert.deepEqual(kernel.rootOfPair(pair), plain.rootOfPair(pair))
  })
}
