/**
 * `moyai status`: asks every reachable host what it keeps of this vault, now, and says what that
 * amounts to. What was not asked is not claimed: hosts that do not answer count as not having
 * anything.
 */

import {
  type Clock,
  type Code,
  DEFAULT_POLICY,
  effectivePolicy,
  fromUtf8,
  isMoyaiError,
  planCode,
  type Policy,
  policyText,
  type PoolState,
  ProtectionAssessor,
  type StatusResult,
  toHex,
  utf8,
  type VaultBundle,
  vaultSigner,
} from '@moyai/protocol'

import type { Database } from '../database/index.ts'
import type { HealthEvidence } from '../health/index.ts'
import type { Network } from '../net/types.ts'
import { readSnapshots, type NamedSnapshot, type VaultLog } from '../retrieve/index.ts'
import type { VaultIndex } from '../store/index.ts'
import { type Evidence, type EvidenceOptions, gatherEvidence } from './evidence.ts'
import {
  hostFacts,
  hostNames,
  hostStatuses,
  placeableFacts,
  poolPolicy,
  type PoolView,
} from './pool-facts.ts'

const READ_DATA_KEY = utf8('read-data')

export type StatusOptions = {
  bundle: VaultBundle
  name: string
  version: string
  /** The code of data stripes where config.toml sets it. */
  code?: Code | undefined
}

export type StatusComponents = {
  index: VaultIndex
  network: Network
  database: Database
  clock: Clock
  log: VaultLog
  /** How hosts that are not connected are missed. */
  liveness?: PoolView['liveness']
  /** Undefined while this host is in no pool. */
  pool: () => PoolState | undefined
  /**
   * Brings log and index in line with the pool where they are not; whether the log is known to be
   * whole.
   */
  ensure: (signal: AbortSignal) => Promise<boolean>
  /** Hosts (hex) whose receipts for the newest entry of this vault's log are here. */
  confirmations: () => Promise<readonly string[]>
  /** Bytes that this host keeps for others. */
  keptBytes: () => Promise<number>
  /** What keeps stripes whole has done, and has to do. */
  health: () => Promise<HealthEvidence>
  /** Shards of a stripe (`index host`) that hosts list and could not prove when audited. */
  refuted: (pack: Uint8Array) => Promise<ReadonlySet<string>>
  alarms: () => Promise<StatusResult['alarms']>
}

export class StatusService {
  readonly #o: StatusOptions
  readonly #c: StatusComponents

  constructor(options: StatusOptions, components: StatusComponents) {
    this.#o = options
    this.#c = components
  }

