/**
 * Vault-log entries: the append-only, hash-chained, signed history of a vault (spec/vault-log.md
 * §1–2).
 *
 * Every host of the pool keeps every entry and can check the chain; only the owner can read the
 * sealed bodies. An entry is the one commit point of a snapshot.
 */

import { assert } from '../assert.ts'
import { concatBytes, equalBytes, utf8 } from '../bytes.ts'
import { blake3 } from '../blake3/index.ts'
import { decodeAs, encodeCbor, s, type Schema } from '../cbor/index.ts'
import { envelopePayload, openEnvelope, signEnvelope, type Signer } from '../envelope/index.ts'
import { MoyaiError } from '../errors.ts'
import { snapshotKey, vaultSigner, type VaultBundle } from '../keys/index.ts'
import {
  HASH_BYTES,
  LOG_ENTRY_BYTES_MAX,
  LOG_KIND_LENGTH_MAX,
  LOG_SEQ_MAX,
  PUBLIC_KEY_BYTES,
  SIGNATURE_BYTES,
  SNAPSHOT_BYTES_MAX,
  TIME_MAX,
} from '../limits.ts'
import type { Random } from '../ports.ts'
import { openBox, sealBox } from '../seal/index.ts'
import { decodeSnapshot, encodeSnapshot, type Snapshot } from '../snapshot/index.ts'

/** One entry of a vault's log. */
export type LogEntry = {
  /** Ed25519 public key of the vault, which signs this. */
  vault: Uint8Array
  /** 0, 1, 2, … */
  seq: number
  /** Id of the entry before; 32 zero bytes for the first. */
  prev: Uint8Array
  /** When it was made, ms since the epoch by the owner's clock. */
  at: number
  /**
   * What is in it; today only `snapshot`. A witness keeps kinds that it does not know, or an old
   * host would stop a newer vault's log.
   */
  kind: string
  /** The body as a box. */
  sealed: Uint8Array
}

/** `prev` of the first entry. */
export const NO_ENTRY: Uint8Array = new Uint8Array(HASH_BYTES)

const KIND = /^[a-z][a-z-]*$/
const LOG_ENTRY: Schema<LogEntry & { v: 1 }> = s.map({
  v: s.version(1),
  vault: s.bytes({ length: PUBLIC_KEY_BYTES }),
  seq: s.int({ max: LOG_SEQ_MAX }),
  prev: s.bytes({ length: HASH_BYTES }),
  at: s.int({ max: TIME_MAX }),
  kind: s.where(
    s.text({ max: LOG_KIND_LENGTH_MAX }),
    (kind) => KIND.test(kind),
    'a kind of lower-case letters',
  ),
  sealed: s.bytes({ max: LOG_ENTRY_BYTES_MAX }),
})

/** Sizes of what is sealed: powers of two from 2 KiB, multiples of 64 KiB from there on. */
const PADDED_MIN = 2048
const PADDED_STEP = 65_536
const LENGTH_BYTES = 4

/** The envelope of `entry`; `vault` is the signer of `entry.vault`. */
export function signLogEntry(entry: LogEntry, vault: Signer): Uint8Array {
  assert(equalBytes(entry.vault, vault.publicKey), 'a vault signs its own log')
  const { seq, prev, at, kind, sealed } = entry
  const value = { v: 1, vault: entry.vault, seq, prev, at, kind, sealed }
  LOG_ENTRY.read(value, 'vault-log entry')
  assert((seq === 0) === equalBytes(prev, NO_ENTRY), 'exactly the first entry has none before it')
  const envelope = signEnvelope('vault-log', encodeCbor(value), vault)
  if (envelope.length > LOG_ENTRY_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', `vault-log entry of ${envelope.length} bytes`)
  }
  return envelope
}

/**
 * The entry in an envelope, after its signature was verified with the vault named in it. MALFORMED,
 * TRUNCATED, TOO_LARGE, UNKNOWN_VERSION or BAD_SIGNATURE. Whether the chain holds is for `witness`.
 */
