/**
 * A database whose Nth operation fails, for tests: run an operation with N = 1, 2, 3 … until it
 * passes untouched, and see each time that nothing acknowledged is lost.
 */

import { MoyaiError } from '@moyai/protocol'

import type { Database, IterateOptions, Operation, Range, Table, TableOptions } from './database.ts'

/**
 * Which operation fails, and whether its write is there all the same, as after a real I/O error it
 * may be.
 */
export type Fault = { at: number; written: boolean }

class FaultyTable implements Table {
  readonly inner: Table
  readonly #owner: FaultyDatabase

  constructor(owner: FaultyDatabase, inner: Table) {
    this.inner = inner
    this.#owner = owner
  }

  get name(): string {
    return this.inner.name
  }

  get cache(): boolean {
    return this.inner.cache
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#owner.run(() => this.inner.get(key))
  }

  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return this.#owner.run(() => this.inner.getMany(keys))
  }

  put(key: Uint8Array, value: Uint8Array): Promise<void> {
    return this.#owner.run(() => this.inner.put(key, value))
  }

  del(key: Uint8Array): Promise<void> {
    return this.#owner.run(() => this.inner.del(key))
  }

  async *iterate(o?: IterateOptions): AsyncIterableIterator<[Uint8Array, Uint8Array]> {
    await this.#owner.run(() => Promise.resolve())
    yield* this.inner.iterate(o)
  }

  clear(range?: Range): Promise<void> {
    return this.#owner.run(() => this.inner.clear(range))
  }

  putting(key: Uint8Array, value: Uint8Array): Operation {
    return { type: 'put', table: this, key, value }
  }

  deleting(key: Uint8Array): Operation {
    return { type: 'del', table: this, key }
  }
}

/**
 * Wraps `inner`. `operations` counts what was asked; from the faulty one on everything fails, as
 * LevelDB does.
 */
export class FaultyDatabase implements Database {
  readonly #inner: Database
  readonly #fault: Fault
  #operations = 0

  constructor(inner: Database, fault: Fault) {
    this.#inner = inner
    this.#fault = fault
  }

  /** Operations asked for so far; below `fault.at` nothing has failed. */
  get operations(): number {
    return this.#operations
  }

  async run<T>(call: () => Promise<T>): Promise<T> {
    this.#operations++
    if (this.#operations < this.#fault.at) return call()
    if (this.#operations === this.#fault.at && this.#fault.written) await call()
    throw new MoyaiError('DISK', `injected: database operation ${this.#operations}`)
  }

  table(name: string, options?: TableOptions): Table {
    return new FaultyTable(this, this.#inner.table(name, options))
  }

  batch(operations: readonly Operation[]): Promise<void> {
    const inner = operations.map((operation) =>
      operation.table instanceof FaultyTable
        ? { ...operation, table: operation.table.inner }
        : operation,
    )
    return this.run(() => this.#inner.batch(inner))
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
