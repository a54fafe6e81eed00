/** What an auditor signs about what it found. spec/audit.md §4. */

import { assert } from '../assert.ts'
import { compareBytes, equalBytes } from '../bytes.ts'
import { decodeAs, encodeCbor, fields, s } from '../cbor/index.ts'
import type { Schema } from '../cbor/index.ts'
import { envelopePayload, openEnvelope, signEnvelope } from '../envelope/index.ts'
import type { Signer } from '../envelope/index.ts'
import { MoyaiError } from '../errors.ts'
import {
  AUDIT_FAILED_MAX,
  AUDIT_HOLDERS_MAX,
  AUDIT_REPORT_BYTES_MAX,
  CODE_K_MAX,
  CODE_M_MAX,
  HASH_BYTES,
  PUBLIC_KEY_BYTES,
  SIGNATURE_BYTES,
  TIME_MAX,
} from '../limits.ts'
import { type AuditTally, TALLY_DAYS } from './trust.ts'

/** What audits of one holder showed. */
export type HolderReport = {
  /** Ed25519 public key, 32 bytes. */
  host: Uint8Array
  asked: number
  proved: number
  late: number
  /** Audits after which the holder was seen to have fetched the answer elsewhere. */
  proxied: number
  /** Different days on which shards could not be proved. */
  failedDays: number
  /** The first AUDIT_FAILED_MAX shards that could not be proved. */
  failed: { pack: Uint8Array; index: number }[]
}

/** An auditor's account of one vault: spec/audit.md §4. All byte fields are 32 bytes. */
export type AuditReport = {
  pool: Uint8Array
  /** Ed25519 public key of the host that audited, which signs this. */
  auditor: Uint8Array
  vault: Uint8Array
  /** Milliseconds since 1970, by the auditor's clock: the audits were made from `from` to `to`. */
  from: number
  to: number
  /** Every shard of the vault that the auditor knows was asked for in that time. */
  whole: boolean
  /** Ascending by host, each once. */
  holders: HolderReport[]
}

const key = s.bytes({ length: PUBLIC_KEY_BYTES })
const hash = s.bytes({ length: HASH_BYTES })
const time = s.int({ max: TIME_MAX })
const count = s.int()

const schema: Schema<AuditReport & { v: 1 }> = s.map({
  v: s.version(1),
  auditor: key,
  from: time,
  holders: s.array(
    s.map({
      asked: count,
      failed: s.array(s.map({ index: s.int({ max: CODE_K_MAX + CODE_M_MAX - 1 }), pack: hash }), {
        max: AUDIT_FAILED_MAX,
      }),
      failedDays: s.int({ max: TALLY_DAYS + 1 }),
      host: key,
      late: count,
      proved: count,
      proxied: count,
    }),
    { max: AUDIT_HOLDERS_MAX },
  ),
  pool: hash,
  to: time,
  vault: key,
  whole: s.bool(),
})

/** The envelope of a report; `auditor` is the signer of `report.auditor`. */
export function signAuditReport(report: AuditReport, auditor: Signer): Uint8Array {
  assert(equalBytes(report.auditor, auditor.publicKey), 'an auditor signs its own reports')
  return signEnvelope('audit', encodeCbor(fields({ v: 1, ...report })), auditor)
}

/**
 * The report of an envelope, verified with the key of the auditor that it names. MALFORMED,
 * UNKNOWN_VERSION, TOO_LARGE, TRUNCATED, BAD_SIGNATURE.
 */
export function openAuditReport(envelope: Uint8Array): AuditReport {
  if (envelope.length > AUDIT_REPORT_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', `audit report of ${envelope.length} bytes`)
  }
  const { v: _, ...report } = decodeAs(schema, envelopePayload(envelope), {
    bytesMax: AUDIT_REPORT_BYTES_MAX - SIGNATURE_BYTES,
    depthMax: 6,
    itemsMax: AUDIT_HOLDERS_MAX * 16 + AUDIT_REPORT_BYTES_MAX / 16,
    what: 'audit report',
  })
  openEnvelope('audit', envelope, report.auditor)
  const { from, to, holders } = report
  if (from > to) throw new MoyaiError('MALFORMED', 'audit report: it ends before it begins')
  for (const [i, holder] of holders.entries()) {
    const before = holders[i - 1]
    if (before !== undefined && compareHosts(before, holder) >= 0) {
      throw new MoyaiError('MALFORMED', 'audit report: holders out of order')
    }
    if (holder.proved + holder.late + holder.failed.length > holder.asked) {
      throw new MoyaiError('MALFORMED', 'audit report: more answers than questions')
    }
  }
  return report
}

/** What a report says of one holder, as a tally for `isPattern`. */
export function reportedTally(holder: HolderReport): AuditTally {
  const { asked, proved, late, proxied, failedDays } = holder
  return { asked, proved, late, proxied, failedDays, failed: holder.failed.length }
}

function compareHosts(a: HolderReport, b: HolderReport): number {
  return compareBytes(a.host, b.host)
}
