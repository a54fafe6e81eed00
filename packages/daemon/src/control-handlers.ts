/**
 * What each request of the command does: parameters to services, results to the names of `--json`.
 */

import {
  type CheckSummary,
  type Clock,
  type ControlMethod,
  type PoolState,
  type RetrieveSummary,
  type StoreSummary,
  fromHex,
  MoyaiError,
  toHex,
  VERSION,
  toMoyaiError,
} from '@moyai/protocol'

import { trimmed } from './allocator.ts'
import type { BandwidthSettings } from './bandwidth-settings.ts'
import type { CheckService } from './check/index.ts'
import type { ControlHandlers } from './control-server/index.ts'
import type { DoctorService } from './doctor/index.ts'
import { type ScrubService, scrubNow } from './health/scrub/index.ts'
import { repairNow } from './health/repair-now.ts'
import type { RepairService } from './health/repair-service.ts'
import { eventStream } from './event-stream.ts'
import { errorFields, type Logger } from './logger.ts'
import type { Membership } from './membership/index.ts'
import type { PoolService } from './pool-service.ts'
import type { RetrieveService } from './retrieve/index.ts'
import type { StatusService } from './status/index.ts'
import type { StoreRequest, StoreService } from './store/index.ts'
import type { VaultState } from './vault-state.ts'

/** Speaks of the protocols together; their own versions are in their ids. */
const PROTOCOL_VERSION = 1

export type HandlerComponents = {
  membership: Membership
  /** Id of this host, hex. */
  self: string
  store: StoreService
  retrieve: RetrieveService
  check: CheckService
  status: StatusService
  limits: BandwidthSettings
  doctor: DoctorService
  scrub: ScrubService
  repair?: RepairService
  clock: Clock
  vault: VaultState
  pool: PoolService
  logger: Logger
}

function poolOf(state: PoolState): { id: string; name: string } {
  return { id: toHex(state.id), name: state.name }
}

/** Handlers for every method of the control socket. */
export function controlHandlers(c: HandlerComponents): Required<ControlHandlers> {
  return { ...poolHandlers(c), ...vaultHandlers(c) }
}

/** USAGE unless these are hexadecimal digits. */
function bytesOf(hex: string): Uint8Array {
  if (/^(?:[0-9a-f]{2})+$/.test(hex)) return fromHex(hex)
  throw new MoyaiError('USAGE', 'these are no hexadecimal digits')
}

type PoolVerb = Extract<ControlMethod, `pool.${string}`>
type PoolMethods = 'version' | 'status' | 'limit' | 'doctor' | 'scrub' | 'repair' | PoolVerb

function poolHandlers(c: HandlerComponents): Pick<Required<ControlHandlers>, PoolMethods> {
  return {
    async *version() {
      return {
        version: VERSION,
        protocol: PROTOCOL_VERSION,
        node: process.versions.node,
        pid: process.pid,
      }
    },
    async *status(_params, { signal }) {
      return c.status.status(signal)
    },
    async *limit(params) {
      return c.limits.change(params)
    },
    async *doctor() {
      return c.doctor.examine()
    },
    async *scrub(_params, { signal }) {
      return yield* eventStream((onEvent) => scrubNow(c, { signal, onEvent }))
    },
    async *repair(_params, { signal }) {
      return yield* eventStream((onEvent) => repairNow(c, { signal, onEvent }))
    },
    async *'pool.create'({ name }) {
      return { pool: poolOf(await c.membership.createPool(name)) }
    },
    async *'pool.invite'(params) {
      const { token, expires } = await c.membership.invite(params)
      const { org, delegatedAt } = c.membership.acts.authority()
      const { uses } = params
      return { token, uses, expires: new Date(expires).toISOString(), org: toHex(org), delegatedAt }
    },
    async *'pool.attach'({ invite, host, sealed }) {
      const [id, key, box] = [invite, host, sealed].map(bytesOf) as [
        Uint8Array,
        Uint8Array,
        Uint8Array,
      ]
      await c.membership.attachKeys(id, { host: key, sealed: box })
      return {}
    },
    async *'pool.join'({ token }, { signal }) {
      const state = await c.membership.join(token, signal)
      const name = state.hosts.get(c.self)?.name ?? ''
      return { pool: poolOf(state), name, hosts: state.hosts.size }
    },
    async *'pool.hosts'() {
      return c.pool.hosts()
    },
    async *'pool.label'(params) {
      return { host: await c.pool.label(params) }
    },
    async *'pool.away'({ host, until }) {
      return { host: await c.pool.away(host, until) }
    },
    async *'pool.lost'({ target }) {
      return c.pool.lost(target)
    },
    async *'pool.back'({ host }) {
      return { host: await c.pool.back(host) }
    },
    async *'pool.retire'({ host, retired }) {
      return c.pool.retire(host, retired)
    },
    async *'pool.revocation'({ host }) {
      return c.pool.revocation(host)
    },
    async *'pool.revoke'(params) {
      return { host: await c.pool.revoke(params) }
    },
    async *'pool.policy'({ set }) {
      return c.pool.policy(set)
    },
  }
}

