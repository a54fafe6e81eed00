/**
 * The database of a simulated host: the port's contract, at the price of a map. What is in a cache
 * table may be gone after a crash.
 */

import {
  BATCH_OPERATIONS_MAX,
  type Database,
  type IterateOptions,
  type Operation,
  type Range,
  type Table,
  type TableOptions,
} from '@moyai/daemon'
import { assert, MoyaiError } from '@moyai/protocol'

import type { Dice } from './dice.ts'

type Entry = { key: Uint8Array; value: Uint8Array }

/** One character per byte: texts compare as bytes do. */
function text(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
}

/** Entries of one table, and the order of their keys, which is made when somebody asks. */
class Entries {
  readonly byKey = new Map<string, Entry>()
  #order: string[] | undefined

  put(name: string, entry: Entry): void {
    if (!this.byKey.has(name)) this.#order = undefined
    this.byKey.set(name, entry)
  }

  delete(name: string): void {
    if (this.byKey.delete(name)) this.#order = undefined
  }

  clear(): void {
    this.byKey.clear()
    this.#order = undefined
  }

  ordered(): readonly string[] {
    this.#order ??= [...this.byKey.keys()].sort()
    return this.#order
  }
}

/** First position in `order` whose text is not below `bound` (not below or equal: `after`). */
function position(order: readonly string[], bound: string, after: boolean): number {
  let low = 0
  let high = order.length
  while (low < high) {
    const middle = (low + high) >> 1
    const at = order[middle] as string
    if (at < bound || (after && at === bound)) low = middle + 1
    else high = middle
  }
  return low
}

/** What stays on the disk while the host is off. */
export class SimDatabaseDisk {
  readonly tables = new Map<string, Entries>()
  readonly caches = new Set<string>()

  /** Power went: what waited for no disk is there or is not, table by table. */
  crash(dice: Dice): void {
    for (const name of this.caches) if (dice.chance(0.5)) this.tables.get(name)?.clear()
  }

  wipe(): void {
    for (const entries of this.tables.values()) entries.clear()
  }
}

class SimTable implements Table {
  readonly name: string
  readonly cache: boolean
  readonly entries: Entries
  readonly #owner: SimDatabase

  constructor(o: { owner: SimDatabase; name: string; cache: boolean; entries: Entries }) {
    this.name = o.name
    this.cache = o.cache
    this.entries = o.entries
    this.#owner = o.owner
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    this.#owner.check()
    return this.entries.byKey.get(text(key))?.value.slice()
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    this.#owner.check()
    return keys.map((key) => this.entries.byKey.get(text(key))?.value.slice())
  }

  put(key: Uint8Array, value: Uint8Array): Promise<void> {
    return this.#owner.batch([this.putting(key, value)])
  }

  del(key: Uint8Array): Promise<void> {
    return this.#owner.batch([this.deleting(key)])
  }

  #names(o: IterateOptions): readonly string[] {
    const order = this.entries.ordered()
    let low = 0
    let high = order.length
    if (o.gte !== undefined) low = Math.max(low, position(order, text(o.gte), false))
    if (o.gt !== undefined) low = Math.max(low, position(order, text(o.gt), true))
    if (o.lte !== undefined) high = Math.min(high, position(order, text(o.lte), true))
    if (o.lt !== undefined) high = Math.min(high, position(order, text(o.lt), false))
    if (high <= low) return []
    const limit = o.limit !== undefined && o.limit >= 0 ? o.limit : high - low
    if (o.reverse === true) return order.slice(Math.max(low, high - limit), high).toReversed()
    return order.slice(low, Math.min(high, low + limit))
  }

  async *iterate(o: IterateOptions = {}): AsyncIterableIterator<[Uint8Array, Uint8Array]> {
    this.#owner.check()
    const found = this.#names(o).map((name) => this.entries.byKey.get(name) as Entry)
    for (const { key, value } of found) {
      this.#owner.check()
      yield [key.slice(), value.slice()]
    }
  }

  async clear(range: Range = {}): Promise<void> {
    this.#owner.check()
    for (const name of this.#names(range)) this.entries.delete(name)
  }

  putting(key: Uint8Array, value: Uint8Array): Operation {
    return { type: 'put', table: this, key, value }
  }

  deleting(key: Uint8Array): Operation {
    return { type: 'del', table: this, key }
  }
}

/** See the head of this file. */
export class SimDatabase implements Database {
  readonly #disk: SimDatabaseDisk
  readonly #tables = new Map<string, SimTable>()
  #closed = false

  constructor(disk: SimDatabaseDisk) {
    this.#disk = disk
  }

  check(): void {
    if (this.#closed) throw new MoyaiError('ABORTED', 'the local database is closed')
  }

  table(name: string, options: TableOptions = {}): Table {
    const cache = options.cache ?? false
    const known = this.#tables.get(name)
    if (known !== undefined) return known
    const entries = this.#disk.tables.get(name) ?? new Entries()
    this.#disk.tables.set(name, entries)
    if (cache) this.#disk.caches.add(name)
    const table = new SimTable({ owner: this, name, cache, entries })
    this.#tables.set(name, table)
    return table
  }

  async batch(operations: readonly Operation[]): Promise<void> {
    assert(operations.length <= BATCH_OPERATIONS_MAX, 'a batch is bounded')
    this.check()
    for (const operation of operations) {
      const { table, key } = operation
      assert(table instanceof SimTable, 'the table is of this database')
      if (operation.type === 'del') table.entries.delete(text(key))
      else table.entries.put(text(key), { key: key.slice(), value: operation.value.slice() })
    }
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
