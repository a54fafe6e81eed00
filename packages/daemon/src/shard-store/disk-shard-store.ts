/**
 * Shards on a disk: `<root>/<vault>/<xx>/<pack>.<index>.shard`, written as `<root>/tmp/…` first.
 *
 * The order that makes an acknowledgement true: bytes, fsync of the file, rename, fsync of the
 * folder; folders made on the way are durable before that. An fsync that fails taints the store
 * until it is opened again, because Linux forgets what it could not write. Measured: without the
 * last fsync, one of some thousand acknowledged files was gone.
 */

import { sep } from 'node:path'
import { MoyaiError, isMoyaiError, openStripe, shardPayloadOffset, toHex } from '@moyai/protocol'
import type { Random, StripeDescriptor, SurplusMarker } from '@moyai/protocol'
import { removeFile } from '../file-system/index.ts'
import type { Disk } from '../file-system/index.ts'
import { InventoryDigests } from './digests.ts'
import { DurableFolders } from './durable-folders.ts'
import { DamagedShards } from './damaged-shards.ts'
import { KeyedLock } from './keyed-lock.ts'
import { ShardListing } from './shard-listing.ts'
import { fileName, packFolder, shardPath, vaultFolder } from './shard-names.ts'
import { fileSize, openShardFile, verifyShard } from './shard-reader.ts'
import type {
  ShardId,
  ShardPage,
  ShardPut,
  ShardReader,
  ShardStore,
  VaultQuota,
} from './shard-store.ts'
import { TemporaryShard } from './shard-writer.ts'
import { adoptIdentity, checkIdentity } from './store-identity.ts'
import { StoreRoom } from './store-room.ts'
import { SurplusCopies } from './surplus-copies.ts'
import type { SurplusOptions } from './surplus-copies.ts'
import { markClosed, markOpen } from './open-marker.ts'

const TEMPORARY_FOLDER = 'tmp'

export type ShardStoreOptions = {
  disk: Disk
  /** Absolute path of the store's folder; its parent is there. */
  root: string
  random: Random
  /** All shard files together may take this much. */
  quotaBytes: number
  /** Free bytes of the disk that are never used. */
  reserveBytes: number
  /** What it takes to let surplus copies go; without it, none ever is. */
  surplus?: SurplusOptions
}

/**
 * Opens the store, or makes it. A store whose disk is not mounted opens too, and answers
 * STORE_OFFLINE until it is. One process at a time: what an earlier one left in `tmp` is removed.
 */
export async function openShardStore(o: ShardStoreOptions): Promise<ShardStore> {
  const root = sep === '/' ? o.root : o.root.replaceAll(sep, '/')
  const id = await adoptIdentity({ ...o, root })
  return DiskShardStore.open({ ...o, root }, id)
}

/** A writer's claim to a shard's place. `leave` is called once. */
type Place = {
  /** No file was there when the writer began. */
  isFree: boolean
  /** Nobody else wrote this shard since. */
  isAlone(): boolean
  leave(): void
}

