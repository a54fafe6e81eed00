/**
 * The database in memory: for tests and the simulator, held to the same contract as the one on
 * disk.
 */

import { assert, compareBytes, concatBytes, MoyaiError } from '@moyai/protocol'

import {
  BATCH_OPERATIONS_MAX,
  type Database,
  type IterateOptions,
  type Operation,
  type Range,
  type Table,
  type TableOptions,
} from './database.ts'
import { checkValue, prefixed, prefixedRange, tablePrefix } from './table-keys.ts'

/** Keys as text of one character per byte: JavaScript compares such texts bytewise. */
function text(key: Uint8Array): string {
  let result = ''
  for (const byte of key) result += String.fromCharCode(byte)
  return result
}

function within(key: Uint8Array, range: Range): boolean {
  if (range.gte !== undefined && compareBytes(key, range.gte) < 0) return false
  if (range.gt !== undefined && compareBytes(key, range.gt) <= 0) return false
  if (range.lte !== undefined && compareBytes(key, range.lte) > 0) return false
  return range.lt === undefined || compareBytes(key, range.lt) < 0
}

type Record = { key: Uint8Array; value: Uint8Array }

class MemoryTable implements Table {
  readonly name: string
  readonly cache: boolean
  readonly #prefix: Uint8Array
  readonly #owner: MemoryDatabase

  constructor(o: { owner: MemoryDatabase; name: string; cache: boolean }) {
    this.name = o.name
    this.cache = o.cache
    this.#owner = o.owner
    this.#prefix = tablePrefix(o.name)
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return (await this.getMany([key]))[0]
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    const records = this.#owner.records()
    return keys.map((key) => records.get(text(prefixed(this.#prefix, key)))?.value.slice())
  }

  put(key: Uint8Array, value: Uint8Array): Promise<void> {
    return this.#owner.batch([this.putting(key, value)])
  }

  del(key: Uint8Array): Promise<void> {
    return this.#owner.batch([this.deleting(key)])
  }

  async *iterate(o: IterateOptions = {}): AsyncIterableIterator<[Uint8Array, Uint8Array]> {
    const range = prefixedRange(this.#prefix, o)
    const found = [...this.#owner.records().values()]
      .filter((record) => within(record.key, range))
      .sort((a, b) => compareBytes(a.key, b.key))
    if (o.reverse === true) found.reverse()
    const end = o.limit === undefined || o.limit < 0 ? found.length : o.limit
    for (const { key, value } of found.slice(0, end)) {
      this.#owner.records()
      yield [key.slice(this.#prefix.length), value.slice()]
    }
  }

  async clear(range: Range = {}): Promise<void> {
    const whole = prefixedRange(this.#prefix, range)
    const records = this.#owner.records()
    for (const [name, record] of records) if (within(record.key, whole)) records.delete(name)
  }

  putting(key: Uint8Array, value: Uint8Array): Operation {
    return { type: 'put', table: this, key, value }
  }

  deleting(key: Uint8Array): Operation {
    return { type: 'del', table: this, key }
  }

  wholeKey(key: Uint8Array): Uint8Array {
    return prefixed(this.#prefix, key)
  }
}

class MemoryDatabase implements Database {
  readonly #records: Map<string, Record>
  readonly #tables = new Map<string, MemoryTable>()
  #closed = false

  constructor(records: Map<string, Record>) {
    this.#records = records
  }

  /** The records, as long as the database is open. */
  records(): Map<string, Record> {
    if (this.#closed) throw new MoyaiError('ABORTED', 'the local database is closed')
    return this.#records
  }

  table(name: string, options: TableOptions = {}): Table {
    const cache = options.cache ?? false
    const known = this.#tables.get(name)
    if (known !== undefined) {
      assert(known.cache === cache, `table ${name} is a cache everywhere or nowhere`)
      return known
    }
    const table = new MemoryTable({ owner: this, name, cache })
    this.#tables.set(name, table)
    return table
  }

  async batch(operations: readonly Operation[]): Promise<void> {
    assert(operations.length <= BATCH_OPERATIONS_MAX, 'a batch is bounded')
    const records = this.records()
    const changes = operations.map((operation) => {
      const table = operation.table
      assert(table instanceof MemoryTable, 'the table is of this database')
      const key = table.wholeKey(operation.key)
      const value = operation.type === 'put' ? checkValue(operation.value).slice() : undefined
      return { key, value }
    })
    for (const { key, value } of changes) {
      if (value === undefined) records.delete(text(key))
      else records.set(text(key), { key: concatBytes(key), value })
    }
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/**
 * What outlives a closed memory database: hand it to the next `openMemoryDatabase` to "restart".
 */
export class MemoryDisk {
  readonly records: Map<string, { key: Uint8Array; value: Uint8Array }> = new Map()
}

/** A database in memory; with a `MemoryDisk`, one that can be closed and opened again. */
export function openMemoryDatabase(disk: MemoryDisk = new MemoryDisk()): Database {
  return new MemoryDatabase(disk.records)
}
