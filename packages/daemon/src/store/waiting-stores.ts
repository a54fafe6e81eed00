/**
 * Stores that found too few hosts and were asked to wait: what was to be stored, kept on the disk
 * until hosts are back. The content itself waits in the outbox.
 */

import { blake3, equalBytes, fromUtf8, utf8 } from '@moyai/protocol'

import type { Database, Table } from '../database/index.ts'

/** Sources that may wait; further ones are refused like any store without hosts. */
export const WAITING_STORES_MAX = 64

/** One store that waits. `since`: ms since the epoch. */
export type WaitingStore = {
  paths: string[]
  name?: string
  tags: string[]
  excludes: string[]
  policy?: string
  since: number
}

/** See the head of this file. One for each source: a later store takes the place of an earlier. */
export class WaitingStores {
  readonly #table: Table

  constructor(database: Database) {
    this.#table = database.table('waiting-store')
  }

  /** All that wait, oldest first; what cannot be read is left out. DISK. */
  async list(): Promise<WaitingStore[]> {
    const found: WaitingStore[] = []
    for await (const [, value] of this.#table.iterate({ limit: WAITING_STORES_MAX })) {
      const store = decoded(value)
      if (store !== undefined) found.push(store)
    }
    return found.sort((a, b) => a.since - b.since)
  }

  /** Whether it may wait; durable when it resolves. DISK. */
  async add(store: WaitingStore): Promise<boolean> {
    const key = keyOf(store)
    const others = (await this.list()).filter((one) => !equalBytes(keyOf(one), key))
    if (others.length >= WAITING_STORES_MAX) return false
    await this.#table.put(key, utf8(JSON.stringify(store)))
    return true
  }

  /** Nothing is written where none waits, as after most stores. DISK. */
  async remove(store: Pick<WaitingStore, 'name' | 'paths'>): Promise<void> {
    const key = keyOf(store)
    if ((await this.#table.get(key)) !== undefined) await this.#table.del(key)
  }
}

function keyOf({ name, paths }: Pick<WaitingStore, 'name' | 'paths'>): Uint8Array {
  return blake3(utf8(name ?? paths.join('\0')))
}

function decoded(value: Uint8Array): WaitingStore | undefined {
  try {
    const store = JSON.parse(fromUtf8(value)) as Partial<WaitingStore>
    const texts = (list: unknown): boolean =>
      Array.isArray(list) && list.every((one) => typeof one === 'string')
    const isWhole =
      texts(store.paths) &&
      texts(store.tags) &&
      texts(store.excludes) &&
      typeof store.since === 'number' &&
      [store.name, store.policy].every((one) => one === undefined || typeof one === 'string')
    return isWhole ? (store as WaitingStore) : undefined
  } catch {
    return undefined
  }
}
