/**
 * The port to the local key-value store: ordered binary keys, atomic batches, named tables.
 *
 * Every write is on the disk before its promise resolves (`sync: true`): LevelDB's default writes
 * lost hundreds of acknowledged keys in every measured power cut. Only a table opened as a `cache`
 * writes without waiting; what is in it can be made again from elsewhere, and may be gone after a
 * crash.
 *
 * Contract, held by `test/suites/database-suite.ts`:
 * - keys are compared bytewise; a key is 1 to KEY_BYTES_MAX bytes, a value 0 to VALUE_BYTES_MAX
 *   bytes;
 * - a batch, across tables too, happens wholly or not at all, and waits for the disk unless every
 *   operation of it is on a cache table;
 * - `iterate` sees the table as it was when iteration began;
 * - an errored write is *unknown*, never absent: it may be there after a restart. After the first
 *   I/O error every further call fails with DISK until the database is opened again (LevelDB
 *   behaves so, and so do we);
 * - returned arrays belong to the caller; given arrays may be changed once the promise has
 *   resolved.
 */

/** Longest key in bytes, the table's prefix not counted: ids are 32 to 80 bytes. */
export const KEY_BYTES_MAX = 1024
/** Longest value in bytes: an index segment or a page of a directory is at most some MiB. */
export const VALUE_BYTES_MAX: number = 16 * 1024 * 1024
/** Operations in one batch; a larger change is not one change. */
export const BATCH_OPERATIONS_MAX = 200_000

export type TableOptions = {
  /** Declares that the contents can be made again: writes do not wait for the disk. */
  cache?: boolean
}

/** A range of keys: all bounds optional, bytewise. */
export type Range = {
  gte?: Uint8Array
  gt?: Uint8Array
  lte?: Uint8Array
  lt?: Uint8Array
}

export type IterateOptions = Range & { reverse?: boolean; limit?: number }

/** One change of a batch. */
export type Operation =
  | { type: 'put'; table: Table; key: Uint8Array; value: Uint8Array }
  | { type: 'del'; table: Table; key: Uint8Array }

/** A named part of the database with keys of its own. Get it from `Database.table`. */
export interface Table {
  readonly name: string
  readonly cache: boolean
  get(key: Uint8Array): Promise<Uint8Array | undefined>
  /** Values in the order of `keys`, `undefined` for those that are not there. */
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>
  put(key: Uint8Array, value: Uint8Array): Promise<void>
  del(key: Uint8Array): Promise<void>
  /** `[key, value]` in key order; a snapshot taken when iteration begins. */
  iterate(options?: IterateOptions): AsyncIterableIterator<[Uint8Array, Uint8Array]>
  /** Removes a range (or everything); not atomic. */
  clear(range?: Range): Promise<void>
  /** Operations for `Database.batch`. */
  putting(key: Uint8Array, value: Uint8Array): Operation
  deleting(key: Uint8Array): Operation
}

/** The store itself. Errors: DISK (with the store's own error as `cause`), NO_SPACE. */
export interface Database extends AsyncDisposable {
  /**
   * The table of that name; names are 1 to 40 of `a-z0-9-`. The same name always gives the same
   * object.
   */
  table(name: string, options?: TableOptions): Table
  /** All of it or nothing, on the disk when it resolves. */
  batch(operations: readonly Operation[]): Promise<void>
  /** Waits for what is under way, then closes. Calling it twice does nothing. */
  close(): Promise<void>
}
