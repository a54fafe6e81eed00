/**
 * Entries read where they lie in a page, without an object for any of them.
 *
 * A walk compares every file with what was recorded of it; decoding the recorded entry first cost
 * more than asking the file system. The cursor only says where an entry and its parts are, and the
 * five numbers by which a file is known to be unchanged. It is for pages whose hash was checked: it
 * skips what it does not need, and refuses only what it cannot step over.
 */

import { MoyaiError } from '../errors.ts'
import { ENTRY_TYPES, type EntryType } from './entry.ts'

/**
 * The numbers by which a file is known to be unchanged: 64 bits each, as two signed 32-bit words,
 * high before low. Comparing words needs no bigint.
 */
export const STAMP = { mtime: 0, ctime: 2, inode: 4, device: 6, size: 8 } as const
/** Words of a stamp. */
export const STAMP_WORDS = 10

/** True when two stamps are equal. */
export function equalStamps(a: Int32Array, b: Int32Array): boolean {
  for (let i = 0; i < STAMP_WORDS; i++) if (a[i] !== b[i]) return false
  return true
}

/** The number at word `at` of a stamp, unsigned; exact up to 2^53. */
export function stampNumber(stamp: Int32Array, at: number): number {
  return ((stamp[at] as number) >>> 0) * 0x1_0000_0000 + ((stamp[at + 1] as number) >>> 0)
}

/** Where an entry is in a page, and its name in it: offsets in bytes. */
export type EntryRange = { start: number; end: number; nameStart: number; nameEnd: number }

const KEY_CTIME = 0x43
const KEY_ERROR = 0x45
const KEY_LIST = 0x4c
const KEY_MTIME = 0x4d
const KEY_TYPE = 0x54
const KEY_CHUNKS = 0x63
const KEY_DEVICE = 0x64
const KEY_ENTRIES = 0x65
const KEY_INODE = 0x69
const KEY_NAME = 0x6e
const KEY_SIZE = 0x73
const KEY_VERSION = 0x76
const VERSION = 1
/** Behind the entries of a page: a key and a number of one digit. */
const TAIL_BYTES = 3
/** Bits for the fields of a stamp, for the name, and for the type. */
const SEEN_ALL = 0x7f
const NO_BYTES = new Uint8Array(0)
/** Arrays of arrays (extended attributes) are the deepest that an entry has. */
const DEPTH_MAX = 4

function malformed(what: string): never {
  throw new MoyaiError('MALFORMED', `tree page: ${what}`)
}

function truncated(): never {
  throw new MoyaiError('TRUNCATED', 'tree page: cut short')
}

/** Where the entries of a page end. */
export function pageEntriesEnd(page: Uint8Array): number {
  return page.length - TAIL_BYTES
}

/** See the head of this file. The public members describe the entry that `next` moved to. */
export class EntryCursor implements EntryRange {
  bytes: Uint8Array = NO_BYTES
  start = 0
  end = 0
  nameStart = 0
  nameEnd = 0
  /** Ids of the content, or of its list pages; an empty range where there are none. */
  chunksStart = 0
  chunksEnd = 0
  listStart = 0
  listEnd = 0
  type: EntryType = 'file'
  /** True when the entry says why it is incomplete. */
  hasError = false
  /** False when one of the numbers was not captured: then the stamp says nothing. */
  hasStamp = false
  readonly stamp: Int32Array = new Int32Array(STAMP_WORDS)
  #left = 0

  /** Goes to the beginning of `page`. MALFORMED, TRUNCATED or UNKNOWN_VERSION when it is none. */
  open(page: Uint8Array): void {
    this.bytes = page
    this.#left = 0
    if (page[0] !== 0xa2 || page[1] !== 0x61 || page[2] !== KEY_ENTRIES) malformed('no entries')
    const tail = pageEntriesEnd(page)
    if (page[tail] !== 0x61 || page[tail + 1] !== KEY_VERSION) truncated()
    if (page[tail + 2] !== VERSION) {
      throw new MoyaiError('UNKNOWN_VERSION', 'tree page: a version that is not known here')
    }
    this.#left = this.#length(3, 0x80)
    this.end = this.#after
  }

