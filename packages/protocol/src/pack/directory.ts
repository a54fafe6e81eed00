/**
 * Pack directories and footers: what is where in a pack (spec/pack.md §5).
 *
 * The same entries stand in index segments, so both are read here, by the same rules.
 */

import { decodeAs, encodeCbor, s, parse, type CborMap, type CborValue } from '../cbor/index.ts'
import { assert } from '../assert.ts'
import { MoyaiError } from '../errors.ts'
import {
  BLOB_CHUNKS_MAX,
  CHUNK_BYTES_MAX,
  HASH_BYTES,
  PACK_BLOBS_MAX,
  PACK_DIRECTORY_BYTES_MAX,
  PACK_FOOTER_BYTES,
  PACK_HEADER_BYTES,
  SEAL_TAG_BYTES,
} from '../limits.ts'
import type { BlobKind } from './keys.ts'

export type Compression = 'none' | 'zstd'

/** A chunk inside the raw bytes of a blob. */
export type BlobChunk = { id: Uint8Array; offset: number; length: number }

/** One blob of a pack; offsets and lengths in bytes. */
export type BlobEntry = {
  /** Position in the pack, and nonce. */
  index: number
  kind: BlobKind
  compression: Compression
  /** Of the sealed bytes in the pack. */
  offset: number
  /** With the tag. */
  sealedLength: number
  /** After decompression. */
  rawLength: number
  /** Ascending, without overlap. */
  chunks: BlobChunk[]
}

/** All blobs of a pack, in order and without gaps. */
export type PackDirectory = { blobs: BlobEntry[] }

/** What the sealed footer says. */
export type PackFooter = {
  packLength: number
  blobsEnd: number
  directoryOffset: number
  directoryLength: number
  blobCount: number
}

/** id (32) || offset (u32) || length (u32). */
const CHUNK_RECORD_BYTES = HASH_BYTES + 8

const ENTRY = s.map({
  kind: s.oneOf('data', 'tree', 'list', 'index'),
  compression: s.oneOf('none', 'zstd'),
  offset: s.int({ min: PACK_HEADER_BYTES, max: 0xffffffff }),
  sealed: s.int({ min: SEAL_TAG_BYTES + 1, max: CHUNK_BYTES_MAX + SEAL_TAG_BYTES }),
  raw: s.int({ min: 1, max: CHUNK_BYTES_MAX }),
  chunks: s.bytes({ max: BLOB_CHUNKS_MAX * CHUNK_RECORD_BYTES }),
})
const ENTRIES = s.array(ENTRY, { max: PACK_BLOBS_MAX })
const DIRECTORY = s.map({ v: s.version(1), blobs: s.any() })

/** A map, six keys and six values for each blob, and what is around them. */
const DIRECTORY_ITEMS_MAX = PACK_BLOBS_MAX * 13 + 8

function packChunks(chunks: readonly BlobChunk[]): Uint8Array {
  const packed = new Uint8Array(chunks.length * CHUNK_RECORD_BYTES)
  const view = new DataView(packed.buffer)
  let at = 0
  for (const chunk of chunks) {
    assert(chunk.id.length === HASH_BYTES, 'a chunk id has 32 bytes')
    packed.set(chunk.id, at)
    view.setUint32(at + HASH_BYTES, chunk.offset)
    view.setUint32(at + HASH_BYTES + 4, chunk.length)
    at += CHUNK_RECORD_BYTES
  }
  return packed
}

function malformed(what: string): never {
  throw new MoyaiError('MALFORMED', `pack directory: ${what}`)
}

function unpackChunks(packed: Uint8Array, rawLength: number): BlobChunk[] {
  if (packed.length % CHUNK_RECORD_BYTES !== 0) malformed('broken chunk record')
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length)
  const chunks: BlobChunk[] = []
  for (let at = 0; at < packed.length; at += CHUNK_RECORD_BYTES) {
    chunks.push({
      id: packed.subarray(at, at + HASH_BYTES),
      offset: view.getUint32(at + HASH_BYTES),
      length: view.getUint32(at + HASH_BYTES + 4),
    })
  }
  const wrong = wrongChunks(chunks, rawLength)
  if (wrong !== undefined) malformed(wrong)
  return chunks
}

/** Why these chunks cannot be those of a blob of `rawLength` bytes. */
function wrongChunks(chunks: readonly BlobChunk[], rawLength: number): string | undefined {
  if (chunks.length > BLOB_CHUNKS_MAX) return 'too many chunks in a blob'
  let end = 0
  for (const chunk of chunks) {
    if (chunk.length < 1) return 'empty chunk'
    if (chunk.offset < end) return 'chunks overlap or are out of order'
    end = chunk.offset + chunk.length
    if (end > rawLength) return 'chunk beyond its blob'
  }
  return undefined
}

/**
 * Why an entry cannot be: what the schema cannot say. Offsets of neighbours are checked elsewhere.
 */
export function wrongEntry(entry: Omit<BlobEntry, 'index' | 'offset'>): string | undefined {
  const { rawLength, sealedLength, compression } = entry
  if (rawLength < 1 || rawLength > CHUNK_BYTES_MAX) return 'blob length out of bounds'
  const stored = sealedLength - SEAL_TAG_BYTES
  if (compression === 'none' && stored !== rawLength) return 'blob length differs from its bytes'
  if (stored < 1) return 'empty blob'
  if (compression === 'zstd' && stored >= rawLength) return 'compression did not make it smaller'
  return wrongChunks(entry.chunks, rawLength)
}

