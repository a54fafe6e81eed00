/**
 * Shard files: a shard on a disk, explaining itself (spec/shard-file.md).
 *
 * The header carries the signed descriptor of the stripe, so a holder with an empty database
 * rebuilds its inventory from its files, and k files with the recovery phrase give the data back
 * without any network. The group hashes make a range provable without reading the whole payload.
 */

import { assert } from '../assert.ts'
import { rootFromGroups } from '../bao/index.ts'
import { blake3 } from '../blake3/index.ts'
import { copyBytes, equalBytes, utf8 } from '../bytes.ts'
import { MoyaiError } from '../errors.ts'
import {
  CODE_K_MAX,
  CODE_M_MAX,
  GROUP_BYTES,
  HASH_BYTES,
  SHARD_HEADER_BYTES_MAX,
  SHARD_PAYLOAD_ALIGNMENT,
  STRIPE_ENVELOPE_BYTES_MAX,
} from '../limits.ts'
import { openStripe } from '../stripe/index.ts'
import type { StripeDescriptor } from '../stripe/index.ts'

const MAGIC = utf8('MOYAISH')
/** The text "1": the first eight bytes of a file read MOYAISH1. */
const VERSION = 0x31
/** Magic 7, version 1, header length 4, envelope length 2, index 1, zero 1. */
const FIXED_BYTES = 16

/** What the header of a shard file says. */
export type ShardHeader = {
  descriptor: StripeDescriptor
  /** The descriptor as it was signed. */
  envelope: Uint8Array
  index: number
  /** 32 bytes for each 16 KiB of the payload. */
  groups: Uint8Array
  /** Where the payload begins. */
  payloadOffset: number
  /** What the whole file must measure. */
  fileLength: number
}

function payloadOffsetOf(headerLength: number): number {
  return Math.ceil(headerLength / SHARD_PAYLOAD_ALIGNMENT) * SHARD_PAYLOAD_ALIGNMENT
}

/**
 * Bytes before the payload of a shard file: header and padding, a multiple of
 * SHARD_PAYLOAD_ALIGNMENT. Known before the payload is.
 */
export function shardPayloadOffset(o: { envelopeLength: number; shardLength: number }): number {
  const groups = (o.shardLength / GROUP_BYTES) * HASH_BYTES
  return payloadOffsetOf(FIXED_BYTES + o.envelopeLength + groups + HASH_BYTES)
}

/**
 * Header and padding of a shard file; the payload follows. `descriptor` is the envelope, `groups`
 * the group hashes of shard `index`, which must lead to the hash that the descriptor has for it.
 * HASH_MISMATCH when they do not, and what `openStripe` throws.
 */
export function encodeShardHeader(o: {
  descriptor: Uint8Array
  index: number
  groups: Uint8Array
}): Uint8Array {
  const envelope = o.descriptor
  const descriptor = openStripe(envelope)
  checkGroups(descriptor, o)
  const headerLength = FIXED_BYTES + envelope.length + o.groups.length + HASH_BYTES
  const header = new Uint8Array(payloadOffsetOf(headerLength))
  assert(header.length <= SHARD_HEADER_BYTES_MAX, 'a header within its limit')
  const view = new DataView(header.buffer)
  header.set(MAGIC)
  header[7] = VERSION
  view.setUint32(8, headerLength, true)
  view.setUint16(12, envelope.length, true)
  header[14] = o.index
  header.set(envelope, FIXED_BYTES)
  header.set(o.groups, FIXED_BYTES + envelope.length)
  const hashed = headerLength - HASH_BYTES
  header.set(blake3(header.subarray(0, hashed)), hashed)
  return header
}

/**
 * Reads the header from the start of a shard file: `bytes` is its first SHARD_HEADER_BYTES_MAX
 * bytes, or all of it. Everything is checked but the payload: MALFORMED, UNKNOWN_VERSION,
 * TOO_LARGE, TRUNCATED, HASH_MISMATCH, BAD_SIGNATURE.
 */
export function decodeShardHeader(bytes: Uint8Array): ShardHeader {
  if (bytes.length < FIXED_BYTES) throw new MoyaiError('TRUNCATED', 'shard file without a header')
  if (!equalBytes(bytes.subarray(0, MAGIC.length), MAGIC)) {
    throw new MoyaiError('MALFORMED', 'not a shard file')
  }
  if (bytes[7] !== VERSION) {
    throw new MoyaiError('UNKNOWN_VERSION', 'a shard file of an unknown version')
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const headerLength = view.getUint32(8, true)
  const envelopeLength = view.getUint16(12, true)
  const index = view.getUint8(14)
  if (headerLength > SHARD_HEADER_BYTES_MAX || envelopeLength > STRIPE_ENVELOPE_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', 'shard file: header beyond its limit')
  }
  const groupsStart = FIXED_BYTES + envelopeLength
  const hashStart = headerLength - HASH_BYTES
  if (hashStart < groupsStart || view.getUint8(15) !== 0) {
    throw new MoyaiError('MALFORMED', 'shard file: lengths contradict each other')
  }
  const payloadOffset = payloadOffsetOf(headerLength)
  if (bytes.length < payloadOffset) throw new MoyaiError('TRUNCATED', 'shard file: header cut off')
  const hash = blake3(bytes.subarray(0, hashStart))
  if (!equalBytes(hash, bytes.subarray(hashStart, headerLength))) {
    throw new MoyaiError('HASH_MISMATCH', 'shard file: damaged header')
  }
  if (bytes.subarray(headerLength, payloadOffset).some((byte) => byte !== 0)) {
    throw new MoyaiError('MALFORMED', 'shard file: padding is not zero')
  }
  const envelope = copyBytes(bytes.subarray(FIXED_BYTES, groupsStart))
  const groups = copyBytes(bytes.subarray(groupsStart, hashStart))
  const descriptor = openStripe(envelope)
  checkGroups(descriptor, { index, groups })
  const fileLength = payloadOffset + descriptor.shardLength
  return { descriptor, envelope, index, groups, payloadOffset, fileLength }
}

/** The group hashes belong to shard `index` of the stripe: MALFORMED or HASH_MISMATCH. */
function checkGroups(
  { k, m, shardLength, shardHashes }: StripeDescriptor,
  { index, groups }: { index: number; groups: Uint8Array },
): void {
  const expected = shardHashes[index]
  if (expected === undefined || index >= k + m) {
    throw new MoyaiError('MALFORMED', `shard file: no shard ${index} in a stripe of ${k + m}`)
  }
  if (groups.length !== (shardLength / GROUP_BYTES) * HASH_BYTES) {
    throw new MoyaiError('MALFORMED', 'shard file: wrong number of group hashes')
  }
  if (!equalBytes(rootFromGroups(groups, shardLength), expected)) {
    throw new MoyaiError('HASH_MISMATCH', 'shard file: group hashes of another shard')
  }
}

assert(CODE_K_MAX + CODE_M_MAX <= 256, 'an index fits a byte')
