/**
 * One directory of the last snapshot, read along with the walk: both are in the order of raw names.
 *
 * Its entries are looked at where they lie (`EntryCursor`), in pages that were checked against
 * their ids.
 */

import { concatBytes, decodeChunkList, EntryCursor, HASH_BYTES } from '@moyai/protocol'
import type { EntryRange } from '@moyai/protocol'

import type { PageCache } from './page-cache.ts'

/** A page of the last snapshot. */
export type OldPage = {
  readonly id: Uint8Array
  readonly bytes: Uint8Array
  /** Where its first entry begins. */
  readonly start: number
  /** True for the last page of its directory, which ended because there were no more names. */
  readonly isLast: boolean
}

/** An entry of the last snapshot where it lies. */
export type OldEntry = { readonly page: OldPage; readonly range: EntryRange }

/** Ids of a recorded content, as they are in an entry. */
export type OldContent = { chunks: Uint8Array; list: Uint8Array }

function pageIds(content: OldContent, cache: PageCache): Uint8Array {
  const { chunks, list } = content
  if (list.length === 0) return chunks
  const parts: Uint8Array[] = []
  for (let at = 0; at < list.length; at += HASH_BYTES) {
    const page = cache.page(list.subarray(at, at + HASH_BYTES))
    if (page === undefined) break // what would come after it counts as new
    parts.push(decodeChunkList(page))
  }
  return concatBytes(...parts)
}

/** A cursor over a recorded directory. Damaged pages read as if nothing had been recorded. */
export class OldDirectory {
  /** The entry that `seek` found. */
  readonly cursor: EntryCursor = new EntryCursor()
  readonly #cache: PageCache
  #ids: Uint8Array = new Uint8Array()
  #at = 0
  #page: OldPage | undefined

  constructor(content: OldContent, cache: PageCache) {
    this.#cache = cache
    try {
      this.#ids = pageIds(content, cache)
      this.#nextPage()
    } catch {
      this.#page = undefined // the cache is damaged here: the directory is read again
    }
  }

  /** The page of the entry that `seek` found. */
  get page(): OldPage | undefined {
    return this.#page
  }

  /** Moves to the entry named `name`, if there is one; names are asked for in ascending order. */
  seek(name: string): boolean {
    while (this.#page !== undefined) {
      const order = this.#compare(name)
      if (order >= 0) return order === 0
      this.#advance()
    }
    return false
  }

  /** How the current entry's name compares with `name`, a text of one character per byte. */
  #compare(name: string): number {
    const { bytes, nameStart, nameEnd } = this.cursor
    const length = nameEnd - nameStart
    const common = Math.min(length, name.length)
    for (let i = 0; i < common; i++) {
      const difference = (bytes[nameStart + i] as number) - name.charCodeAt(i)
      if (difference !== 0) return difference
    }
    return length - name.length
  }

  #advance(): void {
    try {
      if (!this.cursor.next()) this.#nextPage()
    } catch {
      this.#page = undefined // the cache is damaged here: the rest is read again
    }
  }

  #nextPage(): void {
    this.#page = undefined
    if (this.#at >= this.#ids.length) return
    const id = this.#ids.subarray(this.#at, this.#at + HASH_BYTES)
    this.#at += HASH_BYTES
    const bytes = this.#cache.page(id)
    if (bytes === undefined) return // without the page everything in it counts as new
    const { cursor } = this
    cursor.open(bytes)
    if (!cursor.next()) return
    this.#page = { id, bytes, start: cursor.start, isLast: this.#at >= this.#ids.length }
  }
}
