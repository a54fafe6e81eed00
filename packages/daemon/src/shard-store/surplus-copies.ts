/**
 * The only way by which a shard leaves the store: as a surplus copy (spec/surplus.md §2).
 *
 * Of holders that each take the other's copy for the one that stays, not all may trim. What
 * prevents it is order, not clocks: whoever lets a copy go has asked the other holder after its own
 * marker stood, and the other one has ended its own marker before it answered. So each trim in a
 * ring of holders would have had its answer later than the one before it: there is no such ring.
 */

import {
  MoyaiError,
  checkWaited,
  decodeSurplusMarker,
  defined,
  encodeSurplusMarker,
  equalBytes,
  isMoyaiError,
  openOtherReceipt,
  openReceipt,
  SURPLUS_MARKER_BYTES_MAX,
  SURPLUS_WAIT_MS,
} from '@moyai/protocol'
import type { Clock, SurplusCopy, SurplusMarker } from '@moyai/protocol'
import { readFile, removeFile } from '../file-system/index.ts'
import type { Disk } from '../file-system/index.ts'
import type { DurableFolders } from './durable-folders.ts'
import type { KeyedLock } from './keyed-lock.ts'
import { markerPath, packFolder, shardPath, vaultFolder } from './shard-names.ts'
import type { ShardId, ShardReader } from './shard-store.ts'

export type SurplusOptions = {
  clock: Clock
  /** This host's public key, 32 bytes. */
  host: Uint8Array
  /** Id of the pool, 32 bytes; undefined before this host is in one. */
  pool(): Uint8Array | undefined
  /** How long a copy stays marked before it may go; 30 days unless given. */
  waitMs?: number
}

type Parts = {
  disk: Disk
  root: string
  surplus?: SurplusOptions
  folders: DurableFolders
  /** By path of the shard: whoever puts a shard in its place holds it too. */
  locks: KeyedLock
  /** Folder of files on their way in, below `root`. */
  temporary: string
  /** Checks that the store is there and fit to be written. */
  sweep(): Promise<void>
  open(id: ShardId): Promise<ShardReader>
  /** A shard's file of that many bytes is gone. */
  removed(id: ShardId, bytes: number): void
}

/** A trim that waits for the other holder's answer. */
type Trim = { isOff: boolean }

