/**
 * The pool as the command sees it: its hosts and how far they are emptied, what is said about them,
 * and the policy. Names are resolved here; who may say what is membership's matter.
 */

import {
  AWAY_MS_MAX,
  explainPolicy,
  explanationLines,
  findHost,
  findHosts,
  fromHex,
  isMoyaiError,
  MoyaiError,
  parsePolicy,
  policyText,
  toHex,
  type Clock,
  type Code,
  type DrainStatus,
  type HostLabels,
  type HostStatus,
  type PoolHostsResult,
  type PoolLabelParams,
  type PoolLostResult,
  type PoolPolicyResult,
  type PoolRetireResult,
  type PoolRevocationResult,
  type PoolRevokeParams,
} from '@moyai/protocol'

import { type Ledger, withLedger } from './ledger/index.ts'
import type { Membership } from './membership/index.ts'
import type { Network } from './net/index.ts'
import { memberTransport, SyncClient } from './net/sync/client.ts'
import type { Remaining } from './net/sync/state.ts'
import {
  hostStatuses,
  placeableFacts,
  policyStatus,
  poolPolicy,
  type PoolView,
} from './status/index.ts'
import { remainingAt, type VaultIndex } from './store/index.ts'

/** `hosts` shows what is younger than this, and does not wait longer for a host that hangs. */
const LEDGER_AGE_MS = 1_000
const LEDGER_PATIENCE_MS = 1_000
/** How long owners are waited for when they are asked what of theirs is at a retiring host. */
const ASK_MS = 10_000
const ID = /^[0-9a-f]{64}$/
const SIGNATURE = /^[0-9a-f]{128}$/

export type PoolServiceComponents = {
  membership: Membership
  network: Network
  index: VaultIndex
  clock: Clock
  /** Bytes that this host keeps for others. */
  keptBytes: () => Promise<number>
  ledger: Ledger
  /** How hosts that are not connected are missed. */
  liveness?: PoolView['liveness']
  /** The code of data stripes where config.toml sets it. */
  code?: Code | undefined
}

export class PoolService {
  readonly #c: PoolServiceComponents
  readonly #self: string

  constructor(components: PoolServiceComponents) {
    this.#c = components
    this.#self = toHex(components.network.self)
    components.membership.onLeaving = (hosts) => this.#leaving(hosts)
  }

