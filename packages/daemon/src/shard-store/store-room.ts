/** The room of a store: what its shards take, what is promised to writers, what is left. */

import { MoyaiError } from '@moyai/protocol'
import type { Disk } from '../file-system/index.ts'
import { ByVault } from './by-vault.ts'
import type { VaultQuota } from './shard-store.ts'

/** Shards on their way in at once: beyond, senders wait in their queues, not in our file table. */
const WRITERS_MAX = 256

export type RoomOptions = { disk: Disk; root: string; quotaBytes: number; reserveBytes: number }

export type RoomHooks = {
  /** Bytes of all shard files, by the vault's folder. */
  count(): Promise<ReadonlyMap<string, number>>
  /** Rejects unless the store is there. */
  guard(): Promise<void>
  /** Throws once the store is closed. */
  checkOpen(): void
}

export class StoreRoom {
  readonly #o: RoomOptions
  readonly #hooks: RoomHooks
  #writersReserved = 0
  /** Bytes of files that are being written and of those that are there, by the vault's folder. */
  readonly #reserved = new ByVault()
  #used: ByVault | undefined
  #counting: Promise<ByVault> | undefined

  constructor(o: RoomOptions, hooks: RoomHooks) {
    this.#o = o
    this.#hooks = hooks
  }

  async used(): Promise<ByVault> {
    this.#hooks.checkOpen()
    if (this.#used !== undefined) return this.#used
    await this.#hooks.guard()
    this.#counting ??= this.#count()
    return this.#counting
  }

  async freeBytes(): Promise<number> {
    const { disk, root, quotaBytes, reserveBytes } = this.#o
    const used = await this.used()
    const free = await disk.freeBytes(root)
    return Math.max(0, Math.min(quotaBytes - used.total, free - reserveBytes))
  }

  /** A file came (or went: negative). */
  changed(vault: Uint8Array, bytes: number): void {
    this.#used?.add(vault, bytes)
  }

  /** Promises room for one file. QUOTA, NO_SPACE, BUSY. */
  async reserve(
    vault: Uint8Array,
    fileLength: number,
    quota: VaultQuota | undefined,
  ): Promise<void> {
    const { disk, root, quotaBytes, reserveBytes } = this.#o
    const used = await this.used()
    const free = await disk.freeBytes(root)
    // From here to the end nothing is awaited: two callers cannot both take the last room.
    this.#hooks.checkOpen()
    if (this.#writersReserved >= WRITERS_MAX) {
      throw new MoyaiError('BUSY', `${WRITERS_MAX} shards are being written`)
    }
    const planned = this.#reserved.total + fileLength
    if (used.total + planned > quotaBytes) {
      throw new MoyaiError('QUOTA', 'the space offered here is used up')
    }
    if (quota !== undefined) {
      const held = (one: Uint8Array): number => used.of(one) + this.#reserved.of(one)
      const taken = quota.vaults.reduce((sum, one) => sum + held(one), fileLength)
      if (taken > quota.bytes) {
        throw new MoyaiError('QUOTA', 'your share of this host is used up', {
          hint: 'offer more space to the pool to get more of it (storage.offer in config.toml)',
        })
      }
    }
    if (free - planned < reserveBytes) {
      throw new MoyaiError('NO_SPACE', 'the disk is full up to its reserve')
    }
    this.#writersReserved++
    this.#reserved.add(vault, fileLength)
  }

  giveBack(vault: Uint8Array, fileLength: number): void {
    this.#writersReserved--
    this.#reserved.add(vault, -fileLength)
  }

  async #count(): Promise<ByVault> {
    try {
      // No shard can come in meanwhile: `put` waits for this.
      this.#used = new ByVault(await this.#hooks.count())
      return this.#used
    } finally {
      this.#counting = undefined
    }
  }
}
