/**
 * Chunk reader: many blobs at once, read in as few ranges as their places allow.
 *
 * Wanted blobs are grouped by pack, ordered and joined into ranges where the gap is small; ranges
 * are read and handed on, a bounded number of bytes at a time. When a range cannot be had, its
 * blobs are tried one by one: a lost shard takes only what lies in it.
 */

import { assert, defined, equalBytes, MoyaiError, toHex, toMoyaiError } from '@moyai/protocol'
import type { BlobEntry, ErrorCode, StripeDescriptor } from '@moyai/protocol'

import { ByteBudget } from './byte-budget.ts'
import type { ChunkLocation } from '../store/vault-index.ts'
import type { PackIndex } from './ports.ts'
import type { StripeReader } from './stripe-reader.ts'
import type { OpenJob } from './threads/open-jobs.ts'
import type { Opening } from './threads/opening-pool.ts'

/** Reading this much that nobody wants is cheaper than another request. */
const GAP_BYTES_MAX = 128 * 1024
/** Sealed bytes of one range, unless a single blob is larger. */
const RANGE_BYTES_MAX = 2 * 1024 * 1024
/** Sealed and raw bytes in flight. */
const FLIGHT_BYTES_MAX = 24 * 1024 * 1024
/**
 * Raw bytes of tree blobs kept, whole: neighbours in a tree share blobs. 100 000 entries take about
 * 16 MiB of pages.
 */
const CACHE_BYTES_MAX = 24 * 1024 * 1024
/** Blobs fetched ahead: a third of the cache, so that what is in use is not pushed out. */
const PREFETCH_BLOBS_MAX = 8
/** Places of tree chunks that were looked up ahead: about 150 bytes each. */
const PLACES_MAX = 8192
/**
 * A pack of which at least one part in so many is wanted counts as wanted whole: a range rebuilt by
 * itself costs several times its bytes, and what else of the pack is wanted is mostly wanted soon.
 */
const WHOLE_PART = 32

/** What is wanted of one blob: `chunks` are those that must be right. */
export type WantedBlob = Pick<ChunkLocation, 'pack' | 'blob'> & { chunks: BlobEntry['chunks'] }
export type ReadFailure = { code: ErrorCode; message: string }

/** What becomes of each wanted blob: exactly one of the two is called for it, in no order. */
export type BlobSink = {
  /** Sealed blobs in one range of a pack, whose id is `pack`; `bytes` are the sink's to keep. */
  onRange(range: OpenJob & { pack: Uint8Array }): Promise<void>
  onFailure(blob: WantedBlob, failure: ReadFailure): void
}

export type ChunkReaderComponents = {
  index: Pick<PackIndex, 'locate' | 'pack' | 'blobs'>
  stripes: Pick<StripeReader, 'read'>
  opening: Pick<Opening, 'open'>
  /** Id of a chunk: the vault's keyed hash. */
  chunkId: (bytes: Uint8Array) => Uint8Array
}

type Pack = { stripe: StripeDescriptor; salt: Uint8Array; packClass: 'data' | 'meta' }
/** Blobs that are read together; entries have the wanted chunks only. */
type Range = { pack: Pack; offset: number; length: number; blobs: BlobEntry[]; whole: boolean }

/** See the head of this file. */
export class ChunkReader {
  readonly #components: ChunkReaderComponents
  readonly #budget = new ByteBudget(FLIGHT_BYTES_MAX)
  readonly #cache = new Map<string, Uint8Array>()
  readonly #places = new Map<string, ChunkLocation>()
  #cacheBytes = 0

  constructor(components: ChunkReaderComponents) {
    this.#components = components
  }

  /** Where the chunks are, in the order of `ids`. */
  locate(ids: readonly Uint8Array[]): Promise<(ChunkLocation | undefined)[]> {
    return this.#components.index.locate(ids)
  }

