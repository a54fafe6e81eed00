/**
 * The table of whereabouts: one record per stripe, changed under a lock of its own, so that what
 * several sources say at once is all kept.
 */

import { concatBytes, isMoyaiError, toHex } from '@moyai/protocol'

import type { Database, Table } from '../database/index.ts'
import { KeyedLock } from '../shard-store/keyed-lock.ts'
import type { ShardPlace, StripeView } from './ports.ts'
import { decodeRecord, encodeRecord, type StripeFacts, type StripeRecord } from './stripe-record.ts'

const VAULT_BYTES = 32

/** Undefined leaves the record as it is. */
export type RecordChange = (record: StripeRecord | undefined) => StripeRecord | undefined

export class StripeTable {
  readonly #table: Table
  readonly #lock = new KeyedLock()
  /** What `vaults` found, until a stripe comes or goes; `#changes` counts these. */
  #vaults: readonly Uint8Array[] | undefined
  #changes = 0

  constructor(database: Database) {
    this.#table = database.table('whereabouts', { cache: true })
  }

  async get(vault: Uint8Array, pack: Uint8Array): Promise<StripeView | undefined> {
    const record = await this.#read(concatBytes(vault, pack))
    return record === undefined ? undefined : { vault, pack, ...record }
  }

  /** Stripes of a vault by pack, of one bucket or all. */
  async *of(vault: Uint8Array, bucket?: number): AsyncGenerator<StripeView> {
    const from = bucket === undefined ? vault : concatBytes(vault, Uint8Array.of(bucket))
    const end = concatBytes(from, new Uint8Array(VAULT_BYTES).fill(255))
    for await (const [key, value] of this.#table.iterate({ gte: from, lte: end })) {
      const record = readable(value)
      if (record !== undefined) yield { vault, pack: key.slice(VAULT_BYTES), ...record }
    }
  }

  /** Vaults of which there is a stripe. */
  async vaults(): Promise<Uint8Array[]> {
    if (this.#vaults !== undefined) return [...this.#vaults]
    const changes = this.#changes
    const vaults = await this.#findVaults()
    if (changes === this.#changes) this.#vaults = vaults
    return [...vaults]
  }

  async #findVaults(): Promise<Uint8Array[]> {
    const vaults: Uint8Array[] = []
    let after: Uint8Array = new Uint8Array(0)
    for (;;) {
      let next: Uint8Array | undefined
      const range = after.length === 0 ? {} : { gt: after }
      for await (const [key] of this.#table.iterate({ ...range, limit: 1 })) next = key
      if (next === undefined) return vaults
      vaults.push(next.slice(0, VAULT_BYTES))
      after = concatBytes(next.subarray(0, VAULT_BYTES), new Uint8Array(VAULT_BYTES + 1).fill(255))
    }
  }

  /** Whether the record was changed. */
  async change(vault: Uint8Array, pack: Uint8Array, change: RecordChange): Promise<boolean> {
    const key = concatBytes(vault, pack)
    return this.#lock.run(toHex(key), async () => {
      const before = await this.#read(key)
      const after = change(before)
      if (after === undefined) return false
      await this.#table.put(key, encodeRecord(after))
      if (before === undefined) this.#cameOrWent()
      return true
    })
  }

  async remove(vault: Uint8Array, pack: Uint8Array): Promise<void> {
    await this.#table.del(concatBytes(vault, pack))
    this.#cameOrWent()
  }

  #cameOrWent(): void {
    this.#changes++
    this.#vaults = undefined
  }

  /** Removes all places at `hosts` (hex) from a vault's records; whether there was one. */
  async removeHosts(vault: Uint8Array, hosts: ReadonlySet<string>): Promise<boolean> {
    let isNews = false
    for await (const { pack, places } of this.of(vault)) {
      if (!places.some(({ host }) => hosts.has(host))) continue
      isNews = true
      await this.change(vault, pack, (record) => {
        if (record === undefined) return undefined
        return { ...record, places: record.places.filter(({ host }) => !hosts.has(host)) }
      })
    }
    return isNews
  }

  async #read(key: Uint8Array): Promise<StripeRecord | undefined> {
    const value = await this.#table.get(key)
    return value === undefined ? undefined : readable(value)
  }
}

/** A damaged record is none: hosts are asked again. */
function readable(value: Uint8Array): StripeRecord | undefined {
  try {
    return decodeRecord(value)
  } catch (error) {
    if (isMoyaiError(error, 'MALFORMED')) return undefined
    throw error
  }
}

/** `record` with the place added, or its age and word renewed. */
export function withPlace(
  facts: StripeFacts & { places?: readonly ShardPlace[] },
  place: ShardPlace,
): StripeRecord {
  const others = (facts.places ?? []).filter(
    ({ index, host }) => index !== place.index || host !== place.host,
  )
  return { ...facts, places: [...others, place] }
}

/** `record` without what `host` has of it, except shard `kept`. */
export function withoutHost(
  record: StripeRecord,
  host: string,
  kept: ReadonlySet<number> = new Set(),
): StripeRecord {
  const places = record.places.filter((place) => place.host !== host || kept.has(place.index))
  return { ...record, places }
}
