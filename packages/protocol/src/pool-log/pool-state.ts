/**
 * From a set of statements to a pool (spec/pool-log.md §5).
 *
 * The set only grows, and arrives in any order and from anybody. So the result is a function of the
 * set alone: nothing depends on order, and no statement, however hostile, does more than be listed
 * as rejected.
 */

import { compareBytes, equalBytes, toHex } from '../bytes.ts'
import { MoyaiError } from '../errors.ts'
import { POOL_STATEMENTS_MAX } from '../limits.ts'
import type { HostClaim } from './claim.ts'
import { foldLabel } from './label.ts'
import {
  openStatement,
  statementId,
  type HostStatement,
  type OpenedStatement,
  type OrganisationStatement,
} from './statement.ts'

/** An organisation of the pool. */
export type Organisation = {
  org: Uint8Array
  /** The statement that admitted it: of several, the earliest by (at, id). */
  statement: Uint8Array
  /** Organisation that admitted it; the founder admitted itself. */
  admittedBy: Uint8Array
  at: number
}

/** A host of the pool, as its newest certificate has it. */
export type HostCertificate = Omit<HostClaim, 'pool'> & {
  /** `claimedName`, or with `#2`, `#3`, … where an earlier host has it. */
  name: string
  claimedName: string
  /** When this host was first certified, ms. */
  since: number
  statement: Uint8Array
}

/** A statement that counts for nothing, and why. */
export type Rejected = { id: Uint8Array; reason: string }

export type PoolState = {
  /** Hash of the genesis. */
  id: Uint8Array
  /** Empty while the genesis is not in the set. */
  name: string
  /** By id in hex; ascending. */
  organisations: Map<string, Organisation>
  /** By identity key in hex; ascending. */
  hosts: Map<string, HostCertificate>
  /** Ascending by id; they stay in the set, because a later version may know better. */
  rejected: Rejected[]
}

/**
 * Statements that were opened before, by id in hex: a pool of 300 hosts has 2000 signatures, which
 * take half a second to verify. Kept by the caller between evaluations; takes POOL_STATEMENTS_MAX
 * at most.
 */
export type OpenedStatements = Map<string, OpenedStatement | { reason: string }>

type Opened<S> = OpenedStatement & { statement: S }

/** Total order of statements: by their own time, then by id. */
function earlier(a: OpenedStatement, b: OpenedStatement): number {
  return a.statement.at - b.statement.at || compareBytes(a.id, b.id)
}

class Evaluation {
  readonly #pool: Uint8Array
  readonly #rejected = new Map<string, Rejected>()
  readonly #organisations = new Map<string, Organisation>()
  readonly #admissions: Opened<OrganisationStatement>[] = []
  readonly #certificates: (Opened<HostStatement> & { claim: HostClaim })[] = []
  #name = ''

  constructor(pool: Uint8Array) {
    this.#pool = pool
  }

  reject(id: Uint8Array, reason: string): void {
    this.#rejected.set(toHex(id), { id, reason })
  }

