import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'

import * as fc from 'fast-check'

import { fromHex, toHex } from '../bytes.ts'
import { isMoyaiError } from '../errors.ts'
import { RECEIPT_ENVELOPE_BYTES_MAX, TIME_MAX } from '../limits.ts'
import { decodeSurplusMarker, encodeSurplusMarker, SURPLUS_MARKER_BYTES_MAX } from './marker.ts'

void describe('surplus marker', () => {
  void test('goal: agrees with the vectors, failures included', () => {
    const url = new URL('../../../../test/vectors/surplus/surplus.json', import.meta.url)
    const { cases } = JSON.parse(readFileSync(url, 'utf8')) as {
      cases: { name: string; marker: string; at?: number; receipt?: string; expect: string }[]
    }
    for (const { name, marker, at, receipt, expect } of cases) {
      if (expect === 'ok') {
        const decoded = decodeSurplusMarker(fromHex(marker))
        assert.equal(decoded.at, at, name)
        assert.equal(toHex(decoded.receipt), receipt, name)
        assert.equal(toHex(encodeSurplusMarker(decoded)), marker, name)
      } else {
        assert.throws(
          () => decodeSurplusMarker(fromHex(marker)),
          (error) => isMoyaiError(error) && error.code === expect,
          name,
        )
      }
    }
  })

  void test('goal: comes back as it was written, within its limit', () => {
    fc.assert(
      fc.property(
        fc.nat(TIME_MAX),
        fc.uint8Array({ maxLength: RECEIPT_ENVELOPE_BYTES_MAX }),
        (at, receipt) => {
          const bytes = encodeSurplusMarker({ at, receipt: Uint8Array.from(receipt) })
          assert.ok(bytes.length <= SURPLUS_MARKER_BYTES_MAX)
          assert.deepEqual(decodeSurplusMarker(bytes), { at, receipt: Uint8Array.from(receipt) })
        },
      ),
    )
  })
})
