/**
 * The vault's index: where each chunk is, what each stripe is, and who said to have which shard.
 *
 * Everything here is a cache of what the pool holds (`rebuild-index.ts` makes it again from hosts
 * and keys), but it is written with the disk's acknowledgement, because a chunk that is in the
 * index is never sent again. A pack's chunks are written in pieces, its stripe last; a mark says
 * that it is under way, and `recover` removes what was left half done.
 *
 * Tables: `stripe` pack → salt, envelope · `chunk` chunk id → pack, blob, offset, length · `blob`
 * pack, blob → place in the pack · `receipt` pack, shard index → host, receipt · `unpublished` pack
 * → index segment that no committed snapshot names yet · `unsettled` pack → count of shards without
 * a holder · `recording` pack under way · `vault-state` for the generation.
 */

import { assert, concatBytes, fromHex, MoyaiError, openStripe, toHex, utf8 } from '@moyai/protocol'
import type { BlobEntry, Random, StripeDescriptor } from '@moyai/protocol'

import type { Database, Operation, Table } from '../database/index.ts'

/** One stripe of this vault. */
export type StripeRecord = {
  /** BLAKE3 of the pack, 32 bytes. */
  pack: Uint8Array
  /** The signed stripe descriptor. */
  envelope: Uint8Array
  /**
   * Salt of the pack's header, 32 bytes: with the keys it gives the header that opens its blobs.
   */
  salt: Uint8Array
  packClass: 'data' | 'meta'
}

/**
 * A host (hex of its key) that keeps one shard; without `receipt` it was only seen to have it,
 * after a rebuild.
 */
export type HolderRecord = { index: number; host: string; receipt?: Uint8Array }

/** Where a chunk is: `offset` and `length` are within the opened blob number `blob` of the pack. */
export type ChunkLocation = { pack: Uint8Array; blob: number; offset: number; length: number }

/** A stripe as readers need it. */
export type PackInfo = { stripe: StripeDescriptor; salt: Uint8Array; packClass: 'data' | 'meta' }

/** All that is recorded of a new pack at once. */
export type PackRecord = {
  stripe: StripeRecord
  blobs: readonly BlobEntry[]
  holders: readonly HolderRecord[]
  /** Encoded index segment of this pack, kept until a snapshot that names it is committed. */
  segment?: Uint8Array
  /** Shards that no host keeps yet. */
  missing?: number
}

const KINDS = ['data', 'tree', 'list', 'index'] as const
const COMPRESSIONS = ['none', 'zstd'] as const
const PACK_CLASSES = ['data', 'meta'] as const
const CHUNK_VALUE_BYTES = 44
const BLOB_VALUE_BYTES = 14
/** Chunk ids fetched by one `getMany`. */
const LOOKUP_BATCH = 1024
/** Records written at once: about 1 KiB of objects each. */
const RECORD_BATCH = 2048
const GENERATION_KEY: Uint8Array = utf8('generation')

function damaged(what: string): MoyaiError {
  return new MoyaiError('MALFORMED', `a ${what} record of the local index is damaged`, {
    hint: 'move the folder database/ away and restart: it is rebuilt from the pool',
  })
}

/** The locations of all chunks of a blob, one after another: views of one buffer are cheap. */
function encodeLocations(pack: Uint8Array, blob: BlobEntry): Uint8Array {
  const values = new Uint8Array(blob.chunks.length * CHUNK_VALUE_BYTES)
  const view = new DataView(values.buffer)
  for (const [i, chunk] of blob.chunks.entries()) {
    const at = i * CHUNK_VALUE_BYTES
    values.set(pack, at)
    view.setUint32(at + 32, blob.index)
    view.setUint32(at + 36, chunk.offset)
    view.setUint32(at + 40, chunk.length)
  }
  return values
}

function decodeLocation(value: Uint8Array): ChunkLocation {
  if (value.length !== CHUNK_VALUE_BYTES) throw damaged('chunk')
  const view = new DataView(value.buffer, value.byteOffset, value.length)
  return {
    pack: value.slice(0, 32),
    blob: view.getUint32(32),
    offset: view.getUint32(36),
    length: view.getUint32(40),
  }
}

function encodeBlob(blob: BlobEntry): Uint8Array {
  const value = new Uint8Array(BLOB_VALUE_BYTES)
  const view = new DataView(value.buffer)
  value[0] = KINDS.indexOf(blob.kind)
  value[1] = COMPRESSIONS.indexOf(blob.compression)
  view.setUint32(2, blob.offset)
  view.setUint32(6, blob.sealedLength)
  view.setUint32(10, blob.rawLength)
  return value
}

