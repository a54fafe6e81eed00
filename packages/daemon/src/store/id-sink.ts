/** Chunk ids of a file that has very many: pieces of the list become list pages as they come. */

import { concatBytes, encodeChunkList, HASH_BYTES, nextListLength } from '@moyai/protocol'

import type { TreeEmitter } from './tree-emitter.ts'

/** Collects one file's ids; pages are cut as `chunkListPages` would cut the whole list. */
export class IdSink {
  readonly #emitter: TreeEmitter
  #rest: Uint8Array = new Uint8Array()
  #pages: Uint8Array[] = []

  constructor(emitter: TreeEmitter) {
    this.#emitter = emitter
  }

  add(ids: Uint8Array): void {
    this.#rest = concatBytes(this.#rest, ids)
    this.#cut(false)
  }

  /** Ids of the list pages. */
  finish(ids: Uint8Array): Uint8Array {
    this.#rest = concatBytes(this.#rest, ids)
    this.#cut(true)
    return concatBytes(...this.#pages)
  }

  #cut(isLast: boolean): void {
    for (;;) {
      const length = nextListLength(this.#rest, isLast) * HASH_BYTES
      if (length === 0) return
      this.#pages.push(this.#emitter.listPage(encodeChunkList(this.#rest.subarray(0, length))))
      this.#rest = this.#rest.subarray(length)
    }
  }
}
