/**
 * Rebuilding the index from the pool: nothing local is precious.
 *
 * The vault log names, for each snapshot, the packs that hold the index of what its run stored.
 * Those packs are looked for on all hosts, decoded from any k shards, and their index segments give
 * every other pack. Where shards are is taken from the hosts' inventories; the settler then asks
 * for receipts, and until it has them stripes count as settling. Absent: packs that no snapshot
 * names (of a store that was never committed); their chunks are stored again when needed.
 */

import {
  decodeIndexSegment,
  equalBytes,
  isMoyaiError,
  MoyaiError,
  openLogEntry,
  openSnapshot,
  openStripe,
  PACK_HEADER_BYTES,
  parsePackHeader,
  PackReader,
  readPackDirectory,
  toHex,
  vaultSigner,
} from '@moyai/protocol'
import type {
  BlobEntry,
  Codec,
  Hasher,
  IndexPack,
  StripeDescriptor,
  VaultBundle,
} from '@moyai/protocol'

import type { Logger } from '../logger.ts'
import type { StoreNetwork, StorePool } from './ports.ts'
import type { HolderRecord, VaultIndex } from './vault-index.ts'

/** Pages of one host's inventory: 1000 shards each would be a vault of 4 TiB. */
const INVENTORY_PAGES_MAX = 100_000

export type RebuildComponents = {
  index: VaultIndex
  network: StoreNetwork
  pool: StorePool
  codec: Codec
  hasher: Hasher
  logger: Logger
}

export type RebuildResult = {
  snapshots: number
  packs: number
  chunks: number
  /** Index packs (hex) that no k hosts could give: what they name is not in the index. */
  missing: string[]
  /** Hosts (hex) whose inventory could not be read. */
  silent: string[]
}

type Found = { stripe: StripeDescriptor; envelope: Uint8Array; holders: HolderRecord[] }

/** See the head of this file. */
export class IndexRebuilder {
  readonly #bundle: VaultBundle
  readonly #vault: Uint8Array
  readonly #components: RebuildComponents

  constructor(o: { bundle: VaultBundle }, components: RebuildComponents) {
    this.#bundle = o.bundle
    this.#vault = vaultSigner(o.bundle).publicKey
    this.#components = components
  }

