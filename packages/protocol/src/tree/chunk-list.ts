/**
 * The chunk ids of a file that has too many of them for its entry, as list pages (spec/tree.md §5).
 *
 * A page ends after an id whose last bits are zero, so that a change in the middle of a large file
 * changes one page.
 */

import { assert } from '../assert.ts'
import { MoyaiError } from '../errors.ts'
import {
  CHUNK_LIST_CUT_MASK,
  CHUNK_LIST_IDS_MAX,
  CHUNK_LIST_IDS_MIN,
  HASH_BYTES,
} from '../limits.ts'
import { RawCborReader, RawCborWriter } from './raw-cbor.ts'

const VERSION = 1
const KEY_CHUNKS = 0x63 // c
const KEY_VERSION = 0x76 // v
const FRAME_BYTES_MAX = 1 + 2 + 5 + 2 + 1

/** One list page of `ids` (concatenated, 1 … CHUNK_LIST_IDS_MAX of them). */
export function encodeChunkList(ids: Uint8Array): Uint8Array {
  assert(ids.length > 0 && ids.length % HASH_BYTES === 0, 'a chunk list is whole ids')
  assert(ids.length <= CHUNK_LIST_IDS_MAX * HASH_BYTES, 'a chunk list beyond its limit')
  const page = new RawCborWriter(ids.length + FRAME_BYTES_MAX)
  page.map(2)
  page.key(KEY_CHUNKS)
  page.bytes(ids)
  page.key(KEY_VERSION)
  page.uint(VERSION)
  return page.copy()
}

/** The ids of a list page, as a view of it. MALFORMED, TRUNCATED, TOO_LARGE or UNKNOWN_VERSION. */
export function decodeChunkList(page: Uint8Array): Uint8Array {
  const from = new RawCborReader(page, 'chunk list')
  from.mapOf(2)
  if (from.key() !== KEY_CHUNKS) from.malformed('no chunks')
  const ids = from.bytes(CHUNK_LIST_IDS_MAX * HASH_BYTES)
  if (ids.length === 0 || ids.length % HASH_BYTES !== 0) from.malformed('not whole ids')
  if (from.key() !== KEY_VERSION) from.malformed('no version')
  if (from.uint(Number.MAX_SAFE_INTEGER) !== VERSION) {
    throw new MoyaiError('UNKNOWN_VERSION', 'chunk list: a version that is not known here')
  }
  from.end()
  return ids
}

/**
 * How many of the concatenated `ids` the next list page takes; 0 means more ids are needed to say
 * (never with `isLast`, unless there are none).
 */
export function nextListLength(ids: Uint8Array, isLast: boolean): number {
  assert(ids.length % HASH_BYTES === 0, 'a chunk list is whole ids')
  const count = Math.min(ids.length / HASH_BYTES, CHUNK_LIST_IDS_MAX)
  for (let i = CHUNK_LIST_IDS_MIN; i <= count; i++) {
    const end = i * HASH_BYTES
    const low = ((ids[end - 2] as number) << 8) | (ids[end - 1] as number)
    if ((low & CHUNK_LIST_CUT_MASK) === 0) return i
  }
  return isLast || count === CHUNK_LIST_IDS_MAX ? count : 0
}

/** Cuts concatenated `ids` into list pages (encoded), one at a time. */
export function* chunkListPages(ids: Uint8Array): Generator<Uint8Array, void, void> {
  let rest = ids
  while (rest.length > 0) {
    const length = nextListLength(rest, true) * HASH_BYTES
    yield encodeChunkList(rest.subarray(0, length))
    rest = rest.subarray(length)
  }
}
