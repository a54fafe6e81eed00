/**
 * The control socket: what the command and the daemon of one host say to one another
 * (spec/control.md).
 *
 * Newline-delimited JSON over a Unix socket (0600) or a Windows named pipe. The client sends
 * `ControlRequest` lines; the daemon answers each with any number of `event` lines and then one
 * `result` or `error` line of the same id. A client that disconnects cancels what it asked for.
 * Names inside results are those of `--json` (DESIGN §9).
 */

import type {
  RepairStatusEvent,
  RepairSummary,
  ScrubStatusEvent,
  ScrubSummary,
} from './health-types.ts'
import type { ErrorCode } from '../errors.ts'

export type ControlRequest = { id: number; method: ControlMethod; params: unknown }

export type ControlError = {
  code: ErrorCode
  message: string
  hint?: string
  data?: Record<string, string | number | boolean | string[]>
}

export type ControlReply =
  | { id: number; event: unknown }
  | { id: number; result: unknown }
  | { id: number; error: ControlError }

/** How a host's shards of a vault, or a snapshot's stripes, stand. */
export type ProtectionState =
  | 'protected'
  | 'settling'
  | 'degraded'
  | 'at-risk'
  | 'lost'
  | 'unverified'
  | 'empty'

export type HostStatus = {
  name: string
  id: string
  site: string
  provider: string
  org: string
  class: string
  /**
   * `offline` where it is not known how it is missed; `away`: nothing is wrong with that;
   * `suspect`: missed for long; `presumed-lost`: its shards count as lost (spec/liveness.md).
   */
  state: 'self' | 'online' | 'offline' | 'never-seen' | 'away' | 'suspect' | 'presumed-lost'
  /** ISO 8601 time until which its absence was announced; absent when it was not. */
  awayUntil?: string
  /** Retiring hosts get no new shards; revoked ones are out, and what they kept is lost. */
  standing: 'member' | 'retiring' | 'revoked'
  /** ISO 8601 time, or null when this host has never been seen. */
  lastSeen: string | null
  /**
   * How it is reached now, null when it is not: `hole-punched` is direct after a relay had brought
   * the two together.
   */
  via: 'direct' | 'hole-punched' | 'relayed' | null
  /** Name of the host that relays, when `via` is `relayed`. */
  relay: string | null
  /** Round trip in ms, null when it is not connected or was not measured yet. */
  rttMs: number | null
  /** Bytes. */
  offered: number
  /**
   * Bytes of this vault's shards that it said it has; for the host itself: bytes it keeps for
   * others. Null where it was not asked.
   */
  used: number | null
  /** Bytes of room that it said it has; `pool hosts` only. */
  free?: number | null
  /** Bytes that vaults of this host's organisation may take there; null where room alone counts. */
  quota?: number | null
  /** Bytes of its organisation's shards that this host keeps; `pool hosts` only. */
  kept?: number
}

export type Survives = { host: number; site: number; provider: number; org: number }

/** What would remain if a host or a whole domain vanished. */
export type WhatIf = {
  /** `provider cloud`. */
  lose: string
  /** For people. */
  outcome: string
  /** Stripes that could not be retrieved. */
  unrecoverable: number
  /** Stripes that could, but would lack a shard more than now. */
  degraded: number
  /** Hosts that would still have shards. */
  hosts: number
  /** Bytes of shards that the hosts left would rebuild, and how long that would take; estimates. */
  repairBytes: number
  repairSeconds: number
}

