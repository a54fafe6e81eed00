/**
 * From chunks to coded, signed packs in the outbox: compress, seal, erasure-code, hash, sign,
 * write.
 *
 * Runs to completion in the calling thread. Compressed blobs are collected in an arena and sealed
 * only when a pack is complete, so that a pack is filled from more blobs than it holds, and the
 * last blobs of a run are cut into packs of fitting sizes: a remainder of 2.1 MiB becomes packs of
 * 2 MiB and 128 KiB, not one of 8 MiB full of padding. Memory: arena (k+2) × 4 MiB, coded buffer
 * (k+m) × 4 MiB, one segment of 1 MiB per kind; pages of them that are never touched cost nothing.
 *
 * Absent today: decoding a pack again before it is sent. Its chunks are checked against their ids
 * when read.
 */

import {
  assert,
  BLOB_CHUNKS_MAX,
  CHUNK_BYTES_MAX,
  CHUNK_BYTES_MIN,
  compressBlob,
  copyBytes,
  encodeIndexSegment,
  PACK_HEADER_BYTES,
  PackBuilder,
  SEGMENT_BYTES_MAX,
  SHARD_LENGTHS,
  signStripe,
} from '@moyai/protocol'
import type {
  Aead,
  BlobEntry,
  BlobKind,
  Code,
  Codec,
  Compressor,
  Hasher,
  Random,
  Signer,
  StripeClass,
} from '@moyai/protocol'

import { writeOutboxPack } from './outbox.ts'
import type { SharedState } from './shared-state.ts'

/**
 * Chunks in one pack: bounds its directory, its index segment and what the main thread decodes at
 * once.
 */
export const PACK_CHUNKS_MAX = 16_384
/** A tail pack may be this empty before it is split. */
const TAIL_WASTE_MAX = 0.25

/** What a pack has besides blobs and their records: footer, tags, frame of the directory. */
const FOOTER_BYTES = 256
/** A blob's tag and its record in the directory. */
const BLOB_OVERHEAD_BYTES = 112
const CHUNK_OVERHEAD_BYTES = 40

/** What is the same for all packs of a writer. */
export type PackWriterOptions = {
  code: Code
  /** Largest shard length to use, one of SHARD_LENGTHS. */
  shardLengthMax: number
  packClass: 'data' | 'meta'
  stripeClass: StripeClass
  vault: Uint8Array
  vaultSalt: Uint8Array
  dataKey: Uint8Array
  /** ms since the epoch. */
  created: number
  protectedUntil: number
  compressionLevel: number
  outbox: string
}

export type PackWriterComponents = {
  codec: Codec
  hasher: Hasher
  random: Random
  signer: Signer
  state: SharedState
  compressor: Compressor
  aead: Aead
  /** Told of each pack that is in the outbox. */
  onPack: (pack: PackNotice) => void
}

/** A pack that waits in the outbox. */
export type PackNotice = { pack: Uint8Array; payloadBytes: number }

type Pending = {
  kind: BlobKind
  compression: 'none' | 'zstd'
  /** In the arena. */
  offset: number
  length: number
  rawLength: number
  chunks: { id: Uint8Array; offset: number; length: number }[]
}

/** Small chunks of one kind on their way into one blob. */
class Gather {
  readonly bytes: Uint8Array = new Uint8Array(SEGMENT_BYTES_MAX)
  length = 0
  chunks: Pending['chunks'] = []

  fits(length: number): boolean {
    return this.length + length <= this.bytes.length && this.chunks.length < BLOB_CHUNKS_MAX
  }
}

/** See the head of this file. One per worker and pack class. */
export class PackWriter {
  readonly #options: PackWriterOptions
  readonly #components: PackWriterComponents
  readonly #gathers = new Map<BlobKind, Gather>()
  readonly #capacity: number
  #arena: Uint8Array | undefined
  #buffer: Uint8Array | undefined
  #arenaEnd = 0
  #pending: Pending[] = []
  #pendingChunks = 0

