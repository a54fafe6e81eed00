import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'

import { fromHex, toHex } from './bytes.ts'
import { isMoyaiError } from './errors.ts'

test('hex: bytes come back, in either case', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const text = toHex(bytes)
      assert.equal(text, Buffer.from(bytes).toString('hex'))
      assert.deepEqual(fromHex(text), bytes)
      assert.deepEqual(fromHex(text.toUpperCase()), bytes)
    }),
  )
})

test('hex: everything else is malformed', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 8 }),
    fc.stringMatching(/^[0-9a-fA-F]{1,6}.?$/u),
  )
  const isHex = (text: string): boolean => /^([0-9a-fA-F]{2})*$/.test(text) && !text.endsWith('\n')
  fc.assert(
    fc.property(texts, (text) => {
      if (isHex(text)) assert.equal(toHex(fromHex(text)), text.toLowerCase())
      else
        assert.throws(
          () => fromHex(text),
          (error) => isMoyaiError(error, 'MALFORMED'),
        )
    }),
  )
})
