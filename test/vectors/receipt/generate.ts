/** Writes receipt.json beside this file: `node test/vectors/receipt/generate.ts`. */

import {
  concatBytes,
  openLogReceipt,
  openReceipt,
  signLogReceipt,
  signReceipt,
  toHex,
} from '@moyai/protocol'
import type { LogReceipt, Receipt } from '@moyai/protocol'
import { HOST, STRIPE, VAULT, changed, flipped, plain, write } from '../holder.ts'

const receipt: Receipt = {
  pool: new Uint8Array(32).fill(4),
  vault: STRIPE.vault,
  pack: STRIPE.pack,
  index: 3,
  shardHash: STRIPE.shardHashes[3] ?? new Uint8Array(),
  host: HOST.publicKey,
  storedAt: 1_795_408_001_234,
  protectedUntil: 1_798_000_000_000,
}
const logReceipt: LogReceipt = {
  pool: receipt.pool,
  vault: receipt.vault,
  seq: 41,
  entry: new Uint8Array(32).fill(5),
  host: HOST.publicKey,
  at: 1_795_408_002_000,
}
const good = signReceipt(receipt, HOST)
const log = signLogReceipt(logReceipt, HOST)

type Case = [tag: 'receipt' | 'log-receipt', name: string, envelope: Uint8Array, expect: string]
const cases: Case[] = [
  ['receipt', 'a receipt', good, 'ok'],
  ['receipt', 'the highest index', signReceipt({ ...receipt, index: 47 }, HOST), 'ok'],
  ['receipt', 'empty', new Uint8Array(), 'TRUNCATED'],
  ['receipt', 'cut off', good.subarray(0, -1), 'MALFORMED'],
  ['receipt', 'a byte too many', concatBytes(good, Uint8Array.of(0)), 'MALFORMED'],
  ['receipt', 'longer than any receipt', new Uint8Array(513), 'TOO_LARGE'],
  ['receipt', 'a bit of the signature flipped', flipped(good, 0), 'BAD_SIGNATURE'],
  ['receipt', 'signed by the vault', changed('receipt', good, VAULT, {}), 'BAD_SIGNATURE'],
  ['receipt', 'signed as a log receipt', changed('log-receipt', good, HOST, {}), 'BAD_SIGNATURE'],
  ['receipt', 'a later version', changed('receipt', good, HOST, { v: 2 }), 'UNKNOWN_VERSION'],
  ['receipt', 'an unknown field', changed('receipt', good, HOST, { x: 1 }), 'MALFORMED'],
  ['receipt', 'no host', changed('receipt', good, HOST, { host: undefined }), 'MALFORMED'],
  ['receipt', 'an index beyond any code', changed('receipt', good, HOST, { index: 48 }), 'MALFORMED'],
  ['receipt', 'a short hash', changed('receipt', good, HOST, { shard: new Uint8Array(31) }), 'MALFORMED'],
  ['receipt', 'a log receipt', log, 'MALFORMED'],
  ['log-receipt', 'a log receipt', log, 'ok'],
  ['log-receipt', 'of the first entry', signLogReceipt({ ...logReceipt, seq: 0 }, HOST), 'ok'],
  ['log-receipt', 'a bit of the payload flipped', flipped(log, -1), 'BAD_SIGNATURE'],
  ['log-receipt', 'a negative sequence number', changed('log-receipt', log, HOST, { seq: -1 }), 'MALFORMED'],
  ['log-receipt', 'a later version', changed('log-receipt', log, HOST, { v: 9 }), 'UNKNOWN_VERSION'],
  ['log-receipt', 'a receipt', good, 'MALFORMED'],
]

write(new URL('receipt.json', import.meta.url), {
  comment:
    'envelope: hex, opened as tag. On ok it gives receipt (bytes as hex); otherwise it fails with expect.' +
    ' The host seed is 32 bytes 02. See spec/receipt.md.',
  cases: cases.map(([tag, name, envelope, expect]) => {
    const open = tag === 'receipt' ? openReceipt : openLogReceipt
    const opened = expect === 'ok' ? { receipt: plain(open(envelope)) } : {}
    return { tag, name, envelope: toHex(envelope), ...opened, expect }
  }),
})
