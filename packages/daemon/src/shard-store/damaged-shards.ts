/** The shards of a store that were found damaged, and who wants to hear of them. */

import { toHex } from '@moyai/protocol'
import { type Place, vaultFolder } from './shard-names.ts'
import type { ShardId } from './shard-store.ts'

export class DamagedShards {
  /** By the name of the file; a handful at most, or the whole disk is ill. */
  readonly #names = new Set<string>()
  readonly #listeners = new Set<(id: ShardId) => void>()

  readonly #changed: (id: ShardId) => void

  /** `changed`: told when a shard was found damaged, and when it is right again. */
  constructor(changed: (id: ShardId) => void) {
    this.#changed = changed
  }

  onDamage(listener: (id: ShardId) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  found(id: ShardId): void {
    const name = nameOf(placeOf(id))
    if (this.#names.has(name)) return
    this.#names.add(name)
    this.#changed(id)
    for (const listener of this.#listeners) listener(id)
  }

  /** Every byte of it is right after all. */
  mended(id: ShardId): void {
    if (this.forget(id)) this.#changed(id)
  }

  /** Its file was replaced or has gone; true when it was one of these. */
  forget(id: ShardId): boolean {
    return this.#names.size > 0 && this.#names.delete(nameOf(placeOf(id)))
  }

  has(id: ShardId): boolean {
    return this.#names.size > 0 && this.#names.has(nameOf(placeOf(id)))
  }

  hasPlace(place: Place): boolean {
    return this.#names.size > 0 && this.#names.has(nameOf(place))
  }
}

function placeOf({ vault, pack, index }: ShardId): Place {
  return { vault: vaultFolder(vault), pack: toHex(pack), index }
}

function nameOf({ vault, pack, index }: Place): string {
  return `${vault}/${pack}.${index}`
}
