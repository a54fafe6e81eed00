/**
 * What this host says in the pool log for its organisation: labels, retirement, revocation, policy.
 * The rules of who may are the pool log's (spec/pool-log.md); here they are checked before anything
 * is said, so that a person reads why not.
 */

import {
  equalBytes,
  fromHex,
  isLabel,
  isNameTaken,
  isSenior,
  MoyaiError,
  nextRegisterPlace,
  openDelegation,
  registerName,
  REVOCATION_KEEP_MAX,
  signAway,
  signLabel,
  signLost,
  signPolicy,
  signRetire,
  signRevoke,
  toHex,
  type Clock,
  type HostCertificate,
  type HostLabels,
  type Policy,
  type PoolState,
  type RevokeStatement,
  type Signer,
} from '@moyai/protocol'

import type { PoolStore } from './pool-store.ts'

type Order = NonNullable<RevokeStatement['order']>

/** What the guard key has to sign to revoke a host, in parts of at most REVOCATION_KEEP_MAX ids. */
export type RevocationPlan = { pool: Uint8Array; host: Uint8Array; keep: Uint8Array[][] }

export type ActsOptions = {
  identity: Signer
  /** The organisation's delegation to this host, an envelope. */
  delegation: Uint8Array
}

export class PoolActs {
  readonly #o: ActsOptions
  readonly #store: PoolStore
  readonly #clock: Clock
  readonly #requireState: () => PoolState

  constructor(
    o: ActsOptions,
    components: { store: PoolStore; clock: Clock; requireState: () => PoolState },
  ) {
    this.#o = o
    this.#store = components.store
    this.#clock = components.clock
    this.#requireState = components.requireState
  }

