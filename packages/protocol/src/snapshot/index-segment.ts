/**
 * Index segments: which pack has which blobs and chunks (spec/snapshot.md §2).
 *
 * A run stores the index of its packs as blobs of kind `index` in meta packs, named by its
 * snapshot, so that a lost database is rebuilt from some packs instead of from all pack
 * directories.
 */

import { assert } from '../assert.ts'
import { encodeCbor, decodeAs, s, type CborValue, type Schema } from '../cbor/index.ts'
import { MoyaiError } from '../errors.ts'
import {
  CODE_K_MAX,
  HASH_BYTES,
  INDEX_SEGMENT_BYTES_MAX,
  INDEX_SEGMENT_BYTES_TARGET,
  INDEX_SEGMENT_PACKS_MAX,
  PACK_FOOTER_BYTES,
  SEAL_SALT_BYTES,
  SHARD_LENGTH_MAX,
  SIGNATURE_BYTES,
  STRIPE_ENVELOPE_BYTES_MAX,
} from '../limits.ts'
import {
  decodeBlobEntries,
  encodeBlobEntries,
  type BlobEntry,
  type PackClass,
} from '../pack/index.ts'
import { RawCborWriter } from '../tree/raw-cbor.ts'

/** What the index knows of one pack. */
export type IndexPack = {
  /** BLAKE3 of the pack. */
  pack: Uint8Array
  /** From its header, 32 bytes: with it a single blob can be opened without shard 0. */
  salt: Uint8Array
  packClass: PackClass
  /** Bytes of the pack, `k` × shard length. */
  length: number
  /** Envelope of its stripe descriptor. */
  stripe: Uint8Array
  blobs: BlobEntry[]
}

const PACK: Schema<
  Omit<IndexPack, 'blobs' | 'packClass'> & { blobs: CborValue; class: PackClass }
> = s.map({
  pack: s.bytes({ length: HASH_BYTES }),
  salt: s.bytes({ length: SEAL_SALT_BYTES }),
  class: s.oneOf('data', 'meta'),
  length: s.int({ min: 1, max: CODE_K_MAX * SHARD_LENGTH_MAX }),
  stripe: s.bytes({ min: SIGNATURE_BYTES, max: STRIPE_ENVELOPE_BYTES_MAX }),
  blobs: s.any(),
})
const SEGMENT = s.map({
  v: s.version(1),
  packs: s.array(PACK, { min: 1, max: INDEX_SEGMENT_PACKS_MAX }),
})
/** Heads of the map and the list, two keys and the version. */
const FRAME_BYTES_MAX = 1 + 2 + 1 + 6 + 5
/** The shortest form of a blob's 13 items has 60 bytes, so no valid segment comes near this. */
const SEGMENT_ITEMS_MAX: number = INDEX_SEGMENT_BYTES_MAX >>> 2

function encodePack(pack: IndexPack): Uint8Array {
  const value = {
    pack: pack.pack,
    salt: pack.salt,
    class: pack.packClass,
    length: pack.length,
    stripe: pack.stripe,
    blobs: encodeBlobEntries(pack.blobs),
  }
  PACK.read(value, 'index segment')
  return encodeCbor(value)
}

function frame(packs: readonly Uint8Array[]): Uint8Array {
  const length = packs.reduce((sum, pack) => sum + pack.length, FRAME_BYTES_MAX)
  const segment = new RawCborWriter(length)
  segment.map(2)
  segment.text('v')
  segment.uint(1)
  segment.text('packs')
  segment.array(packs.length)
  for (const pack of packs) segment.raw(pack)
  return segment.copy()
}

/** One segment of 1 … INDEX_SEGMENT_PACKS_MAX packs; TOO_LARGE above INDEX_SEGMENT_BYTES_MAX. */
export function encodeIndexSegment(packs: readonly IndexPack[]): Uint8Array {
  assert(packs.length > 0 && packs.length <= INDEX_SEGMENT_PACKS_MAX, 'packs of an index segment')
  const segment = frame(packs.map(encodePack))
  if (segment.length > INDEX_SEGMENT_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', `index segment of ${segment.length} bytes`)
  }
  return segment
}

/**
 * Segments of about INDEX_SEGMENT_BYTES_TARGET that hold all `packs` in order; none for no packs.
 */
export function* indexSegments(packs: Iterable<IndexPack>): Generator<Uint8Array, void, void> {
  let held: Uint8Array[] = []
  let length = FRAME_BYTES_MAX
  for (const pack of packs) {
    const encoded = encodePack(pack)
    const full =
      length + encoded.length > INDEX_SEGMENT_BYTES_TARGET ||
      held.length === INDEX_SEGMENT_PACKS_MAX
    if (held.length > 0 && full) {
      yield frame(held)
      held = []
      length = FRAME_BYTES_MAX
    }
    held.push(encoded)
    length += encoded.length
  }
  if (held.length > 0) yield frame(held)
}

/** The packs of a segment. MALFORMED, TRUNCATED, TOO_LARGE or UNKNOWN_VERSION. */
export function decodeIndexSegment(segment: Uint8Array): IndexPack[] {
  const { packs } = decodeAs(SEGMENT, segment, {
    bytesMax: INDEX_SEGMENT_BYTES_MAX,
    itemsMax: SEGMENT_ITEMS_MAX,
    what: 'index segment',
  })
  return packs.map(({ pack, salt, class: packClass, length, stripe, blobs }) => ({
    pack,
    salt,
    packClass,
    length,
    stripe,
    blobs: decodeBlobEntries(blobs, length - PACK_FOOTER_BYTES),
  }))
}