export class SurplusCopies {
  readonly #parts: Parts
  /** By path of the shard. */
  readonly #trims = new Map<string, Trim>()
  #temporaryCount = 0

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async mark(id: ShardId, envelope: Uint8Array): Promise<SurplusMarker> {
    const { clock } = this.#options()
    return this.#exclusively(id, async () => {
      const now = clock.now()
      const receipt = openOtherReceipt(envelope, await this.#copyOf(id), now)
      const standing = await this.read(id)
      if (standing !== undefined && standing.at <= now) {
        const { host } = openReceipt(standing.receipt)
        if (equalBytes(host, receipt.host)) return standing
      }
      await this.forget(id)
      const marker = { at: now, receipt: envelope.slice() }
      await this.#write(id, encodeSurplusMarker(marker))
      return marker
    })
  }

  /** A marker that cannot be read is none. */
  async read(id: ShardId): Promise<SurplusMarker | undefined> {
    const { disk } = this.#parts
    try {
      const { bytes } = await readFile(disk, this.#markerPath(id), SURPLUS_MARKER_BYTES_MAX)
      const marker = decodeSurplusMarker(bytes)
      openReceipt(marker.receipt)
      return marker
    } catch (error) {
      if (isMoyaiError(error, 'STORE_OFFLINE') || !isMoyaiError(error)) throw error
      return undefined
    }
  }

  async unmark(id: ShardId): Promise<void> {
    await this.#exclusively(id, async () => {
      await this.forget(id)
      await this.#syncFolder(id)
    })
  }

  /**
   * Ends the marker, if there is one, and whatever trim relies on it. For a caller that holds the
   * shard's lock and makes the names in its folder durable before it tells anybody.
   */
  async forget(id: ShardId): Promise<void> {
    const trim = this.#trims.get(shardPath(id))
    if (trim !== undefined) trim.isOff = true
    await removeFile(this.#parts.disk, this.#markerPath(id))
  }

  async trim(id: ShardId, prove: () => Promise<Uint8Array>): Promise<void> {
    const key = shardPath(id)
    if (this.#trims.has(key)) throw new MoyaiError('BUSY', 'this shard is being trimmed')
    const trim: Trim = { isOff: false }
    this.#trims.set(key, trim)
    try {
      await this.#exclusively(id, async () => {
        await this.#copyOf(id)
        await this.#standing(id)
      })
      const receipt = await prove()
      await this.#exclusively(id, async () => {
        // Not by the file: one that was ended may have been made again, with the same content.
        if (trim.isOff) throw new MoyaiError('RETAINED', 'somebody else relies on this copy')
        const { clock, waitMs } = this.#options()
        const now = clock.now()
        const marker = await this.#standing(id)
        const fresh = openOtherReceipt(receipt, await this.#copyOf(id), now)
        checkWaited({ marker, fresh, now, waitMs })
        await this.#delete(id)
      })
    } finally {
      this.#trims.delete(key)
    }
  }

  /** The marker, when it has stood for long enough; RETAINED. */
  async #standing(id: ShardId): Promise<SurplusMarker> {
    const { clock, waitMs } = this.#options()
    const marker = await this.read(id)
    if (marker === undefined) throw new MoyaiError('RETAINED', 'this shard is not marked')
    checkWaited({ marker, now: clock.now(), waitMs })
    return marker
  }

  async #delete(id: ShardId): Promise<void> {
    const { disk, root } = this.#parts
    const path = `${root}/${shardPath(id)}`
    const bytes = await disk.size(path)
    await disk.unlink(path)
    this.#parts.removed(id, bytes)
    // After the shard: when the machine stops here, a marker without a shard means nothing.
    await this.forget(id)
    await this.#syncFolder(id)
  }

  /** Writes the marker so that after a crash it is there, whole, or not at all. */
  async #write(id: ShardId, bytes: Uint8Array): Promise<void> {
    const { disk, root, temporary, folders } = this.#parts
    const path = `${root}/${temporary}/surplus.${++this.#temporaryCount}`
    await folders.ensure(root, [temporary])
    const file = await disk.open(path, 'create')
    try {
      try {
        await file.write(bytes, 0)
        await folders.sync(() => file.sync())
      } finally {
        await file.close()
      }
      await disk.rename(path, this.#markerPath(id))
    } catch (error) {
      try {
        await removeFile(disk, path)
      } catch {
        // Left for the sweep of the next start; the error before it is the one to tell.
      }
      throw error
    }
    await this.#syncFolder(id)
  }

  async #copyOf(id: ShardId): Promise<SurplusCopy> {
    const { host, pool } = this.#options()
    const reader = await this.#parts.open(id)
    await reader.close()
    const { shardHashes, protectedUntil } = reader.descriptor
    const shardHash = defined(shardHashes[id.index], 'the hash of a shard that was opened')
    return { ...id, pool, host, shardHash, protectedUntil }
  }

  #options(): { clock: Clock; host: Uint8Array; pool: Uint8Array; waitMs: number } {
    const { surplus } = this.#parts
    const pool = surplus?.pool()
    if (surplus === undefined || pool === undefined) {
      throw new MoyaiError('RETAINED', 'this store lets nothing go before it knows its pool')
    }
    const { clock, host, waitMs = SURPLUS_WAIT_MS } = surplus
    return { clock, host, pool, waitMs }
  }

  #exclusively<T>(id: ShardId, run: () => Promise<T>): Promise<T> {
    return this.#parts.locks.run(shardPath(id), async () => {
      this.#parts.folders.check()
      await this.#parts.sweep()
      return run()
    })
  }

  async #syncFolder(id: ShardId): Promise<void> {
    const { root, folders } = this.#parts
    const folder = await folders.ensure(root, [vaultFolder(id.vault), packFolder(id.pack)])
    await folders.syncFolder(folder)
  }

  #markerPath(id: ShardId): string {
    return `${this.#parts.root}/${markerPath(id)}`
  }
}
