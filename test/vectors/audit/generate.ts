/** Writes audit.json beside this file: `node test/vectors/audit/generate.ts`. */

import {
  type AuditReport,
  auditProof,
  concatBytes,
  openAuditAnswer,
  openAuditReport,
  signAuditAnswer,
  type SignedAuditAnswer,
  signAuditReport,
  toHex,
} from '@moyai/protocol'
import type { CborValue } from '@moyai/protocol'
import { changed, flipped, HOST, plain, SHARDS, STRIPE, VAULT, write } from '../holder.ts'

const b = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)
const nonce = b(16, 6)
const group = (SHARDS[3] ?? b(0, 0)).subarray(32_768, 49_152)

const answer: SignedAuditAnswer = {
  pool: b(32, 4),
  vault: STRIPE.vault,
  host: HOST.publicKey,
  auditor: b(32, 5),
  nonce,
  at: 1_795_408_003_000,
  items: [
    { pack: STRIPE.pack, index: 3, group: 2, claim: 'held', proof: auditProof(nonce, group) },
    { pack: STRIPE.pack, index: 4, group: 0, claim: 'missing' },
    { pack: STRIPE.pack, index: 1, group: 3, claim: 'damaged' },
  ],
}
const first = { host: b(32, 7), asked: 9, proved: 7, late: 1, proxied: 0, failedDays: 1 }
const report: AuditReport = {
  pool: b(32, 4),
  auditor: HOST.publicKey,
  vault: STRIPE.vault,
  from: 1_795_000_000_000,
  to: 1_795_408_000_000,
  whole: true,
  holders: [
    { ...first, failed: [{ pack: STRIPE.pack, index: 3 }] },
    { host: b(32, 8), asked: 3, proved: 1, late: 0, proxied: 2, failedDays: 0, failed: [] },
  ],
}
const none: CborValue[] = []
const counts = { asked: 1, proved: 1, late: 0, proxied: 0, failedDays: 0 }
const holder = { host: b(32, 7), ...counts, failed: none }
const good = signAuditAnswer(answer, HOST)
const signed = signAuditReport(report, HOST)
const item = { pack: STRIPE.pack, index: 3, group: 2 }
const spoilt = (changes: Record<string, CborValue | undefined>): Uint8Array =>
  changed('audit-answer', good, HOST, changes)
const wrong = (changes: Record<string, CborValue | undefined>): Uint8Array =>
  changed('audit', signed, HOST, changes)

type Case = [tag: 'audit-answer' | 'audit', name: string, envelope: Uint8Array, expect: string]
const cases: Case[] = [
  ['audit-answer', 'held, missing and damaged', good, 'ok'],
  ['audit-answer', 'empty', b(0, 0), 'TRUNCATED'],
  ['audit-answer', 'cut off', good.subarray(0, -1), 'MALFORMED'],
  ['audit-answer', 'a byte too many', concatBytes(good, b(1, 0)), 'MALFORMED'],
  ['audit-answer', 'longer than any answer', b(4097, 0), 'TOO_LARGE'],
  ['audit-answer', 'a bit of the signature flipped', flipped(good, 0), 'BAD_SIGNATURE'],
  ['audit-answer', 'another nonce under the old signature', concatBytes(good.subarray(0, 64), spoilt({ nonce: b(16, 9) }).subarray(64)), 'BAD_SIGNATURE'],
  ['audit-answer', 'signed by the vault', changed('audit-answer', good, VAULT, {}), 'BAD_SIGNATURE'],
  ['audit-answer', 'signed as a report', changed('audit', good, HOST, {}), 'BAD_SIGNATURE'],
  ['audit-answer', 'a later version', spoilt({ v: 2 }), 'UNKNOWN_VERSION'],
  ['audit-answer', 'an unknown field', spoilt({ x: 1 }), 'MALFORMED'],
  ['audit-answer', 'no items', spoilt({ items: [] }), 'MALFORMED'],
  ['audit-answer', 'held without a proof', spoilt({ items: [{ ...item, claim: 'held' }] }), 'MALFORMED'],
  ['audit-answer', 'missing with a proof', spoilt({ items: [{ ...item, claim: 'missing', proof: b(32, 1) }] }), 'MALFORMED'],
  ['audit-answer', 'an unknown claim', spoilt({ items: [{ ...item, claim: 'lent' }] }), 'MALFORMED'],
  ['audit-answer', 'a group beyond any shard', spoilt({ items: [{ ...item, group: 256, claim: 'missing' }] }), 'MALFORMED'],
  ['audit', 'a report', signed, 'ok'],
  ['audit', 'a report of nobody', signAuditReport({ ...report, whole: false, holders: [] }, HOST), 'ok'],
  ['audit', 'empty', b(0, 0), 'TRUNCATED'],
  ['audit', 'cut off', signed.subarray(0, -1), 'MALFORMED'],
  ['audit', 'a bit of the payload flipped', flipped(signed, -1), 'BAD_SIGNATURE'],
  ['audit', 'signed by the vault', changed('audit', signed, VAULT, {}), 'BAD_SIGNATURE'],
  ['audit', 'a later version', wrong({ v: 2 }), 'UNKNOWN_VERSION'],
  ['audit', 'it ends before it begins', wrong({ to: 1 }), 'MALFORMED'],
  ['audit', 'a holder twice', wrong({ holders: [holder, holder] }), 'MALFORMED'],
  ['audit', 'holders out of order', wrong({ holders: [{ ...holder, host: b(32, 9) }, holder] }), 'MALFORMED'],
  ['audit', 'more answers than questions', wrong({ holders: [{ ...holder, asked: 0 }] }), 'MALFORMED'],
  ['audit', '33 failed shards', wrong({ holders: [{ ...holder, asked: 99, failed: Array.from({ length: 33 }, (_, index) => ({ pack: b(32, 1), index })) }] }), 'MALFORMED'],
  ['audit', 'an answer', good, 'MALFORMED'],
]

write(new URL('audit.json', import.meta.url), {
  comment:
    'envelope: hex, opened as tag. On ok it gives content (bytes as hex); otherwise it fails with expect.' +
    ' The host seed is 32 bytes 02. See spec/audit.md.',
  cases: cases.map(([tag, name, envelope, expect]) => {
    const open = tag === 'audit' ? openAuditReport : openAuditAnswer
    const opened = expect === 'ok' ? { content: plain(open(envelope)) } : {}
    return { tag, name, envelope: toHex(envelope), ...opened, expect }
  }),
})
