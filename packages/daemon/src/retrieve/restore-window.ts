/**
 * A window of the plan: the blobs that are read together, where their content goes, and what is
 * complete when it is written.
 */

import { defined, equalBytes, MoyaiError, toHex } from '@moyai/protocol'
import type { BlobEntry, Entry } from '@moyai/protocol'

import type { OwnerNames } from '../files/index.ts'
import type { ChunkLocation } from '../store/vault-index.ts'
import type { WantedBlob } from './chunk-reader.ts'
import { SmallFileWriter } from './target/small-files.ts'
import type { FilePieces, FinishItem, Part } from './target/types.ts'
import { packChunks } from './threads/restore-jobs.ts'
import type { RestoreBlob } from './threads/restore-jobs.ts'

/** Content bytes after which a window is read and written. */
const WINDOW_BYTES_MAX = 64 * 1024 * 1024
/** Things to complete: each has some state in the writer. */
const WINDOW_COMPLETIONS_MAX = 4096
/** Small files, about 1 KiB each, after which no further blob is begun. */
const WINDOW_SMALL_MAX = 4096
/** The same where the blob has very many. */
const WINDOW_SMALL_LIMIT = 4 * WINDOW_SMALL_MAX

/** A file of the snapshot on its way; `path` has raw names from the root of the restore. */
export type RestoreFile = { number: number; path: readonly Uint8Array[]; entry: Entry }

/** The temporary file that takes the content of a file. */
export type Destination = Omit<FilePieces, 'pieces'>

/** What is to be completed, with what is told about it. */
export type Completion = {
  item: FinishItem
  path: readonly Uint8Array[]
  entry: Entry | undefined
}

/** A file that is made as soon as its blob is there. */
type SmallRestore = { path: readonly Uint8Array[]; bytes: number }

type Chunk = BlobEntry['chunks'][number]

/** What is wanted of one blob. */
type BlobPlan = {
  place: Pick<ChunkLocation, 'pack' | 'blob'>
  /** By offset in the blob, in any order. */
  chunks: Map<number, Chunk>
  small: SmallRestore[]
  packed: SmallFileWriter
  files: Map<number, FilePieces>
}

/** See the head of this file. */
export class RestoreWindow {
  readonly completions: Completion[] = []
  /** Parts that this window writes, by file: kept to read them back. */
  readonly parts = new Map<number, Part[]>()
  readonly #plans = new Map<string, BlobPlan>()
  #last: BlobPlan | undefined
  #bytes = 0
  #small = 0

  get isFull(): boolean {
    const tooMany = this.completions.length >= WINDOW_COMPLETIONS_MAX
    return this.#bytes >= WINDOW_BYTES_MAX || tooMany || this.#small >= WINDOW_SMALL_LIMIT
  }

  /**
   * True when a small file at this place should begin another window: its blob is read once only.
   */
  isFullFor(place: BlobPlace): boolean {
    return this.#small >= WINDOW_SMALL_MAX && !this.#plans.has(keyOf(place))
  }

  get isEmpty(): boolean {
    return this.#plans.size === 0 && this.completions.length === 0
  }

  /** The blobs to read; their chunks are in `plan`. */
  get wanted(): WantedBlob[] {
    return Array.from(this.#plans.values(), ({ place }) => ({ ...place, chunks: [] }))
  }

  /**
   * A part of a file with a temporary name; a chunk of several files or places is read once.
   * HASH_MISMATCH when the index contradicts itself.
   */
  want(file: Destination, part: Part, location: ChunkLocation, keepPart: boolean): void {
    const plan = this.#planOf(location)
    addChunk(plan, part.id, location)
    let pieces = plan.files.get(file.file)
    if (pieces === undefined) {
      pieces = { ...file, pieces: [] }
      plan.files.set(file.file, pieces)
    }
    let at = location.offset
    for (const { offset, length } of part.extents) {
      pieces.pieces.push({ at, offset, length })
      at += length
    }
    // counted for each place: a file of one chunk over and over is written in full
    this.#bytes += location.length
    if (!keepPart) return
    const parts = this.parts.get(file.file) ?? []
    parts.push(part)
    this.parts.set(file.file, parts)
  }

  /**
   * A file whose chunks `ids` are all in one blob, to be made in `directory`. HASH_MISMATCH when
   * the index contradicts itself.
   */
  make(
    file: RestoreFile,
    directory: number,
    chunks: { ids: readonly Uint8Array[]; locations: readonly ChunkLocation[] },
    names: OwnerNames,
  ): void {
    const { entry, path } = file
    const { ids, locations } = chunks
    const plan = this.#planOf(defined(locations[0], 'a small file has content'))
    for (const [i, location] of locations.entries()) addChunk(plan, ids[i] as Uint8Array, location)
    const { name, mode, mtime, atime = mtime } = entry
    const uid = names.uidFor(entry.user, entry.uid)
    const gid = names.gidFor(entry.group, entry.gid)
    plan.packed.add({ directory, name, uid, gid, mode, mtime, atime, pieces: locations })
    const bytes = Number(entry.size)
    plan.small.push({ path, bytes })
    this.#small += 1
    this.#bytes += bytes
  }

  /** What a thread needs to know of a blob. */
  plan(pack: Uint8Array, entry: BlobEntry): RestoreBlob {
    const plan = this.#known(pack, entry.index)
    const chunks = packChunks([...plan.chunks.values()].sort((a, b) => a.offset - b.offset))
    const files = [...plan.files.values()]
    return { entry: { ...entry, chunks: [] }, chunks, small: plan.packed.bytes, files }
  }

  /** The small files of a blob, in the order of `plan`, and the numbers of its other files. */
  of(pack: Uint8Array, blob: number): { small: readonly SmallRestore[]; files: number[] } {
    const { small, files } = this.#known(pack, blob)
    return { small, files: [...files.keys()] }
  }

  #known(pack: Uint8Array, blob: number): BlobPlan {
    return defined(this.#plans.get(keyOf({ pack, blob })), 'a blob of the window')
  }

  #planOf(place: Pick<ChunkLocation, 'pack' | 'blob'>): BlobPlan {
    // one file after another has its content in the same blob
    if (this.#last !== undefined && isSameBlob(this.#last.place, place)) return this.#last
    const key = keyOf(place)
    let plan = this.#plans.get(key)
    if (plan === undefined) {
      const { pack, blob } = place
      const packed = new SmallFileWriter()
      plan = { place: { pack, blob }, chunks: new Map(), small: [], packed, files: new Map() }
      this.#plans.set(key, plan)
    }
    this.#last = plan
    return plan
  }
}

type BlobPlace = Pick<ChunkLocation, 'pack' | 'blob'>

/** True when both are the same blob of the same pack. */
export function isSameBlob(a: BlobPlace, b: BlobPlace): boolean {
  return a.blob === b.blob && Buffer.compare(a.pack, b.pack) === 0
}

function keyOf({ pack, blob }: BlobPlace): string {
  return `${toHex(pack)}/${blob}`
}

/** HASH_MISMATCH for two ids of one place: both cannot be right, and one chunk is checked there. */
function addChunk(plan: BlobPlan, id: Uint8Array, { offset, length }: ChunkLocation): void {
  const known = plan.chunks.get(offset)
  if (known === undefined) {
    plan.chunks.set(offset, { id, offset, length })
  } else if (known.length !== length || !equalBytes(known.id, id)) {
    throw new MoyaiError('HASH_MISMATCH', 'the index has another chunk in its place')
  }
}