  /** All hosts, and what is still at those that are being emptied. NO_POOL. */
  async hosts(): Promise<PoolHostsResult> {
    const { ledger, network } = this.#c
    await Promise.all([network.measure(), ledger.refresh(LEDGER_AGE_MS, LEDGER_PATIENCE_MS)])
    const { state } = this.#view()
    const retiring = [...state.hosts].filter(([, host]) => host.retiredAt !== undefined)
    const drains = await this.#drains(retiring.map(([id]) => id))
    return {
      pool: { id: toHex(state.id), name: state.name },
      hosts: await withLedger(await this.#statuses(), ledger),
      drains,
    }
  }

  /** HOST_UNKNOWN, HOST_AMBIGUOUS, NOT_ALLOWED, NAME_TAKEN, USAGE, NO_POOL, HOST_REVOKED, DISK. */
  async label({ host, offered, ...texts }: PoolLabelParams): Promise<HostStatus> {
    const id = this.#find(host)
    const set: HostLabels = { ...texts }
    if (offered !== undefined) {
      if (!Number.isSafeInteger(offered) || offered < 0) {
        throw new MoyaiError('USAGE', 'the space offered is a whole number of bytes')
      }
      set.offeredBytes = offered
    }
    await this.#c.membership.acts.label(id, set)
    return this.#statusOf(id)
  }

  /** HOST_UNKNOWN, HOST_AMBIGUOUS, NOT_ALLOWED, NO_POOL, HOST_REVOKED, DISK. */
  async retire(host: string, retired: boolean): Promise<PoolRetireResult> {
    const id = this.#find(host)
    await this.#c.membership.acts.retire(id, retired)
    const [drain] = retired ? await this.#drains([id]) : []
    return { host: await this.#statusOf(id), drain: drain ?? null }
  }

  /**
   * Announces that a host is away until then, ms. HOST_UNKNOWN, HOST_AMBIGUOUS, NOT_ALLOWED, USAGE,
   * NO_POOL, HOST_REVOKED, DISK.
   */
  async away(host: string, until: number): Promise<HostStatus> {
    const id = this.#find(host)
    const now = this.#c.clock.now()
    if (!Number.isSafeInteger(until) || until <= now || until > now + AWAY_MS_MAX) {
      throw new MoyaiError('USAGE', 'an absence ends between now and 90 days from now', {
        hint: 'a host that is away for longer is better retired; pool back ends an absence',
      })
    }
    await this.#c.membership.acts.away(id, until)
    return this.#statusOf(id)
  }

  /** Ends an announced absence, and takes a declared loss back. Errors as of `away`. */
  async back(host: string): Promise<HostStatus> {
    const id = this.#find(host)
    const { acts } = this.#c.membership
    const known = this.#c.membership.requireState().hosts.get(id)
    if (known?.lost !== undefined) await acts.lost([id], false)
    if (known?.awayUntil !== undefined) await acts.away(id, 0)
    return this.#statusOf(id)
  }

  /**
   * Declares a host lost, or all of a site that are not connected. NOT_ALLOWED when none is left,
   * HOST_UNKNOWN, HOST_AMBIGUOUS, NO_POOL, HOST_REVOKED, DISK.
   */
  async lost(target: string): Promise<PoolLostResult> {
    const state = this.#c.membership.requireState()
    const ids = findHosts(state, target)
    const connected = new Set(this.#view().peers.flatMap((p) => (p.connected ? p.host : [])))
    const isHere = (id: string): boolean => id === this.#self || connected.has(id)
    const present = ids.filter(isHere).map((id) => state.hosts.get(id)?.name ?? id)
    const gone = ids.filter((id) => !isHere(id))
    if (gone.length === 0) {
      throw new MoyaiError('NOT_ALLOWED', `${present.join(', ')}: connected, so not lost`, {
        hint: 'pool retire empties a host that still works',
      })
    }
    await this.#c.membership.acts.lost(gone, true)
    const statuses = await this.#statuses()
    return { hosts: statuses.filter(({ id }) => gone.includes(id)), present }
  }

  /** What a guard key has to sign. HOST_UNKNOWN, HOST_AMBIGUOUS, NO_POOL, HOST_REVOKED. */
  revocation(host: string): PoolRevocationResult {
    const id = this.#find(host)
    const state = this.#c.membership.requireState()
    const plan = this.#c.membership.acts.revocation(id)
    const known = state.hosts.get(id) ?? state.revoked.get(id)
    return {
      pool: toHex(plan.pool),
      host: id,
      name: state.hosts.get(id)?.name ?? host,
      org: known === undefined ? '' : toHex(known.org),
      keep: plan.keep.map((part) => part.map(toHex).join()),
    }
  }

  /**
   * HOST_UNKNOWN, HOST_AMBIGUOUS, NOT_ALLOWED, NO_POOL, HOST_REVOKED, IDENTITY_MISMATCH, USAGE,
   * HOST_REFUSED, DISK.
   */
  async revoke({ host, keep, signatures }: PoolRevokeParams): Promise<HostStatus> {
    const id = this.#find(host)
    const { acts } = this.#c.membership
    if (keep === undefined || signatures === undefined) {
      await acts.revoke(id)
      return this.#statusOf(id)
    }
    const state = this.#c.membership.requireState()
    const org = state.hosts.get(id)?.org ?? state.revoked.get(id)?.org
    if (org === undefined || !signatures.every((text) => SIGNATURE.test(text))) {
      throw new MoyaiError('USAGE', 'a signature has 128 hexadecimal digits')
    }
    const plan = { pool: state.id, host: fromHex(id), keep: keep.map(idsOf) }
    await acts.revokeByOrder(
      plan,
      signatures.map((text) => ({ org, signature: fromHex(text) })),
    )
    return this.#statusOf(id)
  }

  /** The policy; sets it first where `set` says so. CONFIG_INVALID, NO_POOL, HOST_REVOKED, DISK. */
  async policy(set?: string): Promise<PoolPolicyResult> {
    if (set !== undefined) {
      const base = poolPolicy(this.#c.membership.requireState())
      await this.#c.membership.acts.setPolicy(parsePolicy(set, base))
    }
    const view = this.#view()
    const policy = poolPolicy(view.state)
    const { code, explain } = policyStatus(view, this.#c.code, policy)
    const isSet = view.state.policy !== undefined
    const about = { policy: policyText(policy), isSet, code, explain }
    try {
      const hosts = placeableFacts(view)
      const fixed = this.#c.code
      const why = explainPolicy({ hosts, owner: this.#self, class: 'data', policy, fixed })
      const { overhead, plan } = why
      return { ...about, explanation: explanationLines(why), overhead, survives: plan.survives }
    } catch (error) {
      if (!isMoyaiError(error, 'TOO_FEW_HOSTS')) throw error
      const hint = error.hint === undefined ? [] : [error.hint]
      return { ...about, explanation: [error.message, ...hint], overhead: null, survives: null }
    }
  }

  #find(text: string): string {
    return findHost(this.#c.membership.requireState(), text)
  }

  #view(): PoolView {
    const { membership, network } = this.#c
    const state = membership.requireState()
    return { self: this.#self, state, peers: network.peers(), liveness: this.#c.liveness }
  }

  async #statuses(): Promise<HostStatus[]> {
    return hostStatuses(this.#view(), new Map([[this.#self, await this.#c.keptBytes()]]))
  }

  async #statusOf(id: string): Promise<HostStatus> {
    const found = (await this.#statuses()).find((host) => host.id === id)
    if (found !== undefined) return found
    throw new MoyaiError('HOST_UNKNOWN', 'the pool has no such host any more')
  }

  async #leaving(hosts: readonly Uint8Array[]): Promise<Remaining[]> {
    const holders = placeableFacts(this.#view()).length - 1
    const found = await remainingAt(this.#c.index, { hosts: hosts.map(toHex), holders })
    return [...found].flatMap(([host, remaining]) =>
      remaining.shards === 0 ? [] : [{ host: fromHex(host), ...remaining }],
    )
  }

  /** Asks every owner what of its vault is at these hosts (hex). */
  async #drains(ids: readonly string[]): Promise<DrainStatus[]> {
    if (ids.length === 0) return []
    const { state } = this.#view()
    const nameOf = (id: string): string => state.hosts.get(id)?.name ?? id.slice(0, 12)
    const hosts = ids.map(fromHex)
    const drains = new Map(
      ids.map((id) => [
        id,
        { host: id, name: nameOf(id), shards: 0, bytes: 0, stuck: 0, unknown: [] as string[] },
      ]),
    )
    const owners = [...state.hosts.keys()]
    const answers = await Promise.all(
      owners.map(async (owner) => ({ owner, remaining: await this.#ask(owner, hosts) })),
    )
    for (const { owner, remaining } of answers) {
      if (remaining === undefined) {
        for (const drain of drains.values()) {
          if (drain.host !== owner) drain.unknown.push(nameOf(owner))
        }
        continue
      }
      for (const { host, shards, bytes, stuck } of remaining) {
        const drain = drains.get(toHex(host))
        if (drain === undefined) continue
        drain.shards += shards
        drain.bytes += bytes
        drain.stuck += stuck
      }
    }
    return [...drains.values()]
  }

  /** Undefined when the owner does not answer now. */
  async #ask(owner: string, hosts: Uint8Array[]): Promise<Remaining[] | undefined> {
    if (owner === this.#self) return this.#leaving(hosts)
    try {
      const transport = memberTransport(this.#c.network, owner)
      const client = new SyncClient(transport, AbortSignal.timeout(ASK_MS))
      return (await client.ask({ kind: 'leaving', hosts })).remaining
    } catch (error) {
      if (isMoyaiError(error)) return undefined
      throw error
    }
  }
}

/** USAGE unless these are ids joined by commas. */
function idsOf(text: string): Uint8Array[] {
  const ids = text === '' ? [] : text.split(',')
  if (ids.every((id) => ID.test(id))) return ids.map(fromHex)
  throw new MoyaiError('USAGE', 'an id has 64 hexadecimal digits')
}
