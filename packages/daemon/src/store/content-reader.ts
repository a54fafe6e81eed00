/**
 * Reading one file: open, look again, chunk, name, and store what is new. Synchronous, for worker
 * threads.
 *
 * The file may change or go away while it is read; a file that changed is read a second time, and
 * if it changed again, what was read is kept and marked. Only regular files are ever opened
 * (`O_NOFOLLOW | O_NONBLOCK`, then fstat): a fifo or a device put in a file's place cannot make a
 * backup hang. Holes are skipped, not read.
 */

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import type { BigIntStats } from 'node:fs'

import { assert, Chunker, CHUNK_BYTES_MAX, HASH_BYTES } from '@moyai/protocol'
import type { ErrorCode, Hasher } from '@moyai/protocol'

import { findHoles, mayHaveHoles } from '../files/index.ts'
import { fsPath } from './byte-path.ts'
import type { DedupTable } from './dedup-table.ts'
import type { PackWriter } from './pack-writer.ts'
import type { SharedState } from './shared-state.ts'

/** Twice the largest chunk, so that moving what is left costs a quarter of a copy. */
const WINDOW_BYTES: number = 2 * CHUNK_BYTES_MAX
/** One read call: larger ones are not faster. */
const READ_BYTES = 1024 * 1024
/** Ids are handed on in pieces of this many: 2 MiB of ids for 64 GiB of file. */
export const IDS_PER_PIECE = 65_536
const OPEN_FLAGS: number =
  constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)
const ATTEMPTS = 2

/** A file to read: `path` with one character per byte. */
export type FileTask = { path: string }

/** What became of a file. `ids` ends the list that earlier pieces began. */
export type FileOutcome = {
  /** As fstat said when it was read; absent when it could not be opened. */
  stat?: { size: bigint; mtime: bigint; ctime: bigint; inode: bigint; device: bigint }
  ids?: Uint8Array
  holes?: { offset: number; length: number }[]
  error?: { code: ErrorCode; message: string }
}

export type ContentReaderComponents = {
  hasher: Hasher
  chunker: Chunker
  chunkIdKey: Uint8Array
  table: DedupTable
  writer: PackWriter
  state: SharedState
}

/** Chunk ids of the file being read; one list serves all files. */
class IdList {
  #bytes: Uint8Array = new Uint8Array(64 * HASH_BYTES)
  #length = 0
  #onPiece: (ids: Uint8Array) => void = () => undefined

  /** Begins the list of the next file. */
  begin(onPiece: (ids: Uint8Array) => void): void {
    this.#length = 0
    this.#onPiece = onPiece
  }

  push(id: Uint8Array): void {
    if (this.#length === this.#bytes.length) {
      if (this.#length >= IDS_PER_PIECE * HASH_BYTES) {
        this.#onPiece(this.take())
      } else {
        const larger = new Uint8Array(this.#bytes.length * 2)
        larger.set(this.#bytes)
        this.#bytes = larger
      }
    }
    this.#bytes.set(id, this.#length)
    this.#length += HASH_BYTES
  }

  /** A copy of what is there; the list is empty afterwards. */
  take(): Uint8Array {
    const ids = this.#bytes.slice(0, this.#length)
    this.#length = 0
    return ids
  }
}

function systemMessage(error: unknown): { code: ErrorCode; message: string } {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code === 'ENOENT')
    return { code: 'SOURCE_UNREADABLE', message: 'vanished before it was read' }
  if (code === 'EACCES' || code === 'EPERM') {
    return { code: 'SOURCE_UNREADABLE', message: 'no permission to read it' }
  }
  if (code === 'ELOOP') return { code: 'SOURCE_UNREADABLE', message: 'is now a symbolic link' }
  return { code: 'SOURCE_UNREADABLE', message: `could not be read (${code || 'unknown error'})` }
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error
}

function unchanged(a: BigIntStats, b: BigIntStats): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs
}

/** See the head of this file. One per worker; its window is reused for all files. */
export class ContentReader {
  readonly #components: ContentReaderComponents
  readonly #window = new Uint8Array(WINDOW_BYTES)
  readonly #ids = new IdList()

  constructor(components: ContentReaderComponents) {
    this.#components = components
  }

  /**
   * Reads, chunks and stores one file. What is wrong with the file is in the outcome; what is wrong
   * with the store (ABORTED, NO_SPACE, DISK) is thrown. `onIds` gets pieces of very long id lists,
   * `onRestart` that they are void.
   */
  read(task: FileTask, on: { ids: (piece: Uint8Array) => void; restart: () => void }): FileOutcome {
    let fd: number
    try {
      fd = openSync(fsPath(task.path), OPEN_FLAGS)
    } catch (error) {
      return { error: systemMessage(error) }
    }
    try {
      return this.#readOpen(fd, on)
    } finally {
      closeSync(fd)
    }
  }