  /** Moves to the next entry; false after the last one. MALFORMED or TRUNCATED. */
  next(): boolean {
    if (this.#left === 0) return false
    this.#left--
    this.#read(this.end)
    return true
  }

  /** Moves to the entry that begins at `start` of `bytes`, which need not be a page. */
  at(bytes: Uint8Array, start: number): void {
    this.bytes = bytes
    this.#left = 0
    this.#read(start)
  }

  #read(start: number): void {
    const { bytes } = this
    this.start = start
    this.chunksStart = this.chunksEnd = this.listStart = this.listEnd = 0
    this.nameStart = this.nameEnd = 0
    this.hasError = false
    let seen = 0
    let count = this.#length(start, 0xa0)
    let at = this.#after
    for (; count > 0; count--) {
      if (bytes[at] !== 0x61) malformed('no key of one character')
      const key = bytes[at + 1] as number
      at += 2
      switch (key) {
        case KEY_MTIME:
          at = this.#words(at, STAMP.mtime)
          seen |= 1
          break
        case KEY_CTIME:
          at = this.#words(at, STAMP.ctime)
          seen |= 2
          break
        case KEY_INODE:
          at = this.#words(at, STAMP.inode)
          seen |= 4
          break
        case KEY_DEVICE:
          at = this.#words(at, STAMP.device)
          seen |= 8
          break
        case KEY_SIZE:
          at = this.#words(at, STAMP.size)
          seen |= 16
          break
        case KEY_NAME:
          this.nameEnd = this.#length(at, 0x40)
          this.nameStart = this.#after
          this.nameEnd = at = this.nameEnd + this.#after
          seen |= 32
          break
        case KEY_CHUNKS:
          this.chunksEnd = this.#length(at, 0x40)
          this.chunksStart = this.#after
          this.chunksEnd = at = this.chunksEnd + this.#after
          break
        case KEY_LIST:
          this.listEnd = this.#length(at, 0x40)
          this.listStart = this.#after
          this.listEnd = at = this.listEnd + this.#after
          break
        case KEY_TYPE:
          this.type = ENTRY_TYPES[bytes[at] as number] ?? malformed('unknown type')
          at++
          seen |= 64
          break
        default:
          if (key === KEY_ERROR) this.hasError = true
          at = this.#skip(at, 0)
      }
    }
    if (at > bytes.length) truncated()
    this.hasStamp = seen === SEEN_ALL
    this.end = at
  }

  /** Where the item begins that `#length` read the head of. */
  #after = 0

  #word(at: number): number {
    const { bytes } = this
    return (
      ((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)
    )
  }

  /** The argument of the item of `major` at `at`, below 2^31; `#after` is where the head ends. */
  #length(at: number, major: number): number {
    const { bytes } = this
    const initial = bytes[at] as number
    if ((initial & 0xe0) !== major) malformed('an item of another kind')
    const short = initial & 0x1f
    if (short < 24) {
      this.#after = at + 1
      return short
    }
    if (short > 26) malformed('a length beyond any page')
    this.#after = at + 1 + (1 << (short - 24))
    if (this.#after > bytes.length) truncated()
    if (short === 24) return bytes[at + 1] as number
    if (short === 25) return ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number)
    const length = this.#word(at + 1)
    return length >= 0 ? length : malformed('a length beyond any page')
  }

  /** Reads the integer at `at` into two words of the stamp; returns where it ends. */
  #words(at: number, index: number): number {
    const { bytes, stamp } = this
    const initial = bytes[at] as number
    if (initial >= 0x40) malformed('no integer')
    const short = initial & 0x1f
    let high = 0
    let low = short
    let end = at + 1
    if (short >= 24) {
      if (short > 27) malformed('no integer')
      end += 1 << (short - 24)
      if (short === 27) {
        high = this.#word(at + 1)
        low = this.#word(at + 5)
      } else if (short === 26) low = this.#word(at + 1)
      else if (short === 25) low = ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number)
      else low = bytes[at + 1] as number
    }
    const negative = initial >= 0x20
    stamp[index] = negative ? ~high : high
    stamp[index + 1] = negative ? ~low : low
    return end
  }

  /** The end of whatever is at `at`. */
  #skip(at: number, depth: number): number {
    const initial = this.bytes[at] as number
    const short = initial & 0x1f
    switch (initial >> 5) {
      case 0:
      case 1:
        return short < 24 ? at + 1 : at + 1 + (1 << (short - 24))
      case 2:
      case 3: {
        const length = this.#length(at, initial & 0xe0)
        return this.#after + length
      }
      case 4: {
        if (depth === DEPTH_MAX) malformed('nested too deep')
        let count = this.#length(at, 0x80)
        let next = this.#after
        for (; count > 0 && next < this.bytes.length; count--) next = this.#skip(next, depth + 1)
        return count > 0 ? this.bytes.length + 1 : next
      }
      case 7:
        return at + 1
      default:
        return malformed('an item that no entry has')
    }
  }
}
