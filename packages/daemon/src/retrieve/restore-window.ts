/**
 * A window of the plan: the chunks that are read together, and what is complete when they are
 * written.
 */

import { toHex } from '@moyai/protocol'
import type { Entry, Hole } from '@moyai/protocol'

import type { ChunkLocation } from '../store/vault-index.ts'
import type { WantedChunk } from './chunk-reader.ts'
import type { FinishItem, Part, Piece } from './target/types.ts'

/** Content bytes and entries after which a window is read and written. */
const WINDOW_BYTES_MAX = 64 * 1024 * 1024
const WINDOW_ENTRIES_MAX = 4096

/** A file of the snapshot on its way; `path` is for people. */
export type RestoreFile = { number: number; path: string; entry: Entry }

/** What is to be completed, with what is told about it. */
export type Completion = { item: FinishItem; path: string; entry: Entry | undefined }

type Target = { file: number; extents: readonly Hole[] }

/** See the head of this file. */
export class RestoreWindow {
  readonly completions: Completion[] = []
  /** Parts that this window writes, by file: kept to read them back. */
  readonly parts = new Map<number, Part[]>()
  readonly #wanted = new Map<string, WantedChunk & { targets: Target[] }>()
  #bytes = 0

  get isFull(): boolean {
    const entries = Math.max(this.#wanted.size, this.completions.length)
    return this.#bytes >= WINDOW_BYTES_MAX || entries >= WINDOW_ENTRIES_MAX
  }

  get isEmpty(): boolean {
    return this.#wanted.size === 0 && this.completions.length === 0
  }

  get wanted(): WantedChunk[] {
    return [...this.#wanted.values()]
  }

  /** A chunk that several files (or places of one) have is read once. */
  want(file: RestoreFile, part: Part, location: ChunkLocation, keepPart: boolean): void {
    const key = toHex(part.id)
    let wanted = this.#wanted.get(key)
    if (wanted === undefined) {
      wanted = { id: part.id, location, targets: [] }
      this.#wanted.set(key, wanted)
    }
    wanted.targets.push({ file: file.number, extents: part.extents })
    // counted for each place: a file of one chunk over and over is written in full
    this.#bytes += location.length
    if (!keepPart) return
    const parts = this.parts.get(file.number) ?? []
    parts.push(part)
    this.parts.set(file.number, parts)
  }

  /** Which pieces of a buffer go where, when the chunk `id` is at `offset` in it. */
  pieces(id: Uint8Array, offset: number): Piece[] {
    const pieces: Piece[] = []
    for (const { file, extents } of this.#wanted.get(toHex(id))?.targets ?? []) {
      let at = offset
      for (const extent of extents) {
        pieces.push({ file, at, offset: extent.offset, length: extent.length })
        at += extent.length
      }
    }
    return pieces
  }

  /** The files that need the chunk `id`. */
  filesOf(id: Uint8Array): number[] {
    return (this.#wanted.get(toHex(id))?.targets ?? []).map(({ file }) => file)
  }
}
