// Goal: messages of /moyai/health/1 come back as they were, and everything else is refused.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import { fromHex, toHex } from '@moyai/protocol'
import * as fc from 'fast-check'

import { outcome } from '../../testing/outcome.ts'
import {
  decodeAudits,
  decodeHealthRequest,
  decodeNoted,
  decodeReport,
  encodeAudits,
  encodeAuditsRequest,
  encodeNews,
  encodeReport,
  newsOf,
} from './messages.ts'

const DECODERS = {
  request: decodeHealthRequest,
  report: decodeReport,
  audits: decodeAudits,
  noted: decodeNoted,
}

type Vector = { name: string; kind: keyof typeof DECODERS; body: string; expect: string }

const path = new URL('../../../../../test/vectors/health/messages.json', import.meta.url)
const { cases } = JSON.parse(readFileSync(path, 'utf8')) as { cases: Vector[] }

test('every vector is accepted or refused with its code, and so is every truncation', () => {
  for (const { name, kind, body, expect } of cases) {
    const bytes = fromHex(body)
    assert.equal(
      outcome(() => DECODERS[kind](bytes)),
      expect,
      name,
    )
    if (expect !== 'ok') continue
    for (let length = 0; length < bytes.length; length++) {
      assert.equal(
        outcome(() => DECODERS[kind](bytes.subarray(0, length))),
        'MALFORMED',
        name,
      )
    }
  }
})

const key = fc.uint8Array({ minLength: 32, maxLength: 32 })
const stripe = { vault: key, pack: key }

test('news, reports and audits round-trip', () => {
  const news = fc.record({
    claims: fc.array(fc.record({ ...stripe, holdsMs: fc.nat(3_600_000) }), { maxLength: 4 }),
    done: fc.array(fc.record(stripe), { maxLength: 4 }),
    placed: fc.array(fc.uint8Array({ minLength: 65, maxLength: 512 }), { maxLength: 4 }),
    changed: fc.array(key, { maxLength: 4 }),
  })
  fc.assert(
    fc.property(news, (value) => {
      const request = decodeHealthRequest(encodeNews(value))
      assert.ok(request.kind === 'news')
      assert.deepEqual(encodeNews(newsOf(request)), encodeNews(value))
    }),
  )
  const host = key.map(toHex)
  const report = fc.record({
    now: fc.nat(),
    inventories: fc.array(
      fc.record({ vault: key, digest: fc.uint8Array({ minLength: 16, maxLength: 16 }) }),
    ),
    presumedLost: fc.array(host),
    audits: fc.array(fc.record({ auditor: host, vault: key, at: fc.nat() })),
  })
  fc.assert(
    fc.property(report, (value) => {
      assert.deepEqual(encodeReport(decodeReport(encodeReport(value))), encodeReport(value))
    }),
  )
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 65, maxLength: 300 })), (envelopes) => {
      assert.deepEqual(decodeAudits(encodeAudits(envelopes)), envelopes)
    }),
  )
  const wanted = [{ auditor: '11'.repeat(32), vault: new Uint8Array(32) }]
  assert.equal(decodeHealthRequest(encodeAuditsRequest(wanted)).kind, 'audits')
})

test('random bytes are refused with a typed error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const decode of Object.values(DECODERS)) {
        const codes = ['ok', 'MALFORMED', 'TOO_LARGE', 'UNKNOWN_VERSION']
        assert.ok(codes.includes(outcome(() => decode(bytes))))
      }
    }),
  )
})