function decodeBlob(index: number, value: Uint8Array): BlobEntry {
  const kind = KINDS[value[0] ?? 255]
  const compression = COMPRESSIONS[value[1] ?? 255]
  if (value.length !== BLOB_VALUE_BYTES || kind === undefined || compression === undefined) {
    throw damaged('blob')
  }
  const view = new DataView(value.buffer, value.byteOffset, value.length)
  const offset = view.getUint32(2)
  const sealedLength = view.getUint32(6)
  return {
    index,
    kind,
    compression,
    offset,
    sealedLength,
    rawLength: view.getUint32(10),
    chunks: [],
  }
}

function blobKey(pack: Uint8Array, index: number): Uint8Array {
  const key = new Uint8Array(36)
  key.set(pack)
  new DataView(key.buffer).setUint32(32, index)
  return key
}

function encodeStripe(stripe: StripeRecord): Uint8Array {
  assert(stripe.salt.length === 32, 'a salt is 32 bytes')
  const packClass = Uint8Array.of(PACK_CLASSES.indexOf(stripe.packClass))
  return concatBytes(packClass, stripe.salt, stripe.envelope)
}

function decodeStripe(pack: Uint8Array, value: Uint8Array): StripeRecord {
  const packClass = PACK_CLASSES[value[0] ?? 255]
  if (packClass === undefined || value.length < 33) {
    throw damaged('stripe')
  }
  return { pack, packClass, salt: value.slice(1, 33), envelope: value.slice(33) }
}

function holderKey(pack: Uint8Array, index: number): Uint8Array {
  return concatBytes(pack, Uint8Array.of(index))
}

function decodeHolder(key: Uint8Array, value: Uint8Array): HolderRecord {
  const holder = { index: key[32] ?? 0, host: toHex(value.subarray(0, 32)) }
  return value.length > 32 ? { ...holder, receipt: value.slice(32) } : holder
}

/**
 * See the head of this file. Errors: those of the Database port; MALFORMED for a damaged record.
 */
export class VaultIndex {
  readonly #database: Database
  readonly #stripes: Table
  readonly #chunks: Table
  readonly #blobs: Table
  readonly #receipts: Table
  readonly #unpublished: Table
  readonly #unsettled: Table
  readonly #recording: Table
  readonly #state: Table
  #turn: Promise<void> = Promise.resolve()

  constructor(database: Database) {
    this.#database = database
    this.#stripes = database.table('stripe')
    this.#chunks = database.table('chunk')
    this.#blobs = database.table('blob')
    this.#receipts = database.table('receipt')
    this.#unpublished = database.table('unpublished')
    this.#unsettled = database.table('unsettled')
    this.#recording = database.table('recording')
    this.#state = database.table('vault-state')
  }

  /** Where each of `ids` is, in their order; undefined for what this vault does not have. */
  async locate(ids: readonly Uint8Array[]): Promise<(ChunkLocation | undefined)[]> {
    const places: (ChunkLocation | undefined)[] = []
    for (let start = 0; start < ids.length; start += LOOKUP_BATCH) {
      const values = await this.#chunks.getMany(ids.slice(start, start + LOOKUP_BATCH))
      for (const value of values) {
        places.push(value === undefined ? undefined : decodeLocation(value))
      }
    }
    return places
  }

  /** What opens and checks `pack`; undefined when it is not of this vault. */
  async pack(pack: Uint8Array): Promise<PackInfo | undefined> {
    const record = await this.stripe(pack)
    if (record === undefined) return undefined
    const stripe = openStripe(record.envelope)
    return { stripe, salt: record.salt, packClass: record.packClass }
  }

  /** Blobs of `pack` by their numbers; `chunks` of each is empty, `locate` knows them. */
  async blobs(pack: Uint8Array, indexes: readonly number[]): Promise<(BlobEntry | undefined)[]> {
    const values = await this.#blobs.getMany(indexes.map((index) => blobKey(pack, index)))
    return values.map((value, i) =>
      value === undefined ? undefined : decodeBlob(indexes[i] as number, value),
    )
  }