  /** Reads `wanted` (each blob once). Rejects only when `signal` aborts or the sink does. */
  async read(wanted: readonly WantedBlob[], sink: BlobSink, signal: AbortSignal): Promise<void> {
    const running = new Set<Promise<void>>()
    const failed = new AbortController()
    const both = AbortSignal.any([signal, failed.signal])
    try {
      for (const blobs of groupByPack(wanted)) {
        for (const range of await this.#plan(blobs, sink)) {
          const cost = range.length + sum(range.blobs.map(({ rawLength }) => rawLength))
          await this.#budget.take(cost, both)
          const task = this.#readRange(range, sink, both)
            .catch((error: unknown) => failed.abort(error))
            .finally(() => {
              this.#budget.give(cost)
              running.delete(task)
            })
          running.add(task)
        }
      }
    } catch (error) {
      if (!both.aborted) failed.abort(error)
    }
    await Promise.all(running)
    if (both.aborted) throw toMoyaiError(both.reason, 'ABORTED')
  }

  /**
   * One chunk of a tree, from the cache or the network: a view of a cached blob, for use at once.
   * UNRECOVERABLE, HASH_MISMATCH, MALFORMED … ABORTED.
   */
  async chunk(id: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const [location] = await this.#placesOf([id])
    const unknown = unknownChunk(id)
    if (location === undefined) throw new MoyaiError(unknown.code, unknown.message)
    const failures: ReadFailure[] = []
    let raw = this.#cached(location)
    if (raw === undefined) {
      const sink = this.#caching(failures, (read) => {
        raw = read
      })
      await this.read([wantedBlob(id, location)], sink, signal)
    }
    const [failure] = failures
    if (failure !== undefined) throw new MoyaiError(failure.code, failure.message)
    const { offset, length } = location
    const bytes = defined(raw, 'the blob that was just read').subarray(offset, offset + length)
    // a blob is cached for the chunk that it was read for: the others are checked when they are
    // used
    if (bytes.length !== length || !equalBytes(this.#components.chunkId(bytes), id)) {
      throw new MoyaiError('HASH_MISMATCH', 'a chunk is not what its id says')
    }
    return bytes
  }

  /** Brings blobs with these tree chunks into the cache; what cannot be had is left out. */
  async prefetch(ids: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
    const places = await this.#placesOf(ids)
    const wanted = new Map<string, WantedBlob>()
    for (const [i, location] of places.entries()) {
      if (location === undefined || this.#cached(location) !== undefined) continue
      if (wanted.size === PREFETCH_BLOBS_MAX) break
      // one chunk stands for its blob
      wanted.set(blobKey(location), wantedBlob(ids[i] as Uint8Array, location))
    }
    if (wanted.size === 0) return
    await this.read([...wanted.values()], this.#caching([]), signal)
  }

  /** Places of `ids`, in their order, remembered: pages are asked for ahead and then again. */
  async #placesOf(ids: readonly Uint8Array[]): Promise<(ChunkLocation | undefined)[]> {
    const missing = ids.filter((id) => !this.#places.has(toHex(id)))
    const found = missing.length === 0 ? [] : await this.#components.index.locate(missing)
    const fresh = new Map(missing.map((id, i) => [toHex(id), found[i]]))
    const places = ids.map((id) => this.#places.get(toHex(id)) ?? fresh.get(toHex(id)))
    for (const [id, location] of fresh) if (location !== undefined) this.#places.set(id, location)
    for (const [oldest] of this.#places) {
      if (this.#places.size <= PLACES_MAX) break
      this.#places.delete(oldest)
    }
    return places
  }

  #cached(location: ChunkLocation): Uint8Array | undefined {
    const key = blobKey(location)
    const raw = this.#cache.get(key)
    if (raw === undefined) return undefined
    this.#cache.delete(key) // to the end: least recently used goes first
    this.#cache.set(key, raw)
    return raw
  }

  /** Keeps the blobs that are read. */
  #caching(failures: ReadFailure[], onRaw?: (raw: Uint8Array) => void): BlobSink {
    return {
      onRange: async ({ pack, ...job }) => {
        const opened = await this.#components.opening.open(job)
        for (const [i, { index }] of job.blobs.entries()) {
          const blob = opened[i]
          assert(blob !== undefined, 'one result for each blob')
          if ('raw' in blob) {
            this.#remember(blobKey({ pack, blob: index }), blob.raw)
            onRaw?.(blob.raw)
          } else {
            failures.push(blob.failure)
          }
        }
      },
      onFailure: (_blob, failure) => {
        failures.push(failure)
      },
    }
  }

  #remember(key: string, raw: Uint8Array): void {
    if (this.#cache.has(key)) return
    this.#cache.set(key, raw)
    this.#cacheBytes += raw.length
    for (const [oldest, old] of this.#cache) {
      if (this.#cacheBytes <= CACHE_BYTES_MAX) return
      this.#cache.delete(oldest)
      this.#cacheBytes -= old.length
    }
  }

  /** The ranges of one pack in which `wanted` lie. */
  async #plan(wanted: readonly WantedBlob[], sink: BlobSink): Promise<Range[]> {
    const id = defined(wanted[0], 'a wanted blob').pack
    try {
      const pack = await this.#components.index.pack(id)
      if (pack === undefined) throw new MoyaiError('UNRECOVERABLE', 'its pack is not in the index')
      return joinRanges(pack, await this.#entries(id, wanted))
    } catch (error) {
      const { code, message } = toMoyaiError(error)
      for (const blob of wanted) sink.onFailure(blob, { code, message })
      return []
    }
  }

  /** The entries of `wanted`, with the wanted chunks only, in the order of the pack. */
  async #entries(pack: Uint8Array, wanted: readonly WantedBlob[]): Promise<BlobEntry[]> {
    const indexes = wanted.map(({ blob }) => blob)
    const entries = await this.#components.index.blobs(pack, indexes)
    return wanted
      .map(({ chunks }, i) => {
        const entry = entries[i]
        if (entry === undefined) throw new MoyaiError('UNRECOVERABLE', 'a blob is not in the index')
        return { ...entry, chunks }
      })
      .sort((a, b) => a.offset - b.offset)
  }

  async #readRange(range: Range, sink: BlobSink, signal: AbortSignal): Promise<void> {
    const { pack, offset, length, blobs, whole } = range
    let bytes: Uint8Array<ArrayBuffer>
    try {
      bytes = await this.#components.stripes.read(pack.stripe, { offset, length, whole }, signal)
    } catch (error) {
      if (signal.aborted) throw error
      if (blobs.length > 1) {
        for (const blob of blobs) await this.#readRange(rangeOf(pack, blob, whole), sink, signal)
        return
      }
      const { code, message } = toMoyaiError(error)
      for (const { index, chunks } of blobs) {
        sink.onFailure({ pack: pack.stripe.pack, blob: index, chunks }, { code, message })
      }
      return
    }
    const { salt, packClass } = pack
    await sink.onRange({ pack: pack.stripe.pack, salt, packClass, bytes, start: offset, blobs })
  }
}

