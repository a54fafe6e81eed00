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
import type { Policy } from '../placement/hosts.ts'
import type { HostClaim } from './claim.ts'
import { foldLabel } from './label.ts'
import { Register, type RegisterState } from './register.ts'
import { Revocations, type Revocation } from './revocation.ts'
import {
  openStatement,
  statementId,
  type AwayStatement,
  type HostLabels,
  type HostStatement,
  type LabelStatement,
  type OpenedStatement,
  type OrganisationStatement,
  type RetireStatement,
  type Statement,
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

/** A host of the pool, as its newest certificate and the labels set since have it. */
export type HostCertificate = Omit<HostClaim, 'pool'> & {
  /** `claimedName`, or with `#2`, `#3`, … where an earlier host has it. */
  name: string
  claimedName: string
  /** When this host was first certified, ms. */
  since: number
  statement: Uint8Array
  /** The envelope under which it certified itself; absent when another host certified it. */
  delegation: Uint8Array | undefined
  /** Since when its organisation is taking it out of use, ms; undefined while it is in use. */
  retiredAt: number | undefined
  /** Until when its organisation announced that it is away, ms; undefined when it did not. */
  awayUntil: number | undefined
  /** Id of the statement that declares it lost; undefined when none that counts does. */
  lost: Uint8Array | undefined
}

/** A host that was revoked: it is no member, and never will be again. */
export type RevokedHost = Revocation & {
  /** What it was, when a certificate of it still counts. */
  certificate: HostCertificate | undefined
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
  /** By identity key in hex; ascending. None of them is in `hosts`. */
  revoked: Map<string, RevokedHost>
  /** What the pool's vaults want to survive; undefined until somebody says so. */
  policy: Policy | undefined
  /** What statements about the same thing have to name (`register.ts`), by `registerName`. */
  registers: Map<string, RegisterState>
  /** Ids of the statements that count, ascending, by the host (hex) that signed them. */
  signed: Map<string, Uint8Array[]>
  /** Ascending by id; they stay in the set, because a later version may know better. */
  rejected: Rejected[]
}

/**
 * Statements that were opened before, by id in hex: a pool of 300 hosts has 2000 signatures, which
 * take half a second to verify. Kept by the caller between evaluations; takes POOL_STATEMENTS_MAX
 * at most.
 */
export type OpenedStatements = Map<string, OpenedStatement | { reason: string }>

type Opened<S extends Statement> = OpenedStatement & { statement: S }
type OfKind<K extends Statement['kind']> = Opened<Extract<Statement, { kind: K }>>

/** The name in `PoolState.registers` of what is said of a host, or of the policy. */
export function registerName(
  what:
    | 'policy'
    | { retire: Uint8Array }
    | { away: Uint8Array }
    | { lost: Uint8Array }
    | { label: Uint8Array; field: keyof HostLabels },
): string {
  if (what === 'policy') return 'policy'
  if ('retire' in what) return `retire ${toHex(what.retire)}`
  if ('away' in what) return `away ${toHex(what.away)}`
  if ('lost' in what) return `lost ${toHex(what.lost)}`
  return `label ${toHex(what.label)} ${what.field}`
}

/** Total order of statements: by their own time, then by id. */
function earlier(a: OpenedStatement, b: OpenedStatement): number {
  return a.statement.at - b.statement.at || compareBytes(a.id, b.id)
}

const VOID = 'by a revoked host'
const OUTSIDE = 'by an organisation outside the pool'

class Evaluation {
  readonly #pool: Uint8Array
  readonly #opened: OpenedStatement[] = []
  readonly #rejected = new Map<string, Rejected>()
  readonly #organisations = new Map<string, Organisation>()
  readonly #settings = new Map<string, Register<unknown>>()
  #revocations = new Revocations([])
  #certified = new Map<string, HostCertificate>()
  #name = ''

  constructor(pool: Uint8Array) {
    this.#pool = pool
  }

  reject(id: Uint8Array, reason: string): void {
    this.#rejected.set(toHex(id), { id, reason })
  }

  /** Takes one opened statement, or sorts it out. */
  take(opened: OpenedStatement): void {
    const { id, org, statement } = opened
    if (statement.kind !== 'genesis') {
      if (equalBytes(statement.pool, this.#pool)) this.#opened.push(opened)
      else this.reject(id, 'of another pool')
      return
    }
    if (!equalBytes(id, this.#pool)) return this.reject(id, 'genesis of another pool')
    // Whatever became of its signer: a pool whose founding host was stolen is still the pool.
    this.#name = statement.name
    const at = statement.at
    this.#organisations.set(toHex(org), { org, statement: id, admittedBy: org, at })
    this.#opened.push(opened)
  }

  /** What is left of a kind, in a total order. */
  #counting<K extends Statement['kind']>(kind: K): OfKind<K>[] {
    return this.#opened
      .filter((one): one is OfKind<K> => one.statement.kind === kind)
      .filter(({ id }) => !this.#rejected.has(toHex(id)))
      .toSorted(earlier)
  }

  /** Finds who is revoked, and rejects what revoked hosts said and nobody kept. */
  #revoke(): void {
    this.#revocations = new Revocations(this.#counting('revoke'))
    for (const id of this.#revocations.void) this.reject(id, VOID)
    for (const one of this.#opened) {
      const { kind } = one.statement
      if (kind === 'genesis' || kind === 'revoke') continue
      if (this.#revocations.voids(one)) this.reject(one.id, VOID)
    }
  }

  /**
   * Admits organisations until nobody is left whom an admitted one admits. The set of the admitted
   * is the closure from the founder; which statement counts for each is decided afterwards, so the
   * way there does not matter.
   */
  #admit(): void {
    const admissions = this.#counting('organisation')
    const admitted = new Set(this.#organisations.keys())
    const invitedBy = new Map<string, Opened<OrganisationStatement>[]>()
    for (const one of admissions) {
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
    for (const { id, org: admittedBy, statement } of admissions) {
      const { org, at } = statement
      if (!admitted.has(toHex(admittedBy))) this.reject(id, OUTSIDE)
      else if (!this.#organisations.has(toHex(org))) {
        this.#organisations.set(toHex(org), { org, statement: id, admittedBy, at })
      }
    }
  }

  /** The newest certificate of each host of an admitted organisation. */
  #certify(): void {
    for (const { id, org, claim, statement } of this.#counting('host')) {
      if (claim === undefined) continue
      const hex = toHex(claim.host)
      const before = this.#certified.get(hex)
      if (!this.#organisations.has(toHex(org))) {
        this.reject(id, 'of an organisation outside the pool')
      } else if (before !== undefined && !equalBytes(before.org, org)) {
        this.reject(id, 'of a host that belongs to another organisation')
      } else {
        this.#certified.set(hex, certificateOf({ id, claim, statement, before }))
      }
    }
  }

  #register<V>(name: string): Register<V> {
    const known = this.#settings.get(name) ?? new Register<unknown>()
    this.#settings.set(name, known)
    return known as Register<V>
  }

  /** True for a statement about a host of its author's own organisation; rejects it otherwise. */
  #isAboutOwn(one: Opened<LabelStatement | RetireStatement | AwayStatement>): boolean {
    const { id, org, statement } = one
    const host = this.#certified.get(toHex(statement.host))
    if (host !== undefined && equalBytes(host.org, org)) return true
    this.reject(id, 'about a host that its organisation does not have')
    return false
  }

  /** Applies labels, retirements and the policy. */
  #describe(): Policy | undefined {
    for (const { id, org } of this.#counting('policy')) {
      if (!this.#organisations.has(toHex(org))) this.reject(id, OUTSIDE)
    }
    for (const { id, org, statement } of this.#counting('revoke')) {
      // Who passes an order on does not matter: the order may be what puts him out.
      const revoking = statement.order?.org ?? org
      if (!this.#organisations.has(toHex(revoking))) this.reject(id, OUTSIDE)
    }
    const labelled = new Map<string, { hex: string; field: keyof HostLabels }>()
    for (const one of this.#counting('label')) {
      if (!this.#isAboutOwn(one)) continue
      const { host, set } = one.statement
      for (const field of Object.keys(set) as (keyof HostLabels)[]) {
        const name = registerName({ label: host, field })
        labelled.set(name, { hex: toHex(host), field })
        const { seq, after } = one.statement
        this.#register(name).add({ id: one.id, seq, after, value: set[field] })
      }
    }
    for (const [name, { hex, field }] of labelled) {
      const host = this.#certified.get(hex) as HostCertificate
      const key = field === 'name' ? 'claimedName' : field
      this.#certified.set(hex, { ...host, [key]: this.#register(name).value() })
    }
    this.#retire()
    this.#miss()
    for (const { id, statement } of this.#counting('policy')) {
      const { seq, after, policy } = statement
      this.#register<Policy>('policy').add({ id, seq, after, value: policy })
    }
    return this.#settings.has('policy') ? this.#register<Policy>('policy').value() : undefined
  }

  #retire(): void {
    const retired = new Set<string>()
    for (const one of this.#counting('retire')) {
      if (!this.#isAboutOwn(one)) continue
      const { host, seq, after, at } = one.statement
      const value = one.statement.retired ? at : undefined
      retired.add(toHex(host))
      this.#register(registerName({ retire: host })).add({ id: one.id, seq, after, value })
    }
    for (const hex of retired) {
      const host = this.#certified.get(hex) as HostCertificate
      const register = this.#register<number | undefined>(registerName({ retire: host.host }))
      this.#certified.set(hex, { ...host, retiredAt: register.value() })
    }
  }

  /** Applies announced absences and declared losses. */
  #miss(): void {
    for (const one of this.#counting('away')) {
      if (!this.#isAboutOwn(one)) continue
      const { host, seq, after, until } = one.statement
      const value = until === 0 ? undefined : until
      this.#register(registerName({ away: host })).add({ id: one.id, seq, after, value })
    }
    for (const { id, org, statement } of this.#counting('lost')) {
      const { host, seq, after, lost } = statement
      if (!this.#organisations.has(toHex(org))) this.reject(id, OUTSIDE)
      else if (!this.#certified.has(toHex(host))) this.reject(id, 'about a host that is not there')
      else {
        const value = lost ? id : undefined
        this.#register(registerName({ lost: host })).add({ id, seq, after, value })
      }
    }
    for (const host of this.#certified.values()) {
      const away = registerName({ away: host.host })
      if (this.#settings.has(away)) {
        host.awayUntil = this.#register<number | undefined>(away).value()
      }
      const lost = registerName({ lost: host.host })
      if (this.#settings.has(lost)) {
        host.lost = this.#register<Uint8Array | undefined>(lost).value()
      }
    }
  }

  /** Everything that follows from what was taken. */
  state(): PoolState {
    this.#revoke()
    this.#admit()
    this.#certify()
    const policy = this.#describe()
    const registers = new Map([...this.#settings].map(([name, one]) => [name, one.state()]))
    const hosts = new Map(this.#certified)
    const revoked = new Map<string, RevokedHost>()
    for (const revocation of this.#revocations.all()) {
      if (!this.#organisations.has(toHex(revocation.org))) continue
      const hex = toHex(revocation.host)
      const certificate = this.#certified.get(hex)
      if (certificate !== undefined && !equalBytes(certificate.org, revocation.org)) continue
      hosts.delete(hex)
      const last = certificate && { ...certificate, name: certificate.claimedName }
      revoked.set(hex, { ...revocation, certificate: last })
    }
    return {
      id: this.#pool,
      name: this.#name,
      organisations: ascending(this.#organisations),
      hosts: named(hosts),
      revoked: ascending(revoked),
      policy,
      registers: ascending(registers),
      signed: this.#signed(),
      rejected: [...ascending(this.#rejected).values()],
    }
  }

  #signed(): Map<string, Uint8Array[]> {
    const signed = new Map<string, Uint8Array[]>()
    const counting = this.#opened.filter(({ id }) => !this.#rejected.has(toHex(id)))
    for (const { id, statement } of counting.toSorted((a, b) => compareBytes(a.id, b.id))) {
      const by = toHex(statement.by)
      const list = signed.get(by)
      if (list === undefined) signed.set(by, [id])
      else list.push(id)
    }
    return ascending(signed)
  }
}

function certificateOf(o: {
  id: Uint8Array
  claim: HostClaim
  statement: HostStatement
  before: HostCertificate | undefined
}): HostCertificate {
  const { pool: _, ...rest } = o.claim
  const { at, by } = o.statement
  const isOwn = equalBytes(by, o.claim.host)
  return {
    ...rest,
    claimedName: o.claim.name,
    since: o.before?.since ?? at,
    at,
    statement: o.id,
    delegation: isOwn ? o.statement.delegation : o.before?.delegation,
    retiredAt: undefined,
    awayUntil: undefined,
    lost: undefined,
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
  return evaluation.state()
}