export type StatusResult = {
  host: { name: string; id: string; version: string; addresses: string[] }
  pool: { id: string; name: string } | null
  policy: { text: string; code: string | null; explain: string }
  hosts: HostStatus[]
  vault: {
    id: string
    snapshots: number
    lastSnapshotAt: string | null
    /** Bytes of the newest snapshots' files, one per source. */
    bytes: number
    /** Bytes of this vault's shards that reachable hosts said they have. */
    stored: number
  }
  protection: {
    state: ProtectionState
    /** One sentence for a person. */
    text: string
    /** When the evidence for this state was gathered: the hosts were asked then. */
    checkedAt: string | null
    survives: Survives
    /** Counted over reachable holders that said, when asked, that they have the shard. */
    stripes: {
      total: number
      full: number
      unrecoverable: number
      [missing: `missing${number}`]: number
    }
    whatIf: WhatIf[]
  }
  proof: {
    oldestAuditAt: string | null
    lastScrubAt: string | null
    lastDrill: { at: string; files: number; bytes: number; ok: boolean } | null
    /** The last `check --read-data` of this vault: each shard was read back and verified. */
    lastReadDataAt: string | null
  }
  repair: { queue: number; active: number; etaSeconds: number | null }
  alarms: { code: string; since: string; text: string }[]
}

/** What is still at a host that is being emptied. */
export type DrainStatus = {
  host: string
  name: string
  /** Shards of all vaults whose owners answered, and their bytes. */
  shards: number
  bytes: number
  /** Of the shards: those for which the pool has no other host, and whose policy needs them. */
  stuck: number
  /** Names of hosts whose vaults may have shards there, but which cannot be asked now. */
  unknown: string[]
}

export type PoolHostsResult = {
  pool: { id: string; name: string }
  hosts: HostStatus[]
  /** One for each retiring host. */
  drains: DrainStatus[]
}
export type PoolCreateParams = { name: string }
export type PoolCreateResult = { pool: { id: string; name: string } }
export type PoolInviteParams = { uses: number; expiresSeconds: number; sameOrg?: boolean }
export type PoolInviteResult = {
  token: string
  expires: string
  uses: number
  /** The inviting host's organisation (hex), and when its delegation was signed, ms. */
  org: string
  delegatedAt: number
}
/** Sealed keys of a further host for a same-org invite; all in hex. */
export type PoolAttachParams = { invite: string; host: string; sealed: string }
export type PoolAttachResult = Record<string, never>
export type PoolJoinParams = { token: string }
export type PoolJoinResult = { pool: { id: string; name: string }; name: string; hosts: number }

/** `host`: a name or the beginning of an id. */
export type PoolLabelParams = {
  host: string
  name?: string
  site?: string
  provider?: string
  class?: 'always-on' | 'desktop' | 'laptop'
  offered?: number
}
export type PoolLabelResult = { host: HostStatus }
export type PoolRetireParams = { host: string; retired: boolean }
export type PoolRetireResult = { host: HostStatus; drain: DrainStatus | null }
/** `until`: ms since the epoch, by the clock of the machine that says so. */
export type PoolAwayParams = { host: string; until: number }
export type PoolAwayResult = { host: HostStatus }
/** `target`: a host, or a site as `site=NAME` or its plain name. */
export type PoolLostParams = { target: string }
/** `present`: names of hosts of the site that are connected, and so not lost. */
export type PoolLostResult = { hosts: HostStatus[]; present: string[] }
export type PoolBackParams = { host: string }
export type PoolBackResult = { host: HostStatus }
export type PoolRevocationParams = { host: string }
/**
 * What the guard key has to sign to revoke the host; ids in hex. Each text of `keep` is one part to
 * sign: ids of statements, joined by commas.
 */
export type PoolRevocationResult = {
  pool: string
  host: string
  name: string
  org: string
  keep: string[]
}
/**
 * `signatures`: the guard key's, in hex, one for each part of `keep` as `pool.revocation` gave it;
 * absent when this host decides by itself.
 */
export type PoolRevokeParams = { host: string; keep?: string[]; signatures?: string[] }
export type PoolRevokeResult = { host: HostStatus }
export type PoolPolicyParams = { set?: string }
export type PoolPolicyResult = {
  /** `host=2 site=1 provider=1 org=1` */
  policy: string
  /** False while nobody has said anything else than the default. */
  isSet: boolean
  /** Code of new data stripes, `4+2`; null when there are too few hosts. */
  code: string | null
  explain: string
  /** Overhead, what is survived and what is not, and what would help most: a sentence each. */
  explanation: string[]
  /** Bytes kept for each byte stored, and what may be lost; null when there are too few hosts. */
  overhead: number | null
  survives: Survives | null
}