export function openLogEntry(envelope: Uint8Array): LogEntry {
  if (envelope.length > LOG_ENTRY_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', `vault-log entry of ${envelope.length} bytes`)
  }
  const { v: _, ...entry } = decodeAs(LOG_ENTRY, envelopePayload(envelope), {
    bytesMax: LOG_ENTRY_BYTES_MAX - SIGNATURE_BYTES,
    depthMax: 2,
    itemsMax: 32,
    what: 'vault-log entry',
  })
  if ((entry.seq === 0) !== equalBytes(entry.prev, NO_ENTRY)) {
    throw new MoyaiError('MALFORMED', 'vault-log entry: prev does not fit seq')
  }
  openEnvelope('vault-log', envelope, entry.vault)
  return entry
}

/** Id of an entry: BLAKE3 of its envelope. For kind `snapshot` it is the snapshot's id. */
export function logEntryId(envelope: Uint8Array): Uint8Array {
  return blake3(envelope)
}

/** What is authenticated with a body: it opens only at its own place in its own chain. */
function bodyContext(o: { vault: Uint8Array; seq: number; prev: Uint8Array }): Uint8Array {
  const seq = new Uint8Array(8)
  new DataView(seq.buffer).setBigUint64(0, BigInt(o.seq))
  return concatBytes(utf8('moyai/v1/snapshot'), new Uint8Array(1), o.vault, seq, o.prev)
}

/** Length of the padded plaintext for `length` bytes: what a holder learns of a snapshot's size. */
function paddedLength(length: number): number {
  if (length > PADDED_STEP) return Math.ceil(length / PADDED_STEP) * PADDED_STEP
  let padded = PADDED_MIN
  while (padded < length) padded *= 2
  return padded
}

/**
 * `snapshot` sealed for the entry at `seq` after `prev`: the `sealed` of a LogEntry. Errors as in
 * `encodeSnapshot`.
 */
export function sealSnapshot(o: {
  bundle: VaultBundle
  seq: number
  prev: Uint8Array
  snapshot: Snapshot
  random: Random
}): Uint8Array {
  const body = encodeSnapshot(o.snapshot)
  const plaintext = new Uint8Array(paddedLength(LENGTH_BYTES + body.length))
  new DataView(plaintext.buffer).setUint32(0, body.length)
  plaintext.set(body, LENGTH_BYTES)
  const vault = vaultSigner(o.bundle).publicKey
  const aad = bodyContext({ vault, seq: o.seq, prev: o.prev })
  return sealBox({ key: snapshotKey(o.bundle), aad, plaintext, random: o.random })
}

/**
 * The snapshot in `entry` (of this bundle's vault, kind `snapshot`). SEAL_MISMATCH for another
 * vault's; UNKNOWN_VERSION for another kind; MALFORMED, TRUNCATED or TOO_LARGE.
 */
export function openSnapshot(bundle: VaultBundle, entry: LogEntry): Snapshot {
  if (entry.kind !== 'snapshot') {
    throw new MoyaiError('UNKNOWN_VERSION', `vault-log entry of kind ${entry.kind}, not snapshot`)
  }
  const plaintext = openBox({
    key: snapshotKey(bundle),
    aad: bodyContext(entry),
    box: entry.sealed,
    plaintextMax: paddedLength(LENGTH_BYTES + SNAPSHOT_BYTES_MAX),
  })
  if (plaintext.length < LENGTH_BYTES) throw new MoyaiError('TRUNCATED', 'snapshot body cut short')
  const length = new DataView(plaintext.buffer, plaintext.byteOffset).getUint32(0)
  const end = LENGTH_BYTES + length
  const rest = plaintext.subarray(end)
  if (plaintext.length !== paddedLength(end) || rest.some((byte) => byte !== 0)) {
    throw new MoyaiError('MALFORMED', 'snapshot body: wrong padding')
  }
  return decodeSnapshot(plaintext.subarray(LENGTH_BYTES, end))
}
