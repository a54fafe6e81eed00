/**
 * The messages of `/moyai/health/1` (spec/health.md §1): one request, one response, canonical CBOR.
 * Nothing in them has to be believed: receipts and audit reports are signed, the rest is what the
 * host at the other end of the connection says of itself.
 */

import {
  decodeAs,
  encodeCbor,
  fromHex,
  HASH_BYTES,
  type Infer,
  PUBLIC_KEY_BYTES,
  RECEIPT_ENVELOPE_BYTES_MAX,
  s,
  SIGNATURE_BYTES,
  TIME_MAX,
  toHex,
} from '@moyai/protocol'

import type { HealthNews, HealthReport } from '../../health/ports.ts'
import {
  AUDIT_ENVELOPE_BYTES_MAX,
  AUDITS_WANTED_MAX,
  CLAIM_HOLDS_MS_MAX,
  HEALTH_AUDITS_MAX,
  HEALTH_BYTES_MAX,
  HEALTH_ITEMS_MAX,
  NEWS_CLAIMS_MAX,
  NEWS_PLACED_MAX,
} from './constants.ts'

const key = s.bytes({ length: PUBLIC_KEY_BYTES })
const pack = s.bytes({ length: HASH_BYTES })
const v = s.version(1)
const time = s.int({ max: TIME_MAX })
const stripe = { vault: key, pack }
const receipt = s.bytes({ min: SIGNATURE_BYTES + 1, max: RECEIPT_ENVELOPE_BYTES_MAX })
const audit = s.bytes({ min: SIGNATURE_BYTES + 1, max: AUDIT_ENVELOPE_BYTES_MAX })

const REQUEST = s.variant('kind', {
  report: s.map({ v, kind: s.literal('report') }),
  audits: s.map({
    v,
    kind: s.literal('audits'),
    wanted: s.array(s.map({ auditor: key, vault: key }), { max: AUDITS_WANTED_MAX }),
  }),
  news: s.map({
    v,
    kind: s.literal('news'),
    claims: s.array(s.map({ ...stripe, holds: s.int({ max: CLAIM_HOLDS_MS_MAX }) }), {
      max: NEWS_CLAIMS_MAX,
    }),
    done: s.array(s.map(stripe), { max: NEWS_CLAIMS_MAX }),
    placed: s.array(receipt, { max: NEWS_PLACED_MAX }),
    changed: s.array(key, { max: HEALTH_ITEMS_MAX }),
  }),
})

const REPORT = s.map({
  v,
  now: time,
  inventories: s.array(s.map({ vault: key, digest: s.bytes({ length: 16 }) }), {
    max: HEALTH_ITEMS_MAX,
  }),
  lost: s.array(key, { max: HEALTH_ITEMS_MAX }),
  audits: s.array(s.map({ auditor: key, vault: key, at: time }), { max: HEALTH_AUDITS_MAX }),
})
const AUDITS = s.map({ v, envelopes: s.array(audit, { max: AUDITS_WANTED_MAX }) })
const NOTED = s.map({ v })

const LIMITS = {
  bytesMax: HEALTH_BYTES_MAX,
  itemsMax: 8 * HEALTH_ITEMS_MAX + 8 * HEALTH_AUDITS_MAX,
}

export type HealthRequest = Infer<typeof REQUEST>

export type WantedAudit = { auditor: string; vault: Uint8Array }

export function encodeReportRequest(): Uint8Array {
  return encodeCbor({ v: 1, kind: 'report' })
}

export function encodeAuditsRequest(wanted: readonly WantedAudit[]): Uint8Array {
  const items = wanted.map(({ auditor, vault }) => ({ auditor: fromHex(auditor), vault }))
  return encodeCbor({ v: 1, kind: 'audits', wanted: items })
}

export function encodeNews(news: HealthNews): Uint8Array {
  return encodeCbor({
    v: 1,
    kind: 'news',
    claims: (news.claims ?? []).map((claim) => ({
      vault: claim.vault,
      pack: claim.pack,
      holds: claim.holdsMs,
    })),
    done: (news.done ?? []).map((one) => ({ vault: one.vault, pack: one.pack })),
    placed: [...(news.placed ?? [])],
    changed: [...(news.changed ?? [])],
  })
}

/** MALFORMED, TOO_LARGE, UNKNOWN_VERSION. */
export function decodeHealthRequest(bytes: Uint8Array): HealthRequest {
  return decodeAs(REQUEST, bytes, { ...LIMITS, what: 'health request' })
}

/** The news of a decoded request. */
export function newsOf(request: Extract<HealthRequest, { kind: 'news' }>): HealthNews {
  const { done, placed, changed } = request
  const claims = request.claims.map((claim) => ({
    vault: claim.vault,
    pack: claim.pack,
    holdsMs: claim.holds,
  }))
  return { claims, done, placed, changed }
}

export function encodeReport(report: HealthReport): Uint8Array {
  return encodeCbor({
    v: 1,
    now: report.now,
    inventories: report.inventories.map(({ vault, digest }) => ({ vault, digest })),
    lost: report.presumedLost.map(fromHex),
    audits: report.audits.map(({ auditor, vault, at }) => ({
      auditor: fromHex(auditor),
      vault,
      at,
    })),
  })
}

/** MALFORMED, TOO_LARGE, UNKNOWN_VERSION. */
export function decodeReport(bytes: Uint8Array): HealthReport {
  const report = decodeAs(REPORT, bytes, { ...LIMITS, what: 'health report' })
  return {
    now: report.now,
    inventories: report.inventories,
    presumedLost: report.lost.map(toHex),
    audits: report.audits.map(({ auditor, vault, at }) => ({
      auditor: toHex(auditor),
      vault,
      at,
    })),
  }
}

export function encodeAudits(envelopes: readonly Uint8Array[]): Uint8Array {
  return encodeCbor({ v: 1, envelopes: [...envelopes] })
}

/** MALFORMED, TOO_LARGE, UNKNOWN_VERSION. */
export function decodeAudits(bytes: Uint8Array): Uint8Array[] {
  return decodeAs(AUDITS, bytes, { ...LIMITS, what: 'audits' }).envelopes
}

export function encodeNoted(): Uint8Array {
  return encodeCbor({ v: 1 })
}

/** MALFORMED, TOO_LARGE, UNKNOWN_VERSION. */
export function decodeNoted(bytes: Uint8Array): void {
  decodeAs(NOTED, bytes, { ...LIMITS, what: 'noted' })
}