function entryToCbor(entry: BlobEntry, chunks: Uint8Array): CborMap {
  const { kind, compression, offset, sealedLength, rawLength } = entry
  return { kind, compression, offset, sealed: sealedLength, raw: rawLength, chunks }
}

/**
 * Blob entries of one pack as CBOR: `decodeBlobEntries` reads them. Also used in index segments.
 */
export function encodeBlobEntries(blobs: readonly BlobEntry[]): CborValue {
  return blobs.map((entry) => entryToCbor(entry, packChunks(entry.chunks)))
}

/**
 * Blob entries of one pack whose blobs lie before `end`. MALFORMED unless blobs follow one another
 * without gaps from the header on, and every length is within its limit.
 */
export function decodeBlobEntries(value: CborValue, end: number): BlobEntry[] {
  const blobs: BlobEntry[] = []
  let offset = PACK_HEADER_BYTES
  for (const [index, read] of parse(ENTRIES, value, 'blobs').entries()) {
    if (read.offset !== offset) malformed('blobs overlap, leave gaps or are out of order')
    const { kind, compression, sealed: sealedLength, raw: rawLength } = read
    offset += sealedLength
    if (offset > end) malformed('blob beyond its place')
    const chunks = unpackChunks(read.chunks, rawLength)
    const entry = { index, kind, compression, offset: read.offset, sealedLength, rawLength, chunks }
    const wrong = wrongEntry(entry)
    if (wrong !== undefined) malformed(wrong)
    blobs.push(entry)
  }
  return blobs
}

/** Length of a CBOR item's head with this argument. */
function headLength(argument: number): number {
  if (argument < 24) return 1
  if (argument < 0x100) return 2
  return argument < 0x10000 ? 3 : 5
}

const EMPTY = new Uint8Array(0)

/** Encoded length of one entry, without encoding its chunks. */
export function entryLength(entry: BlobEntry): number {
  const chunksLength = entry.chunks.length * CHUNK_RECORD_BYTES
  const around = encodeCbor(entryToCbor(entry, EMPTY)).length - headLength(0)
  return around + headLength(chunksLength) + chunksLength
}

/** Encoded length of a directory whose `blobCount` entries have `entriesLength` bytes together. */
export function directoryLength(blobCount: number, entriesLength: number): number {
  return encodeCbor({ v: 1, blobs: [] }).length - 1 + headLength(blobCount) + entriesLength
}

export function encodeDirectory(directory: PackDirectory): Uint8Array {
  return encodeCbor({ v: 1, blobs: encodeBlobEntries(directory.blobs) })
}

/** The directory of a pack whose blobs end at `blobsEnd`, exactly. */
export function decodeDirectory(bytes: Uint8Array, blobsEnd: number): PackDirectory {
  const { blobs: entries } = decodeAs(DIRECTORY, bytes, {
    bytesMax: PACK_DIRECTORY_BYTES_MAX,
    itemsMax: DIRECTORY_ITEMS_MAX,
    what: 'pack directory',
  })
  const blobs = decodeBlobEntries(entries, blobsEnd)
  const last = blobs.at(-1)
  const end = last === undefined ? PACK_HEADER_BYTES : last.offset + last.sealedLength
  if (end !== blobsEnd) malformed('blobs end elsewhere than the footer says')
  return { blobs }
}

const FOOTER_PLAIN_BYTES = PACK_FOOTER_BYTES - SEAL_TAG_BYTES

/**
 * 48 bytes: version u32, pack length, end of blobs, directory offset and sealed length, blob count,
 * zeros.
 */
export function encodeFooter(footer: PackFooter): Uint8Array {
  const bytes = new Uint8Array(FOOTER_PLAIN_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, 1)
  view.setUint32(4, footer.packLength)
  view.setUint32(8, footer.blobsEnd)
  view.setUint32(12, footer.directoryOffset)
  view.setUint32(16, footer.directoryLength)
  view.setUint32(20, footer.blobCount)
  return bytes
}

/**
 * The footer of a pack of `packLength` bytes; MALFORMED unless everything it says fits the pack.
 */
export function decodeFooter(bytes: Uint8Array, packLength: number): PackFooter {
  assert(bytes.length === FOOTER_PLAIN_BYTES, 'the footer has 48 bytes')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.getUint32(0) !== 1)
    throw new MoyaiError('UNKNOWN_VERSION', 'unknown pack footer version')
  const footer = {
    packLength: view.getUint32(4),
    blobsEnd: view.getUint32(8),
    directoryOffset: view.getUint32(12),
    directoryLength: view.getUint32(16),
    blobCount: view.getUint32(20),
  }
  const fits =
    footer.packLength === packLength &&
    footer.blobsEnd >= PACK_HEADER_BYTES &&
    footer.directoryOffset >= footer.blobsEnd &&
    footer.directoryLength > SEAL_TAG_BYTES &&
    footer.directoryLength <= PACK_DIRECTORY_BYTES_MAX + SEAL_TAG_BYTES &&
    footer.directoryOffset + footer.directoryLength === packLength - PACK_FOOTER_BYTES &&
    footer.blobCount <= PACK_BLOBS_MAX &&
    bytes.subarray(24).every((byte) => byte === 0)
  if (!fits) throw new MoyaiError('MALFORMED', 'the pack footer does not fit its pack')
  return footer
}
