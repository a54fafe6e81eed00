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

function keyOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, HASH_BYTES).toString('latin1', 0, 16)
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
  readonly #places: Map<string, { offset: number; length: number }>

  private constructor(o: {
    fd: number
    idOf: (page: Uint8Array) => Uint8Array
    info: PageCacheInfo
    places: Map<string, { offset: number; length: number }>
  }) {
    this.#fd = o.fd
    this.#idOf = o.idOf
    this.info = o.info
    this.#places = o.places
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
    if (trailer.tableOffset + trailer.pages * ROW_BYTES !== size - END_BYTES - trailerLength) {
      throw new MoyaiError('MALFORMED', 'page cache table')
    }
    const table = new Uint8Array(trailer.pages * ROW_BYTES)
    readFully(fd, table, trailer.tableOffset)
    const view = new DataView(table.buffer)
    const places = new Map<string, { offset: number; length: number }>()
    for (let at = 0; at < table.length; at += ROW_BYTES) {
      const offset = Number(view.getBigUint64(at + HASH_BYTES))
      const length = view.getUint32(at + HASH_BYTES + 8)
      places.set(keyOf(table.subarray(at, at + HASH_BYTES)), { offset, length })
    }
    const { generation, began, root } = trailer
    return new PageCache({ fd, idOf, info: { generation, began, root }, places })
  }

  has(id: Uint8Array): boolean {
    return this.#places.has(keyOf(id))
  }

  /** The page of that id, checked against it; undefined when it is not here, or damaged. */
  page(id: Uint8Array): Uint8Array | undefined {
    const place = this.#places.get(keyOf(id))
    if (place === undefined || place.length > TREE_PAGE_BYTES_MAX) return undefined
    const page = new Uint8Array(place.length)
    readFully(this.#fd, page, place.offset)
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
  readonly #rows: Uint8Array[] = []
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
    if (this.#rows.length >= PAGES_MAX) return // the rest is read again next time
    const row = new Uint8Array(ROW_BYTES)
    row.set(id)
    const view = new DataView(row.buffer)
    view.setBigUint64(HASH_BYTES, BigInt(this.#length))
    view.setUint32(HASH_BYTES + 8, page.length)
    this.#rows.push(row)
    this.#append(page)
  }

  end(info: PageCacheInfo): void {
    const tableOffset = this.#length
    for (const row of this.#rows) this.#append(row)
    const pages = this.#rows.length
    const trailer = encodeCbor({ v: 1, ...info, tableOffset, pages })
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
