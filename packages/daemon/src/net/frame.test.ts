/** Frame headers: the committed vectors, and properties. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { FRAME_BYTES_MAX, fromHex, MoyaiError, toHex } from '@moyai/protocol'
import * as fc from 'fast-check'
import { outcome } from '../testing/outcome.ts'
import {
  decodeCredit,
  decodeFrameHeader,
  encodeCredit,
  encodeFrameHeader,
  FRAME_HEADER_BYTES,
  FRAME_TYPES,
  type FrameHeader,
  type FrameType,
} from './frame.ts'
import { decodeError, decodeHello, encodeError, encodeHello, ownHello } from './lane-messages.ts'
import { ERROR_BYTES_MAX, HELLO_BYTES_MAX, REQUEST_ID_MAX } from './limits.ts'

type HeaderVector = { name: string; header: string; expect: string; frame?: FrameHeader }
type BodyVector = { name: string; kind: 'hello' | 'error' | 'credit'; body: string; expect: string }
type Vectors = {
  limits: { requestBytesMax: number; responseBytesMax: number }
  headers: HeaderVector[]
  bodies: BodyVector[]
}

const vectors = JSON.parse(
  readFileSync(new URL('../../../../test/vectors/wire/frames.json', import.meta.url), 'utf8'),
) as Vectors

test('goal: every header vector decodes to its frame or is refused with its code', () => {
  for (const vector of vectors.headers) {
    const bytes = fromHex(vector.header)
    const result = outcome(() => decodeFrameHeader(bytes, vectors.limits))
    assert.equal(result, vector.expect, vector.name)
    if (vector.frame === undefined) continue
    assert.deepEqual(decodeFrameHeader(bytes, vectors.limits), vector.frame, vector.name)
    assert.equal(toHex(encodeFrameHeader(vector.frame)), vector.header, vector.name)
  }
})

test('goal: every body vector is accepted or refused with its code', () => {
  const decode = {
    hello: decodeHello,
    error: decodeError,
    credit: decodeCredit,
  }
  for (const vector of vectors.bodies) {
    const body = fromHex(vector.body)
    assert.equal(
      outcome(() => decode[vector.kind](body)),
      vector.expect,
      vector.name,
    )
  }
})

test('goal: headers round-trip, and each random header is either canonical or refused with a typed error', () => {
  const limits = { requestBytesMax: FRAME_BYTES_MAX, responseBytesMax: FRAME_BYTES_MAX }
  const random = fc.uint8Array({ minLength: FRAME_HEADER_BYTES, maxLength: FRAME_HEADER_BYTES })
  const near = fc
    .record({
      type: fc.integer({ min: 0, max: 9 }),
      flags: fc.integer({ min: 0, max: 2 }),
      request: fc.constantFrom(0, 1, REQUEST_ID_MAX, REQUEST_ID_MAX + 1, 2 ** 32 - 1),
      length: fc.constantFrom(0, 1, 4, FRAME_BYTES_MAX, FRAME_BYTES_MAX + 1, 2 ** 32 - 1),
    })
    .map((fields) => {
      const bytes = new Uint8Array(FRAME_HEADER_BYTES)
      const view = new DataView(bytes.buffer)
      view.setUint8(0, fields.type)
      view.setUint8(1, fields.flags)
      view.setUint32(4, fields.request)
      view.setUint32(8, fields.length)
      return bytes
    })
  fc.assert(
    fc.property(fc.oneof(random, near), (bytes) => {
      const result = outcome(() => decodeFrameHeader(bytes, limits))
      if (result === 'ok') {
        const header = decodeFrameHeader(bytes, limits)
        assert.deepEqual(encodeFrameHeader(header), bytes)
        assert.ok(header.length <= FRAME_BYTES_MAX)
      } else assert.ok(['PROTOCOL_VIOLATION', 'TOO_LARGE'].includes(result))
    }),
  )
  for (const type of Object.keys(FRAME_TYPES) as FrameType[]) {
    const length = type === 'credit' ? 4 : type === 'end' || type === 'cancel' ? 0 : 1
    const frame = { type, more: false, request: type === 'hello' ? 0 : 7, length }
    assert.deepEqual(decodeFrameHeader(encodeFrameHeader(frame), limits), frame)
  }
})

test('goal: every error fits its frame and comes back printable', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(0xffff), { maxLength: 900 }), (units) => {
      // Any UTF-16 units: control characters, direction marks, lone surrogates.
      const text = String.fromCharCode(...units)
      const body = encodeError(new MoyaiError('NO_SPACE', text, { hint: text }))
      assert.ok(body.length <= ERROR_BYTES_MAX)
      const error = decodeError(body)
      assert.equal(error.code, 'NO_SPACE')
      assert.ok(!error.message.includes('\u001b') && !error.message.includes('\n'))
    }),
  )
  const internal = decodeError(encodeError(new MoyaiError('INTERNAL', 'a secret path')))
  assert.equal(internal.message, 'internal error')
})

test('goal: our own HELLO and CREDIT are accepted', () => {
  assert.ok(encodeHello(ownHello(8)).length <= HELLO_BYTES_MAX)
  assert.deepEqual(decodeHello(encodeHello(ownHello(8))), ownHello(8))
  assert.equal(decodeCredit(encodeCredit(512 * 1024)), 512 * 1024)
})
