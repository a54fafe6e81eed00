/**
 * The vault's index: where each chunk is, what each stripe is, and who said to have which shard.
 *
 * Everything here is a cache of what the pool holds (`rebuild-index.ts` makes it again from hosts and keys), but it is
 * written with the disk's acknowledgement, because a chunk that is in the index is never sent again. One batch per
 * pack: its stripe, its chunks and its receipts are there together or not at all.
 *
 * Tables: `stripe` pack → salt, envelope · `chunk` chunk id → place · `receipt` pack, index → host, receipt ·
 * `unpublished` pack → index segment that no committed snapshot names yet.
 */

import { assert, concatBytes, MoyaiError } from '@moyai/protocol'
import type { BlobEntry } from '@moyai/protocol'

import type { Database, Operation, Table } from '../database/index.ts'

/** One stripe of this vault. */
export type StripeRecord = {
  /** BLAKE3 of the pack, 32 bytes. */
  pack: Uint8Array
  /** The signed stripe descriptor. */
  envelope: Uint8Array
  /** Salt of the pack's header, 32 bytes: with the keys it gives the header that opens its blobs. */
  salt: Uint8Array
  packClass: 'data' | 'meta'
}

/** A host that keeps one shard; without `receipt` it was only seen to have it (after a rebuild). */
export type HolderRecord = { index: number; host: Uint8Array; receipt?: Uint8Array }

/** Where a chunk is: its pack, and the blob with this one chunk in `blob.chunks`. */
export type ChunkLocation = { pack: Uint8Array; blob: BlobEntry }

/** All that is recorded of a new pack at once. */
export type PackRecord = {
  stripe: StripeRecord
  blobs: readonly BlobEntry[]
  holders: readonly HolderRecord[]
  /** Encoded index segment of this pack, kept until a snapshot that names it is committed. */
  segment?: Uint8Array
}

const KINDS = ['data', 'tree', 'list', 'index'] as const
const COMPRESSIONS = ['none', 'zstd'] as const
const CHUNK_VALUE_BYTES = 58
const PACK_CLASSES = ['data', 'meta'] as const

/** Chunk ids fetched by one `getMany`. */
const LOOKUP_BATCH = 1024

function encodePlace(pack: Uint8Array, blob: BlobEntry, at: number): Uint8Array {
  const chunk = blob.chunks[at]
  assert(chunk !== undefined, 'the blob has that chunk')
  const value = new Uint8Array(CHUNK_VALUE_BYTES)
  const view = new DataView(value.buffer)
  value.set(pack)
  view.setUint32(32, blob.index)
  value[36] = KINDS.indexOf(blob.kind)
  value[37] = COMPRESSIONS.indexOf(blob.compression)
  view.setUint32(38, blob.offset)
  view.setUint32(42, blob.sealedLength)
  view.setUint32(46, blob.rawLength)
  view.setUint32(50, chunk.offset)
  view.setUint32(54, chunk.length)
  return value
}

function decodePlace(id: Uint8Array, value: Uint8Array): ChunkLocation {
  const kind = KINDS[value[36] ?? 255]
  const compression = COMPRESSIONS[value[37] ?? 255]
  if (value.length !== CHUNK_VALUE_BYTES || kind === undefined || compression === undefined) {
    throw new MoyaiError('MALFORMED', 'a record of the local index is damaged', {
      hint: 'move the folder database/ away and restart: it is rebuilt from the pool',
    })
  }
  const view = new DataView(value.buffer, value.byteOffset, value.length)
  return {
    pack: value.slice(0, 32),
    blob: {
      index: view.getUint32(32),
      kind,
      compression,
      offset: view.getUint32(38),
      sealedLength: view.getUint32(42),
      rawLength: view.getUint32(46),
      chunks: [{ id, offset: view.getUint32(50), length: view.getUint32(54) }],
    },
  }
}

function encodeStripe(stripe: StripeRecord): Uint8Array {
  assert(stripe.salt.length === 32, 'a salt is 32 bytes')
  const packClass = Uint8Array.of(PACK_CLASSES.indexOf(stripe.packClass))
  return concatBytes(packClass, stripe.salt, stripe.envelope)
}

function decodeStripe(pack: Uint8Array, value: Uint8Array): StripeRecord {
  const packClass = PACK_CLASSES[value[0] ?? 255]
  if (packClass === undefined || value.length < 33) {
    throw new MoyaiError('MALFORMED', 'a stripe record of the local index is damaged')
  }
  return { pack, packClass, salt: value.slice(1, 33), envelope: value.slice(33) }
}

function holderKey(pack: Uint8Array, index: number): Uint8Array {
  return concatBytes(pack, Uint8Array.of(index))
}

function decodeHolder(key: Uint8Array, value: Uint8Array): HolderRecord {
  const holder = { index: key[32] ?? 0, host: value.slice(0, 32) }
  return value.length > 32 ? { ...holder, receipt: value.slice(32) } : holder
}