  /** Ids of all packs, in byte order. */
  async *packs(): AsyncGenerator<Uint8Array> {
    for await (const [pack] of this.#stripes.iterate()) yield pack
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

  /**
   * Records a pack; all of it is on the disk when it resolves. One pack after another, in pieces:
   * the objects of a large batch were once the largest part of the daemon's memory.
   */
  async recordPack(record: PackRecord): Promise<void> {
    const before = this.#turn
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#turn = promise
    await before
    try {
      await this.#recordPack(record)
    } finally {
      resolve()
    }
  }

  async #recordPack(record: PackRecord): Promise<void> {
    const { pack } = record.stripe
    await this.#recording.put(pack, Uint8Array.of(1))
    let operations: Operation[] = []
    for (const blob of record.blobs) {
      // index blobs are found through their pack: nothing refers to them by a chunk id
      if (blob.kind === 'index') continue
      operations.push(this.#blobs.putting(blobKey(pack, blob.index), encodeBlob(blob)))
      const values = encodeLocations(pack, blob)
      for (const [i, { id }] of blob.chunks.entries()) {
        const at = i * CHUNK_VALUE_BYTES
        operations.push(this.#chunks.putting(id, values.subarray(at, at + CHUNK_VALUE_BYTES)))
      }
      if (operations.length < RECORD_BATCH) continue
      await this.#database.batch(operations)
      operations = []
    }
    operations.push(this.#stripes.putting(pack, encodeStripe(record.stripe)))
    operations.push(this.#recording.deleting(pack))
    for (const holder of record.holders) operations.push(this.#putHolder(pack, holder))
    if (record.segment !== undefined) {
      operations.push(this.#unpublished.putting(pack, record.segment))
    }
    const missing = record.missing ?? 0
    operations.push(
      missing === 0
        ? this.#unsettled.deleting(pack)
        : this.#unsettled.putting(pack, Uint8Array.of(missing)),
    )
    await this.#database.batch(operations)
  }

  /**
   * Removes the chunks of packs whose recording a crash interrupted: nothing may take them for
   * stored.
   */
  async recover(): Promise<void> {
    const half = new Set<string>()
    for await (const [pack] of this.#recording.iterate()) {
      if ((await this.#stripes.get(pack)) === undefined) half.add(toHex(pack))
      else await this.#recording.del(pack)
    }
    if (half.size === 0) return
    for await (const [id, value] of this.#chunks.iterate()) {
      if (half.has(toHex(value.subarray(0, 32)))) await this.#chunks.del(id)
    }
    for (const name of half) await this.#recording.del(fromHex(name))
  }

  /** Packs of which some shards have no holder yet, with their counts. */
  async *unsettled(): AsyncGenerator<{ pack: Uint8Array; missing: number }> {
    for await (const [pack, value] of this.#unsettled.iterate()) {
      yield { pack, missing: value[0] ?? 0 }
    }
  }

  /** Records that more shards of a stripe have holders now. */
  async settle(
    pack: Uint8Array,
    o: { holders: readonly HolderRecord[]; missing: number },
  ): Promise<void> {
    const count = Uint8Array.of(o.missing)
    await this.#database.batch([
      ...o.holders.map((holder) => this.#putHolder(pack, holder)),
      o.missing === 0 ? this.#unsettled.deleting(pack) : this.#unsettled.putting(pack, count),
    ])
  }

  /**
   * Records the longer descriptor of a stripe that is there, and that `missing` of its shards have
   * no holder yet.
   */
  async extend(pack: Uint8Array, o: { envelope: Uint8Array; missing: number }): Promise<void> {
    const record = await this.stripe(pack)
    if (record === undefined) throw new MoyaiError('NOT_FOUND', 'no such stripe in the index')
    const value = encodeStripe({ ...record, envelope: o.envelope })
    await this.#database.batch([
      this.#stripes.putting(pack, value),
      this.#unsettled.putting(pack, Uint8Array.of(o.missing)),
    ])
  }

  /**
   * 16 random bytes that change when the index is emptied: caches that name chunks keep them, and
   * are void when they differ.
   */
  async generation(random: Random): Promise<Uint8Array> {
    const known = await this.#state.get(GENERATION_KEY)
    if (known !== undefined) return known
    const fresh = random.bytes(16)
    await this.#state.put(GENERATION_KEY, fresh)
    return fresh
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
    await this.#state.del(GENERATION_KEY)
    const tables = [
      this.#chunks,
      this.#blobs,
      this.#receipts,
      this.#unpublished,
      this.#unsettled,
      this.#recording,
      this.#stripes,
    ]
    for (const table of tables) await table.clear()
  }

  #putHolder(pack: Uint8Array, holder: HolderRecord): Operation {
    const host = fromHex(holder.host)
    assert(host.length === 32, 'a host is named by its 32-byte key')
    const value = concatBytes(host, holder.receipt ?? new Uint8Array())
    return this.#receipts.putting(holderKey(pack, holder.index), value)
  }
}