/** Why a chunk that the index does not know cannot be had. */
export function unknownChunk(id: Uint8Array): ReadFailure {
  return { code: 'UNRECOVERABLE', message: `chunk ${toHex(id).slice(0, 8)} is not in the index` }
}

function wantedBlob(id: Uint8Array, location: ChunkLocation): WantedBlob {
  const { pack, blob, offset, length } = location
  return { pack, blob, chunks: [{ id, offset, length }] }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

function groupByPack(wanted: readonly WantedBlob[]): WantedBlob[][] {
  return [...Map.groupBy(wanted, ({ pack }) => toHex(pack)).values()]
}

function blobKey({ pack, blob }: Pick<ChunkLocation, 'pack' | 'blob'>): string {
  return `${toHex(pack)}/${blob}`
}

function rangeOf(pack: Pack, blob: BlobEntry, whole: boolean): Range {
  return { pack, offset: blob.offset, length: blob.sealedLength, blobs: [blob], whole }
}

/** Neighbours with small gaps become one range. MALFORMED when an entry is outside its pack. */
function joinRanges(pack: Pack, blobs: readonly BlobEntry[]): Range[] {
  const ranges: Range[] = []
  const packLength = pack.stripe.k * pack.stripe.shardLength
  const whole = sum(blobs.map(({ sealedLength }) => sealedLength)) * WHOLE_PART >= packLength
  for (const blob of blobs) {
    const end = blob.offset + blob.sealedLength
    if (end > packLength) throw new MoyaiError('MALFORMED', 'a blob outside its pack')
    const last = ranges.at(-1)
    const joined = last === undefined ? Number.POSITIVE_INFINITY : end - last.offset
    const gap = last === undefined ? 0 : blob.offset - (last.offset + last.length)
    if (last === undefined || gap > GAP_BYTES_MAX || joined > RANGE_BYTES_MAX) {
      ranges.push(rangeOf(pack, blob, whole))
    } else {
      last.length = joined
      last.blobs.push(blob)
    }
  }
  return ranges
}
