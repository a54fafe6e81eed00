/**
 * The entry of a plain file or directory, encoded before its content is known.
 *
 * A walk makes one of these per new file: from the numbers of the file system straight to bytes,
 * with the place kept where the ids of the content go. Everything rarer is an `Entry`.
 */

import { assert } from '../assert.ts'
import { ENTRY_CHUNKS_MAX, HASH_BYTES, NAME_BYTES_MAX, OWNER_NAME_BYTES_MAX } from '../limits.ts'
import { ENTRY_TYPES, type Entry } from './entry.ts'
import { type EntryRange, STAMP } from './entry-cursor.ts'
import { readUncheckedEntry } from './entry-codec.ts'
import { RawCborReader, RawCborWriter } from './raw-cbor.ts'

/** What is kept of a plain file or directory. 64-bit numbers are two signed words, high first. */
export type DraftFields = {
  type: 'file' | 'directory'
  mode: number
  uid: number
  gid: number
  user: string | undefined
  group: string | undefined
  links: number
  btimeHigh: number
  btimeLow: number
  /** Times, inode, device and size (0 for a directory): see STAMP. */
  stamp: Int32Array
}

/** Bytes of one draft at most: eleven numbers, three texts, and a key for each. */
const DRAFT_BYTES_MAX: number = 256 + NAME_BYTES_MAX + 2 * 3 * OWNER_NAME_BYTES_MAX
/** Some two hundred drafts. */
const BLOCK_BYTES = 64 * 1024

/** An entry without content: where it is in `bytes`, and where the ids of its chunks belong. */
export type EntryDraft = EntryRange & { bytes: Uint8Array; chunksAt: number }

/** Writes drafts into blocks of memory, each of which lives as long as a draft in it. */
export class DraftWriter {
  #to = new RawCborWriter(BLOCK_BYTES)

  /**
   * The draft of a file or directory. The name (NAME_BYTES_MAX at most) is a text of one character
   * per byte; names and numbers are what a file system gives, and owners' names within
   * OWNER_NAME_BYTES_MAX, so that all are within the format.
   */
  write(name: string, fields: DraftFields): EntryDraft {
    if (this.#to.room < DRAFT_BYTES_MAX) this.#to = new RawCborWriter(BLOCK_BYTES)
    return writeDraft(this.#to, name, fields)
  }
}

function writeDraft(to: RawCborWriter, name: string, fields: DraftFields): EntryDraft {
  const { stamp, user, group } = fields
  const start = to.length
  to.map(12 + (user === undefined ? 0 : 1) + (group === undefined ? 0 : 1))
  to.key(0x42) // B
  to.int64Words(fields.btimeHigh, fields.btimeLow)
  to.key(0x43) // C
  to.int64Words(stamp[STAMP.ctime] as number, stamp[STAMP.ctime + 1] as number)
  if (group !== undefined) {
    to.key(0x47) // G
    to.text(group)
  }
  to.key(0x4d) // M
  to.int64Words(stamp[STAMP.mtime] as number, stamp[STAMP.mtime + 1] as number)
  to.key(0x54) // T
  to.uint(ENTRY_TYPES.indexOf(fields.type))
  if (user !== undefined) {
    to.key(0x55) // U
    to.text(user)
  }
  const chunksAt = to.length
  to.key(0x64) // d
  to.uint64Words(stamp[STAMP.device] as number, stamp[STAMP.device + 1] as number)
  to.key(0x67) // g
  to.uint(fields.gid)
  to.key(0x69) // i
  to.uint64Words(stamp[STAMP.inode] as number, stamp[STAMP.inode + 1] as number)
  to.key(0x6c) // l
  to.uint(fields.links)
  to.key(0x6d) // m
  to.uint(fields.mode)
  to.key(0x6e) // n
  to.latin1(name)
  const nameEnd = to.length
  to.key(0x73) // s
  to.uint64Words(stamp[STAMP.size] as number, stamp[STAMP.size + 1] as number)
  to.key(0x75) // u
  to.uint(fields.uid)
  const nameStart = nameEnd - name.length
  return { bytes: to.backing, start, end: to.length, nameStart, nameEnd, chunksAt }
}

/** Appends the draft with its chunks; the caller checks that a file has content as it should. */
export function writeDraftWith(
  to: RawCborWriter,
  draft: EntryDraft,
  chunks: Uint8Array | undefined,
): void {
  const { bytes, start, end, chunksAt } = draft
  if (chunks === undefined) {
    to.rawRange(bytes, start, end)
    return
  }
  assert(chunks.length > 0 && chunks.length % HASH_BYTES === 0, 'content is whole ids')
  assert(chunks.length <= ENTRY_CHUNKS_MAX * HASH_BYTES, 'more chunks than an entry has')
  // twelve to fourteen fields and one more: the head stays one byte
  to.map(((bytes[start] as number) & 0x1f) + 1)
  to.rawRange(bytes, start + 1, chunksAt)
  to.key(0x63) // c
  to.bytes(chunks)
  to.rawRange(bytes, chunksAt, end)
}

/**
 * The entry at `range` of `bytes`, of which it is independent: for what has to be changed. A
 * draft's content may still be missing, so fields are checked by themselves only.
 */
export function decodeEntryAt(bytes: Uint8Array, range: { start: number; end: number }): Entry {
  const copy = bytes.slice(range.start, range.end)
  return readUncheckedEntry(new RawCborReader(copy, 'tree entry'))
}
