/**
 * Who is revoked, and what of a revoked host's statements still counts (spec/pool-log.md §5.2).
 *
 * Revocations come from a host's seniors, from itself or from the guard key. They are looked at
 * from the most senior author down, so a revoked author is known as such before his own are: a
 * stolen host revokes nobody any more, and two hosts cannot revoke one another.
 */

import { compareBytes, equalBytes, toHex } from '../bytes.ts'
import type { OpenedStatement, RevokeStatement } from './statement.ts'

/** Who says so: the lower, the weightier. */
const BY_GUARD = 0
const BY_SENIOR = 1
const BY_ITSELF = 2

/** One host of one organisation that is revoked. */
export type Revocation = {
  host: Uint8Array
  org: Uint8Array
  /** The weightiest statement that revokes it; of several, the one with the lowest id. */
  statement: Uint8Array
  /** As that statement has it, ms. */
  at: number
}

type Opened = OpenedStatement & { statement: RevokeStatement }
type Entry = { weight: number; keep: Set<string>; revocation: Revocation }

function weightOf({ statement }: Opened): number {
  if (statement.order !== undefined) return BY_GUARD
  return equalBytes(statement.by, statement.host) ? BY_ITSELF : BY_SENIOR
}

function inOrder(a: Opened, b: Opened): number {
  const guardFirst = Number(weightOf(a) !== BY_GUARD) - Number(weightOf(b) !== BY_GUARD)
  const seniorFirst = a.delegatedAt - b.delegatedAt || compareBytes(a.statement.by, b.statement.by)
  return guardFirst || seniorFirst || weightOf(a) - weightOf(b) || compareBytes(a.id, b.id)
}

/** The revoked hosts as a set of statements has them. */
export class Revocations {
  /** By organisation and host in hex: a delegation binds a host to one organisation. */
  readonly #entries = new Map<string, Entry>()
  /** Revocations that count for nothing, because their author was revoked. */
  readonly void: Uint8Array[] = []

  /** `all`: every opened revocation for the pool, in any order, each once. */
  constructor(all: readonly Opened[]) {
    for (const one of all.toSorted(inOrder)) {
      if (weightOf(one) !== BY_GUARD && this.voids(one)) this.void.push(one.id)
      else this.#count(one)
    }
  }

  #count(one: Opened): void {
    const { id, statement } = one
    const { host, at } = statement
    const org = statement.order?.org ?? one.org
    const name = `${toHex(org)} ${toHex(host)}`
    const weight = weightOf(one)
    const known = this.#entries.get(name)
    // A weightier word replaces what others would keep; equal ones keep what any of them saw.
    if (known !== undefined && known.weight < weight) return
    const same = known !== undefined && known.weight === weight
    const keep = same ? known.keep : new Set<string>()
    for (const kept of statement.keep) keep.add(toHex(kept))
    const first = same && compareBytes(known.revocation.statement, id) < 0
    const revocation = first ? known.revocation : { host, org, statement: id, at }
    this.#entries.set(name, { weight, keep, revocation })
  }

  /** True when the author of a statement is revoked and the statement is not among those kept. */
  voids({ id, org, statement }: OpenedStatement): boolean {
    const entry = this.#entries.get(`${toHex(org)} ${toHex(statement.by)}`)
    return entry !== undefined && !entry.keep.has(toHex(id))
  }

  /** The revocation of `host` as one of `org`. */
  of(org: Uint8Array, host: Uint8Array): Revocation | undefined {
    return this.#entries.get(`${toHex(org)} ${toHex(host)}`)?.revocation
  }

  all(): Revocation[] {
    return [...this.#entries.values()].map(({ revocation }) => revocation)
  }
}
