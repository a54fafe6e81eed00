/**
 * Reading one file: open, look again, chunk, name, and store what is new. Synchronous, for worker
 * threads.
 *
 * The file may change or go away while it is read; a file that changed is read a second time, and
 * if it changed again, what was read is kept and marked. Only regular files are ever opened
 * (`O_NOFOLLOW | O_NONBLOCK`, then fstat): a fifo or a device put in a file's place cannot make a
 * backup hang. Holes are skipped, not read. A large file is shared with other threads (span.ts).
 */

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import type { BigIntStats } from 'node:fs'

import {
  assert,
  Chunker,
  CHUNK_BYTES_MAX,
  CHUNK_BYTES_MIN,
  equalStamps,
  HASH_BYTES,
  STAMP,
  stampNumber,
  STAMP_WORDS,
} from '@moyai/protocol'
import type { ErrorCode, Hasher } from '@moyai/protocol'

import { findHoles, mayHaveHoles } from '../files/index.ts'
import { fsPath } from './byte-path.ts'
import type { DedupTable } from './dedup-table.ts'
import { afterData, ExtentReader } from './extent-reader.ts'
import type { PackWriter } from './pack-writer.ts'
import type { SharedState } from './shared-state.ts'
import { spanMemory, SpanProgress } from './span.ts'
import type { FileStat, Hole, Span } from './span.ts'
import { loadStatReader, stampBits } from './walker-stat.ts'

/** Twice the largest chunk, so that moving what is left costs a quarter of a copy. */
const WINDOW_BYTES: number = 2 * CHUNK_BYTES_MAX
/** Ids are handed on in pieces of this many: 2 MiB of ids for 64 GiB of file. */
export const IDS_PER_PIECE = 65_536
const OPEN_FLAGS: number =
  constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)
const ATTEMPTS = 2
/** From here on a file is shared: looking for its cuts reads it once more. */
const SHARED_BYTES_MIN = 64 * 1024 * 1024
/** Some tens of milliseconds of work. */
const SPAN_BYTES = 16 * 1024 * 1024
/** Spans that are cut ahead of the last one whose ids are in: enough for all other threads. */
const SPANS_AHEAD = 6
/** With more holes than this, each span would be mostly a list of them. */
const SHARED_HOLES_MAX = 4096

/** A file to read: `path` with one character per byte. */
export type FileTask = { path: string }

/** What became of a file. `ids` ends the list that earlier pieces began. */
export type FileOutcome = {
  /** As fstat said when it was read; absent when it could not be opened. */
  stat?: FileStat
  ids?: Uint8Array
  holes?: Hole[]
  error?: { code: ErrorCode; message: string }
}

