/**
 * The last snapshot's directory pages of one source, kept on this machine so that an unchanged tree
 * costs one lstat per file and not a byte from the pool.
 *
 * One file per source: magic, pages one after another, their table, a CBOR trailer and its length.
 * A new file is written while the walk goes on and takes the old one's place only when the snapshot
 * is committed. It is a cache: when it is missing, damaged, of another index generation or of a
 * snapshot that is not in the log, the tree is read again.
 */

import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'

import {
  decodeAs,
  decodeRootEntry,
  encodeCbor,
  equalBytes,
  HASH_BYTES,
  MoyaiError,
  s,
  TREE_ENTRY_BYTES_MAX,
  TREE_PAGE_BYTES_MAX,
  utf8,
} from '@moyai/protocol'

const MAGIC: Uint8Array = utf8('MOYAIPC1')
/** Trailer length, u32, at the very end. */
const END_BYTES = 4
const ROW_BYTES = HASH_BYTES + 12
const TRAILER_BYTES_MAX = TREE_ENTRY_BYTES_MAX + 1024
const WRITE_BUFFER_BYTES = 1024 * 1024
/**
 * One page per folder at least; 16 million folders are more than a file system holds in practice.
 */
const PAGES_MAX = 1 << 24

const trailerSchema = s.map({
  v: s.version(1),
  /** Which making of the index the chunk ids refer to. */
  generation: s.bytes({ length: 16 }),
  /** When the run that wrote it began, ms since the epoch. */
  began: s.int(),
  /** `encodeRootEntry` of the snapshot's root. */
  root: s.bytes({ max: TREE_ENTRY_BYTES_MAX }),
  tableOffset: s.int(),
  pages: s.int({ max: PAGES_MAX }),
})

/** What a page cache says of itself. */
export type PageCacheInfo = { generation: Uint8Array; began: number; root: Uint8Array }

/** A slot of `PageTable` that is free; rows count from 1 there. */
const FREE = 0

/**
 * The rows of a cache where they lie, and an index over them: 52 to 60 bytes per page, whatever the
 * tree. Ids are hashes, so that their first bytes spread well.
 */
class PageTable {
  readonly #rows: Uint8Array
  readonly #view: DataView
  readonly #slots: Uint32Array

