/**
 * Chunk reader: many chunks at once, read in as few ranges as their places allow.
 *
 * Wanted chunks are grouped by pack and blob, the blobs of a pack ordered and joined into ranges
 * where the gap is small; ranges are read, opened in worker threads and handed on blob by blob, a
 * bounded number of bytes at a time. When a range cannot be had, its blobs are tried one by one: a
 * lost shard takes only what lies in it.
 */

import { assert, defined, MoyaiError, toHex, toMoyaiError } from '@moyai/protocol'
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
/** Raw bytes of tree chunks kept: neighbours in a tree share blobs. */
const CACHE_BYTES_MAX = 24 * 1024 * 1024
/** Half of the cache, so that what is in use is not pushed out by what may be. */
const PREFETCH_BYTES_MAX: number = CACHE_BYTES_MAX / 2

export type WantedChunk = { id: Uint8Array; location: ChunkLocation }
export type ReadFailure = { code: ErrorCode; message: string }

/** What becomes of each wanted chunk: exactly one of the two is called for it, in no order. */
export type ChunkSink = {
  /** `raw` is the sink's to keep; each chunk is at its `offset` in it, and is what its id says. */
  onBlob(raw: Uint8Array, chunks: BlobEntry['chunks']): Promise<void>
  onFailure(chunks: BlobEntry['chunks'], failure: ReadFailure): void
}

export type ChunkReaderComponents = {
  index: Pick<PackIndex, 'locate' | 'pack' | 'blobs'>
  stripes: Pick<StripeReader, 'read'>
  opening: Pick<Opening, 'open'>
}

type Pack = { stripe: StripeDescriptor; salt: Uint8Array; packClass: 'data' | 'meta' }
/** Blobs that are read together; entries have the wanted chunks only. */
type Range = { pack: Pack; offset: number; length: number; blobs: BlobEntry[] }

/** See the head of this file. */
export class ChunkReader {
  readonly #components: ChunkReaderComponents
  readonly #budget = new ByteBudget(FLIGHT_BYTES_MAX)
  readonly #cache = new Map<string, Uint8Array>()
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
   * One chunk, from the cache or the network. UNRECOVERABLE, HASH_MISMATCH, MALFORMED … ABORTED.
   */
  async chunk(id: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const known = this.#cache.get(toHex(id))
    if (known !== undefined) return known
    const [location] = await this.#components.index.locate([id])
    const unknown = unknownChunk(id)
    if (location === undefined) throw new MoyaiError(unknown.code, unknown.message)
    const found: Uint8Array[] = []
    const failures: ReadFailure[] = []
    await this.read([{ id, location }], this.#caching(found, failures), signal)
    const [failure] = failures
    if (failure !== undefined) throw new MoyaiError(failure.code, failure.message)
    return defined(found[0], 'the chunk that was just read')
  }

  /** Brings chunks into the cache, as far as they fit; what cannot be had is left out. */
  async prefetch(ids: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
    const unique = new Map(ids.map((id) => [toHex(id), id]))
    const missing = [...unique.values()].filter((id) => !this.#cache.has(toHex(id)))
    if (missing.length === 0) return
    const places = await this.#components.index.locate(missing)
    const wanted: WantedChunk[] = []
    let bytes = 0
    for (const [i, id] of missing.entries()) {
      const location = places[i]
      if (location === undefined) continue
      bytes += location.length
      if (bytes > PREFETCH_BYTES_MAX) break
      wanted.push({ id, location })
    }
    await this.read(wanted, this.#caching([], []), signal)
  }

  #caching(found: Uint8Array[], failures: ReadFailure[]): ChunkSink {
    return {
      onBlob: (raw, chunks) => {
        for (const { id, offset, length } of chunks) {
          const bytes = raw.slice(offset, offset + length)
          found.push(bytes)
          this.#remember(id, bytes)
        }
        return Promise.resolve()
      },
      onFailure: (_chunks, failure) => {
        failures.push(failure)
      },
    }
  }

  #remember(id: Uint8Array, bytes: Uint8Array): void {
    const key = toHex(id)
    if (this.#cache.has(key)) return
    this.#cache.set(key, bytes)
    this.#cacheBytes += bytes.length
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
    const { pack, offset, length, blobs } = range
    let bytes: Uint8Array<ArrayBuffer>
    try {
      bytes = await this.#components.stripes.read(pack.stripe, { offset, length }, signal)
    } catch (error) {
      if (signal.aborted) throw error
      if (blobs.length > 1) {
        for (const blob of blobs) await this.#readRange(rangeOf(pack, blob), sink, signal)
        return
      }
      const { code, message } = toMoyaiError(error)
      for (const { chunks } of blobs) sink.onFailure(chunks, { code, message })
      return
    }
    const { salt, packClass } = pack
    const job = { salt, packClass, bytes, start: offset, blobs }
    const opened = await this.#components.opening.open(job)
    for (const [i, { chunks }] of blobs.entries()) {
      const blob = opened[i]
      assert(blob !== undefined, 'one result for each blob')
      if ('raw' in blob) await sink.onBlob(blob.raw, chunks)
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

function rangeOf(pack: Pack, blob: BlobEntry): Range {
  return { pack, offset: blob.offset, length: blob.sealedLength, blobs: [blob] }
}

/** Neighbours with small gaps become one range. MALFORMED when an entry is outside its pack. */
function joinRanges(pack: Pack, blobs: readonly BlobEntry[]): Range[] {
  const ranges: Range[] = []
  const packLength = pack.stripe.k * pack.stripe.shardLength
  for (const blob of blobs) {
    const end = blob.offset + blob.sealedLength
    if (end > packLength) throw new MoyaiError('MALFORMED', 'a blob outside its pack')
    const last = ranges.at(-1)
    const joined = last === undefined ? Number.POSITIVE_INFINITY : end - last.offset
    const gap = last === undefined ? 0 : blob.offset - (last.offset + last.length)
    if (last === undefined || gap > GAP_BYTES_MAX || joined > RANGE_BYTES_MAX) {
      ranges.push(rangeOf(pack, blob))
    } else {
      last.length = joined
      last.blobs.push(blob)
    }
  }
  return ranges
}
