/**
 * A directory as pages of entries in the order of their raw names (spec/tree.md §4).
 *
 * Where a page ends depends on the names in it, not on their number, so that a new file changes one
 * page (rarely two) and not all that follow. An empty directory has no page.
 */

import { assert } from '../assert.ts'
import { compareBytes } from '../bytes.ts'
import { MoyaiError } from '../errors.ts'
import {
  NAME_BYTES_MAX,
  TREE_PAGE_BYTES_MAX,
  TREE_PAGE_BYTES_MIN,
  TREE_PAGE_CUT_MASK,
} from '../limits.ts'
import type { Entry } from './entry.ts'
import { readNamedEntry, writeNamedEntry } from './entry-codec.ts'
import type { EntryRange } from './entry-cursor.ts'
import { type EntryDraft, writeDraftWith } from './entry-draft.ts'
import { RawCborReader, RawCborWriter } from './raw-cbor.ts'

const VERSION = 1
const KEY_ENTRIES = 0x65 // e
const KEY_VERSION = 0x76 // v
/**
 * Map head, key, array head of at most five bytes before the entries; key and number after them.
 */
const FRAME_BYTES_MAX = 1 + 2 + 5 + 2 + 1
/** Room that a writer begins with: most folders have less than two dozen names. */
const ENTRIES_BYTES = 8 * 1024
/** Seven required fields take 25 bytes at least, so a page has fewer entries than this. */
const PAGE_ENTRIES_MAX: number = TREE_PAGE_BYTES_MAX >>> 4

/** FNV-1a of 32 bits with the finalizer of MurmurHash3: only spreads names, proves nothing. */
function spreadName(name: Uint8Array, length: number): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < length; i++) hash = Math.imul(hash ^ (name[i] as number), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** Turns entries, added in strictly ascending order of their names, into pages. */
export class PageWriter {
  readonly #emit: (page: Uint8Array) => void
  readonly #entries = new RawCborWriter(ENTRIES_BYTES)
  readonly #page = new RawCborWriter(ENTRIES_BYTES)
  #count = 0
  /** Name of the entry added last: of length 0 when there is none. */
  readonly #last = new Uint8Array(NAME_BYTES_MAX)
  #lastLength = 0

  /** `emit` gets each page (a buffer of its own, TREE_PAGE_BYTES_MAX at most), in order. */
  constructor(o: { emit(page: Uint8Array): void }) {
    this.#emit = (page): void => o.emit(page)
  }

  /**
   * Adds one entry. MALFORMED or TOO_LARGE when it breaks a rule of the format (spec/tree.md §3),
   * and then nothing was added; an AssertionError when names do not ascend.
   */
  add(entry: Entry): void {
    const { name } = entry
    this.#checkOrder(name, 0, name.length)
    const before = this.#entries.length
    writeNamedEntry(this.#entries, entry)
    this.#added(before, { name, start: 0, end: name.length })
  }

  /** Adds an entry as it is in another page, `range` of `bytes`, whose rules it obeyed there. */
  addEncoded(bytes: Uint8Array, range: EntryRange): void {
    const { nameStart, nameEnd } = range
    this.#checkOrder(bytes, nameStart, nameEnd)
    const before = this.#entries.length
    this.#entries.rawRange(bytes, range.start, range.end)
    this.#added(before, { name: bytes, start: nameStart, end: nameEnd })
  }

  /** Adds an entry whose chunks are known now; a file that is not empty has some. */
  addDraft(draft: EntryDraft, chunks: Uint8Array | undefined): void {
    const { bytes, nameStart, nameEnd } = draft
    this.#checkOrder(bytes, nameStart, nameEnd)
    const before = this.#entries.length
    writeDraftWith(this.#entries, draft, chunks)
    this.#added(before, { name: bytes, start: nameStart, end: nameEnd })
  }

  #checkOrder(name: Uint8Array, start: number, end: number): void {
    const last = this.#last
    const common = Math.min(this.#lastLength, end - start)
    let at = 0
    while (at < common && last[at] === name[start + at]) at++
    const ascends =
      at < common
        ? (last[at] as number) < (name[start + at] as number)
        : this.#lastLength < end - start
    assert(ascends || this.#lastLength === 0, 'entries are added in the order of their names')
  }

  /** Counts the entry that was written behind `before`, and cuts the page where it should be. */
  #added(before: number, o: { name: Uint8Array; start: number; end: number }): void {
    if (this.#entries.length + FRAME_BYTES_MAX > TREE_PAGE_BYTES_MAX) this.#cut(before)
    this.#count++
    const length = o.end - o.start
    for (let i = 0; i < length; i++) this.#last[i] = o.name[o.start + i] as number
    this.#lastLength = length
    if (this.#entries.length < TREE_PAGE_BYTES_MIN) return
    if ((spreadName(this.#last, length) & TREE_PAGE_CUT_MASK) === 0) {
      this.#cut(this.#entries.length)
    }
  }

  /** True at the beginning of a page. */
  get isEmpty(): boolean {
    return this.#count === 0
  }

  /** Emits what is left; the writer then takes the next directory. */
  end(): void {
    if (this.#count > 0) this.#cut(this.#entries.length)
    this.#lastLength = 0
  }

  /** Emits the entries in the first `length` bytes as a page. */
  #cut(length: number): void {
    const page = this.#page
    page.truncate(0)
    page.map(2)
    page.key(KEY_ENTRIES)
    page.array(this.#count)
    page.rawRange(this.#entries.backing, 0, length)
    page.key(KEY_VERSION)
    page.uint(VERSION)
    this.#entries.drop(length)
    this.#count = 0
    this.#emit(page.copy())
  }
}

/**
 * The entries of a page, each checked (names, order, all limits) before it is yielded; a page that
 * is damaged at its end yields those before. `after` is the last name of the page before in the
 * same directory, if there is one: order holds over all pages. MALFORMED, TRUNCATED, TOO_LARGE or
 * UNKNOWN_VERSION.
 */
export function* decodePage(page: Uint8Array, after?: Uint8Array): Generator<Entry, void, void> {
  if (page.length > TREE_PAGE_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', `tree page: beyond ${TREE_PAGE_BYTES_MAX} bytes`)
  }
  const from = new RawCborReader(page, 'tree page')
  from.mapOf(2)
  if (from.key() !== KEY_ENTRIES) from.malformed('no entries')
  const count = from.array(PAGE_ENTRIES_MAX)
  if (count === 0) from.malformed('a page without entries')
  let last = after
  for (let i = 0; i < count; i++) {
    const entry = readNamedEntry(from)
    if (last !== undefined && compareBytes(last, entry.name) >= 0) {
      from.malformed('names out of order')
    }
    last = entry.name
    yield entry
  }
  if (from.key() !== KEY_VERSION) from.malformed('no version')
  if (from.uint(Number.MAX_SAFE_INTEGER) !== VERSION) {
    throw new MoyaiError('UNKNOWN_VERSION', 'tree page: a version that is not known here')
  }
  from.end()
}
