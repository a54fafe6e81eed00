/**
 * The database on disk: LevelDB through `level`, binary keys and values, `sync: true`.
 *
 * LevelDB answers an I/O error for good: the first write that failed makes every later one fail,
 * too, until the database is opened again, and the failed write may turn out to be there (measured
 * by injecting EIO into fdatasync). So the first such error taints this object; the daemon has to
 * restart, and everything that was not acknowledged is looked at again.
 */

import { Level } from 'level'
import { assert, MoyaiError } from '@moyai/protocol'

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

const VIEW = { keyEncoding: 'view', valueEncoding: 'view' } as const
/**
 * LevelDB's own block cache and write buffer: with two buffers about 48 MiB in all, whatever the
 * index's size.
 */
const CACHE_BYTES = 32 * 1024 * 1024
const WRITE_BUFFER_BYTES = 8 * 1024 * 1024

type Store = Level<Uint8Array, Uint8Array>

function errorCode(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return ''
  return String(error.code)
}

/** LevelDB's errors as ours; the sentence says what a person can do. */
function databaseError(error: unknown, doing: string): MoyaiError {
  if (error instanceof MoyaiError) return error
  const code = errorCode(error)
  const inner = error instanceof Error ? error.message : String(error)
  if (/no space left|disk quota/i.test(inner)) {
    return new MoyaiError('NO_SPACE', `the disk of the local database is full (${doing})`, {
      hint: 'free some space, then restart the daemon',
      cause: error,
    })
  }
  if (code === 'LEVEL_CORRUPTION') {
    return new MoyaiError('DISK', `the local database is damaged (${doing}): ${inner}`, {
      hint: 'move the folder database/ away and restart: it is rebuilt from the pool',
      cause: error,
    })
  }
  return new MoyaiError('DISK', `the local database failed (${doing}): ${inner}`, {
    hint: 'check the disk, then restart the daemon',
    cause: error,
  })
}

class LevelTable implements Table {
  readonly name: string
  readonly cache: boolean
  readonly #prefix: Uint8Array
  readonly #owner: LevelDatabase

  constructor(o: { owner: LevelDatabase; name: string; cache: boolean }) {
    this.name = o.name
    this.cache = o.cache
    this.#owner = o.owner
    this.#prefix = tablePrefix(o.name)
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    const whole = prefixed(this.#prefix, key)
    return this.#owner.run('reading', (store) => store.get(whole, VIEW))
  }

  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    const whole = keys.map((key) => prefixed(this.#prefix, key))
    return this.#owner.run('reading', (store) => store.getMany(whole, VIEW))
  }

  put(key: Uint8Array, value: Uint8Array): Promise<void> {
    return this.#owner.batch([this.putting(key, value)])
  }

  del(key: Uint8Array): Promise<void> {
    return this.#owner.batch([this.deleting(key)])
  }

  async *iterate(o: IterateOptions = {}): AsyncIterableIterator<[Uint8Array, Uint8Array]> {
    const range = prefixedRange(this.#prefix, o)
    const iterator = await this.#owner.run('reading', async (store) =>
      store.iterator({ ...VIEW, ...range, reverse: o.reverse ?? false, limit: o.limit ?? -1 }),
    )
    try {
      for (;;) {
        const entry = await this.#owner.run('reading', () => iterator.next())
        if (entry === undefined) return
        yield [entry[0].slice(this.#prefix.length), entry[1]]
      }
    } finally {
      await iterator.close()
    }
  }

  clear(range: Range = {}): Promise<void> {
    const whole = prefixedRange(this.#prefix, range)
    return this.#owner.run('removing', (store) => store.clear({ keyEncoding: 'view', ...whole }))
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

class LevelDatabase implements Database {
  readonly #store: Store
  readonly #tables = new Map<string, LevelTable>()
  #tainted: MoyaiError | undefined
  #closed = false

  constructor(store: Store) {
    this.#store = store
  }

  table(name: string, options: TableOptions = {}): Table {
    const cache = options.cache ?? false
    const known = this.#tables.get(name)
    if (known !== undefined) {
      assert(known.cache === cache, `table ${name} is a cache everywhere or nowhere`)
      return known
    }
    const table = new LevelTable({ owner: this, name, cache })
    this.#tables.set(name, table)
    return table
  }

  batch(operations: readonly Operation[]): Promise<void> {
    assert(operations.length <= BATCH_OPERATIONS_MAX, 'a batch is bounded')
    if (operations.length === 0) return Promise.resolve()
    let sync = false
    const all = operations.map((operation) => {
      const table = operation.table
      assert(table instanceof LevelTable, 'the table is of this database')
      sync ||= !table.cache
      const key = table.wholeKey(operation.key)
      return operation.type === 'put'
        ? { type: 'put' as const, key, value: checkValue(operation.value) }
        : { type: 'del' as const, key }
    })
    return this.run('writing', (store) => store.batch(all, { ...VIEW, sync }))
  }

  /** Runs one call of the store; an error taints the database for good. */
  async run<T>(doing: string, call: (store: Store) => Promise<T>): Promise<T> {
    if (this.#tainted !== undefined) throw this.#tainted
    if (this.#closed) throw new MoyaiError('ABORTED', 'the local database is closed')
    try {
      return await call(this.#store)
    } catch (error) {
      if (this.#closed) throw new MoyaiError('ABORTED', 'the local database is closed')
      this.#tainted = databaseError(error, doing)
      throw this.#tainted
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#store.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/**
 * Opens (or makes) the database in folder `path`. One process at a time: HOME_LOCKED when another
 * has it open. A damaged database is DISK with the hint how to have it rebuilt.
 */
export async function openLevelDatabase(path: string): Promise<Database> {
  const store: Store = new Level(path, {
    ...VIEW,
    cacheSize: CACHE_BYTES,
    writeBufferSize: WRITE_BUFFER_BYTES,
  })
  try {
    await store.open()
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined
    if (errorCode(cause) === 'LEVEL_LOCKED') {
      throw new MoyaiError('HOME_LOCKED', 'another process uses the local database', {
        hint: 'only one daemon can run in one MOYAI_HOME',
        cause: error,
      })
    }
    throw databaseError(cause ?? error, 'opening')
  }
  return new LevelDatabase(store)
}