export type StoreParams = {
  /** Absolute paths. */
  paths: string[]
  name?: string
  tags: string[]
  excludes: string[]
  dryRun: boolean
  /** false: the command may leave, the daemon goes on. */
  wait: boolean
  /** What this source must survive, where it is not the pool's policy: `host=3 site=2`. */
  policy?: string
  /** With too few hosts, wait for them: content in the outbox, the rest when they are back. */
  outbox?: boolean
}

/** Progress, in restic's names. */
export type StoreStatusEvent = {
  message_type: 'status'
  seconds_elapsed: number
  seconds_remaining: number | null
  percent_done: number | null
  total_files: number
  files_done: number
  total_bytes: number
  bytes_done: number
  bytes_sent: number
  error_count: number
  current_files: string[]
  phase: 'resuming' | 'scanning' | 'storing' | 'committing'
}

export type ItemErrorEvent = {
  message_type: 'error'
  error: { message: string; code: ErrorCode }
  during: string
  item: string
}

export type StoreSummary = {
  message_type: 'summary'
  dry_run: boolean
  files_new: number
  files_changed: number
  files_unmodified: number
  dirs_new: number
  dirs_changed: number
  dirs_unmodified: number
  data_blobs: number
  tree_blobs: number
  /** Bytes of new chunks before compression. */
  data_added: number
  /** Bytes of new packs, before parity. */
  data_added_packed: number
  total_files_processed: number
  total_bytes_processed: number
  /** Payload bytes that went over the wire to holders. */
  bytes_sent: number
  shards_sent: number
  packs_added: number
  error_count: number
  backup_start: string
  backup_end: string
  total_duration: number
  snapshot_id: string | null
  state: ProtectionState
  missing_shards: number
  /** Hosts that confirmed the snapshot record, of those asked. */
  confirmed_by: number
  reachable_hosts: number
  code: string
}

export type SnapshotInfo = {
  id: string
  short_id: string
  time: string
  source: string
  hostname: string
  username: string
  paths: string[]
  tags: string[]
  summary: {
    total_files_processed: number
    total_bytes_processed: number
    error_count: number
  }
  partial: boolean
}

export type SnapshotsParams = Record<string, never>
export type SnapshotsResult = { snapshots: SnapshotInfo[]; confirmed_by: number; hosts: number }

export type LsParams = { snapshot: string; recursive: boolean }
export type LsEntryEvent = {
  message_type: 'node'
  name: string
  path: string
  type: string
  mode: number
  permissions: string
  uid: number
  gid: number
  user?: string
  group?: string
  size: number
  mtime: string
  target?: string
}
export type LsResult = { entries: number }

export type RetrieveParams = {
  /** `SNAPSHOT` or `SNAPSHOT:PATH`. */
  snapshot: string
  /** Absolute path. */
  to: string
  includes: string[]
  excludes: string[]
  overwrite: 'always' | 'if-changed' | 'never'
  verify: boolean
  dryRun: boolean
}

export type RetrieveStatusEvent = {
  message_type: 'status'
  seconds_elapsed: number
  seconds_remaining: number | null
  percent_done: number | null
  total_files: number
  files_restored: number
  files_skipped: number
  total_bytes: number
  bytes_restored: number
  bytes_skipped: number
  error_count: number
}

export type RetrieveSummary = {
  message_type: 'summary'
  dry_run: boolean
  snapshot_id: string
  total_files: number
  files_restored: number
  files_skipped: number
  total_bytes: number
  bytes_restored: number
  bytes_skipped: number
  bytes_fetched: number
  seconds_elapsed: number
  error_count: number
  /** Paths whose bytes could not be had from any k hosts. */
  unrecoverable: string[]
  /** What this machine could not keep, each once: an attribute, an owner, a kind of file. */
  not_kept: string[]
  verified: boolean
}