  /** Remembers that every shard of the vault was read back and verified just now. */
  async noteReadData(): Promise<void> {
    const now = utf8(String(this.#c.clock.now()))
    await this.#c.database.table('proof').put(READ_DATA_KEY, now)
  }

  /** Gathers the evidence and judges it; reads every host's inventory of this vault. */
  async status(signal: AbortSignal): Promise<StatusResult> {
    const { clock, network } = this.#c
    const logKnown = await this.#c.ensure(signal)
    const state = this.#c.pool()
    const self = toHex(network.self)
    const newest = await this.#newestSnapshots()
    const lastReadDataAt = await this.#lastReadDataAt()
    const view: PoolView | undefined =
      state === undefined
        ? undefined
        : { self, state, peers: network.peers(), liveness: this.#c.liveness }
    const hosts = view === undefined ? [] : hostFacts(view)
    const names = state === undefined ? new Map<string, string>() : hostNames(state)
    const assessor = new ProtectionAssessor({ hosts, owner: self, policy: policyOf(state) }, names)
    const checkedAt = new Date(clock.now()).toISOString()
    const revoked = state?.revoked ?? new Map<string, never>()
    const health = await this.#c.health()
    // An audit asks every holder for a part of every shard that nobody could foresee.
    const audited = health.oldestAuditAt === null ? 0 : Date.parse(health.oldestAuditAt)
    const provedAt = Math.max(lastReadDataAt, audited)
    const evidence = await this.#gather(assessor, { provedAt, revoked, signal })
    const confirmed = await this.#c.confirmations()
    const protection = assessor.result({
      snapshots: newest.count,
      logKnown,
      reachable: evidence.answered.size,
      confirmed: confirmed.filter((host) => evidence.answered.has(host)).length,
      nowMs: clock.now(),
      checkedAt,
    })
    const used = new Map(evidence.bytesAt)
    used.set(self, await this.#c.keptBytes())
    return {
      host: {
        name: this.#o.name,
        id: self,
        version: this.#o.version,
        addresses: network.addresses(),
      },
      pool: state === undefined ? null : { id: toHex(state.id), name: state.name },
      policy: policyStatus(view, this.#o.code),
      hosts: view === undefined ? [] : hostStatuses(view, used),
      vault: {
        id: toHex(vaultSigner(this.#o.bundle).publicKey),
        snapshots: newest.count,
        lastSnapshotAt: newest.at === undefined ? null : new Date(newest.at).toISOString(),
        bytes: newest.bytes,
        stored: [...evidence.bytesAt.values()].reduce((sum, bytes) => sum + bytes, 0),
      },
      protection,
      proof: {
        oldestAuditAt: health.oldestAuditAt,
        lastScrubAt: health.lastScrubAt,
        lastDrill: null,
        lastReadDataAt: lastReadDataAt === 0 ? null : new Date(lastReadDataAt).toISOString(),
      },
      repair: health.repair,
      alarms: await this.#c.alarms(),
    }
  }

  async #gather(
    assessor: ProtectionAssessor,
    o: Pick<EvidenceOptions, 'provedAt' | 'revoked' | 'signal'>,
  ): Promise<Evidence> {
    return gatherEvidence(assessor, {
      vault: vaultSigner(this.#o.bundle).publicKey,
      index: this.#c.index,
      network: this.#c.network,
      clock: this.#c.clock,
      refuted: this.#c.refuted,
      ...o,
    })
  }

  /** How many snapshots there are, and the bytes of the newest of each source. */
  async #newestSnapshots(): Promise<{ count: number; at: number | undefined; bytes: number }> {
    const newest = new Map<string, NamedSnapshot>()
    let count = 0
    let at: number | undefined
    for await (const named of readSnapshots(this.#c.log, this.#o.bundle)) {
      count++
      at = Math.max(at ?? 0, named.snapshot.time)
      newest.set(named.snapshot.source, named)
    }
    const bytes = [...newest.values()].map(({ snapshot }) => snapshot.stats.bytes)
    return { count, at, bytes: bytes.reduce((sum, one) => sum + one, 0) }
  }

  async #lastReadDataAt(): Promise<number> {
    const value = await this.#c.database.table('proof').get(READ_DATA_KEY)
    const at = value === undefined ? 0 : Number(fromUtf8(value))
    return Number.isSafeInteger(at) && at > 0 ? at : 0
  }
}

function policyOf(state: PoolState | undefined): Policy {
  return state === undefined ? DEFAULT_POLICY : poolPolicy(state)
}

/** The policy in force, the code that follows from it for new stripes, and why. */
export function policyStatus(
  view: PoolView | undefined,
  fixed: Code | undefined,
  wanted: Policy = policyOf(view?.state),
): StatusResult['policy'] {
  const text = policyText(wanted)
  if (view === undefined) return { text, code: null, explain: 'no pool, no protection' }
  const hosts = placeableFacts(view)
  try {
    const policy = effectivePolicy(hosts, wanted)
    const { code, explain } = planCode({ hosts, owner: view.self, class: 'data', policy, fixed })
    const unasked = (['site', 'provider'] as const).filter(
      (kind) => policy[kind] === 0 && wanted[kind] > 0,
    )
    const warning = unasked.map((kind) => `; all hosts are of one ${kind}: what takes it takes all`)
    return { text, code: `${code.k}+${code.m}`, explain: `${explain}${warning.join('')}` }
  } catch (error) {
    if (!isMoyaiError(error, 'TOO_FEW_HOSTS')) throw error
    return { text, code: null, explain: error.message }
  }
}
