/**
 * Tree reader: directories of a snapshot, page by page, in the order of the tree.
 *
 * Pages come through the chunk reader, so each byte is verified; the page decoder refuses names
 * that are paths. What is below a directory is walked depth-first with a bounded depth; the pages
 * of its subdirectories are fetched ahead, together. A directory that cannot be read is reported
 * and passed over.
 */

import { decodeChunkList, decodePage, HASH_BYTES, MoyaiError, toMoyaiError } from '@moyai/protocol'
import type { Entry } from '@moyai/protocol'

import type { ChunkReader, ReadFailure } from './chunk-reader.ts'
import { detachEntry } from './target/types.ts'

/** Deeper trees are refused: Linux paths of 4096 bytes have at most 2048 components. */
export const TREE_DEPTH_MAX = 2048
/** Subdirectories whose pages are fetched ahead at once. */
const AHEAD_MAX = 256

/** A step of the walk; `path` are the raw names from the walk's root, which itself has none. */
export type WalkStep =
  | { op: 'enter'; path: readonly Uint8Array[]; entry: Entry }
  | { op: 'entry'; path: readonly Uint8Array[]; entry: Entry }
  | { op: 'leave'; path: readonly Uint8Array[]; entry: Entry }
  /** The rest of this directory could not be read; its `leave` follows. */
  | { op: 'problem'; path: readonly Uint8Array[]; failure: ReadFailure }

type Content = Pick<Entry, 'chunks' | 'list'>

/** See the head of this file. */
export class TreeReader {
  readonly #chunks: ChunkReader

  constructor(chunks: ChunkReader) {
    this.#chunks = chunks
  }

  /**
   * Chunk ids of a file or directory, in pieces of at most a list page; views, good until the next
   * piece.
   */
  async *ids(content: Content, signal: AbortSignal): AsyncGenerator<Uint8Array[]> {
    if (content.list === undefined) {
      yield splitIds(content.chunks ?? new Uint8Array())
      return
    }
    for (const id of splitIds(content.list)) {
      yield splitIds(decodeChunkList(await this.#chunks.chunk(id, signal)))
    }
  }

  /** Entries of a directory, ordered by name; byte fields are copies. */
  async *entries(directory: Content, signal: AbortSignal): AsyncGenerator<Entry> {
    let last: Uint8Array | undefined
    for await (const ids of this.ids(directory, signal)) {
      for (const id of ids) {
        const page = await this.#chunks.chunk(id, signal)
        const entries = Array.from(decodePage(page, last), detachEntry)
        last = entries.at(-1)?.name ?? last
        await this.#ahead(entries, signal)
        yield* entries
      }
    }
  }

  /** The entry called `name` in a directory; undefined when there is none. */
  async find(
    directory: Content,
    name: Uint8Array,
    signal: AbortSignal,
  ): Promise<Entry | undefined> {
    for await (const entry of this.entries(directory, signal)) {
      if (Buffer.compare(entry.name, name) === 0) return entry
    }
    return undefined
  }

  /**
   * Everything below `root` (a directory), with an `enter` and a `leave` for it, too; directories
   * for which `into` says false are passed over without a step.
   */
  async *walk(
    root: Entry,
    signal: AbortSignal,
    into: (path: readonly Uint8Array[], entry: Entry) => boolean = () => true,
  ): AsyncGenerator<WalkStep> {
    const stack = [{ entry: root, entries: this.entries(root, signal) }]
    const path: Uint8Array[] = []
    yield { op: 'enter', path: [], entry: root }
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      let next: IteratorResult<Entry, void>
      try {
        next = await top.entries.next()
      } catch (error) {
        if (signal.aborted) throw toMoyaiError(signal.reason, 'ABORTED')
        const { code, message } = toMoyaiError(error)
        yield { op: 'problem', path: [...path], failure: { code, message } }
        next = { done: true, value: undefined }
      }
      if (next.done === true) {
        yield { op: 'leave', path: [...path], entry: top.entry }
        stack.pop()
        path.pop()
        continue
      }
      const entry = next.value
      const here = [...path, entry.name]
      if (entry.type !== 'directory') {
        yield { op: 'entry', path: here, entry }
      } else if (here.length > TREE_DEPTH_MAX) {
        const { code, message } = new MoyaiError('TOO_LARGE', 'folders nested too deeply')
        yield { op: 'problem', path: here, failure: { code, message } }
      } else if (into(here, entry)) {
        yield { op: 'enter', path: here, entry }
        path.push(entry.name)
        stack.push({ entry, entries: this.entries(entry, signal) })
      }
    }
  }

  /** Fetches the first pages of the subdirectories among `entries`. */
  async #ahead(entries: readonly Entry[], signal: AbortSignal): Promise<void> {
    const ids: Uint8Array[] = []
    for (const { type, chunks } of entries) {
      if (type !== 'directory' || chunks === undefined) continue
      ids.push(chunks.subarray(0, HASH_BYTES))
      if (ids.length === AHEAD_MAX) break
    }
    // a failure is met again, and reported, when that directory is entered
    if (ids.length > 0) await this.#chunks.prefetch(ids, signal)
  }
}

/** The ids that `ids` (one after another) consists of, as views. */
export function splitIds(ids: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = []
  for (let at = 0; at < ids.length; at += HASH_BYTES) parts.push(ids.subarray(at, at + HASH_BYTES))
  return parts
}
