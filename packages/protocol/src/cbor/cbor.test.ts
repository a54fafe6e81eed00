import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { AssertionError } from '../assert.ts'
import { equalBytes, fromHex, toHex } from '../bytes.ts'
import { isMoyaiError, MoyaiError } from '../errors.ts'
import { decodeCbor, encodeCbor, fields, type CborValue } from './cbor.ts'

type Vector = {
  name: string
  hex: string
  expect: string
  value?: unknown
  limits?: { bytesMax?: number; depthMax?: number; itemsMax?: number }
}

const VECTORS = JSON.parse(
  readFileSync(new URL('../../../../test/vectors/cbor/cbor.json', import.meta.url), 'utf8'),
) as { cases: Vector[] }

const BYTES_MAX = 1 << 20

/** JSON notation of the vectors: bytes as {"bytes": hex}, large integers as {"integer": text}. */
function fromNotation(value: unknown): CborValue {
  if (Array.isArray(value)) return value.map((item) => fromNotation(item))
  if (typeof value !== 'object' || value === null) return value as CborValue
  const entries = Object.entries(value)
  const [first] = entries
  if (entries.length === 1 && first !== undefined && typeof first[1] === 'string') {
    if (first[0] === 'bytes') return fromHex(first[1])
    if (first[0] === 'integer') return BigInt(first[1])
  }
  return Object.fromEntries(entries.map(([key, item]) => [key, fromNotation(item)]))
}

const text = fc
  .string({ unit: 'grapheme', maxLength: 12 })
  .filter((t) => t !== '__proto__' && t !== '/' && !t.startsWith('\uFEFF'))

const { value: arbitrary } = fc.letrec<{ value: CborValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 6 },
    fc.boolean(),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.bigInt({ min: -(2n ** 64n), max: -(2n ** 53n) }),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
    text,
    fc.uint8Array({ maxLength: 40 }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(text, tie('value'), { maxKeys: 5, noNullPrototype: true }),
  ) as fc.Arbitrary<CborValue>,
}))

/** Decodes, or gives the error's code; anything but a MoyaiError fails the test. */
function attempt(bytes: Uint8Array): CborValue | MoyaiError {
  try {
    return decodeCbor(bytes, { bytesMax: BYTES_MAX })
  } catch (error) {
    if (isMoyaiError(error)) return error
    throw error
  }
}

test('cbor vectors: every case decodes to its value, or fails with its code', () => {
  assert.ok(VECTORS.cases.length > 40)
  for (const vector of VECTORS.cases) {
    const bytes = fromHex(vector.hex)
    const limits = { bytesMax: BYTES_MAX, ...vector.limits }
    if (vector.expect === 'ok') {
      const value = fromNotation(vector.value)
      assert.deepEqual(decodeCbor(bytes, limits), value, vector.name)
      assert.equal(toHex(encodeCbor(value)), vector.hex, vector.name)
    } else {
      assert.throws(
        () => decodeCbor(bytes, limits),
        (error: unknown) => isMoyaiError(error) && error.code === vector.expect,
        vector.name,
      )
    }
  }
})

test('any value comes back from its encoding, by one encoding only', () => {
  fc.assert(
    fc.property(arbitrary, (value) => {
      const bytes = encodeCbor(value)
      const back = decodeCbor(bytes, { bytesMax: BYTES_MAX })
      assert.deepEqual(back, value)
      assert.ok(equalBytes(encodeCbor(back), bytes))
    }),
    { numRuns: 300 },
  )
})

test('no proper prefix and no extension of an encoding is accepted', () => {
  fc.assert(
    fc.property(arbitrary, fc.nat(255), (value, byte) => {
      const bytes = encodeCbor(value)
      for (let length = 0; length < bytes.length; length++) {
        assert.ok(isMoyaiError(attempt(bytes.subarray(0, length)), 'MALFORMED'))
      }
      assert.ok(isMoyaiError(attempt(new Uint8Array([...bytes, byte])), 'MALFORMED'))
    }),
    { numRuns: 60 },
  )
})

test('whatever is accepted is canonical: arbitrary and damaged bytes', () => {
  const damaged = fc.tuple(arbitrary, fc.nat(), fc.nat(7)).map(([value, at, bit]) => {
    const bytes = new Uint8Array(encodeCbor(value))
    const index = at % bytes.length
    bytes[index] = (bytes[index] as number) ^ (1 << bit)
    return bytes
  })
  fc.assert(
    fc.property(fc.oneof(damaged, fc.uint8Array({ minLength: 1, maxLength: 40 })), (bytes) => {
      const outcome = attempt(bytes)
      if (!(outcome instanceof MoyaiError)) assert.ok(equalBytes(encodeCbor(outcome), bytes))
    }),
    { numRuns: 2000 },
  )
})

test('a huge declared length costs nothing', () => {
  // Each of these declares gigabytes; decoding them must stay a matter of microseconds and bytes.
  const before = process.memoryUsage().arrayBuffers
  for (const head of ['5a', '7a', '9a', 'ba'])
    assert.ok(isMoyaiError(attempt(fromHex(`${head}ffffffff00`)), 'MALFORMED'))
  for (const head of ['5b', '7b', '9b', 'bb'])
    assert.ok(isMoyaiError(attempt(fromHex(`${head}ffffffffffffffff00`)), 'MALFORMED'))
  assert.ok(process.memoryUsage().arrayBuffers - before < 1 << 20)
})

test('limits: bytes, items and depth are checked', () => {
  const list = encodeCbor([1, 2, 3])
  assert.throws(() => decodeCbor(list, { bytesMax: 3 }), { code: 'TOO_LARGE' })
  assert.throws(() => decodeCbor(list, { bytesMax: 4, itemsMax: 3 }), { code: 'TOO_LARGE' })
  assert.deepEqual(decodeCbor(list, { bytesMax: 4, itemsMax: 4 }), [1, 2, 3])
  assert.throws(() => decodeCbor(encodeCbor([[1]]), { bytesMax: 9, depthMax: 1 }), {
    code: 'TOO_LARGE',
  })
  const items = new Uint8Array(100_005).fill(0x80)
  items.set(fromHex('9a000186a0'))
  assert.ok(isMoyaiError(attempt(items), 'TOO_LARGE'))
})

test('a decoded value shares no memory with its input, which may be shared memory', () => {
  const encoded = encodeCbor({
    key: Uint8Array.of(1, 2, 3),
    name: 'moyai, the rope that moors boats',
  })
  const shared = new Uint8Array(new SharedArrayBuffer(encoded.length))
  shared.set(encoded)
  for (const input of [shared, encoded]) {
    const value = decodeCbor(input, { bytesMax: 100 }) as { key: Uint8Array }
    input.fill(0)
    assert.deepEqual(value.key, Uint8Array.of(1, 2, 3))
  }
})

test('values without an encoding are a programmer error', () => {
  const wrong: unknown[] = [
    null,
    undefined,
    1.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    2 ** 53,
    2n ** 64n,
    -(2n ** 64n) - 1n,
    '\uD800',
    '\uFEFFtext',
    { a: undefined },
    { '/': 'x' },
    JSON.parse('{"__proto__": 1}'),
    [() => 1],
    Symbol('x'),
  ]
  for (const value of wrong) {
    assert.throws(() => encodeCbor(value as CborValue), AssertionError, String(value))
  }
  const cyclic: CborValue[] = []
  cyclic.push(cyclic)
  assert.throws(() => encodeCbor(cyclic), AssertionError)
})

test('fields leaves out what is undefined', () => {
  assert.deepEqual(fields({ a: 1, b: undefined, c: false }), { a: 1, c: false })
})