export type CheckParams = { readData: boolean }
export type CheckProblem = {
  message_type: 'problem'
  kind: 'damaged' | 'missing' | 'unreachable' | 'truncated' | 'refused' | 'log' | 'tree' | 'index'
  /** Hex pack id and shard index, when the problem is one shard's. */
  pack?: string
  index?: number
  host?: string
  text: string
}
export type CheckStatusEvent = {
  message_type: 'status'
  phase: 'log' | 'trees' | 'stripes' | 'data'
  stripes_done: number
  stripes_total: number
  bytes_read: number
}
export type CheckSummary = {
  message_type: 'summary'
  read_data: boolean
  snapshots: number
  stripes: {
    total: number
    full: number
    unrecoverable: number
    [missing: `missing${number}`]: number
  }
  shards_read: number
  bytes_read: number
  num_problems: number
  problems: CheckProblem[]
  unrecoverable_packs: string[]
  affected: string[]
  survives: Survives
}

/**
 * One finding of `doctor`. `check`: what was looked at, such as `disk` or `host kobe-1`; `hint`:
 * what a person can do.
 */
export type DoctorCheck = {
  check: string
  result: 'ok' | 'note' | 'problem'
  text: string
  hint: string | null
}
export type DoctorResult = { checks: DoctorCheck[] }

export type VersionResult = { version: string; protocol: number; node: string; pid: number }

/** Every method with what it takes, tells underway and returns. */
export type LimitParams = {
  /** New timetables (docs/reference/config.md); what is absent stays. */
  upload?: string
  download?: string
}
/** `text`: the timetable; `now`: bytes per second that it says now, null for no limit. */
export type LimitResult = Record<'upload' | 'download', { text: string; now: number | null }>

export type ControlMethods = {
  version: { params: Record<string, never>; event: never; result: VersionResult }
  status: { params: Record<string, never>; event: never; result: StatusResult }
  'pool.create': { params: PoolCreateParams; event: never; result: PoolCreateResult }
  'pool.invite': { params: PoolInviteParams; event: never; result: PoolInviteResult }
  'pool.attach': { params: PoolAttachParams; event: never; result: PoolAttachResult }
  'pool.join': { params: PoolJoinParams; event: never; result: PoolJoinResult }
  'pool.hosts': { params: Record<string, never>; event: never; result: PoolHostsResult }
  limit: { params: LimitParams; event: never; result: LimitResult }
  'pool.label': { params: PoolLabelParams; event: never; result: PoolLabelResult }
  'pool.away': { params: PoolAwayParams; event: never; result: PoolAwayResult }
  'pool.lost': { params: PoolLostParams; event: never; result: PoolLostResult }
  'pool.back': { params: PoolBackParams; event: never; result: PoolBackResult }
  'pool.retire': { params: PoolRetireParams; event: never; result: PoolRetireResult }
  'pool.revocation': { params: PoolRevocationParams; event: never; result: PoolRevocationResult }
  'pool.revoke': { params: PoolRevokeParams; event: never; result: PoolRevokeResult }
  'pool.policy': { params: PoolPolicyParams; event: never; result: PoolPolicyResult }
  store: { params: StoreParams; event: StoreStatusEvent | ItemErrorEvent; result: StoreSummary }
  retrieve: {
    params: RetrieveParams
    event: RetrieveStatusEvent | ItemErrorEvent
    result: RetrieveSummary
  }
  snapshots: { params: SnapshotsParams; event: never; result: SnapshotsResult }
  ls: { params: LsParams; event: LsEntryEvent; result: LsResult }
  doctor: { params: Record<string, never>; event: never; result: DoctorResult }
  scrub: { params: Record<string, never>; event: ScrubStatusEvent; result: ScrubSummary }
  repair: { params: Record<string, never>; event: RepairStatusEvent; result: RepairSummary }
  check: { params: CheckParams; event: CheckStatusEvent | CheckProblem; result: CheckSummary }
}

export type ControlMethod = keyof ControlMethods
