import assert from 'node:assert/strict'
import { createCipheriv } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import { isZero, looksIncompressible } from './index.ts'

/** Bytes that no test of randomness tells from random ones, the same at every run. */
function random(length: number, seed = 0): Uint8Array {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16))
  return new Uint8Array(cipher.update(Buffer.alloc(length)))
}

/** Source text: this repository's own. */
const text = ['entropy.ts', 'zero.ts', '../wasm.ts', '../limits.ts', '../errors.ts']
  .map((name) => readFileSync(new URL(name, import.meta.url), 'utf8'))
  .join('\n')

test('zero: a byte that is not zero is found wherever it stands', () => {
  // Goal: no byte is overlooked. Method: lengths around vectors and pages, one byte set at every
  // place of the short ones, at random places of the long ones; views at any offset.
  assert.ok(isZero(new Uint8Array(0)))
  for (let length = 1; length <= 70; length++) {
    const bytes = new Uint8Array(length)
    assert.ok(isZero(bytes))
    for (let at = 0; at < length; at++) {
      bytes[at] = 1
      assert.ok(!isZero(bytes), `${length} bytes, at ${at}`)
      bytes[at] = 0
    }
  }
  const around = new Uint8Array(300_000).fill(9)
  fc.assert(
    fc.property(fc.nat(100_000), fc.integer({ min: 1, max: 200_000 }), fc.nat(), (from, n, at) => {
      const bytes = around.subarray(from, from + n).fill(0)
      assert.ok(isZero(bytes))
      bytes[at % n] = 0x80
      assert.ok(!isZero(bytes))
      bytes.fill(9)
    }),
    { numRuns: 50 },
  )
  assert.ok(!isZero(around.subarray(7, 5000)), 'equal bytes that are not zero')
})

test('zero and incompressible: views of shared memory', () => {
  // Goal: buffers that threads share can be asked without a copy.
  const shared = new Uint8Array(new SharedArrayBuffer(100_000)).subarray(3)
  assert.ok(isZero(shared))
  assert.ok(!looksIncompressible(shared))
  shared.set(random(90_000))
  assert.ok(!isZero(shared))
  assert.ok(looksIncompressible(shared.subarray(0, 90_000)))
})

test('incompressible: random, encrypted and compressed bytes of any length', () => {
  // Goal: whatever has no redundancy is known, from 1 KiB on.
  for (const length of [1024, 1025, 1500, 2048, 5000, 8191, 8192, 8193, 20_001, 1_000_000]) {
    for (let seed = 0; seed < 50; seed++) {
      assert.ok(looksIncompressible(random(length, seed)), `${length} bytes, seed ${seed}`)
    }
  }
  const words = Array.from(random(400_000), (byte) => text.slice(3 * byte, 3 * byte + 9)).join('')
  const zstd = zstdCompressSync(words)
  const gzip = gzipSync(words)
  assert.ok(zstd.length > 100_000)
  assert.ok(looksIncompressible(zstd))
  assert.ok(looksIncompressible(gzip))
})

test('incompressible: nothing that compresses by a few percent', () => {
  // Goal: content with redundancy is never taken for incompressible. Method: text, base64, zeros,
  // numbers, and random bytes of which every twelfth is zero.
  const base64 = Buffer.from(Buffer.from(random(60_000)).toString('base64'))
  const thinned = random(100_000).map((byte, i) => (i % 12 === 0 ? 0 : byte))
  const measurements = Float64Array.from({ length: 20_000 }, (_, i) => 20 + Math.sin(i / 100))
  const cases: [string, Uint8Array][] = [
    ['text', Buffer.from(text)],
    ['base64', base64],
    ['zeros', new Uint8Array(50_000)],
    ['measurements', new Uint8Array(measurements.buffer)],
    ['thinned', thinned],
    ['half random', random(100_000).map((byte, i) => ((i >> 10) % 2 === 0 ? byte : 0))],
    ['seven bits', random(50_000).map((byte) => byte & 0x7f)],
  ]
  for (const [name, bytes] of cases) {
    assert.ok(!looksIncompressible(bytes), name)
    assert.ok(!looksIncompressible(bytes.subarray(0, 3000)), `${name}, short`)
  }
})

test('incompressible: too few bytes say nothing', () => {
  // Goal: the estimate is not used where it does not hold.
  for (const length of [0, 1, 500, 1023]) assert.ok(!looksIncompressible(random(length)))
})

test('incompressible: one call leaves nothing for the next', () => {
  // Goal: the counters, which are reused, begin at zero.
  const zeros = new Uint8Array(1_000_000)
  for (let i = 0; i < 10; i++) {
    assert.ok(looksIncompressible(random(1_000_000, i)))
    assert.ok(!looksIncompressible(zeros))
  }
})