  /**
   * Adds to the index what the log `entries` (envelopes of this vault) name and it lacks, from the
   * hosts that answer. What is there already stays, so a store may run meanwhile. Hosts that are
   * silent, and packs that cannot be read, are in the result; run it again when more hosts are
   * there.
   */
  async rebuild(o: {
    entries: AsyncIterable<Uint8Array>
    signal: AbortSignal
  }): Promise<RebuildResult> {
    const { logger } = this.#components
    const result: RebuildResult = { snapshots: 0, packs: 0, chunks: 0, missing: [], silent: [] }
    const holders = await this.#inventories(result, o.signal)
    const done = new Set<string>()
    for await (const envelope of o.entries) {
      o.signal.throwIfAborted()
      const entry = openLogEntry(envelope)
      if (entry.kind !== 'snapshot' || !equalBytes(entry.vault, this.#vault)) continue
      result.snapshots++
      for (const pack of openSnapshot(this.#bundle, entry).indexPacks) {
        const name = toHex(pack)
        if (done.has(name)) continue
        done.add(name)
        await this.#indexPack(pack, { holders, result, signal: o.signal })
      }
    }
    logger.info({ ...result, missing: result.missing.length }, 'index rebuilt from the pool')
    return result
  }

  /** Who has which shard of which pack, by asking everybody: pack (hex) → holders. */
  async #inventories(
    result: RebuildResult,
    signal: AbortSignal,
  ): Promise<Map<string, HolderRecord[]>> {
    const { pool, network, logger } = this.#components
    const holders = new Map<string, HolderRecord[]>()
    for (const host of new Set([...pool.hosts().map(({ id }) => id), ...pool.retiring()])) {
      if (host === pool.self) continue
      try {
        let cursor: Uint8Array | undefined
        for (let page = 0; page < INVENTORY_PAGES_MAX; page++) {
          const from = cursor === undefined ? {} : { cursor }
          const answer = await network
            .shards(host)
            .inventory({ vault: this.#vault, ...from, signal })
          for (const { pack, index } of answer.items) {
            const name = toHex(pack)
            const known = holders.get(name) ?? []
            if (known.every((holder) => holder.index !== index)) known.push({ index, host })
            holders.set(name, known)
          }
          cursor = answer.next
          if (cursor === undefined) break
        }
      } catch (error) {
        signal.throwIfAborted()
        const text = error instanceof Error ? error.message : String(error)
        logger.warn({ host, error: text }, 'inventory not readable')
        result.silent.push(host)
      }
    }
    return holders
  }

  /** Reads one index pack, and records it and every pack that it names. */
  async #indexPack(
    pack: Uint8Array,
    o: { holders: Map<string, HolderRecord[]>; result: RebuildResult; signal: AbortSignal },
  ): Promise<void> {
    const { logger } = this.#components
    try {
      const found = await this.#find(pack, o)
      const bytes = await this.#read(found, o.signal)
      const secret = { dataKey: this.#bundle.dataKey, vault: this.#vault }
      const { blobs } = readPackDirectory({ ...secret, pack: bytes })
      const { salt, packClass } = parsePackHeader(bytes)
      const { envelope: stripe } = found
      await this.#record({ pack, salt: salt.slice(), packClass, stripe, blobs }, o)
      const reader = new PackReader({ ...secret, header: bytes.slice(0, PACK_HEADER_BYTES) })
      for (const blob of blobs) {
        if (blob.kind !== 'index') continue
        const sealed = bytes.subarray(blob.offset, blob.offset + blob.sealedLength)
        await this.#segments(blob, reader.open(blob, sealed), o)
      }
    } catch (error) {
      o.signal.throwIfAborted()
      if (isMoyaiError(error, 'DISK', 'NO_SPACE')) throw error
      const text = error instanceof Error ? error.message : String(error)
      logger.warn({ pack: toHex(pack), error: text }, 'index pack not readable')
      o.result.missing.push(toHex(pack))
    }
  }

  async #segments(
    blob: BlobEntry,
    raw: Uint8Array,
    o: { holders: Map<string, HolderRecord[]>; result: RebuildResult; signal: AbortSignal },
  ): Promise<void> {
    const { hasher } = this.#components
    for (const { id, offset, length } of blob.chunks) {
      const segment = raw.subarray(offset, offset + length)
      if (!equalBytes(hasher.keyedHash(this.#bundle.chunkIdKey, segment), id)) {
        throw new MoyaiError('HASH_MISMATCH', 'an index segment is not what its id says')
      }
      for (const pack of decodeIndexSegment(segment)) await this.#record(pack, o)
    }
  }

  async #record(
    pack: Omit<IndexPack, 'length'>,
    o: { holders: Map<string, HolderRecord[]>; result: RebuildResult; signal: AbortSignal },
  ): Promise<void> {
    const { index } = this.#components
    if ((await index.stripe(pack.pack)) !== undefined) return
    const { stripe, envelope, holders } = await this.#longest(pack, o)
    await index.recordPack({
      stripe: {
        pack: pack.pack,
        envelope,
        salt: pack.salt,
        packClass: pack.packClass,
      },
      blobs: pack.blobs,
      holders,
      missing: stripe.k + stripe.m,
    })
    o.result.packs++
    for (const blob of pack.blobs) o.result.chunks += blob.chunks.length
  }

  /**
   * The descriptor that a segment names, or the longer one of a stripe that got more parity since
   * (spec/growth.md §2), with the holders of its shards.
   */
  async #longest(
    pack: Pick<IndexPack, 'pack' | 'stripe'>,
    o: { holders: Map<string, HolderRecord[]>; signal: AbortSignal },
  ): Promise<Found> {
    const stripe = openStripe(pack.stripe)
    if (!equalBytes(stripe.pack, pack.pack) || !equalBytes(stripe.vault, this.#vault)) {
      throw new MoyaiError('MALFORMED', 'an index segment names a stripe of something else')
    }
    const holders = o.holders.get(toHex(pack.pack)) ?? []
    let found: Found = { stripe, envelope: pack.stripe, holders: ofStripe(stripe, holders) }
    if (found.holders.length < holders.length) {
      try {
        const other = await this.#find(pack.pack, o)
        if (other.stripe.k === stripe.k && other.stripe.m > stripe.m) found = other
      } catch (error) {
        // Those who have the longer one are away again: the one that is known is right, too.
        if (!isMoyaiError(error, 'NOT_FOUND')) throw error
      }
    }
    return found
  }

  /**
   * The signed descriptor of a pack, from a holder; the one of the last shard has the longest.
   * NOT_FOUND when nobody has a shard of it.
   */
  async #find(
    pack: Uint8Array,
    o: { holders: Map<string, HolderRecord[]>; signal: AbortSignal },
  ): Promise<Found> {
    const holders = (o.holders.get(toHex(pack)) ?? []).toSorted((a, b) => b.index - a.index)
    for (const { host } of holders) {
      try {
        const shards = this.#components.network.shards(host)
        const [shard] = await shards.stat({ vault: this.#vault, pack, signal: o.signal })
        if (shard === undefined) continue
        const stripe = openStripe(shard.envelope)
        const right = equalBytes(stripe.pack, pack) && equalBytes(stripe.vault, this.#vault)
        if (!right) continue
        return { stripe, envelope: shard.envelope, holders: ofStripe(stripe, holders) }
      } catch {
        o.signal.throwIfAborted() // another holder has the same descriptor
      }
    }
    throw new MoyaiError('NOT_FOUND', 'no host has a shard of this pack')
  }

  /** The whole pack from any k shards. NOT_ENOUGH_SHARDS. */
  async #read(found: Found, signal: AbortSignal): Promise<Uint8Array> {
    const { codec, hasher } = this.#components
    const { k, m, shardLength, pack } = found.stripe
    const shards = codec.allocate((k + m) * shardLength)
    const present = Array.from({ length: k + m }, () => false)
    // data shards first: with all of them there is nothing to decode
    const holders = found.holders.toSorted((a, b) => a.index - b.index)
    for (const { index, host } of holders) {
      if (present.filter(Boolean).length === k) break
      const into = shards.subarray(index * shardLength, (index + 1) * shardLength)
      present[index] ||= await this.#shard(found.stripe, { index, host, into, signal })
    }
    codec.reconstruct({ k, m }, shardLength, shards, present)
    const bytes = shards.subarray(0, k * shardLength)
    if (!equalBytes(hasher.hash(bytes), pack)) {
      throw new MoyaiError('HASH_MISMATCH', 'the pack is not what its id says')
    }
    return bytes
  }

  /** Reads one verified shard; false when this host cannot give it. */
  async #shard(
    stripe: StripeDescriptor,
    o: { index: number; host: string; into: Uint8Array; signal: AbortSignal },
  ): Promise<boolean> {
    const { index, host, into, signal } = o
    const { vault, pack, shardLength, shardHashes } = stripe
    const root = shardHashes[index]
    if (root === undefined) return false
    try {
      const range = { offset: 0, length: shardLength }
      const shards = this.#components.network.shards(host)
      let at = 0
      for await (const bytes of shards.get({
        vault,
        pack,
        index,
        ...range,
        root,
        shardLength,
        signal,
      })) {
        into.set(bytes, at)
        at += bytes.length
      }
      return at === shardLength
    } catch {
      signal.throwIfAborted() // another shard will do
      return false
    }
  }
}

/** Without those of shards that only a longer descriptor of the stripe knows. */
function ofStripe({ k, m }: StripeDescriptor, holders: readonly HolderRecord[]): HolderRecord[] {
  return holders.filter(({ index }) => index < k + m)
}
