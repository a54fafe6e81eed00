/**
 * One directory of the last snapshot, read along with the walk: both are in the order of raw names.
 */

import { compareBytes, decodeChunkList, decodePage, HASH_BYTES } from '@moyai/protocol'
import type { Entry } from '@moyai/protocol'

import type { PageCache } from './page-cache.ts'

function* pageIds(entry: Entry, cache: PageCache): Generator<Uint8Array> {
  const lists = entry.list ?? new Uint8Array()
  for (let at = 0; at < lists.length; at += HASH_BYTES) {
    const list = cache.page(lists.subarray(at, at + HASH_BYTES))
    if (list === undefined) return
    yield* splitIds(decodeChunkList(list))
  }
  yield* splitIds(entry.chunks ?? new Uint8Array())
}

function* splitIds(ids: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < ids.length; at += HASH_BYTES) yield ids.subarray(at, at + HASH_BYTES)
}

function* entriesOf(entry: Entry, cache: PageCache): Generator<Entry> {
  for (const id of pageIds(entry, cache)) {
    const page = cache.page(id)
    if (page === undefined) return // without the page everything in it counts as new
    yield* decodePage(page)
  }
}

/** A cursor over a recorded directory. Damaged pages read as if nothing had been recorded. */
export class OldDirectory {
  readonly #entries: Generator<Entry>
  #current: Entry | undefined

  constructor(entry: Entry, cache: PageCache) {
    this.#entries = entriesOf(entry, cache)
    this.#advance()
  }

  /** The entry named `name`; names are asked for in ascending order. */
  seek(name: Uint8Array): Entry | undefined {
    while (this.#current !== undefined && compareBytes(this.#current.name, name) < 0) {
      this.#advance()
    }
    const found = this.#current
    return found !== undefined && compareBytes(found.name, name) === 0 ? found : undefined
  }

  #advance(): void {
    try {
      const next = this.#entries.next()
      this.#current = next.done === true ? undefined : next.value
    } catch {
      this.#current = undefined // the cache is damaged here: the rest is read again
    }
  }
}