  #readOpen(
    fd: number,
    on: { ids: (piece: Uint8Array) => void; restart: () => void },
  ): FileOutcome {
    for (let attempt = 1; ; attempt++) {
      const before = fstatSync(fd, { bigint: true })
      if (!before.isFile()) {
        return { error: { code: 'SOURCE_UNREADABLE', message: 'is no longer a regular file' } }
      }
      const ids = this.#ids
      ids.begin(on.ids)
      const holes = mayHaveHoles(before) ? findHoles(fd) : []
      const outcome: FileOutcome = {}
      try {
        const end = this.#content(fd, { size: Number(before.size), holes, ids })
        const after = fstatSync(fd, { bigint: true })
        const steady = unchanged(before, after) && end === Number(before.size)
        if (!steady && attempt < ATTEMPTS) {
          on.restart()
          continue
        }
        outcome.stat = {
          size: BigInt(end),
          mtime: before.mtimeNs,
          ctime: before.ctimeNs,
          inode: before.ino,
          device: before.dev,
        }
        if (!steady) {
          outcome.error = { code: 'SOURCE_UNREADABLE', message: 'changed while it was read' }
        }
      } catch (error) {
        if (!isSystemError(error)) throw error
        on.restart()
        return { error: systemMessage(error) }
      }
      outcome.ids = ids.take()
      if (holes.length > 0) outcome.holes = cutHoles(holes, Number(outcome.stat.size))
      return outcome
    }
  }

  /**
   * Chunks the data between the holes; returns where the file ended (its size, unless it shrank).
   */
  #content(
    fd: number,
    o: { size: number; holes: { offset: number; length: number }[]; ids: IdList },
  ): number {
    const { state, chunker } = this.#components
    const source = new ExtentReader(fd, o)
    let have = 0
    for (;;) {
      state.check()
      have += source.fill(this.#window.subarray(have))
      const isLast = source.done
      let at = 0
      while (at < have) {
        if (!isLast && have - at < CHUNK_BYTES_MAX) break
        const rest = this.#window.subarray(at, have)
        const length = chunker.next(rest, isLast)
        if (length === 0) break
        this.#chunk(rest.subarray(0, length), o.ids)
        at += length
      }
      this.#window.copyWithin(0, at, have)
      have -= at
      if (isLast) {
        assert(have === 0, 'the last chunk takes everything')
        return source.end
      }
    }
  }

  #chunk(bytes: Uint8Array, ids: IdList): void {
    const { hasher, chunkIdKey, table, writer, state } = this.#components
    const id = hasher.keyedHash(chunkIdKey, bytes)
    ids.push(id)
    state.add('bytesRead', bytes.length)
    if (table.claim(id)) writer.add({ kind: 'data', id, bytes })
  }
}

/** A file that shrank has no holes beyond its new end. */
function cutHoles(
  holes: { offset: number; length: number }[],
  size: number,
): { offset: number; length: number }[] {
  return holes
    .filter((hole) => hole.offset < size)
    .map((hole) => ({ offset: hole.offset, length: Math.min(hole.length, size - hole.offset) }))
}

/** Reads the data of a file in order, holes left out. */
class ExtentReader {
  readonly #fd: number
  readonly #size: number
  readonly #holes: { offset: number; length: number }[]
  #position = 0
  #hole = 0
  done = false

  constructor(fd: number, o: { size: number; holes: { offset: number; length: number }[] }) {
    this.#fd = fd
    this.#size = o.size
    this.#holes = o.holes
    this.#skipHoles()
  }

  /** Where the file ends: its size, or less when it shrank. */
  get end(): number {
    return this.#position
  }

  /** Fills `into` as far as there is data; sets `done` at the end. Returns the count of bytes. */
  fill(into: Uint8Array): number {
    let filled = 0
    while (filled < into.length && !this.done) {
      const limit = this.#holes[this.#hole]?.offset ?? this.#size
      const wanted = Math.min(into.length - filled, limit - this.#position, READ_BYTES)
      const count = readSync(this.#fd, into, filled, wanted, this.#position)
      filled += count
      this.#position += count
      if (count === 0) this.done = true
      else this.#skipHoles()
    }
    return filled
  }

  #skipHoles(): void {
    for (;;) {
      const hole = this.#holes[this.#hole]
      if (hole === undefined || hole.offset > this.#position) break
      this.#position = hole.offset + hole.length
      this.#hole++
    }
    if (this.#position >= this.#size) this.done = true
  }
}
