/**
 * Address records: where a host can be reached, in its own words (spec/pool-log.md §6). The highest
 * `seq` counts.
 */

import { assert } from '../assert.ts'
import { equalBytes } from '../bytes.ts'
import { decodeAs, encodeCbor, s, type Schema } from '../cbor/index.ts'
import { envelopePayload, openEnvelope, signEnvelope, type Signer } from '../envelope/index.ts'
import { MoyaiError } from '../errors.ts'
import {
  ADDRESS_LENGTH_MAX,
  ADDRESS_RECORD_BYTES_MAX,
  ADDRESSES_MAX,
  PUBLIC_KEY_BYTES,
  SIGNATURE_BYTES,
  TIME_MAX,
} from '../limits.ts'

/** Where a host listens. */
export type AddressRecord = {
  /** Identity key, which signs this. */
  host: Uint8Array
  /** Multiaddrs as text, without the peer id. */
  addresses: string[]
  /** Grows with every record of the host. */
  seq: number
  /** Ms since the epoch. */
  at: number
}

/**
 * A multiaddr as text: checked for its shape only, because which transports there are is the
 * reader's matter.
 */
export const addressSchema: Schema<string> = s.where(
  s.text({ min: 1, max: ADDRESS_LENGTH_MAX }),
  (text) => /^(?:\/[!-.0-~]+)+$/.test(text),
  'a multiaddr',
)
const RECORD: Schema<AddressRecord & { v: 1 }> = s.map({
  v: s.version(1),
  host: s.bytes({ length: PUBLIC_KEY_BYTES }),
  addresses: s.array(addressSchema, { max: ADDRESSES_MAX }),
  seq: s.int(),
  at: s.int({ max: TIME_MAX }),
})

/** The envelope of `record`; `host` is the signer of `record.host`. */
export function signAddressRecord(record: AddressRecord, host: Signer): Uint8Array {
  assert(equalBytes(record.host, host.publicKey), 'a host signs its own addresses')
  const { addresses, seq, at } = record
  const value = { v: 1, host: record.host, addresses, seq, at }
  RECORD.read(value, 'address record')
  return signEnvelope('address', encodeCbor(value), host)
}

/**
 * The record in an envelope, after its signature was verified with the host named in it. MALFORMED,
 * TRUNCATED, TOO_LARGE, UNKNOWN_VERSION or BAD_SIGNATURE.
 */
export function openAddressRecord(envelope: Uint8Array): AddressRecord {
  if (envelope.length > ADDRESS_RECORD_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', `address record of ${envelope.length} bytes`)
  }
  const { v: _, ...record } = decodeAs(RECORD, envelopePayload(envelope), {
    bytesMax: ADDRESS_RECORD_BYTES_MAX - SIGNATURE_BYTES,
    depthMax: 3,
    itemsMax: 16 + ADDRESSES_MAX,
    what: 'address record',
  })
  openEnvelope('address', envelope, record.host)
  return record
}
