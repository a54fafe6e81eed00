/**
 * What is in the store, by the names of its files alone: a holder with an empty database still
 * knows it all.
 */

import { copyBytes, isMoyaiError, fromHex, toHex } from '@moyai/protocol'
import type { Disk, DiskEntry } from '../file-system/index.ts'
import { readShardHeader } from './shard-reader.ts'
import {
  PACK_FOLDER,
  VAULT_FOLDER,
  comparePlaces,
  decodeCursor,
  encodeCursor,
  packFolder,
  parseFileName,
  vaultFolder,
} from './shard-names.ts'
import type { Place } from './shard-names.ts'
import type { ShardItem, ShardPage } from './shard-store.ts'

/** Items of a page unless fewer are asked for. */
export const LIST_ITEMS_MAX = 1000
/** Files whose size is asked for at once. */
const SIZES_AT_ONCE = 16

type NamedFile = Place & { path: string }

export class ShardListing {
  readonly #disk: Disk
  readonly #root: string
  /** The whole vault key of a folder, which has only its first digits in its name. */
  readonly #vaults = new Map<string, Uint8Array>()

  readonly #isLeftOut: (place: Place) => boolean

  /** `isLeftOut`: files that pages do not show, though they take room. */
  constructor(disk: Disk, root: string, isLeftOut: (place: Place) => boolean) {
    this.#disk = disk
    this.#root = root
    this.#isLeftOut = isLeftOut
  }

  async page(o: {
    vault?: Uint8Array
    cursor?: Uint8Array
    limit?: number
    bucket?: number
  }): Promise<ShardPage> {
    const limit = Math.max(1, Math.min(o.limit ?? LIST_ITEMS_MAX, LIST_ITEMS_MAX))
    const items: ShardItem[] = []
    const from = o.cursor === undefined ? undefined : decodeCursor(o.cursor)
    const only = o.vault === undefined ? undefined : vaultFolder(o.vault)
    for await (const file of this.#files({ from, only, bucket: o.bucket })) {
      if (this.#isLeftOut(file)) continue
      const vault = o.vault ?? (await this.#vaultOf(file.vault))
      if (vault === undefined) continue
      if (items.length === limit) return { items, next: encodeCursor(file) }
      const length = await this.#sizeOf(file.path)
      if (length === undefined) continue
      items.push({ vault: copyBytes(vault), pack: fromHex(file.pack), index: file.index, length })
    }
    return { items }
  }

  /** Names of all shards of a vault. */
  async *names(vault: Uint8Array): AsyncGenerator<{ pack: Uint8Array; index: number }> {
    for await (const file of this.#files({ only: vaultFolder(vault) })) {
      if (this.#isLeftOut(file)) continue
      yield { pack: fromHex(file.pack), index: file.index }
    }
  }

  /** Vaults that have a shard here of which the header can be read. */
  async vaults(): Promise<Uint8Array[]> {
    const vaults: Uint8Array[] = []
    for (const folder of await this.#folders(this.#root, VAULT_FOLDER)) {
      const vault = await this.#vaultOf(folder)
      if (vault !== undefined) vaults.push(copyBytes(vault))
    }
    return vaults
  }

  async indexesOf(o: { vault: Uint8Array; pack: Uint8Array }): Promise<number[]> {
    const pack = toHex(o.pack)
    const folder = `${this.#root}/${vaultFolder(o.vault)}/${packFolder(o.pack)}`
    return (await this.#list(folder))
      .flatMap((entry) => (entry.kind === 'file' ? (parseFileName(entry.name) ?? []) : []))
      .filter((name) => name.pack === pack)
      .map((name) => name.index)
      .sort((a, b) => a - b)
  }

  /** Bytes of all shard files, by the vault's folder. */
  async bytes(): Promise<Map<string, number>> {
    const sums = new Map<string, number>()
    let batch: Promise<{ vault: string; size: number }>[] = []
    const add = async (): Promise<void> => {
      for (const { vault, size } of await Promise.all(batch)) {
        sums.set(vault, (sums.get(vault) ?? 0) + size)
      }
      batch = []
    }
    for await (const { vault, path } of this.#files({})) {
      batch.push(this.#sizeOf(path).then((size) => ({ vault, size: size ?? 0 })))
      if (batch.length === SIZES_AT_ONCE) await add()
    }
    await add()
    return sums
  }

  /** All shard files from a place on, sorted. */
  async *#files(o: {
    from?: Place | undefined
    only?: string | undefined
    /** First byte of the packs, when only those are wanted. */
    bucket?: number | undefined
  }): AsyncGenerator<NamedFile> {
    const { from, bucket } = o
    const onlyPacks = bucket === undefined ? undefined : packFolder(Uint8Array.of(bucket))
    for (const vault of await this.#folders(this.#root, VAULT_FOLDER)) {
      if (o.only !== undefined && vault !== o.only) continue
      if (from !== undefined && vault < from.vault) continue
      for (const folder of await this.#folders(`${this.#root}/${vault}`, PACK_FOLDER)) {
        const isBefore = from?.vault === vault && folder < from.pack.slice(0, 2)
        if (isBefore || (onlyPacks !== undefined && folder !== onlyPacks)) continue
        const path = `${this.#root}/${vault}/${folder}`
        for (const file of await this.#filesIn({ vault, path, folder })) {
          if (from === undefined || comparePlaces(file, from) >= 0) yield file
        }
      }
    }
  }

  async #filesIn(o: { vault: string; path: string; folder: string }): Promise<NamedFile[]> {
    return (await this.#list(o.path))
      .flatMap((entry): NamedFile[] => {
        const name = entry.kind === 'file' ? parseFileName(entry.name) : undefined
        // A shard in the folder of other packs is found by nobody who looks for it.
        if (name === undefined || !name.pack.startsWith(o.folder)) return []
        return [{ vault: o.vault, ...name, path: `${o.path}/${entry.name}` }]
      })
      .sort(comparePlaces)
  }

  async #folders(path: string, pattern: RegExp): Promise<string[]> {
    return (await this.#list(path))
      .filter((entry) => entry.kind === 'directory' && pattern.test(entry.name))
      .map((entry) => entry.name)
  }

  async #list(path: string): Promise<DiskEntry[]> {
    try {
      return await this.#disk.list(path)
    } catch (error) {
      if (isMoyaiError(error, 'NOT_FOUND')) return []
      throw error
    }
  }

  /** Undefined when the file has gone since it was listed. */
  async #sizeOf(path: string): Promise<number | undefined> {
    try {
      return await this.#disk.size(path)
    } catch (error) {
      if (isMoyaiError(error, 'NOT_FOUND')) return undefined
      throw error
    }
  }

  /** From the first header in the vault's folder that can be read; undefined when none can. */
  async #vaultOf(folder: string): Promise<Uint8Array | undefined> {
    const known = this.#vaults.get(folder)
    if (known !== undefined) return known
    for await (const { path } of this.#files({ only: folder })) {
      try {
        const { vault } = (await readShardHeader(this.#disk, path)).descriptor
        if (vaultFolder(vault) !== folder) continue
        this.#vaults.set(folder, vault)
        return vault
      } catch (error) {
        if (!isMoyaiError(error, 'NOT_FOUND', 'SHARD_DAMAGED', 'DISK')) throw error
      }
    }
    return undefined
  }
}