type VaultMethods = 'store' | 'retrieve' | 'snapshots' | 'ls' | 'check'

function vaultHandlers(c: HandlerComponents): Pick<Required<ControlHandlers>, VaultMethods> {
  return {
    async *store(params, { signal }) {
      const { wait, ...request } = params
      if (!wait) return storeDetached(c, request)
      return yield* eventStream(async (onEvent): Promise<StoreSummary> => {
        await c.vault.ensure(signal)
        return trimmed(() => c.store.store(request, { signal, onEvent }))
      })
    },
    async *retrieve(params, { signal }) {
      return yield* eventStream(async (onEvent): Promise<RetrieveSummary> => {
        await c.vault.ensure(signal)
        return trimmed(() => c.retrieve.retrieve(params, { signal, onEvent }))
      })
    },
    async *snapshots(_params, { signal }) {
      await c.vault.ensure(signal)
      const snapshots = await c.retrieve.snapshots()
      const confirmed = await c.vault.confirmations()
      const hosts = (c.membership.state()?.hosts.size ?? 1) - 1
      return { snapshots, confirmed_by: confirmed.length, hosts }
    },
    async *ls(params, { signal }) {
      await c.vault.ensure(signal)
      let entries = 0
      for await (const entry of c.retrieve.ls(params, signal)) {
        entries++
        yield entry
      }
      return { entries }
    },
    async *check(params, { signal }) {
      const summary = yield* eventStream(async (onEvent): Promise<CheckSummary> => {
        await c.vault.ensure(signal)
        return trimmed(() => c.check.check(params, { signal, onEvent }))
      })
      if (params.readData && summary.num_problems === 0) await c.status.noteReadData()
      return summary
    },
  }
}

/**
 * `store --no-wait`: the daemon goes on by itself; how it ended is in the log and in `snapshots`.
 */
function storeDetached(c: HandlerComponents, request: StoreRequest): StoreSummary {
  const began = new Date(c.clock.now()).toISOString()
  const forever = new AbortController().signal
  c.vault
    .ensure(forever)
    .then(() => trimmed(() => c.store.store(request)))
    .then((summary) => c.logger.info({ snapshot: summary.snapshot_id }, 'stored'))
    .catch((error: unknown) => {
      c.logger.error(errorFields(toMoyaiError(error)), 'the store that nobody waited for failed')
    })
  return {
    message_type: 'summary',
    dry_run: false,
    files_new: 0,
    files_changed: 0,
    files_unmodified: 0,
    dirs_new: 0,
    dirs_changed: 0,
    dirs_unmodified: 0,
    data_blobs: 0,
    tree_blobs: 0,
    data_added: 0,
    data_added_packed: 0,
    total_files_processed: 0,
    total_bytes_processed: 0,
    bytes_sent: 0,
    shards_sent: 0,
    packs_added: 0,
    error_count: 0,
    backup_start: began,
    backup_end: began,
    total_duration: 0,
    snapshot_id: null,
    state: 'settling',
    missing_shards: 0,
    confirmed_by: 0,
    reachable_hosts: 0,
    code: '',
  }
}