  /** Sorts one opened statement to its kind, or out. */
  take(opened: OpenedStatement): void {
    const { id, org, statement, claim } = opened
    if (statement.kind === 'genesis') {
      if (!equalBytes(id, this.#pool)) return this.reject(id, 'genesis of another pool')
      this.#name = statement.name
      const at = statement.at
      this.#organisations.set(toHex(org), { org, statement: id, admittedBy: org, at })
      return
    }
    if (!equalBytes(statement.pool, this.#pool)) return this.reject(id, 'of another pool')
    if (statement.kind === 'organisation') this.#admissions.push({ id, org, statement })
    else if (claim !== undefined) this.#certificates.push({ id, org, statement, claim })
  }

  /**
   * Admits organisations until nobody is left whom an admitted one admits. The set of the admitted
   * is the closure from the founder; which statement counts for each is decided afterwards, so the
   * way there does not matter.
   */
  admit(): void {
    const admitted = new Set(this.#organisations.keys())
    const invitedBy = new Map<string, Opened<OrganisationStatement>[]>()
    for (const one of this.#admissions) {
      const by = toHex(one.org)
      const list = invitedBy.get(by)
      if (list === undefined) invitedBy.set(by, [one])
      else list.push(one)
    }
    const pending = [...admitted]
    for (let by = pending.pop(); by !== undefined; by = pending.pop()) {
      for (const { statement } of invitedBy.get(by) ?? []) {
        const org = toHex(statement.org)
        if (admitted.has(org)) continue
        admitted.add(org)
        pending.push(org)
      }
    }
    for (const one of this.#admissions.toSorted(earlier)) {
      const { id, org: admittedBy, statement } = one
      const { org, at } = statement
      if (!admitted.has(toHex(admittedBy))) this.reject(id, 'by an organisation outside the pool')
      else if (!this.#organisations.has(toHex(org))) {
        this.#organisations.set(toHex(org), { org, statement: id, admittedBy, at })
      }
    }
  }

  /**
   * The newest certificate of each host of an admitted organisation, with names that are unique.
   */
  hosts(): Map<string, HostCertificate> {
    const newest = new Map<string, HostCertificate>()
    for (const { id, org, claim, statement } of this.#certificates.toSorted(earlier)) {
      const hex = toHex(claim.host)
      const before = newest.get(hex)
      if (!this.#organisations.has(toHex(org))) {
        this.reject(id, 'of an organisation outside the pool')
      } else if (before !== undefined && !equalBytes(before.org, org)) {
        this.reject(id, 'of a host that belongs to another organisation')
      } else {
        const { pool: _, ...rest } = claim
        const since = before?.since ?? statement.at
        const at = statement.at
        newest.set(hex, { ...rest, claimedName: claim.name, since, at, statement: id })
      }
    }
    return named(newest)
  }

  state(hosts: Map<string, HostCertificate>): PoolState {
    return {
      id: this.#pool,
      name: this.#name,
      organisations: ascending(this.#organisations),
      hosts,
      rejected: [...ascending(this.#rejected).values()],
    }
  }
}

function ascending<T>(map: Map<string, T>): Map<string, T> {
  return new Map([...map].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

/**
 * Gives each host a name of its own: who was certified first keeps it, the others get `#2`, `#3`, …
 */
function named(hosts: Map<string, HostCertificate>): Map<string, HostCertificate> {
  const counts = new Map<string, number>()
  const out = new Map<string, HostCertificate>()
  const order = [...hosts].toSorted(
    ([, a], [, b]) => a.since - b.since || compareBytes(a.host, b.host),
  )
  for (const [hex, host] of order) {
    const folded = foldLabel(host.claimedName)
    const count = (counts.get(folded) ?? 0) + 1
    counts.set(folded, count)
    const name = count === 1 ? host.claimedName : `${host.claimedName}#${count}`
    out.set(hex, { ...host, name })
  }
  return ascending(out)
}

function opening(envelope: Uint8Array): OpenedStatement | { reason: string } {
  try {
    return openStatement(envelope)
  } catch (error) {
    if (error instanceof MoyaiError) return { reason: error.message }
    throw error
  }
}

/**
 * The pool `pool` (id) as the statements `envelopes` have it, in whatever order and however often
 * they come. Never throws for what is in them. The caller keeps the set below POOL_STATEMENTS_MAX.
 * With `opened` kept from one call to the next, each statement is verified once.
 */
export function evaluatePool(
  envelopes: Iterable<Uint8Array>,
  pool: Uint8Array,
  opened: OpenedStatements = new Map(),
): PoolState {
  const evaluation = new Evaluation(pool)
  const seen = new Set<string>()
  for (const envelope of envelopes) {
    const id = statementId(envelope)
    const hex = toHex(id)
    if (seen.has(hex)) continue
    seen.add(hex)
    const one = opened.get(hex) ?? opening(envelope)
    if (opened.size < POOL_STATEMENTS_MAX) opened.set(hex, one)
    if ('reason' in one) evaluation.reject(id, one.reason)
    else evaluation.take(one)
  }
  evaluation.admit()
  return evaluation.state(evaluation.hosts())
}
