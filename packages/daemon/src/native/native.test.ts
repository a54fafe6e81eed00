import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'

import { nodeAead, nodeCompressor, SEAL_TAG_BYTES } from '@moyai/protocol'
import type { Aead, Compressor } from '@moyai/protocol'
import * as fc from 'fast-check'

import { loadAead } from './aead.ts'
import { loadCompressor } from './zstd.ts'

const aeads: [string, Aead][] = [
  ['as loaded', loadAead()],
  ["Node's", nodeAead],
]
const compressors: [string, Compressor][] = [
  ['as loaded', loadCompressor()],
  ["Node's", nodeCompressor],
]

/** Bytes between text and noise. */
const content = fc
  .tuple(fc.integer({ min: 1, max: 300_000 }), fc.integer({ min: 1, max: 256 }))
  .map(([length, alphabet]) => Uint8Array.from(randomBytes(length), (byte) => byte % alphabet))

for (const [writer, write] of compressors) {
  for (const [reader, read] of compressors) {
    test(`zstd ${writer} is read by zstd ${reader}`, () => {
      fc.assert(
        fc.property(content, fc.integer({ min: 1, max: 9 }), (raw, level) => {
          const frame = new Uint8Array(raw.length + 1024)
          const length = write.compress(raw, level, frame)
          assert.ok(length !== undefined)
          const back = new Uint8Array(raw.length)
          assert.equal(read.decompress(frame.subarray(0, length), back), true)
          assert.deepEqual(back, raw)
        }),
        { numRuns: 30 },
      )
    })
  }
}

for (const [name, compressor] of compressors) {
  test(`zstd ${name} refuses all but one whole frame of the right length`, () => {
    const raw = new Uint8Array(50_000).map((_, i) => i % 90)
    const frame = new Uint8Array(raw.length)
    const length = compressor.compress(raw, 3, frame) ?? 0
    const whole = frame.slice(0, length)
    const target = new Uint8Array(raw.length)
    assert.equal(compressor.decompress(whole.subarray(0, length - 1), target), false)
    assert.equal(compressor.decompress(frame.subarray(0, length + 1), target), false)
    assert.equal(compressor.decompress(new Uint8Array([...whole, ...whole]), target), false)
    assert.equal(compressor.decompress(whole, target.subarray(1)), false)
    assert.equal(compressor.decompress(whole, new Uint8Array(raw.length + 1)), false)
    assert.equal(compressor.decompress(new Uint8Array(0), target), false)
    assert.equal(compressor.decompress(randomBytes(1000), target), false)
    assert.equal(compressor.compress(raw, 3, frame.subarray(0, length - 1)), undefined)
    assert.equal(compressor.decompress(whole, target), true, 'and works after all that')
    assert.deepEqual(target, raw)
  })

  test(`zstd ${name} survives every flipped bit of a frame's start`, () => {
    const raw = new Uint8Array(3000).map((_, i) => (i * i) >> 3)
    const frame = new Uint8Array(4096)
    const length = compressor.compress(raw, 1, frame) ?? 0
    const target = new Uint8Array(raw.length)
    for (let bit = 0; bit < 64 * 8; bit++) {
      const damaged = frame.slice(0, length)
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7))
      compressor.decompress(damaged, target)
    }
    assert.equal(compressor.decompress(frame.subarray(0, length), target), true)
    assert.deepEqual(target, raw)
  })
}

for (const [writer, sealing] of aeads) {
  for (const [reader, opening] of aeads) {
    test(`what the cipher ${writer} seals, the cipher ${reader} opens`, () => {
      fc.assert(
        fc.property(content, fc.uint8Array({ maxLength: 100 }), (plaintext, aad) => {
          const key = randomBytes(32)
          const nonce = randomBytes(12)
          const target = new Uint8Array(plaintext.length + SEAL_TAG_BYTES + 3).fill(9)
          sealing.seal({ key, nonce, aad, plaintext, target })
          assert.deepEqual(target.subarray(-3), new Uint8Array(3).fill(9), 'nothing beyond')
          const sealed = target.subarray(0, -3)
          const back = new Uint8Array(plaintext.length)
          assert.equal(opening.open({ key, nonce, aad, sealed, target: back }), true)
          assert.deepEqual(back, plaintext)
        }),
        { numRuns: 30 },
      )
    })
  }
}

for (const [name, aead] of aeads) {
  test(`the cipher ${name} opens nothing that was changed, and leaves nothing of it`, () => {
    const [key, nonce, aad] = [randomBytes(32), randomBytes(12), randomBytes(20)]
    const plaintext = new Uint8Array(100).fill(1)
    const sealed = new Uint8Array(plaintext.length + SEAL_TAG_BYTES)
    aead.seal({ key, nonce, aad, plaintext, target: sealed })
    const blank = new Uint8Array(plaintext.length)
    const opens = (o: Partial<Parameters<Aead['open']>[0]>): boolean => {
      const target = new Uint8Array(plaintext.length)
      const isOpen = aead.open({ key, nonce, aad, sealed, target, ...o })
      if (!isOpen) assert.deepEqual(target, blank)
      return isOpen
    }
    assert.equal(opens({}), true)
    assert.equal(opens({ key: randomBytes(32) }), false)
    assert.equal(opens({ nonce: randomBytes(12) }), false)
    assert.equal(opens({ aad: aad.subarray(1) }), false)
    for (let at = 0; at < sealed.length; at++) {
      const damaged = sealed.slice()
      damaged[at] = (damaged[at] as number) ^ 0x10
      assert.equal(opens({ sealed: damaged }), false, `byte ${at}`)
    }
    assert.throws(() => aead.seal({ key, nonce, aad, plaintext, target: new Uint8Array(100) }))
  })
}