/** See the head of this file. Errors: those of the Database port; MALFORMED for a damaged record. */
export class VaultIndex {
  readonly #database: Database
  readonly #stripes: Table
  readonly #chunks: Table
  readonly #receipts: Table
  readonly #unpublished: Table

  constructor(database: Database) {
    this.#database = database
    this.#stripes = database.table('stripe')
    this.#chunks = database.table('chunk')
    this.#receipts = database.table('receipt')
    this.#unpublished = database.table('unpublished')
  }

  /** Where the chunk `id` is; undefined when this vault has no such chunk. */
  async lookup(id: Uint8Array): Promise<ChunkLocation | undefined> {
    const value = await this.#chunks.get(id)
    return value === undefined ? undefined : decodePlace(id, value)
  }

  /** Like `lookup`, for many, in the order of `ids`. */
  async lookupMany(ids: readonly Uint8Array[]): Promise<(ChunkLocation | undefined)[]> {
    const places: (ChunkLocation | undefined)[] = []
    for (let start = 0; start < ids.length; start += LOOKUP_BATCH) {
      const some = ids.slice(start, start + LOOKUP_BATCH)
      const values = await this.#chunks.getMany(some)
      for (const [i, value] of values.entries()) {
        places.push(value === undefined ? undefined : decodePlace(some[i] as Uint8Array, value))
      }
    }
    return places
  }

  async stripe(pack: Uint8Array): Promise<StripeRecord | undefined> {
    const value = await this.#stripes.get(pack)
    return value === undefined ? undefined : decodeStripe(pack, value)
  }

  /** All stripes, ordered by pack id. */
  async *stripes(): AsyncGenerator<StripeRecord> {
    for await (const [pack, value] of this.#stripes.iterate()) yield decodeStripe(pack, value)
  }

  /** Who keeps which shard of `pack`, ordered by shard index. */
  async holders(pack: Uint8Array): Promise<HolderRecord[]> {
    const found: HolderRecord[] = []
    const range = { gte: holderKey(pack, 0), lte: holderKey(pack, 255) }
    for await (const [key, value] of this.#receipts.iterate(range)) {
      found.push(decodeHolder(key, value))
    }
    return found
  }

  /** Every shard with its holder, ordered by pack id and shard index. */
  async *allHolders(): AsyncGenerator<HolderRecord & { pack: Uint8Array }> {
    for await (const [key, value] of this.#receipts.iterate()) {
      yield { ...decodeHolder(key, value), pack: key.slice(0, 32) }
    }
  }

  /** All chunk ids, in byte order. */
  async *chunkIds(): AsyncGenerator<Uint8Array> {
    for await (const [id] of this.#chunks.iterate()) yield id
  }

  /** Records a pack: one atomic batch, on the disk when it resolves. */
  async recordPack(record: PackRecord): Promise<void> {
    const { pack } = record.stripe
    const operations: Operation[] = [this.#stripes.putting(pack, encodeStripe(record.stripe))]
    for (const blob of record.blobs) {
      // index blobs are found through their pack: nothing refers to them by a chunk id
      if (blob.kind === 'index') continue
      for (const [at, chunk] of blob.chunks.entries()) {
        operations.push(this.#chunks.putting(chunk.id, encodePlace(pack, blob, at)))
      }
    }
    for (const holder of record.holders) operations.push(this.#putHolder(pack, holder))
    if (record.segment !== undefined) {
      operations.push(this.#unpublished.putting(pack, record.segment))
    }
    await this.#database.batch(operations)
  }

  /** Records (or replaces) who keeps a shard. */
  async addHolder(pack: Uint8Array, holder: HolderRecord): Promise<void> {
    await this.#database.batch([this.#putHolder(pack, holder)])
  }

  /** Forgets that anybody keeps this shard: it was found missing or damaged there. */
  async removeHolder(pack: Uint8Array, index: number): Promise<void> {
    await this.#receipts.del(holderKey(pack, index))
  }

  /** Packs whose index segment no committed snapshot names yet. */
  async *unpublished(): AsyncGenerator<{ pack: Uint8Array; segment: Uint8Array }> {
    for await (const [pack, segment] of this.#unpublished.iterate()) yield { pack, segment }
  }

  /** Called when a snapshot that names the index of `packs` is committed. */
  async published(packs: readonly Uint8Array[]): Promise<void> {
    await this.#database.batch(packs.map((pack) => this.#unpublished.deleting(pack)))
  }

  /** Empties the index, before a rebuild. */
  async clear(): Promise<void> {
    for (const table of [this.#chunks, this.#receipts, this.#unpublished, this.#stripes]) {
      await table.clear()
    }
  }

  #putHolder(pack: Uint8Array, holder: HolderRecord): Operation {
    assert(holder.host.length === 32, 'a host is named by its 32-byte key')
    const value = concatBytes(holder.host, holder.receipt ?? new Uint8Array())
    return this.#receipts.putting(holderKey(pack, holder.index), value)
  }
}
