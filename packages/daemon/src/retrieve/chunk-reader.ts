/**
 * Chunk reader: many chunks at once, read in as few ranges as their places allow.
 *
 * Wanted chunks are grouped by pack and blob, the blobs of a pack ordered and joined into ranges
 * where the gap is small; ranges are read, opened in worker threads and handed on blob by blob, a
 * bounded number of bytes at a time. When a range cannot be had, its blobs are tried one by one: a
 * lost shard takes only what lies in it.
 */

import { assert, defined, equalBytes, MoyaiError, toHex, toMoyaiError } from '@moyai/protocol'
import type { BlobEntry, ErrorCode, StripeDescriptor } from '@moyai/protocol'

import { ByteBudget } from './byte-budget.ts'
import type { ChunkLocation } from '../store/vault-index.ts'
import type { PackIndex } from './ports.ts'
import type { StripeReader } from './stripe-reader.ts'
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
/** A pack of which at least one part in so many is wanted counts as wanted whole. */
const WHOLE_PART = 4

export type WantedChunk = { id: Uint8Array; location: ChunkLocation }
export type ReadFailure = { code: ErrorCode; message: string }

/** What becomes of each wanted chunk: exactly one of the two is called for it, in no order. */
export type ChunkSink = {
  /** `raw` is the sink's to keep; each chunk is at its `offset` in it, and is what its id says. */
  onBlob(
    raw: Uint8Array,
    chunks: BlobEntry['chunks'],
    blob: Pick<ChunkLocation, 'pack' | 'blob'>,
  ): Promise<void>
  onFailure(chunks: BlobEntry['chunks'], failure: ReadFailure): void
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

  /** Reads `wanted` (each chunk once). Rejects only when `signal` aborts or the sink does. */
  async read(wanted: readonly WantedChunk[], sink: ChunkSink, signal: AbortSignal): Promise<void> {
    const running = new Set<Promise<void>>()
    const failed = new AbortController()
    const both = AbortSignal.any([signal, failed.signal])
    try {
      for (const chunks of groupByPack(wanted)) {
        for (const range of await this.#plan(chunks, sink)) {
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
      await this.read([{ id, location }], sink, signal)
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
    const wanted = new Map<string, WantedChunk>()
    for (const [i, location] of places.entries()) {
      if (location === undefined || this.#cached(location) !== undefined) continue
      if (wanted.size === PREFETCH_BLOBS_MAX) break
      // one chunk stands for its blob
      wanted.set(blobKey(location), { id: ids[i] as Uint8Array, location })
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
  #caching(failures: ReadFailure[], onRaw?: (raw: Uint8Array) => void): ChunkSink {
    return {
      onBlob: (raw, _chunks, blob) => {
        this.#remember(blobKey(blob), raw)
        onRaw?.(raw)
        return Promise.resolve()
      },
      onFailure: (_chunks, failure) => {
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
  async #plan(wanted: readonly WantedChunk[], sink: ChunkSink): Promise<Range[]> {
    const first = defined(wanted[0], 'a wanted chunk').location.pack
    try {
      const pack = await this.#components.index.pack(first)
      if (pack === undefined) throw new MoyaiError('UNRECOVERABLE', 'its pack is not in the index')
      return joinRanges(pack, await this.#entries(first, wanted))
    } catch (error) {
      const { code, message } = toMoyaiError(error)
      sink.onFailure(wanted.map(asChunk), { code, message })
      return []
    }
  }

  /**
   * The entries of the blobs that have `wanted`, with those chunks only, in the order of the pack.
   */
  async #entries(pack: Uint8Array, wanted: readonly WantedChunk[]): Promise<BlobEntry[]> {
    const byBlob = Map.groupBy(wanted, ({ location }) => location.blob)
    const indexes = [...byBlob.keys()]
    const entries = await this.#components.index.blobs(pack, indexes)
    return indexes
      .map((index, i) => {
        const entry = entries[i]
        if (entry === undefined) throw new MoyaiError('UNRECOVERABLE', 'a blob is not in the index')
        const chunks = (byBlob.get(index) ?? []).map(asChunk)
        return { ...entry, chunks: chunks.sort((a, b) => a.offset - b.offset) }
      })
      .sort((a, b) => a.offset - b.offset)
  }

  async #readRange(range: Range, sink: ChunkSink, signal: AbortSignal): Promise<void> {
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
      for (const { chunks } of blobs) sink.onFailure(chunks, { code, message })
      return
    }
    const { salt, packClass } = pack
    const job = { salt, packClass, bytes, start: offset, blobs }
    const opened = await this.#components.opening.open(job)
    for (const [i, { chunks, index }] of blobs.entries()) {
      const blob = opened[i]
      assert(blob !== undefined, 'one result for each blob')
      const place = { pack: pack.stripe.pack, blob: index }
      if ('raw' in blob) await sink.onBlob(blob.raw, chunks, place)
      else sink.onFailure(chunks, blob.failure)
    }
  }
}

/** Why a chunk that the index does not know cannot be had. */
export function unknownChunk(id: Uint8Array): ReadFailure {
  return { code: 'UNRECOVERABLE', message: `chunk ${toHex(id).slice(0, 8)} is not in the index` }
}

function asChunk({ id, location }: WantedChunk): BlobEntry['chunks'][number] {
  return { id, offset: location.offset, length: location.length }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

function groupByPack(wanted: readonly WantedChunk[]): WantedChunk[][] {
  return [...Map.groupBy(wanted, ({ location }) => toHex(location.pack)).values()]
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
