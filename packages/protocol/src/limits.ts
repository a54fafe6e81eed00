/**
 * Every limit of the protocol, with its unit, its reason and the arithmetic behind it. Decoders check a size against
 * its limit before they allocate. Relations between limits are asserted when this module loads.
 */

import { assert } from './assert.ts'

const KIB = 1024
const MIB = 1024 * KIB

export const HASH_BYTES = 32
export const PUBLIC_KEY_BYTES = 32
export const SIGNATURE_BYTES = 64

// ---- chunks --------------------------------------------------------------------------------------------------

/** A file below this is one chunk; small chunks cost an index entry (about 60 B) each. */
export const CHUNK_BYTES_MIN: number = 256 * KIB
export const CHUNK_BYTES_AVERAGE: number = 1 * MIB
/**
 * 64 KiB below 4 MiB: the largest chunk, sealed, with header, directory and footer still fits a pack of one
 * 4 MiB shard, which is what the 1-of-n codes of the smallest pools have.
 */
export const CHUNK_BYTES_MAX: number = 4 * MIB - 64 * KIB
/** Chunks below CHUNK_BYTES_MIN are gathered into blobs of up to this: fewer seals, better compression. */
export const SEGMENT_BYTES_MAX: number = 1 * MIB
/** Chunks in one blob: 1 MiB of 16-byte files; more only costs directory space. */
export const BLOB_CHUNKS_MAX = 4096

// ---- packs and shards ----------------------------------------------------------------------------------------

/** All that a holder sees of a pack's size. */
export const SHARD_LENGTHS: readonly number[] = [64 * KIB, 256 * KIB, 1 * MIB, 4 * MIB]
export const SHARD_LENGTH_MAX: number = 4 * MIB
/** Above this a pack only costs memory: 16 MiB and its parity are held once per worker. */
export const PACK_BYTES_TARGET: number = 16 * MIB
/** Blobs in one pack: 16 MiB of 4 KiB blobs would be 4096; trees of tiny folders are gathered, too. */
export const PACK_BLOBS_MAX = 8192
/** Code bounds: k ≤ 8 and k + m ≤ 14 are what the picker uses (DESIGN §8); decoders allow a little more. */
export const CODE_K_MAX = 32
export const CODE_M_MAX = 16
/** A BLAKE3 subtree of 16 chunks: proofs are 16 times smaller than with single chunks. */
export const GROUP_BYTES: number = 16 * KIB
/** Payload of a shard file starts on this boundary, so that reads of groups are page-aligned. */
export const SHARD_PAYLOAD_ALIGNMENT = 4096

// ---- CBOR ----------------------------------------------------------------------------------------------------

/** Nothing of ours nests deeper than 8; 16 leaves room and bounds the stack. */
export const CBOR_DEPTH_MAX = 16
/** Items (scalars, keys, containers) in one decoded value unless the format says otherwise. */
export const CBOR_ITEMS_MAX = 65_536

// ---- network -------------------------------------------------------------------------------------------------

/** One DATA frame. 256 KiB is on the throughput plateau and keeps head-of-line blocking at some milliseconds. */
export const FRAME_BYTES_MAX: number = 256 * KIB

assert(SHARD_LENGTHS.at(-1) === SHARD_LENGTH_MAX, 'the largest class is the shard limit')
assert(CHUNK_BYTES_MAX + 32 * KIB <= SHARD_LENGTH_MAX, 'a sealed chunk fits a one-shard pack')
assert(
  SHARD_LENGTHS.every((length) => length % GROUP_BYTES === 0),
  'shards are whole groups',
)
assert(SEGMENT_BYTES_MAX <= CHUNK_BYTES_MAX, 'a segment fits wherever a chunk fits')
assert(FRAME_BYTES_MAX % GROUP_BYTES === 0, 'frames carry whole groups')
