/**
 * From entries in walking order to directory pages: each page gets its id, goes into the next page
 * cache, and is stored when the vault does not have it.
 *
 * Entries of a directory arrive in the order of their names, a subdirectory's own entries between
 * `begin` and `end`; the memory is one partial page per level of depth. Entries of the last snapshot
 * that follow one another as they did there are not even copied: when all of a page came again, the
 * page is used again, with its id.
 */

import {
  assert,
  chunkListPages,
  concatBytes,
  ENTRY_CHUNKS_MAX,
  EntryCursor,
  HASH_BYTES,
  pageEntriesEnd,
  PageWriter,
  TREE_ENTRY_BYTES_MAX,
  TREE_PAGE_BYTES_MAX,
} from '@moyai/protocol'
import type { Entry, EntryDraft, EntryRange, Hasher } from '@moyai/protocol'

import type { OldPage } from './old-directory.ts'
import type { PageCache, PageCacheWriter } from './page-cache.ts'

/** A larger page may have been cut because the entry after it had no room in it any more. */
const REUSED_BYTES_MAX: number = TREE_PAGE_BYTES_MAX - TREE_ENTRY_BYTES_MAX

/** Where pages go. */
export type TreeEmitterComponents = {
  hasher: Hasher
  chunkIdKey: Uint8Array
  /** Pages of the last snapshot: those are stored already. */
  previous: PageCache | undefined
  cache: PageCacheWriter
  /** Stores a chunk unless the vault has it. */
  store: (chunk: { kind: 'tree' | 'list'; id: Uint8Array; bytes: Uint8Array }) => void
}

/** One directory being written. */
class Level {
  readonly writer: PageWriter
  ids: Uint8Array[] = []
  /** A page of the last snapshot whose entries came again up to `#end`, not written yet. */
  #page: OldPage | undefined
  #end = 0
  readonly #reuse: (page: OldPage) => void
  readonly #cursor = new EntryCursor()

  constructor(o: { emit: (page: Uint8Array) => Uint8Array; reuse: (page: OldPage) => void }) {
    this.writer = new PageWriter({ emit: (page) => this.ids.push(o.emit(page)) })
    this.#reuse = o.reuse
  }

  /** The entry at `range` of `page` comes again, unchanged. */
  take(page: OldPage, range: EntryRange): void {
    if (page === this.#page && range.start === this.#end) {
      this.#end = range.end
      return
    }
    this.settle()
    if (this.writer.isEmpty && range.start === page.start) {
      this.#page = page
      this.#end = range.end
    } else {
      this.writer.addEncoded(page.bytes, range)
    }
  }

  /**
   * Before anything else is added: uses the page again if it came wholly and would be cut at its
   * end again, or writes what came of it.
   */
  settle(): void {
    const page = this.#page
    if (page === undefined) return
    const { length } = page.bytes
    if (this.#isWhole(page) && !page.isLast && length <= REUSED_BYTES_MAX) this.#use(page)
    else this.#copy(page)
  }

  end(): void {
    const page = this.#page
    if (page !== undefined && this.#isWhole(page)) this.#use(page)
    else this.settle()
    this.writer.end()
  }

  #isWhole(page: OldPage): boolean {
    return this.#end === pageEntriesEnd(page.bytes)
  }

  #use(page: OldPage): void {
    this.#page = undefined
    this.#reuse(page)
    this.ids.push(page.id)
  }

  #copy(page: OldPage): void {
    this.#page = undefined
    const cursor = this.#cursor
    cursor.open(page.bytes)
    while (cursor.next() && cursor.end <= this.#end) this.writer.addEncoded(page.bytes, cursor)
  }
}

/** Ids of a content: in the entry itself, or behind list pages. */
export type Content = { chunks?: Uint8Array; list?: Uint8Array }

/** See the head of this file. Errors: those of `PageWriter.add`, and of storing. */
export class TreeEmitter {
  readonly #components: TreeEmitterComponents
  readonly #levels: Level[] = []
  #depth = 0

  constructor(components: TreeEmitterComponents) {
    this.#components = components
  }

  begin(): void {
    const depth = this.#depth++
    this.#levels[depth] ??= new Level({
      emit: (page) => this.#store('tree', page),
      reuse: ({ id, bytes }) => this.#components.cache.add(id, bytes),
    })
  }

  add(entry: Entry): void {
    const level = this.#top
    level.settle()
    level.writer.add(entry)
  }

  /** Adds a new entry that was encoded before its chunks were known. */
  addDraft(draft: EntryDraft, chunks: Uint8Array | undefined): void {
    const level = this.#top
    level.settle()
    level.writer.addDraft(draft, chunks)
  }

  /** Adds an entry of the last snapshot as it is. */
  take(page: OldPage, range: EntryRange): void {
    this.#top.take(page, range)
  }

  /** Ends the directory begun last; returns where its pages are. */
  end(): Content {
    const level = this.#top
    level.end()
    const ids = level.ids.length === 1 ? (level.ids[0] as Uint8Array) : concatBytes(...level.ids)
    level.ids = []
    this.#depth--
    return this.content(ids)
  }

  /**
   * Where a content with these chunk ids is; writes list pages when there are too many for an
   * entry.
   */
  content(ids: Uint8Array): Content {
    if (ids.length === 0) return {}
    if (ids.length <= ENTRY_CHUNKS_MAX * HASH_BYTES) return { chunks: ids }
    const pages: Uint8Array[] = []
    for (const page of chunkListPages(ids)) pages.push(this.#store('list', page))
    return { list: concatBytes(...pages) }
  }

  /** Stores one list page and returns its id. */
  listPage(page: Uint8Array): Uint8Array {
    return this.#store('list', page)
  }

  get #top(): Level {
    const level = this.#levels[this.#depth - 1]
    assert(level !== undefined, 'a directory was begun')
    return level
  }

  #store(kind: 'tree' | 'list', bytes: Uint8Array): Uint8Array {
    const { hasher, chunkIdKey, previous, cache, store } = this.#components
    const id = hasher.keyedHash(chunkIdKey, bytes)
    cache.add(id, bytes)
    if (previous?.has(id) !== true) store({ kind, id, bytes })
    return id
  }
}