  constructor(options: PackWriterOptions, components: PackWriterComponents) {
    assert(SHARD_LENGTHS.includes(options.shardLengthMax), 'a shard length of the format')
    this.#options = options
    this.#components = components
    this.#capacity = options.code.k * options.shardLengthMax + CHUNK_BYTES_MAX
  }

  /**
   * Takes a chunk (1 to CHUNK_BYTES_MAX bytes, copied or sealed before it returns). ABORTED,
   * NO_SPACE, DISK.
   */
  add(chunk: { kind: BlobKind; id: Uint8Array; bytes: Uint8Array }): void {
    const { kind, bytes } = chunk
    const id = copyBytes(chunk.id)
    const { state } = this.#components
    state.add(kind === 'data' ? 'dataBytesAdded' : 'treeBytesAdded', bytes.length)
    if (bytes.length >= CHUNK_BYTES_MIN) {
      this.#blob(kind, bytes, [{ id, offset: 0, length: bytes.length }])
      return
    }
    let gather = this.#gathers.get(kind)
    if (gather === undefined) this.#gathers.set(kind, (gather = new Gather()))
    if (!gather.fits(bytes.length)) this.#flushGather(kind, gather)
    gather.bytes.set(bytes, gather.length)
    gather.chunks.push({ id, offset: gather.length, length: bytes.length })
    gather.length += bytes.length
  }

  /** Writes everything that is left, in packs of fitting sizes. The writer can go on afterwards. */
  flush(): void {
    for (const [kind, gather] of this.#gathers) this.#flushGather(kind, gather)
    while (this.#pending.length > 0) this.#pack(this.#tailShardLength())
  }

  #flushGather(kind: BlobKind, gather: Gather): void {
    if (gather.length === 0) return
    this.#blob(kind, gather.bytes.subarray(0, gather.length), gather.chunks)
    gather.length = 0
    gather.chunks = []
  }

  #blob(kind: BlobKind, raw: Uint8Array, chunks: Pending['chunks']): void {
    const { state, compressor } = this.#components
    if (this.#pendingChunks + chunks.length > PACK_CHUNKS_MAX) this.#pack(this.#tailShardLength())
    this.#arena ??= new Uint8Array(this.#capacity + CHUNK_BYTES_MAX)
    const offset = this.#arenaEnd
    const target = this.#arena.subarray(offset)
    const level = this.#options.compressionLevel
    const { compression, length } = compressBlob(raw, { level, target, compressor })
    this.#pending.push({ kind, compression, offset, length, rawLength: raw.length, chunks })
    this.#arenaEnd += length
    this.#pendingChunks += chunks.length
    while (this.#arenaEnd > this.#capacity) this.#pack(this.#options.shardLengthMax)
    state.add(kind === 'data' ? 'dataBlobs' : 'treeBlobs', 1)
  }

  /**
   * The shard length of the next pack of the tail: a smaller one when that fills well and saves
   * padding.
   */
  #tailShardLength(): number {
    const { k } = this.#options.code
    const lengths = SHARD_LENGTHS.filter((length) => length <= this.#options.shardLengthMax)
    const overhead =
      PACK_HEADER_BYTES +
      FOOTER_BYTES +
      CHUNK_OVERHEAD_BYTES * this.#pendingChunks +
      BLOB_OVERHEAD_BYTES * this.#pending.length
    const total = this.#arenaEnd + overhead
    const at = lengths.findIndex((length) => length * k >= total)
    const smallest = lengths[at < 0 ? lengths.length - 1 : at] as number
    const smaller = lengths[(at < 0 ? lengths.length - 1 : at) - 1]
    if (smaller === undefined || total >= smallest * k * (1 - TAIL_WASTE_MAX)) return smallest
    // the smaller one must take most of its room from blobs as they are
    let filled = 0
    for (const blob of this.#pending) {
      if (filled + blob.length + overhead <= smaller * k) filled += blob.length
    }
    return filled >= smaller * k * (1 - TAIL_WASTE_MAX) ? smaller : smallest
  }

  /** Seals pending blobs, in their order, each that fits, into one pack; keeps the others. */
  #pack(shardLength: number): void {
    const { code, packClass, vault, dataKey } = this.#options
    const { random, codec, aead, state } = this.#components
    const { k, m } = code
    this.#buffer ??= codec.allocate((k + m) * this.#options.shardLengthMax)
    const shards = this.#buffer.subarray(0, (k + m) * shardLength)
    const arena = this.#arena
    assert(arena !== undefined, 'blobs are in the arena')
    const buffer = shards.subarray(0, k * shardLength)
    const salt = random.bytes(32)
    const builder = new PackBuilder({ buffer, dataKey, vault, packClass, salt, aead })
    const left: Pending[] = []
    const chosen = this.#choose(buffer.length)
    for (const blob of this.#pending) {
      if (!chosen.has(blob)) {
        left.push(blob)
        continue
      }
      const sealedInput = arena.subarray(blob.offset, blob.offset + blob.length)
      const { kind, compression, rawLength, chunks } = blob
      if (!builder.add({ kind, compression, sealedInput, rawLength, chunks })) left.push(blob)
    }
    assert(builder.blobCount > 0, 'a pack has a blob')
    const { directory } = builder.finish(k * shardLength)
    this.#keep(left)
    codec.encode(code, shardLength, shards)
    this.#write({ salt, shardLength, shards, blobs: directory.blobs })
    state.add('packs', 1)
    state.add('packedBytes', k * shardLength)
  }

  /** Blobs for a pack of `length` bytes: large ones first, so that small ones fill the gaps. */
  #choose(length: number): Set<Pending> {
    const chosen = new Set<Pending>()
    let free = length - PACK_HEADER_BYTES - FOOTER_BYTES
    for (const blob of this.#pending.toSorted((a, b) => b.length - a.length)) {
      const needed = blob.length + BLOB_OVERHEAD_BYTES + CHUNK_OVERHEAD_BYTES * blob.chunks.length
      if (needed > free) continue
      chosen.add(blob)
      free -= needed
    }
    return chosen
  }

