/**
 * The pool log on this host: which pool it is in, the statements, and what follows from them.
 *
 * The set only grows. A statement is kept when `evaluatePool` counts it as valid together with
 * those that are here; everything else is forgotten and, should it have come before what it rests
 * on, arrives again with the next sync. What counted once and does not any more, because its author
 * was revoked, stays on the disk but is not offered to others.
 */

import {
  blake3,
  compareBytes,
  concatBytes,
  evaluatePool,
  MoyaiError,
  POOL_STATEMENTS_MAX,
  statementId,
  toHex,
  utf8,
  type PoolState,
} from '@moyai/protocol'

import type { Database, Operation, Table } from '../database/index.ts'
import type { StatementSet } from '../net/sync/state.ts'
import { Serial } from './serial.ts'

const POOL_ID = utf8('id')
/**
 * Ids of statements that did not count, so that they are not judged again with every sync; they
 * cost 100 bytes each.
 */
const REJECTED_MAX = 4096

export class PoolStore implements StatementSet {
  readonly #database: Database
  readonly #pool: Table
  readonly #table: Table
  readonly #serial = new Serial()
  #statements = new Map<string, Uint8Array>()
  #state: PoolState | undefined
  #vaults = new Set<string>()
  #sorted: Uint8Array[] = []
  #digest: Uint8Array = blake3(new Uint8Array(0))
  readonly #rejected = new Set<string>()
  /** Called after the state changed. */
  onChange: () => void = () => undefined

  private constructor(database: Database) {
    this.#database = database
    this.#pool = database.table('pool')
    this.#table = database.table('pool-statement')
  }

  /** Reads what is on the disk. DISK. */
  static async open(database: Database): Promise<PoolStore> {
    const store = new PoolStore(database)
    const id = await store.#pool.get(POOL_ID)
    if (id === undefined) return store
    const statements = new Map<string, Uint8Array>()
    for await (const [key, envelope] of store.#table.iterate()) statements.set(toHex(key), envelope)
    store.#use(statements, evaluatePool(statements.values(), id))
    return store
  }

  /** The pool as its statements have it; undefined while this host is in none. */
  get state(): PoolState | undefined {
    return this.#state
  }

  /** Whether the vault (hex) belongs to a host that is, or was until it was revoked, certified. */
  isVault(vault: string): boolean {
    return this.#vaults.has(vault)
  }

  digest(): Uint8Array {
    return this.#digest
  }

  ids(): Uint8Array[] {
    return this.#sorted
  }

  /** Whether it is here, or was found not to count. */
  has(id: Uint8Array): boolean {
    const name = toHex(id)
    return this.#statements.has(name) || this.#rejected.has(name)
  }

  /** One that is here, whether it counts or not. */
  get(id: Uint8Array): Uint8Array | undefined {
    return this.#statements.get(toHex(id))
  }

  add(envelopes: readonly Uint8Array[]): Promise<number> {
    return this.#serial.run(async () => {
      const pool = this.#state?.id
      if (pool === undefined) throw new MoyaiError('NO_POOL', 'this host is in no pool yet')
      return this.#keep(pool, envelopes, [])
    })
  }

  /**
   * Adds statements that belong together, with further changes in the same batch. HOST_REFUSED when
   * one of them does not count, and nothing is changed then.
   */
  addAll(envelopes: readonly Uint8Array[], also: readonly Operation[]): Promise<void> {
    return this.#serial.run(async () => {
      const pool = this.#state?.id
      if (pool === undefined) throw new MoyaiError('NO_POOL', 'this host is in no pool yet')
      await this.#keep(pool, envelopes, also, true)
    })
  }

  /**
   * Enters a pool with its first statements, with further changes in the same batch. `check` sees
   * the state before anything is written and throws to refuse it. ALREADY_IN_POOL.
   */
  enter(o: {
    pool: Uint8Array
    envelopes: readonly Uint8Array[]
    check: (state: PoolState) => readonly Operation[]
  }): Promise<void> {
    return this.#serial.run(async () => {
      if (this.#state !== undefined) {
        throw new MoyaiError('ALREADY_IN_POOL', 'this host is already in a pool')
      }
      const also = o.check(evaluatePool(o.envelopes, o.pool))
      const entering = [this.#pool.putting(POOL_ID, o.pool), ...also]
      await this.#keep(o.pool, o.envelopes, entering)
    })
  }

  async #keep(
    pool: Uint8Array,
    envelopes: readonly Uint8Array[],
    also: readonly Operation[],
    all = false,
  ): Promise<number> {
    const fresh = new Map<string, Uint8Array>()
    for (const envelope of envelopes) {
      const name = toHex(statementId(envelope))
      if (!this.#statements.has(name) && !this.#rejected.has(name)) fresh.set(name, envelope)
    }
    if (fresh.size === 0 && also.length === 0) return 0
    const together = new Map([...this.#statements, ...fresh])
    const judged = evaluatePool(together.values(), pool)
    const rejected = new Set(judged.rejected.map(({ id }) => toHex(id)))
    const kept = [...fresh].filter(([name]) => !rejected.has(name))
    if (all && kept.length !== fresh.size) {
      const reasons = judged.rejected.filter(({ id }) => fresh.has(toHex(id)))
      const reason = reasons[0]?.reason ?? 'it was refused before'
      throw new MoyaiError('HOST_REFUSED', `a pool statement does not count: ${reason}`)
    }
    if (this.#statements.size + kept.length > POOL_STATEMENTS_MAX) {
      throw new MoyaiError('TOO_LARGE', `a pool has at most ${POOL_STATEMENTS_MAX} statements`)
    }
    const puts = kept.map(([, envelope]) => this.#table.putting(statementId(envelope), envelope))
    await this.#database.batch([...puts, ...also])
    this.#remember(rejected, kept.length > 0)
    if (kept.length === 0) return 0
    const statements = new Map([...this.#statements, ...kept])
    this.#use(statements, evaluatePool(statements.values(), pool))
    this.onChange()
    return kept.length
  }

  /** What did not count may count once something new is here. */
  #remember(rejected: ReadonlySet<string>, news: boolean): void {
    if (news) this.#rejected.clear()
    for (const name of rejected) if (this.#rejected.size < REJECTED_MAX) this.#rejected.add(name)
  }

  #use(statements: Map<string, Uint8Array>, state: PoolState): void {
    this.#statements = statements
    this.#state = state
    const revoked = [...state.revoked.values()].flatMap(({ certificate }) => certificate ?? [])
    const vaults = [...state.hosts.values(), ...revoked].map(({ vault }) => toHex(vault))
    this.#vaults = new Set(vaults)
    this.#sorted = [...state.signed.values()].flat().sort(compareBytes)
    this.#digest = blake3(concatBytes(...this.#sorted))
  }
}
