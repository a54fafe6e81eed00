import assert from 'node:assert/strict'
import { test } from 'node:test'

import { isMoyaiError } from '@moyai/protocol'
import * as fc from 'fast-check'

import { TestHost, withPool } from '../../membership/testing/memory-pool.ts'
import { JOIN_PROTOCOL } from '../join/constants.ts'
import { SYNC_PROTOCOL } from './constants.ts'
import {
  decodeSyncRequest,
  decodeSyncResponse,
  encodeSyncRequest,
  firstPage,
  type SyncAsk,
} from './messages.ts'

const id = new Uint8Array(32).fill(1)

const REQUESTS: SyncAsk[] = [
  { kind: 'summary' },
  { kind: 'statement-ids' },
  { kind: 'statements', ids: [id, id] },
  { kind: 'addresses', hosts: [id] },
  { kind: 'entries', vault: id, from: 3 },
  { kind: 'append', vault: id, seq: 0, id },
  { kind: 'append', vault: id, seq: 0, id, envelope: new Uint8Array(100) },
  { kind: 'changed' },
  { kind: 'changed', address: new Uint8Array(100).fill(3) },
]

test('goal: every request decodes to what was encoded', () => {
  for (const request of REQUESTS) {
    assert.deepEqual(decodeSyncRequest(encodeSyncRequest(request)), { v: 1, ...request })
  }
})

test('goal: what is no request of this version is refused as such', () => {
  const wrong = (value: unknown): Uint8Array => encodeSyncRequest(value as SyncAsk)
  const cases: [Uint8Array, string][] = [
    [wrong({ kind: 'unknown' }), 'MALFORMED'],
    [wrong({ kind: 'summary', more: 1 }), 'MALFORMED'],
    [wrong({ kind: 'summary', v: 2 }), 'UNKNOWN_VERSION'],
    [wrong({ kind: 'entries', vault: id, from: -1 }), 'MALFORMED'],
    [wrong({ kind: 'entries', vault: id.subarray(1), from: 0 }), 'MALFORMED'],
    [wrong({ kind: 'addresses', hosts: Array.from({ length: 1025 }, () => id) }), 'MALFORMED'],
    [new Uint8Array(2 ** 21), 'TOO_LARGE'],
    [new Uint8Array(0), 'TRUNCATED'],
  ]
  for (const [bytes, code] of cases) {
    assert.throws(
      () => decodeSyncRequest(bytes),
      (error: { code?: string }) => {
        assert.ok(error.code === code || (code === 'TRUNCATED' && error.code === 'MALFORMED'))
        return true
      },
    )
  }
  assert.throws(() => decodeSyncResponse('summary', Uint8Array.of(0xa0)), { code: 'MALFORMED' })
})

test('goal: a page is filled from the front and never longer than a message', () => {
  const of = (length: number): Uint8Array => new Uint8Array(length)
  assert.equal(firstPage([]).length, 0)
  assert.equal(firstPage([of(500_000), of(500_000), of(500_000)]).length, 2)
  assert.equal(firstPage(Array.from({ length: 2000 }, () => of(10))).length, 1024)
})

test('goal: whatever bytes are sent, the answer is an error of ours', async () => {
  await withPool(['a', 'b'], async ({ hosts }) => {
    const [a, b] = hosts as [TestHost, TestHost]
    await b.membership.invite({ uses: 1, expiresSeconds: 60 })
    const valid = fc.constantFrom(...REQUESTS).map(encodeSyncRequest)
    const mangled = fc
      .tuple(valid, fc.nat(), fc.nat(255), fc.nat())
      .map(([bytes, at, value, cut]) => {
        const changed = bytes.slice()
        changed[at % changed.length] = value
        return changed.subarray(0, cut % 4 === 0 ? cut % changed.length : changed.length)
      })
    const anything = fc.oneof(fc.uint8Array({ maxLength: 200 }), mangled, valid)
    await fc.assert(
      fc.asyncProperty(
        anything,
        fc.constantFrom(SYNC_PROTOCOL, JOIN_PROTOCOL),
        async (bytes, protocol) => {
          try {
            await a.network.request(b.id, protocol, bytes)
          } catch (error) {
            assert.ok(isMoyaiError(error), String(error))
            assert.notEqual(error.code, 'INTERNAL')
          }
        },
      ),
      { numRuns: 400 },
    )
    await b.membership.ownLog.append({ kind: 'snapshot', seal: () => new Uint8Array(10) })
  })
})