  /** The pool that this host is a member of. NO_POOL, HOST_REVOKED. */
  requireMember(): PoolState {
    const state = this.#requireState()
    if (!state.revoked.has(toHex(this.#o.identity.publicKey))) return state
    throw new MoyaiError('HOST_REVOKED', 'this host was revoked: the pool has put it out', {
      hint: 'its backups are still with the others; set the machine up anew with another MOYAI_HOME',
    })
  }

  /** For whom this host acts, and since when, ms. */
  authority(): { org: Uint8Array; delegatedAt: number } {
    const { org, at } = openDelegation(this.#o.delegation)
    return { org, delegatedAt: at }
  }

  /** Labels a host (hex). HOST_UNKNOWN, NOT_ALLOWED, NAME_TAKEN, USAGE, HOST_REVOKED, DISK. */
  async label(host: string, set: HostLabels): Promise<void> {
    const state = this.requireMember()
    this.#ownHost(state, host)
    for (const text of [set.name, set.site, set.provider]) {
      if (text === undefined || isLabel(text)) continue
      throw new MoyaiError('USAGE', 'a name, site or provider has characters that it cannot have', {
        hint: 'use 1 to 63 letters, digits, spaces, dots or hyphens',
      })
    }
    if (set.name !== undefined && isNameTaken(state, set.name, host)) {
      throw new MoyaiError('NAME_TAKEN', `the pool already has a host named '${set.name}'`, {
        hint: 'choose another name',
      })
    }
    const id = fromHex(host)
    const fields = Object.keys(set) as (keyof HostLabels)[]
    const registers = fields.map((field) => registerName({ label: id, field }))
    const place = nextRegisterPlace(registers.map((name) => state.registers.get(name)))
    await this.#say([
      signLabel({ ...this.#acting(state), host: id, set, ...place }, this.#o.identity),
    ])
  }

  /**
   * Takes a host (hex) out of use, or back into it. HOST_UNKNOWN, NOT_ALLOWED, HOST_REVOKED, DISK.
   */
  async retire(host: string, retired: boolean): Promise<void> {
    const state = this.requireMember()
    const known = this.#ownHost(state, host)
    if ((known.retiredAt !== undefined) === retired) return
    const id = fromHex(host)
    const place = nextRegisterPlace([state.registers.get(registerName({ retire: id }))])
    await this.#say([
      signRetire({ ...this.#acting(state), host: id, retired, ...place }, this.#o.identity),
    ])
  }

  /**
   * Announces that a host (hex) is away until then, ms; 0: it is back. HOST_UNKNOWN, NOT_ALLOWED,
   * MALFORMED for longer than AWAY_MS_MAX, HOST_REVOKED, DISK.
   */
  async away(host: string, until: number): Promise<void> {
    const state = this.requireMember()
    this.#ownHost(state, host)
    const id = fromHex(host)
    const place = nextRegisterPlace([state.registers.get(registerName({ away: id }))])
    await this.#say([
      signAway({ ...this.#acting(state), host: id, until, ...place }, this.#o.identity),
    ])
  }

  /**
   * Declares hosts (hex) of any organisation lost, or takes that back. HOST_UNKNOWN, HOST_REVOKED,
   * DISK.
   */
  async lost(hosts: readonly string[], lost: boolean): Promise<void> {
    const state = this.requireMember()
    if (!hosts.every((host) => state.hosts.has(host))) throw unknownHost()
    const statements = hosts.map((hex) => {
      const host = fromHex(hex)
      const place = nextRegisterPlace([state.registers.get(registerName({ lost: host }))])
      return signLost({ ...this.#acting(state), host, lost, ...place }, this.#o.identity)
    })
    await this.#say(statements)
  }

  /** Sets the pool's policy. NO_POOL, HOST_REVOKED, DISK. */
  async setPolicy(policy: Policy): Promise<void> {
    const state = this.requireMember()
    const place = nextRegisterPlace([state.registers.get(registerName('policy'))])
    await this.#say([signPolicy({ ...this.#acting(state), policy, ...place }, this.#o.identity)])
  }

  /**
   * What a revocation of the host (hex) would keep: all that it said and that counts. HOST_UNKNOWN.
   */
  revocation(host: string): RevocationPlan {
    const state = this.requireMember()
    if (!state.hosts.has(host) && !state.revoked.has(host)) throw unknownHost()
    const said = state.signed.get(host) ?? []
    const keep: Uint8Array[][] = [said.slice(0, REVOCATION_KEEP_MAX)]
    for (let at = REVOCATION_KEEP_MAX; at < said.length; at += REVOCATION_KEEP_MAX) {
      keep.push(said.slice(at, at + REVOCATION_KEEP_MAX))
    }
    return { pool: state.id, host: fromHex(host), keep }
  }

  /** Revokes a host (hex) of this organisation. HOST_UNKNOWN, NOT_ALLOWED, HOST_REVOKED, DISK. */
  async revoke(host: string): Promise<void> {
    const state = this.requireMember()
    if (state.revoked.has(host)) return
    const target = this.#revocable(state, host)
    const plan = this.revocation(host)
    const acting = { ...this.#acting(state), host: plan.host, target }
    await this.#say(plan.keep.map((keep) => signRevoke({ ...acting, keep }, this.#o.identity)))
  }

  /**
   * Passes on the word of a guard key, one order for each part of `plan`. IDENTITY_MISMATCH when it
   * is not that of the host's organisation; HOST_REFUSED when an order does not count.
   */
  async revokeByOrder(plan: RevocationPlan, orders: readonly Order[]): Promise<void> {
    const state = this.requireMember()
    const name = toHex(plan.host)
    const org = state.hosts.get(name)?.org ?? state.revoked.get(name)?.org
    const right = orders.every((order) => org !== undefined && equalBytes(order.org, org))
    if (!right || orders.length !== plan.keep.length) {
      throw new MoyaiError(
        'IDENTITY_MISMATCH',
        "these are not the words of the host's organisation",
      )
    }
    const statements = orders.map((order, part) => {
      const keep = plan.keep[part] as Uint8Array[]
      const content = { ...this.#acting(state), host: plan.host, keep, order }
      return signRevoke(content, this.#o.identity)
    })
    await this.#say(statements)
  }

  #acting(state: PoolState): { pool: Uint8Array; delegation: Uint8Array; at: number } {
    return { pool: state.id, delegation: this.#o.delegation, at: this.#clock.now() }
  }

  async #say(statements: Uint8Array[]): Promise<void> {
    await this.#store.addAll(statements, [])
  }

  /** A host of this organisation. HOST_UNKNOWN, NOT_ALLOWED. */
  #ownHost(state: PoolState, host: string): HostCertificate {
    const known = state.hosts.get(host)
    if (known === undefined) throw unknownHost()
    const { org } = openDelegation(this.#o.delegation)
    if (equalBytes(known.org, org)) return known
    throw new MoyaiError('NOT_ALLOWED', `${known.name} belongs to another organisation`, {
      hint: `only hosts of its own organisation decide about it: say it there`,
    })
  }

  /** The delegation of a host that this one may revoke. */
  #revocable(state: PoolState, host: string): Uint8Array {
    const known = state.hosts.get(host)
    const own = openDelegation(this.#o.delegation)
    if (known !== undefined && !equalBytes(known.org, own.org)) {
      throw new MoyaiError('NOT_ALLOWED', `${known.name} belongs to another organisation`, {
        hint: 'give the recovery phrase of that organisation with --phrase-file F, or say it there',
      })
    }
    const { name, delegation } = this.#ownHost(state, host)
    if (delegation !== undefined) {
      const self = toHex(this.#o.identity.publicKey) === host
      if (self || isSenior(own, openDelegation(delegation))) return delegation
    }
    throw new MoyaiError('NOT_ALLOWED', `${name} is an older host than this one`, {
      hint: 'say it on an older host, or give the recovery phrase with --phrase-file F',
    })
  }
}

function unknownHost(): MoyaiError {
  return new MoyaiError('HOST_UNKNOWN', 'the pool has no such host', {
    hint: 'moyai pool hosts lists them',
  })
}
