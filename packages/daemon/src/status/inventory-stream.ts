/**
 * What one host says it keeps of a vault, as a stream in pack order that can be walked beside the
 * vault's own index: neither side is ever wholly in memory.
 */

import { compareBytes, toMoyaiError, type MoyaiError } from '@moyai/protocol'

import type { ShardClient, ShardItem } from '../net/types.ts'

export class InventoryStream {
  readonly host: string
  readonly #client: ShardClient
  readonly #vault: Uint8Array
  readonly #signal: AbortSignal | undefined
  #items: ShardItem[] = []
  #position = 0
  #next: Uint8Array | undefined
  #started = false
  /** Why the host stopped answering; what it would have said after that counts as not found. */
  failed: MoyaiError | undefined

  constructor(o: { host: string; client: ShardClient; vault: Uint8Array; signal?: AbortSignal }) {
    this.host = o.host
    this.#client = o.client
    this.#vault = o.vault
    this.#signal = o.signal
  }

  /**
   * Indexes of the shards of `pack` that the host has; packs must be asked for in ascending order.
   */
  async indexesOf(pack: Uint8Array): Promise<number[]> {
    const indexes: number[] = []
    for (let item = await this.#peek(); item !== undefined; item = await this.#peek()) {
      const order = compareBytes(item.pack, pack)
      if (order > 0) break
      if (order === 0) indexes.push(item.index)
      this.#position++
    }
    return indexes
  }

  async #peek(): Promise<ShardItem | undefined> {
    while (this.#position >= this.#items.length) {
      if (this.failed !== undefined || (this.#started && this.#next === undefined)) return undefined
      await this.#turnPage()
    }
    return this.#items[this.#position]
  }

  async #turnPage(): Promise<void> {
    try {
      const page = await this.#client.inventory({
        vault: this.#vault,
        ...(this.#next === undefined ? {} : { cursor: this.#next }),
        ...(this.#signal === undefined ? {} : { signal: this.#signal }),
      })
      this.#started = true
      this.#items = page.items
      this.#position = 0
      this.#next = page.next
    } catch (error) {
      this.failed = toMoyaiError(error, 'HOST_UNREACHABLE')
      this.#items = []
      this.#position = 0
    }
  }
}