  /** Moves the blobs that found no room to the start of the arena. */
  #keep(left: Pending[]): void {
    let end = 0
    this.#pendingChunks = 0
    for (const blob of left) {
      this.#arena?.copyWithin(end, blob.offset, blob.offset + blob.length)
      blob.offset = end
      end += blob.length
      this.#pendingChunks += blob.chunks.length
    }
    this.#arenaEnd = end
    this.#pending = left
  }

  #write(o: {
    salt: Uint8Array
    shardLength: number
    shards: Uint8Array
    blobs: BlobEntry[]
  }): void {
    const { code, vault, vaultSalt, packClass, stripeClass, created, protectedUntil, outbox } =
      this.#options
    const { hasher, signer, state } = this.#components
    const { salt, shardLength, shards, blobs } = o
    const { k, m } = code
    const shardHashes = Array.from({ length: k + m }, (_, i) =>
      hasher.hash(shards.subarray(i * shardLength, (i + 1) * shardLength)),
    )
    const pack = hasher.hash(shards.subarray(0, k * shardLength))
    const descriptor = {
      vault,
      vaultSalt,
      pack,
      k,
      m,
      shardLength,
      shardHashes,
      class: stripeClass,
      protectedUntil,
      created,
    }
    const envelope = signStripe(descriptor, signer)
    const segment = encodeIndexSegment([
      { pack, salt, packClass, length: k * shardLength, stripe: envelope, blobs },
    ])
    state.take(shards.length)
    writeOutboxPack(outbox, { pack, envelope, salt, packClass, segment, shards }, hasher)
    this.#components.onPack({ pack, payloadBytes: shards.length })
  }
}
