/**
 * The port to the shards that this host keeps for others (spec/shard-file.md).
 *
 * What is acknowledged is durable: `commit` resolves only when bytes and names are on the disk.
 * What is kept is never overwritten by anything but a repaired copy of itself, and nothing is
 * deleted but a surplus copy, under rules that this store checks itself (spec/surplus.md §2).
 *
 * Errors of all calls: STORE_OFFLINE when the store's folder is not the one it was (a disk that is
 * not mounted): never NOT_FOUND then. DISK for what else the disk does.
 */

import type { StripeDescriptor, SurplusMarker } from '@moyai/protocol'

/** Names one shard: vault and pack are 32 bytes each. */
export type ShardId = { vault: Uint8Array; pack: Uint8Array; index: number }

/**
 * A shard on its way in. Exactly one of `commit` and `abort` ends it; after a failed `write`,
 * `abort` does.
 */
export interface ShardWriter {
  readonly descriptor: StripeDescriptor
  /**
   * Takes the next bytes of the shard, in one piece or several; they are on their way to the disk
   * when it resolves, and must not change before. TOO_LARGE beyond its end.
   */
  write(bytes: Uint8Array | readonly Uint8Array[]): Promise<void>
  /**
   * Makes the shard durable. TRUNCATED when bytes are missing, HASH_MISMATCH when they are not the
   * shard's; STORE_TAINTED; NO_SPACE. After any error the shard must not be acknowledged, though
   * its file may be there.
   */
  commit(): Promise<void>
  /** Gives up and cleans up; never throws. Fine after `commit`, and more than once. */
  abort(): Promise<void>
}

/**
 * `had`: this shard is already here, was just read and verified in full, and is durable:
 * acknowledge it. It is not marked as surplus any more: who gets a receipt may rely on it.
 */
export type ShardPut =
  | { had: true; descriptor: StripeDescriptor }
  | { had: false; writer: ShardWriter }

/**
 * An open shard. Its header is verified; the bytes that `read` gives are not: their receiver has
 * the proof.
 */
export interface ShardReader {
  readonly descriptor: StripeDescriptor
  readonly envelope: Uint8Array
  readonly index: number
  /** 32 bytes for each 16 KiB of the shard. */
  readonly groups: Uint8Array
  /**
   * Bytes `[offset, offset + length)` of the shard, which must be within it; SHARD_DAMAGED when
   * they are not there.
   */
  read(offset: number, length: number): Promise<Uint8Array>
  close(): Promise<void>
}

/** `length`: bytes of the whole file. */
export type ShardItem = ShardId & { length: number }

export type ShardPage = {
  items: ShardItem[]
  /** Where the next page begins; absent on the last. */
  next?: Uint8Array
}

/** What vaults that belong together may take here: `bytes` of shard files in all. */
export type VaultQuota = { vaults: readonly Uint8Array[]; bytes: number }

export interface ShardStore {
  /**
   * Begins to take shard `index` of the stripe that `envelope` describes. Whether its vault may
   * store here is decided above; `descriptor`, if that has verified the envelope already, is what
   * `openStripe` gave for it. A damaged file of that shard is replaced by `commit`. `quota` is that
   * of its vault, on top of the store's own. What `openStripe` throws; MALFORMED for an index beyond
   * the stripe; QUOTA, NO_SPACE, BUSY, STORE_TAINTED.
   */
  put(o: {
    envelope: Uint8Array
    index: number
    descriptor?: StripeDescriptor
    quota?: VaultQuota | undefined
  }): Promise<ShardPut>
  /**
   * True when the shard's file is here, its header right and its length whole. The payload is not
   * read.
   */
  has(id: ShardId): Promise<boolean>
  /** NOT_FOUND; SHARD_DAMAGED when a file is there but its header or its length is wrong. */
  open(id: ShardId): Promise<ShardReader>
  /** Reads the whole shard and compares it with its hash. NOT_FOUND, SHARD_DAMAGED. */
  verify(id: ShardId): Promise<void>
  /**
   * What is here, read from the names of the files alone and sorted by vault, pack and index; of
   * one vault, or of all. `cursor` is the `next` of the page before; MALFORMED when it is not.
   * `limit` items at most; with `bucket` only packs of that first byte.
   */
  list(o: {
    vault?: Uint8Array
    cursor?: Uint8Array
    limit?: number
    bucket?: number
  }): Promise<ShardPage>
  /** Vaults that have shards here. */
  vaults(): Promise<Uint8Array[]>
  /** Digests of the inventory of a vault, DIGESTS_BYTES: see `digests.ts`. */
  digests(vault: Uint8Array): Promise<Uint8Array>
  /** Calls `listener` after a shard of `vault` came or went; the returned function ends that. */
  onChange(listener: (vault: Uint8Array) => void): () => void
  /** The shards of one stripe that are here with a right header; usually one, none is no error. */
  stat(o: {
    vault: Uint8Array
    pack: Uint8Array
  }): Promise<{ index: number; envelope: Uint8Array }[]>
  /**
   * Remembers, durably, that this shard is surplus: another host has it too, as its `receipt`
   * (envelope) of this moment says. A marker that names the same host and is not from the future
   * stands as it is. Gives what stands. RETAINED when the receipt is not good for that; NOT_FOUND,
   * SHARD_DAMAGED; what `openReceipt` throws; STORE_TAINTED.
   */
  markSurplus(id: ShardId, o: { receipt: Uint8Array }): Promise<SurplusMarker>
  /** The marker of this shard; undefined when there is none that can be read. */
  surplusMarker(id: ShardId): Promise<SurplusMarker | undefined>
  /** Ends the waiting time of this shard, durably; no marker is fine. STORE_TAINTED. */
  unmark(id: ShardId): Promise<void>
  /**
   * Deletes a surplus copy whose marker has stood for the waiting time. `prove` has to get a new
   * receipt (envelope) of the host that the marker names: it is called only when all else is
   * fulfilled, and what it throws is thrown. RETAINED when anything is missing, also when this
   * shard was acknowledged to somebody meanwhile: then it stays, unmarked. NOT_FOUND,
   * SHARD_DAMAGED, BUSY (the same is under way), STORE_TAINTED.
   */
  trim(id: ShardId, o: { prove: () => Promise<Uint8Array> }): Promise<void>
  /**
   * Calls `listener` once for each shard that `open`, `read` or `verify` find damaged or cannot
   * read; the returned function ends that. Until the shard is put again, or `verify` finds it right,
   * `list` and `stat` leave it out. The set is in memory: a scrub after a restart finds it again.
   */
  onDamage(listener: (id: ShardId) => void): () => void
  /** Whether this shard was found damaged, and was not put again since. */
  isDamaged(id: ShardId): boolean
  /** The store was not closed when it was last used, so that its newest files may be damaged. */
  readonly wasUnclean: boolean
  /** Bytes of all shard files, damaged ones included; of one vault, or of all. */
  usedBytes(vault?: Uint8Array): Promise<number>
  /** Bytes that shards may still take: of the quota, and of the disk without its reserve. */
  freeBytes(): Promise<number>
  /** Aborts what is under way and refuses everything from then on. */
  close(): Promise<void>
}
