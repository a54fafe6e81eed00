/** Bodies of the shard protocol: the committed vectors, and round trips. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fromHex } from '@moyai/protocol'
import * as fc from 'fast-check'
import { outcome } from '../../testing/outcome.ts'
import {
  decodeDigestsResponse,
  decodeAuditResponse,
  decodeGetResponse,
  decodeInventoryResponse,
  decodePutResponse,
  decodeShardRequest,
  decodeStatResponse,
  encodeInventoryResponse,
  encodeShardRequest,
  encodeStatResponse,
} from './constants.ts'
import {
  INVENTORY_PAGE_MAX,
  SHARD_REQUEST_BYTES_MAX,
  SHARD_RESPONSE_BYTES_MAX,
  STAT_ITEMS_MAX,
} from '../limits.ts'

const DECODERS = {
  request: decodeShardRequest,
  'put-response': decodePutResponse,
  'get-response': decodeGetResponse,
  'stat-response': decodeStatResponse,
  'inventory-response': decodeInventoryResponse,
  'digests-response': decodeDigestsResponse,
  'audit-response': decodeAuditResponse,
}

type Vector = { name: string; kind: keyof typeof DECODERS; body: string; expect: string }

const path = new URL('../../../../../test/vectors/wire/shard.json', import.meta.url)
const { cases } = JSON.parse(readFileSync(path, 'utf8')) as { cases: Vector[] }

test('goal: every vector is accepted or refused with its code, and so is every truncation', () => {
  for (const { name, kind, body, expect } of cases) {
    const bytes = fromHex(body)
    assert.equal(
      outcome(() => DECODERS[kind](bytes)),
      expect,
      name,
    )
    if (expect !== 'ok') continue
    for (let length = 0; length < bytes.length; length += 1 + (length >> 3)) {
      assert.equal(
        outcome(() => DECODERS[kind](bytes.subarray(0, length))),
        'MALFORMED',
        name,
      )
    }
  }
})

test('goal: requests round-trip, and random bytes are refused with a typed error', () => {
  const id = fc.uint8Array({ minLength: 32, maxLength: 32 })
  const request = fc.oneof(
    fc.record({
      op: fc.constant('put' as const),
      envelope: fc.uint8Array({ minLength: 65, maxLength: 2048 }),
      index: fc.nat(47),
    }),
    fc.record({
      op: fc.constant('get' as const),
      vault: id,
      pack: id,
      index: fc.nat(47),
      offset: fc.nat(4_194_303),
      length: fc.integer({ min: 1, max: 4_194_304 }),
    }),
    fc.record({ op: fc.constant('stat' as const), vault: id, pack: id }),
    fc.record({
      op: fc.constant('audit' as const),
      vault: id,
      challenges: fc.array(
        fc.record({ pack: id, index: fc.nat(47), group: fc.nat(255) }, { noNullPrototype: true }),
        {
          minLength: 1,
          maxLength: 16,
        },
      ),
      nonce: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    }),
  )
  fc.assert(
    fc.property(request, (value) => {
      const bytes = encodeShardRequest(value)
      assert.ok(bytes.length <= SHARD_REQUEST_BYTES_MAX)
      assert.deepEqual(decodeShardRequest(bytes), { ...value })
    }),
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const decode of Object.values(DECODERS)) {
        assert.ok(['ok', 'MALFORMED', 'TOO_LARGE'].includes(outcome(() => decode(bytes))))
      }
    }),
  )
})

test('goal: the longest responses fit their frame', () => {
  const item = { pack: new Uint8Array(32), index: 47, length: 4_206_592 }
  const page = {
    items: Array.from({ length: INVENTORY_PAGE_MAX }, () => item),
    next: new Uint8Array(128),
  }
  const inventory = encodeInventoryResponse(page)
  assert.ok(inventory.length <= SHARD_RESPONSE_BYTES_MAX)
  assert.deepEqual(decodeInventoryResponse(inventory), page)
  const one = { index: 47, envelope: new Uint8Array(2048) }
  const stat = encodeStatResponse({ items: Array.from({ length: STAT_ITEMS_MAX }, () => one) })
  assert.ok(stat.length <= SHARD_RESPONSE_BYTES_MAX)
  assert.equal(decodeStatResponse(stat).items.length, STAT_ITEMS_MAX)
})