  constructor(rows: Uint8Array<ArrayBuffer>) {
    const count = rows.length / ROW_BYTES
    this.#rows = rows
    this.#view = new DataView(rows.buffer)
    this.#slots = new Uint32Array(1 << (33 - Math.clz32(Math.max(1, count))))
    const mask = this.#slots.length - 1
    for (let row = 0; row < count; row++) {
      let slot = this.#view.getUint32(row * ROW_BYTES) & mask
      while (this.#slots[slot] !== FREE) slot = (slot + 1) & mask
      this.#slots[slot] = row + 1
    }
  }

  /** Offset of the row of `id`; undefined when there is none. */
  find(id: Uint8Array): number | undefined {
    const mask = this.#slots.length - 1
    const first = new DataView(id.buffer, id.byteOffset).getUint32(0)
    for (let slot = first & mask; ; slot = (slot + 1) & mask) {
      const row = this.#slots[slot] as number
      if (row === FREE) return undefined
      const at = (row - 1) * ROW_BYTES
      if (this.#isRowOf(at, id)) return at
    }
  }

  /** Where the page of the row at `at` is in the file. */
  place(at: number): { offset: number; length: number } {
    const offset = Number(this.#view.getBigUint64(at + HASH_BYTES))
    return { offset, length: this.#view.getUint32(at + HASH_BYTES + 8) }
  }

  #isRowOf(at: number, id: Uint8Array): boolean {
    for (let i = 0; i < HASH_BYTES; i++) if (this.#rows[at + i] !== id[i]) return false
    return true
  }
}

function readFully(fd: number, into: Uint8Array, position: number): void {
  for (let done = 0; done < into.length;) {
    const count = readSync(fd, into, done, into.length - done, position + done)
    if (count === 0) throw new MoyaiError('TRUNCATED', 'the page cache is cut short')
    done += count
  }
}

/** The pages of the last snapshot. Synchronous: it is used by the walking thread only. */
export class PageCache {
  readonly info: PageCacheInfo
  readonly #fd: number
  readonly #idOf: (page: Uint8Array) => Uint8Array
  readonly #table: PageTable

  private constructor(o: {
    fd: number
    idOf: (page: Uint8Array) => Uint8Array
    info: PageCacheInfo
    table: PageTable
  }) {
    this.#fd = o.fd
    this.#idOf = o.idOf
    this.info = o.info
    this.#table = o.table
  }

  /**
   * Opens the cache at `path`; undefined when there is none or it is damaged. `idOf` gives a page's
   * chunk id.
   */
  static open(path: string, idOf: (page: Uint8Array) => Uint8Array): PageCache | undefined {
    let fd: number
    try {
      fd = openSync(path, 'r')
    } catch {
      return undefined // the first store of this source
    }
    try {
      return PageCache.#read(fd, idOf)
    } catch {
      closeSync(fd)
      return undefined // a damaged cache is no cache
    }
  }

  static #read(fd: number, idOf: (page: Uint8Array) => Uint8Array): PageCache {
    const { size } = fstatSync(fd)
    const end = new Uint8Array(END_BYTES)
    readFully(fd, end, size - END_BYTES)
    const trailerLength = new DataView(end.buffer).getUint32(0)
    if (trailerLength > TRAILER_BYTES_MAX) throw new MoyaiError('TOO_LARGE', 'page cache trailer')
    const trailerBytes = new Uint8Array(trailerLength)
    readFully(fd, trailerBytes, size - END_BYTES - trailerLength)
    const limits = { bytesMax: TRAILER_BYTES_MAX, what: 'page cache' }
    const trailer = decodeAs(trailerSchema, trailerBytes, limits)
    decodeRootEntry(trailer.root) // nothing else proves that it is one
    if (trailer.tableOffset + trailer.pages * ROW_BYTES !== size - END_BYTES - trailerLength) {
      throw new MoyaiError('MALFORMED', 'page cache table')
    }
    const rows = new Uint8Array(trailer.pages * ROW_BYTES)
    readFully(fd, rows, trailer.tableOffset)
    const { generation, began, root } = trailer
    return new PageCache({
      fd,
      idOf,
      info: { generation, began, root },
      table: new PageTable(rows),
    })
  }

  has(id: Uint8Array): boolean {
    return this.#table.find(id) !== undefined
  }

  /** The page of that id, checked against it; undefined when it is not here, or damaged. */
  page(id: Uint8Array): Uint8Array | undefined {
    const row = this.#table.find(id)
    if (row === undefined) return undefined
    const { offset, length } = this.#table.place(row)
    if (length > TREE_PAGE_BYTES_MAX) return undefined
    const page = new Uint8Array(length)
    readFully(this.#fd, page, offset)
    return equalBytes(this.#idOf(page), id) ? page : undefined
  }

  close(): void {
    closeSync(this.#fd)
  }
}

/** Writes the next cache; nothing replaces the old one before `commitPageCache`. */
export class PageCacheWriter {
  readonly #path: string
  readonly #fd: number
  readonly #buffer = new Uint8Array(WRITE_BUFFER_BYTES)
  #rows = new Uint8Array(64 * ROW_BYTES)
  #pages = 0
  #buffered = 0
  #length = 0

  /** `path`: the cache's own path; the new file is beside it until `commitPageCache`. */
  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    this.#path = pendingPath(path)
    this.#fd = openSync(this.#path, 'w', 0o600)
    this.#append(MAGIC)
  }

  add(id: Uint8Array, page: Uint8Array): void {
    if (this.#pages >= PAGES_MAX) return // the rest is read again next time
    const at = this.#pages * ROW_BYTES
    if (at === this.#rows.length) {
      const larger = new Uint8Array(2 * at)
      larger.set(this.#rows)
      this.#rows = larger
    }
    this.#rows.set(id, at)
    const view = new DataView(this.#rows.buffer)
    view.setBigUint64(at + HASH_BYTES, BigInt(this.#length))
    view.setUint32(at + HASH_BYTES + 8, page.length)
    this.#pages++
    this.#append(page)
  }

  end(info: PageCacheInfo): void {
    const tableOffset = this.#length
    this.#append(this.#rows.subarray(0, this.#pages * ROW_BYTES))
    const trailer = encodeCbor({ v: 1, ...info, tableOffset, pages: this.#pages })
    this.#append(trailer)
    const end = new Uint8Array(END_BYTES)
    new DataView(end.buffer).setUint32(0, trailer.length)
    this.#append(end)
    this.#flush()
    closeSync(this.#fd)
  }

  abort(): void {
    closeSync(this.#fd)
    rmSync(this.#path, { force: true })
  }

  #append(bytes: Uint8Array): void {
    this.#length += bytes.length
    for (let rest = bytes; rest.length > 0;) {
      const count = Math.min(rest.length, this.#buffer.length - this.#buffered)
      this.#buffer.set(rest.subarray(0, count), this.#buffered)
      this.#buffered += count
      rest = rest.subarray(count)
      if (this.#buffered === this.#buffer.length) this.#flush()
    }
  }

  #flush(): void {
    for (let done = 0; done < this.#buffered;) {
      done += writeSync(this.#fd, this.#buffer, done, this.#buffered - done)
    }
    this.#buffered = 0
  }
}

function pendingPath(path: string): string {
  return `${path}.new`
}

/**
 * Puts the cache that was written last in the place of the old one: after the commit of its
 * snapshot.
 */
export function commitPageCache(path: string): void {
  renameSync(pendingPath(path), path)
}
