import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, toHex, utf8 } from '../bytes.ts'
import { BOX_OVERHEAD_BYTES, openBox, sealBox } from './box.ts'

type BoxVector = {
  name: string
  key: string
  aad: string
  box: string
  plaintextMax: number
  expect: string
  plaintext?: string
}

const VECTORS = JSON.parse(
  readFileSync(new URL('../../../../test/vectors/pack/box.json', import.meta.url), 'utf8'),
) as { cases: BoxVector[] }

const KEY = new Uint8Array(32).fill(3)
const AAD = utf8('moyai/test')

function seal(plaintext: Uint8Array, saltFill = 9): Uint8Array {
  const random = { bytes: (length: number) => new Uint8Array(length).fill(saltFill) }
  return sealBox({ key: KEY, aad: AAD, plaintext, random })
}

test('box vectors: each opens to its plaintext, or fails with its code', () => {
  for (const vector of VECTORS.cases) {
    const open = (): Uint8Array =>
      openBox({
        key: fromHex(vector.key),
        aad: fromHex(vector.aad),
        box: fromHex(vector.box),
        plaintextMax: vector.plaintextMax,
      })
    if (vector.expect === 'ok') {
      assert.equal(toHex(open()), vector.plaintext, vector.name)
      const salt = fromHex(vector.box).subarray(0, 32)
      const again = sealBox({
        key: fromHex(vector.key),
        aad: fromHex(vector.aad),
        plaintext: fromHex(vector.plaintext ?? ''),
        random: { bytes: () => salt },
      })
      assert.equal(toHex(again), vector.box, vector.name)
    } else assert.throws(open, { code: vector.expect }, vector.name)
  }
})

test('any plaintext comes back; another key, other data or a limit refuse it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (plaintext) => {
      const box = seal(plaintext)
      assert.equal(box.length, plaintext.length + BOX_OVERHEAD_BYTES)
      const open = { key: KEY, aad: AAD, box, plaintextMax: plaintext.length }
      assert.deepEqual(openBox(open), plaintext)
      const mismatch = { code: 'SEAL_MISMATCH' }
      assert.throws(() => openBox({ ...open, key: new Uint8Array(32) }), mismatch)
      assert.throws(() => openBox({ ...open, aad: utf8('moyai/other') }), mismatch)
      assert.throws(() => openBox({ ...open, plaintextMax: plaintext.length - 1 }), {
        code: 'TOO_LARGE',
      })
    }),
    { numRuns: 60 },
  )
})

test('every single bit of a box counts, and every truncation is refused', () => {
  const box = seal(utf8('snapshot'))
  const open = (bytes: Uint8Array): Uint8Array =>
    openBox({ key: KEY, aad: AAD, box: bytes, plaintextMax: 100 })
  for (let bit = 0; bit < box.length * 8; bit++) {
    const changed = new Uint8Array(box)
    changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
    assert.throws(() => open(changed), { code: 'SEAL_MISMATCH' }, `bit ${bit}`)
  }
  for (let length = 0; length < box.length; length++) {
    const code = length < BOX_OVERHEAD_BYTES ? 'TRUNCATED' : 'SEAL_MISMATCH'
    assert.throws(() => open(box.subarray(0, length)), { code })
  }
})

test('two boxes of the same plaintext have nothing in common', () => {
  const a = seal(new Uint8Array(64), 1)
  const b = seal(new Uint8Array(64), 2)
  assert.notDeepEqual(a.subarray(64, 128), b.subarray(64, 128))
  assert.notDeepEqual(a.subarray(32, 64), b.subarray(32, 64))
})
