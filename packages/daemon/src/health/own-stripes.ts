/**
 * Which stripes concern this host: those it has a shard of, and all of the vault that it owns.
 */

import { equalBytes, fromHex, toHex, type Clock, type StripeDescriptor } from '@moyai/protocol'

import type { ShardStore } from '../shard-store/index.ts'
import type { HolderRecord, StripeRecord as IndexedStripe } from '../store/index.ts'
import type { PeerInventories } from './peer-inventories.ts'
import type { HealthPool, ShardPlace, StripeView } from './ports.ts'
import type { StripeTable } from './stripe-table.ts'

/** What of the owner's index is needed. */
export type OwnedStripes = {
  stripes(): AsyncIterable<IndexedStripe>
  stripe(pack: Uint8Array): Promise<IndexedStripe | undefined>
  holders(pack: Uint8Array): Promise<HolderRecord[]>
}

export type OwnStripesComponents = {
  pool: HealthPool
  store: Pick<ShardStore, 'list' | 'stat'>
  owned: { vault: Uint8Array; index: OwnedStripes } | undefined
  table: StripeTable
  peers: PeerInventories
  clock: Clock
  open: (vault: Uint8Array, pack: Uint8Array, envelope: Uint8Array) => StripeDescriptor
  /** Places of stripes of that vault changed. */
  changed: (vault: Uint8Array) => void
}

/** See the head of this file. */
export class OwnStripes {
  readonly #c: OwnStripesComponents

  constructor(components: OwnStripesComponents) {
    this.#c = components
  }

  /**
   * Brings the table in line with this host's shards of a vault, and with its index if the vault is
   * its own. Whether stripes are new: then other hosts have to be asked what they have of them.
   */
  async read(vault: Uint8Array): Promise<boolean> {
    const { owned } = this.#c
    const isOwned = owned !== undefined && equalBytes(owned.vault, vault)
    const held = await this.#heldPacks(vault)
    const before = new Map<string, StripeView>()
    let isNews = false
    for await (const view of this.#c.table.of(vault)) {
      const id = toHex(view.pack)
      before.set(id, { ...view, places: [] })
      const indexes = held.get(id) ?? new Set<number>()
      isNews =
        (await this.#c.peers.takeOver(view, this.#c.pool.self, { indexes, isOwn: true })) || isNews
      const concernsUs =
        indexes.size > 0 || (isOwned && (await owned.index.stripe(view.pack)) !== undefined)
      if (concernsUs) continue
      await this.#c.table.remove(vault, view.pack)
      isNews = true
    }
    const fresh: Uint8Array[] = []
    for (const [id, indexes] of held) {
      if (before.has(id)) continue
      const pack = fromHex(id)
      const [first] = await this.#c.store.stat({ vault, pack })
      if (first === undefined) continue
      await this.#begin({ vault, pack, envelope: first.envelope, indexes })
      fresh.push(pack)
    }
    if (isOwned) {
      for await (const { pack, envelope } of owned.index.stripes()) {
        if (before.has(toHex(pack))) continue
        await this.#begin({ vault, pack, envelope, indexes: new Set() })
        await this.#recordHolders(vault, pack, owned.index)
        fresh.push(pack)
      }
    }
    if (fresh.length > 0) {
      for (const { id } of this.#c.pool.hosts()) {
        if (id !== this.#c.pool.self) await this.#c.peers.forget(id, vault, fresh)
      }
    }
    if (isNews || fresh.length > 0) this.#c.changed(vault)
    return fresh.length > 0
  }

  /** Packs (hex) of a vault that this host has shards of, with their indexes. */
  async #heldPacks(vault: Uint8Array): Promise<Map<string, Set<number>>> {
    const held = new Map<string, Set<number>>()
    let cursor: Uint8Array | undefined
    do {
      const page = await this.#c.store.list({ vault, ...(cursor && { cursor }) })
      for (const { pack, index } of page.items) {
        const id = toHex(pack)
        held.set(id, (held.get(id) ?? new Set()).add(index))
      }
      cursor = page.next
    } while (cursor !== undefined)
    return held
  }

  async #begin(o: {
    vault: Uint8Array
    pack: Uint8Array
    envelope: Uint8Array
    indexes: ReadonlySet<number>
  }): Promise<void> {
    const {
      k,
      m,
      class: stripeClass,
      shardLength,
      created,
    } = this.#c.open(o.vault, o.pack, o.envelope)
    const { pool, clock } = this.#c
    const places = [...o.indexes].map((index): ShardPlace => {
      return { index, host: pool.self, seenAt: clock.now(), refuted: false }
    })
    await this.#c.table.change(o.vault, o.pack, (record) =>
      record === undefined
        ? { code: { k, m }, class: stripeClass, shardLength, created, places }
        : undefined,
    )
  }

  /** Whoever signed for a shard of an own stripe has it, until it says otherwise. */
  async #recordHolders(vault: Uint8Array, pack: Uint8Array, index: OwnedStripes): Promise<void> {
    const seenAt = this.#c.clock.now()
    const holders = await index.holders(pack)
    await this.#c.table.change(vault, pack, (record) => {
      if (record === undefined) return undefined
      const places = holders.map(({ index: at, host }): ShardPlace => {
        return { index: at, host, seenAt, refuted: false }
      })
      return { ...record, places }
    })
  }
}
