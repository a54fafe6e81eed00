/** Ledger messages: what is written is read, and nothing else is. */

import assert from 'node:assert/strict'
import { test } from 'node:test'

import * as fc from 'fast-check'

import { encodeCbor } from '../cbor/index.ts'
import {
  decodeLedgerRequest,
  decodeLedgerResponse,
  encodeLedgerRequest,
  encodeLedgerResponse,
} from './ledger.ts'

const size = fc.maxSafeNat()
const responses = fc.record(
  {
    offered: size,
    used: size,
    free: size,
    kept: size,
    quota: size,
    now: fc.nat(2 ** 31 - 1),
  },
  { requiredKeys: ['offered', 'used', 'free', 'kept', 'now'] },
)

test('goal: a response reads back, and no part of one does', () => {
  fc.assert(
    fc.property(responses, (response) => {
      const bytes = encodeLedgerResponse(response)
      assert.deepEqual({ ...decodeLedgerResponse(bytes) }, { ...response })
      for (let length = 0; length < bytes.length; length++) {
        assert.throws(() => decodeLedgerResponse(bytes.subarray(0, length)))
      }
      assert.throws(() => decodeLedgerResponse(Uint8Array.of(...bytes, 0)))
    }),
    { numRuns: 50 },
  )
})

test('goal: other versions, keys and values are refused', () => {
  decodeLedgerRequest(encodeLedgerRequest())
  const good = { v: 1, offered: 1, used: 1, free: 1, kept: 1, now: 1 }
  const cases: [Record<string, unknown>, string][] = [
    [{ ...good, v: 2 }, 'UNKNOWN_VERSION'],
    [{ ...good, more: 1 }, 'MALFORMED'],
    [{ ...good, free: -1 }, 'MALFORMED'],
    [{ ...good, free: 'much' }, 'MALFORMED'],
    [{ v: 1 }, 'MALFORMED'],
  ]
  for (const [value, code] of cases) {
    const bytes = encodeCbor(value as Parameters<typeof encodeCbor>[0])
    assert.throws(() => decodeLedgerResponse(bytes), { code }, JSON.stringify(value))
  }
  assert.throws(() => decodeLedgerRequest(encodeCbor({ v: 2 })), { code: 'UNKNOWN_VERSION' })
  assert.throws(() => decodeLedgerRequest(encodeCbor({ v: 1, a: 1 })), { code: 'MALFORMED' })
  assert.throws(() => decodeLedgerRequest(new Uint8Array(10_000)), { code: 'TOO_LARGE' })
})