export type ContentReaderComponents = {
  hasher: Hasher
  chunker: Chunker
  chunkIdKey: Uint8Array
  table: DedupTable
  writer: PackWriter
  state: SharedState
  /** Tells the other threads of a span; absent where there are none. */
  offer?: (span: Span) => void
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

  pushAll(ids: Uint8Array): void {
    for (let at = 0; at < ids.length; at += HASH_BYTES) {
      this.push(ids.subarray(at, at + HASH_BYTES))
    }
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

function fileStat(stats: BigIntStats): FileStat {
  const { size, mtimeNs: mtime, ctimeNs: ctime, ino: inode, dev: device } = stats
  return { size, mtime, ctime, inode, device }
}

/** As `fileStat` of what a `StatReader` read. */
function statOf(stamp: Int32Array): FileStat {
  return {
    size: stampBits(stamp, STAMP.size),
    mtime: BigInt.asIntN(64, stampBits(stamp, STAMP.mtime)),
    ctime: BigInt.asIntN(64, stampBits(stamp, STAMP.ctime)),
    inode: stampBits(stamp, STAMP.inode),
    device: stampBits(stamp, STAMP.device),
  }
}

function unchanged(a: FileStat, b: FileStat): boolean {
  return (
    a.size === b.size &&
    a.mtime === b.mtime &&
    a.ctime === b.ctime &&
    a.inode === b.inode &&
    a.device === b.device
  )
}

/** See the head of this file. One per worker; its window is reused for all files. */
export class ContentReader {
  readonly #components: ContentReaderComponents
  readonly #window = new Uint8Array(WINDOW_BYTES)
  readonly #ids = new IdList()
  readonly #stats = loadStatReader()
  readonly #before = new Int32Array(STAMP_WORDS)
  #spanBuffer: Uint8Array | undefined

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
      return this.#readOpen(fd, { ...task, ...on })
    } finally {
      closeSync(fd)
    }
  }

  /**
   * Reads a span that another thread offered, unless one has claimed it. The file's own trouble is
   * for that thread to find; what is wrong with the store is thrown.
   */
  readSpan(span: Span): void {
    const progress = new SpanProgress(span.shared)
    if (!progress.claim()) return
    let isRead = false
    try {
      const fd = openSync(fsPath(span.path), OPEN_FLAGS)
      try {
        isRead =
          unchanged(fileStat(fstatSync(fd, { bigint: true })), span.stat) &&
          this.#spanChunks(fd, span, progress)
      } finally {
        closeSync(fd)
      }
    } catch (error) {
      if (!isSystemError(error)) throw error
    } finally {
      progress.end(isRead)
    }
  }

  #readOpen(
    fd: number,
    o: FileTask & { ids: (piece: Uint8Array) => void; restart: () => void },
  ): FileOutcome {
    const isSmall = this.#isSmall(fd)
    const small = isSmall ? this.#readSmall(fd) : undefined
    if (small !== undefined) return small
    for (let attempt = isSmall ? 2 : 1; ; attempt++) {
      const stats = fstatSync(fd, { bigint: true })
      if (!stats.isFile()) {
        return { error: { code: 'SOURCE_UNREADABLE', message: 'is no longer a regular file' } }
      }
      const before = fileStat(stats)
      const ids = this.#ids
      ids.begin(o.ids)
      const holes = mayHaveHoles(stats) ? findHoles(fd) : []
      const outcome: FileOutcome = {}
      try {
        const isShared = attempt === 1 && this.#isWorthSharing(before, holes)
        const end = isShared
          ? this.#sharedContent(fd, { path: o.path, stat: before, holes, ids })
          : this.#content(fd, { size: Number(before.size), holes, ids })
        const after = fileStat(fstatSync(fd, { bigint: true }))
        const steady = unchanged(before, after) && end === Number(before.size)
        if (!steady && attempt < ATTEMPTS) {
          o.restart()
          continue
        }
        outcome.stat = { ...before, size: BigInt(end) }
        if (!steady) {
          outcome.error = { code: 'SOURCE_UNREADABLE', message: 'changed while it was read' }
        }
      } catch (error) {
        if (!isSystemError(error)) throw error
        o.restart()
        return { error: systemMessage(error) }
      }
      outcome.ids = ids.take()
      if (holes.length > 0) outcome.holes = cutHoles(holes, Number(outcome.stat.size))
      return outcome
    }
  }

  /** Whether `fd` is a regular file of one chunk without holes. */
  #isSmall(fd: number): boolean {
    this.#stats.fstat(fd)
    const { mode, stamp, blocks, isExact } = this.#stats.stat
    const size = stampNumber(stamp, STAMP.size)
    const isWhole = 0 < size && size < CHUNK_BYTES_MIN && blocks * 512 >= size
    return isExact && isWhole && (mode & constants.S_IFMT) === constants.S_IFREG
  }

  /**
   * Reads what `#isSmall` looked at: the first attempt for most files, without all that larger ones
   * need. Undefined when it was not steady.
   */
  #readSmall(fd: number): FileOutcome | undefined {
    const stats = this.#stats
    const before = this.#before
    before.set(stats.stat.stamp)
    const size = stampNumber(before, STAMP.size)
    try {
      for (let filled = 0; filled < size;) {
        const count = readSync(fd, this.#window, filled, size - filled, filled)
        if (count === 0) return undefined
        filled += count
      }
    } catch (error) {
      if (!isSystemError(error)) throw error
      return undefined // the next attempt will say it
    }
    const ids = this.#chunk(this.#window.subarray(0, size))
    stats.fstat(fd)
    const isSteady = stats.stat.isExact && equalStamps(before, stats.stat.stamp)
    return isSteady ? { stat: statOf(before), ids } : undefined
  }

  #isWorthSharing(stat: FileStat, holes: readonly Hole[]): boolean {
    if (this.#components.offer === undefined || holes.length > SHARED_HOLES_MAX) return false
    const inHoles = holes.reduce((sum, { length }) => sum + length, 0)
    return Number(stat.size) - inHoles >= SHARED_BYTES_MIN
  }

  /**
   * Chunks the data between the holes; returns where the file ended (its size, unless it shrank).
   */
  #content(fd: number, o: { size: number; holes: Hole[]; ids: IdList }): number {
    const { state } = this.#components
    const source = new ExtentReader(fd, o)
    for (const chunk of this.#cut(source)) {
      state.check()
      o.ids.push(this.#chunk(chunk))
    }
    return source.end
  }

  /** The chunks of `source`, one after another, each valid until the next. */
  *#cut(source: ExtentReader): Generator<Uint8Array> {
    const { chunker } = this.#components
    let have = 0
    for (;;) {
      have += source.fill(this.#window.subarray(have))
      const isLast = source.done
      let at = 0
      while (at < have) {
        if (!isLast && have - at < CHUNK_BYTES_MAX) break
        const rest = this.#window.subarray(at, have)
        const length = chunker.next(rest, isLast)
        if (length === 0) break
        yield rest.subarray(0, length)
        at += length
      }
      this.#window.copyWithin(0, at, have)
      have -= at
      if (isLast) {
        assert(have === 0, 'the last chunk takes everything')
        return
      }
    }
  }

  /** As `#content`, together with the other threads; 0 when one of them found another file. */
  #sharedContent(
    fd: number,
    o: { path: string; stat: FileStat; holes: Hole[]; ids: IdList },
  ): number {
    const { state } = this.#components
    const check = (): void => state.check()
    const source = new ExtentReader(fd, { size: Number(o.stat.size), holes: o.holes })
    const spans = this.#spans(source, o)
    const pending: { span: Span; progress: SpanProgress }[] = []
    let isCut = false
    try {
      for (;;) {
        check()
        const next = isCut || pending.length >= SPANS_AHEAD ? undefined : spans.next()
        if (next?.done === true) isCut = true
        if (next?.done === false) {
          pending.push({ span: next.value, progress: new SpanProgress(next.value.shared) })
          this.#components.offer?.(next.value)
        }
        if (next !== undefined) continue
        const [oldest] = pending
        if (oldest === undefined) return source.end
        const open = pending.find(({ progress }) => progress.claim())
        if (open !== undefined) open.progress.end(this.#spanChunks(fd, open.span, open.progress))
        if (open !== undefined && open !== oldest) continue
        if (!oldest.progress.wait(check)) return 0
        o.ids.pushAll(oldest.progress.ids)
        pending.shift()
      }
    } finally {
      // a thread that comes too late finds them claimed
      for (const { progress } of pending) if (progress.claim()) progress.end(false)
    }
  }

  /** The file as spans: where it is cut, and nothing more. */
  *#spans(
    source: ExtentReader,
    o: { path: string; stat: FileStat; holes: Hole[] },
  ): Generator<Span> {
    const { path, stat, holes } = o
    let lengths: number[] = []
    let bytes = 0
    let start = source.end
    const take = (): Span => {
      const shared = spanMemory(lengths.length)
      const span = { path, stat, holes, start, lengths: Uint32Array.from(lengths), shared }
      start = afterData(start, bytes, holes)
      lengths = []
      bytes = 0
      return span
    }
    for (const { length } of this.#cut(source)) {
      lengths.push(length)
      bytes += length
      if (bytes >= SPAN_BYTES) yield take()
    }
    if (lengths.length > 0) yield take()
  }

  /** Stores the chunks of a claimed span; false when the file has less than they need. */
  #spanChunks(fd: number, span: Span, progress: SpanProgress): boolean {
    const { state } = this.#components
    const size = Number(span.stat.size)
    const source = new ExtentReader(fd, { size, holes: span.holes, start: span.start })
    for (const [at, length] of span.lengths.entries()) {
      state.check()
      const bytes = this.#spanWindow().subarray(0, length)
      if (source.fill(bytes) < length) return false
      progress.ids.set(this.#chunk(bytes), at * HASH_BYTES)
    }
    return true
  }

  /** Apart from the window, which may hold the start of what is cut next. */
  #spanWindow(): Uint8Array {
    this.#spanBuffer ??= new Uint8Array(CHUNK_BYTES_MAX)
    return this.#spanBuffer
  }

  #chunk(bytes: Uint8Array): Uint8Array {
    const { hasher, chunkIdKey, table, writer, state } = this.#components
    const id = hasher.keyedHash(chunkIdKey, bytes)
    state.add('bytesRead', bytes.length)
    if (table.claim(id)) writer.add({ kind: 'data', id, bytes })
    return id
  }
}

/** A file that shrank has no holes beyond its new end. */
function cutHoles(holes: Hole[], size: number): Hole[] {
  return holes
    .filter((hole) => hole.offset < size)
    .map((hole) => ({ offset: hole.offset, length: Math.min(hole.length, size - hole.offset) }))
}
