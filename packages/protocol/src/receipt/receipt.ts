/**
 * Receipts: what a holder signs about what it keeps (spec/receipt.md). A receipt is given only
 * after the bytes and their names are on the disk; it is the evidence behind every "protected".
 */

import { assert } from '../assert.ts'
import { equalBytes } from '../bytes.ts'
import { decodeAs, encodeCbor, s } from '../cbor/index.ts'
import type { Schema } from '../cbor/index.ts'
import { envelopePayload, openEnvelope, signEnvelope } from '../envelope/index.ts'
import type { Signer } from '../envelope/index.ts'
import { MoyaiError } from '../errors.ts'
import {
  CODE_K_MAX,
  CODE_M_MAX,
  HASH_BYTES,
  PUBLIC_KEY_BYTES,
  RECEIPT_ENVELOPE_BYTES_MAX,
  SIGNATURE_BYTES,
  TIME_MAX,
} from '../limits.ts'

/** A holder has one shard, whole and fsynced: spec/receipt.md §1. All byte fields are 32 bytes. */
export type Receipt = {
  pool: Uint8Array
  vault: Uint8Array
  pack: Uint8Array
  index: number
  /** BLAKE3 of the shard, as the holder computed it from the bytes it wrote. */
  shardHash: Uint8Array
  /** Ed25519 public key of the holder, which signs this. */
  host: Uint8Array
  /** Milliseconds since 1970, by the holder's clock. */
  storedAt: number
  protectedUntil: number
}

/** A holder has one entry of a vault log, and all before it: spec/receipt.md §2. */
export type LogReceipt = {
  pool: Uint8Array
  vault: Uint8Array
  seq: number
  /** Id of the entry: BLAKE3 of its envelope. */
  entry: Uint8Array
  host: Uint8Array
  at: number
}

const hash = s.bytes({ length: HASH_BYTES })
const key = s.bytes({ length: PUBLIC_KEY_BYTES })
const time = s.int({ max: TIME_MAX })

const receiptSchema: Schema<{
  v: 1
  host: Uint8Array
  index: number
  pack: Uint8Array
  pool: Uint8Array
  shard: Uint8Array
  stored: number
  until: number
  vault: Uint8Array
}> = s.map({
  v: s.version(1),
  host: key,
  index: s.int({ max: CODE_K_MAX + CODE_M_MAX - 1 }),
  pack: hash,
  pool: hash,
  shard: hash,
  stored: time,
  until: time,
  vault: key,
})

const logReceiptSchema: Schema<{
  v: 1
  at: number
  entry: Uint8Array
  host: Uint8Array
  pool: Uint8Array
  seq: number
  vault: Uint8Array
}> = s.map({
  v: s.version(1),
  at: time,
  entry: hash,
  host: key,
  pool: hash,
  seq: s.int(),
  vault: key,
})

function decode<T extends { host: Uint8Array }>(
  tag: 'receipt' | 'log-receipt',
  envelope: Uint8Array,
  schema: Schema<T>,
): T {
  if (envelope.length > RECEIPT_ENVELOPE_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', `${tag} of ${envelope.length} bytes`)
  }
  const payload = decodeAs(schema, envelopePayload(envelope), {
    bytesMax: RECEIPT_ENVELOPE_BYTES_MAX - SIGNATURE_BYTES,
    depthMax: 2,
    itemsMax: 32,
    what: tag,
  })
  openEnvelope(tag, envelope, payload.host)
  return payload
}

/** The envelope of a receipt; `host` is the signer of `receipt.host`. */
export function signReceipt(receipt: Receipt, host: Signer): Uint8Array {
  assert(equalBytes(receipt.host, host.publicKey), 'a holder signs its own receipts')
  const payload = encodeCbor({
    v: 1,
    host: receipt.host,
    index: receipt.index,
    pack: receipt.pack,
    pool: receipt.pool,
    shard: receipt.shardHash,
    stored: receipt.storedAt,
    until: receipt.protectedUntil,
    vault: receipt.vault,
  })
  return signEnvelope('receipt', payload, host)
}

/**
 * The receipt of an envelope, verified with the host key that it names: the caller compares that
 * host, and everything else, with what it asked for. MALFORMED, UNKNOWN_VERSION, TOO_LARGE,
 * TRUNCATED, BAD_SIGNATURE.
 */
export function openReceipt(envelope: Uint8Array): Receipt {
  const r = decode('receipt', envelope, receiptSchema)
  return {
    pool: r.pool,
    vault: r.vault,
    pack: r.pack,
    index: r.index,
    shardHash: r.shard,
    host: r.host,
    storedAt: r.stored,
    protectedUntil: r.until,
  }
}

/** The envelope of a log receipt; `host` is the signer of `receipt.host`. */
export function signLogReceipt(receipt: LogReceipt, host: Signer): Uint8Array {
  assert(equalBytes(receipt.host, host.publicKey), 'a holder signs its own receipts')
  const { at, entry, pool, seq, vault } = receipt
  const payload = encodeCbor({ v: 1, at, entry, host: receipt.host, pool, seq, vault })
  return signEnvelope('log-receipt', payload, host)
}

/** The log receipt of an envelope, as `openReceipt`. */
export function openLogReceipt(envelope: Uint8Array): LogReceipt {
  const { at, entry, host, pool, seq, vault } = decode('log-receipt', envelope, logReceiptSchema)
  return { pool, vault, seq, entry, host, at }
}