class DiskShardStore implements ShardStore {
  readonly #o: ShardStoreOptions
  readonly #id: Uint8Array
  readonly #folders: DurableFolders
  readonly #listing: ShardListing
  readonly #locks = new KeyedLock()
  readonly #digests: InventoryDigests
  readonly #listeners = new Set<(vault: Uint8Array) => void>()
  readonly #surplus: SurplusCopies
  readonly #damaged = new DamagedShards((id) => {
    this.#digests.changed(id)
    this.#tell(id.vault)
  })
  readonly #writers = new Set<TemporaryShard>()
  /** Shards that somebody writes, by path. */
  readonly #writing = new Map<string, { count: number; contended: boolean }>()
  readonly #room: StoreRoom
  #guarding: Promise<void> | undefined
  #swept = false
  #wasUnclean = false
  #temporaryCount = 0
  #closed = false

  private constructor(o: ShardStoreOptions, id: Uint8Array) {
    this.#o = o
    this.#id = id
    this.#folders = new DurableFolders(o.disk)
    this.#listing = new ShardListing(o.disk, o.root, (place) => this.#damaged.hasPlace(place))
    this.#digests = new InventoryDigests((vault) => this.#listing.names(vault))
    this.#room = new StoreRoom(o, {
      count: () => this.#listing.bytes(),
      guard: () => this.#guard(),
      checkOpen: () => this.#checkOpen(),
    })
    this.#surplus = new SurplusCopies({
      ...o,
      folders: this.#folders,
      locks: this.#locks,
      temporary: TEMPORARY_FOLDER,
      sweep: async () => {
        await this.#sweep()
        // Counted before anything goes: what goes while files are counted would count for ever.
        await this.#room.used()
      },
      open: (one) => this.open(one),
      removed: (one, bytes) => {
        this.#room.changed(one.vault, -bytes)
        if (!this.#damaged.forget(one)) this.#digests.changed(one)
        this.#tell(one.vault)
      },
    })
  }

  static async open(o: ShardStoreOptions, id: Uint8Array): Promise<DiskShardStore> {
    const store = new DiskShardStore(o, id)
    try {
      await store.#sweep()
    } catch (error) {
      // Offline, or its disk is ill: it opens all the same, so that what can be read is read.
      if (!isMoyaiError(error, 'STORE_OFFLINE', 'DISK', 'NOT_FOUND')) throw error
    }
    return store
  }

  async put(o: {
    envelope: Uint8Array
    index: number
    descriptor?: StripeDescriptor
    quota?: VaultQuota | undefined
  }): Promise<ShardPut> {
    this.#checkOpen()
    this.#folders.check()
    const envelope = o.envelope.slice()
    const descriptor = o.descriptor ?? openStripe(envelope)
    const { vault, pack, shardLength } = descriptor
    if (descriptor.shardHashes[o.index] === undefined) {
      throw new MoyaiError('MALFORMED', `no shard ${o.index} in this stripe`)
    }
    const id = { vault, pack, index: o.index }
    // Joined before the disk is looked at: whoever comes later is seen by both.
    const place = this.#join(id)
    try {
      await this.#sweep()
      const state = await this.#stateOf(id)
      if (state === 'whole' && (await this.#retain(id))) {
        this.#damaged.mended(id)
        place.leave()
        return { had: true, descriptor }
      }
      place.isFree = state === 'absent'
      const fileLength =
        shardPayloadOffset({ envelopeLength: envelope.length, shardLength }) + shardLength
      await this.#room.reserve(vault, fileLength, o.quota)
      try {
        const shard = { id, envelope, descriptor, fileLength, place }
        return { had: false, writer: await this.#newWriter(shard) }
      } catch (error) {
        this.#room.giveBack(vault, fileLength)
        throw error
      }
    } catch (error) {
      place.leave()
      throw error
    }
  }

  /** Takes part in writing a shard; almost always alone. */
  #join(id: ShardId): Place {
    const key = shardPath(id)
    const together = this.#writing.get(key) ?? { count: 0, contended: false }
    this.#writing.set(key, together)
    together.count++
    together.contended ||= together.count > 1
    const leave = (): void => {
      if (--together.count === 0) this.#writing.delete(key)
    }
    return { isFree: false, isAlone: () => !together.contended, leave }
  }

  get wasUnclean(): boolean {
    return this.#wasUnclean
  }

  onDamage(listener: (id: ShardId) => void): () => void {
    return this.#damaged.onDamage(listener)
  }

  isDamaged(id: ShardId): boolean {
    return this.#damaged.has(id)
  }

  async has(id: ShardId): Promise<boolean> {
    if (this.isDamaged(id)) return false
    try {
      const reader = await this.open(id)
      await reader.close()
      return true
    } catch (error) {
      if (isMoyaiError(error, 'NOT_FOUND', 'SHARD_DAMAGED')) return false
      throw error
    }
  }

  async open(id: ShardId): Promise<ShardReader> {
    this.#checkOpen()
    try {
      const onDamage = (): void => this.#damaged.found(id)
      return await openShardFile(this.#o.disk, { path: this.#path(id), id, onDamage })
    } catch (error) {
      if (isMoyaiError(error, 'SHARD_DAMAGED')) this.#damaged.found(id)
      // "Not here" is only true of a store that is there.
      if (isMoyaiError(error, 'NOT_FOUND')) await this.#guard()
      throw error
    }
  }

  async verify(id: ShardId): Promise<void> {
    try {
      const reader = await this.open(id)
      try {
        await verifyShard(reader)
      } finally {
        await reader.close()
      }
      this.#damaged.mended(id)
    } catch (error) {
      // A disk that gives everything else but these bytes has a bad sector.
      if (isMoyaiError(error, 'DISK')) await this.#guard()
      if (isMoyaiError(error, 'SHARD_DAMAGED', 'DISK')) this.#damaged.found(id)
      throw error
    }
  }

  async list(o: Parameters<ShardStore['list']>[0]): Promise<ShardPage> {
    this.#checkOpen()
    await this.#guard()
    return this.#listing.page(o)
  }

  async vaults(): Promise<Uint8Array[]> {
    this.#checkOpen()
    await this.#guard()
    return this.#listing.vaults()
  }

  async digests(vault: Uint8Array): Promise<Uint8Array> {
    this.#checkOpen()
    await this.#guard()
    return this.#digests.of(vault)
  }

  onChange(listener: (vault: Uint8Array) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #tell(vault: Uint8Array): void {
    for (const listener of this.#listeners) listener(vault)
  }

  async stat(o: {
    vault: Uint8Array
    pack: Uint8Array
  }): Promise<{ index: number; envelope: Uint8Array }[]> {
    this.#checkOpen()
    const indexes = await this.#listing.indexesOf(o)
    if (indexes.length === 0) await this.#guard()
    const found: { index: number; envelope: Uint8Array }[] = []
    for (const index of indexes) {
      if (this.isDamaged({ ...o, index })) continue
      try {
        const reader = await this.open({ ...o, index })
        found.push({ index, envelope: reader.envelope })
        await reader.close()
      } catch (error) {
        if (!isMoyaiError(error, 'NOT_FOUND', 'SHARD_DAMAGED')) throw error
      }
    }
    return found
  }

  async markSurplus(id: ShardId, o: { receipt: Uint8Array }): Promise<SurplusMarker> {
    this.#checkOpen()
    return this.#surplus.mark(id, o.receipt)
  }

  async surplusMarker(id: ShardId): Promise<SurplusMarker | undefined> {
    this.#checkOpen()
    return this.#surplus.read(id)
  }

  async unmark(id: ShardId): Promise<void> {
    this.#checkOpen()
    return this.#surplus.unmark(id)
  }

  async trim(id: ShardId, o: { prove: () => Promise<Uint8Array> }): Promise<void> {
    this.#checkOpen()
    return this.#surplus.trim(id, o.prove)
  }

  async usedBytes(vault?: Uint8Array): Promise<number> {
    const used = await this.#room.used()
    return vault === undefined ? used.total : used.of(vault)
  }

  async freeBytes(): Promise<number> {
    return this.#room.freeBytes()
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#writers].map((writer) => writer.abort()))
    if (this.#swept && !this.#folders.isTainted) await markClosed(this.#o.disk, this.#o.root)
  }

  #path(id: ShardId): string {
    return `${this.#o.root}/${shardPath(id)}`
  }

  #checkOpen(): void {
    if (this.#closed) throw new MoyaiError('ABORTED', 'the shard store is closed')
  }

  /** Those who come while the disk is being asked share its answer. */
  #guard(): Promise<void> {
    this.#guarding ??= this.#askIdentity()
    return this.#guarding
  }

  async #askIdentity(): Promise<void> {
    try {
      await checkIdentity(this.#o.disk, this.#o.root, this.#id)
    } finally {
      this.#guarding = undefined
    }
  }

  /** Checks that the store is there; the first time also removes what was left half-written. */
  async #sweep(): Promise<void> {
    await this.#guard()
    if (this.#swept) return
    const { disk, root } = this.#o
    const folder = await this.#folders.ensure(root, [TEMPORARY_FOLDER])
    const entries = await disk.list(folder)
    // Two first calls may come here together; none has written anything yet.
    if (this.#swept) return
    for (const { name, kind } of entries) {
      if (kind === 'file') await removeFile(disk, `${folder}/${name}`)
    }
    this.#wasUnclean = await markOpen(disk, root)
    this.#swept = true
  }

  /**
   * `whole` when the shard is here and every byte of it right; a file that is damaged or unreadable
   * is `bad`. For callers that have just checked that the store is there.
   */
  async #stateOf(id: ShardId): Promise<'whole' | 'bad' | 'absent'> {
    try {
      const reader = await openShardFile(this.#o.disk, { path: this.#path(id), id })
      try {
        await verifyShard(reader)
      } finally {
        await reader.close()
      }
      return 'whole'
    } catch (error) {
      if (isMoyaiError(error, 'NOT_FOUND')) return 'absent'
      if (isMoyaiError(error, 'SHARD_DAMAGED', 'DISK')) return 'bad'
      throw error
    }
  }

  /**
   * Makes a shard that is here fit to be acknowledged: not surplus any more, and durable. False
   * when it has just been trimmed.
   */
  async #retain(id: ShardId): Promise<boolean> {
    return this.#locks.run(shardPath(id), async () => {
      await this.#surplus.forget(id)
      if ((await fileSize(this.#o.disk, this.#path(id))) === 0) return false
      await this.#makeDurable(id)
      return true
    })
  }

  /**
   * A file that is here may have been put in place by a run that ended before its name was durable.
   */
  async #makeDurable(id: ShardId): Promise<void> {
    const { disk, root } = this.#o
    const file = await disk.open(this.#path(id), 'read')
    try {
      await this.#folders.sync(() => file.sync())
    } finally {
      await file.close()
    }
    const folder = await this.#folders.ensure(root, [vaultFolder(id.vault), packFolder(id.pack)])
    await this.#folders.syncFolder(folder)
  }

  async #newWriter(o: {
    id: ShardId
    envelope: Uint8Array
    descriptor: StripeDescriptor
    fileLength: number
    place: Place
  }): Promise<TemporaryShard> {
    const { disk, root } = this.#o
    const name = `${toHex(o.id.pack).slice(0, 16)}.${o.id.index}.${++this.#temporaryCount}`
    const path = `${root}/${TEMPORARY_FOLDER}/${name}`
    const file = await this.#inFolder([TEMPORARY_FOLDER], () => disk.open(path, 'create'))
    let isMoved = false
    const writer: TemporaryShard = new TemporaryShard({
      ...o,
      index: o.id.index,
      file,
      hooks: {
        sync: (run) => this.#folders.sync(run),
        publish: () => {
          const moved = (): void => {
            isMoved = true
          }
          return this.#publish(o.id, { path, moved, ...o })
        },
        discard: async () => {
          this.#writers.delete(writer)
          this.#room.giveBack(o.id.vault, o.fileLength)
          o.place.leave()
          if (isMoved) return
          try {
            await removeFile(disk, path)
          } catch {
            // Left for the sweep of the next start; the shard was not acknowledged, or has moved.
          }
        },
      },
    })
    this.#writers.add(writer)
    return writer
  }

  /**
   * Puts a finished file in its place. Of two writers of one shard the second finds the first
   * one's.
   */
  async #publish(
    id: ShardId,
    o: { path: string; fileLength: number; place: Place; moved: () => void },
  ): Promise<void> {
    const { disk } = this.#o
    await this.#locks.run(shardPath(id), async () => {
      this.#folders.check()
      await this.#guard()
      await this.#surplus.forget(id)
      const parts = [vaultFolder(id.vault), packFolder(id.pack)]
      const isFree = o.place.isFree && o.place.isAlone()
      if (isFree || (await this.#stateOf(id)) !== 'whole') {
        const replaced = isFree ? 0 : await fileSize(this.#o.disk, this.#path(id))
        await this.#inFolder(parts, (folder) => disk.rename(o.path, `${folder}/${fileName(id)}`))
        o.moved()
        const wasLeftOut = this.#damaged.forget(id)
        if (replaced === 0 || wasLeftOut) this.#digests.changed(id)
        this.#room.changed(id.vault, o.fileLength - replaced)
      }
      const folder = await this.#folders.ensure(this.#o.root, parts)
      await this.#folders.syncFolder(folder)
    })
    this.#tell(id.vault)
  }

  /**
   * Does something in a folder that is made if need be, also when somebody has removed it under our
   * feet.
   */
  async #inFolder<T>(parts: readonly string[], run: (folder: string) => Promise<T>): Promise<T> {
    const { root } = this.#o
    try {
      return await run(await this.#folders.ensure(root, parts))
    } catch (error) {
      if (!isMoyaiError(error, 'NOT_FOUND')) throw error
      await this.#guard()
      this.#folders.forget()
      return run(await this.#folders.ensure(root, parts))
    }
  }
}
