/**
 * From entries in walking order to directory pages: each page gets its id, goes into the next page
 * cache, and is stored when the vault does not have it.
 *
 * Entries of a directory arrive in the order of their names, a subdirectory's own entries between
 * `begin` and `end`; the memory is one partial page per level of depth.
 */

import {
  assert,
  chunkListPages,
  concatBytes,
  ENTRY_CHUNKS_MAX,
  HASH_BYTES,
  PageWriter,
} from '@moyai/protocol'
import type { Entry, Hasher } from '@moyai/protocol'

import type { PageCache, PageCacheWriter } from './page-cache.ts'

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

class Level {
  readonly writer: PageWriter
  ids: Uint8Array[] = []

  constructor(emit: (page: Uint8Array) => void) {
    this.writer = new PageWriter({ emit })
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
    if (this.#levels[depth] !== undefined) return
    const level: Level = new Level((page) => level.ids.push(this.#store('tree', page)))
    this.#levels[depth] = level
  }

  add(entry: Entry): void {
    this.#top.writer.add(entry)
  }

  /** Ends the directory begun last; returns where its pages are. */
  end(): Content {
    const level = this.#top
    level.writer.end()
    const ids = concatBytes(...level.ids)
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
