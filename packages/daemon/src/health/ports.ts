/**
 * What the services that keep stripes whole need of one another and of the rest of the daemon.
 *
 * Liveness says who is there, whereabouts who has what, trust whose word counts; audit and scrub
 * find out, repair and surplus act. Each of them sees the others through these ports alone, so that
 * the simulator can run any of them, hundreds of times, on its own clock, network and disk.
 */

import type { Code, HostFacts, Policy, StripeClass, StripeDescriptor } from '@moyai/protocol'

import type { PeerEvent, ShardClient } from '../net/types.ts'

/**
 * How a host is seen from here (spec/liveness.md). `away`: not there, and nothing is wrong with
 * that; `suspect`: missed for long; `presumed-lost`: its shards count as lost.
 */
export type HostState = 'online' | 'away' | 'suspect' | 'presumed-lost'

export interface LivenessView {
  /** The state of a certified host (hex); this host itself is `online`. */
  stateOf(host: string): HostState
  /** Calls `listener` after the state of some host has changed; the returned function ends that. */
  onChange(listener: () => void): () => void
  /**
   * Missed for so long that it would be presumed lost, if its whole domain were not silent or too
   * many were not presumed lost this week: what is repaired with no margin left goes by this.
   */
  wouldBeLost?(host: string): boolean
}

/** What people said of a host that is not there (spec/pool-log.md §4). */
export type SaidAbsence = {
  /** Until when it will be away, ms since 1970. */
  awayUntil?: number
  /** Id (hex) of the statement that declares it lost. */
  lost?: string
}

export interface TrustView {
  /** False when a pattern of failed audits shows that the host does not keep what it says. */
  isTrusted(host: string): boolean
}

/** The pool as these services see it; every call reads the present state. */
export interface HealthPool {
  /** This host, hex. */
  readonly self: string
  /** Id of the pool, 32 bytes; undefined before this host is in one. */
  id(): Uint8Array | undefined
  /** All certified hosts, this one included, retiring ones too. */
  hosts(): HostFacts[]
  /** Hosts (hex) that are being emptied: what they have may be read, and has to be elsewhere. */
  retiring(): ReadonlySet<string>
  /** Hosts (hex) that were put out: what they have does not count. */
  revoked(): ReadonlySet<string>
  /** What the pool's vaults want to survive, as far as its labels allow. */
  policy(): Policy
  /** The host (hex) that owns each vault (hex), of revoked hosts too. */
  vaults(): ReadonlyMap<string, string>
  /** Name of a host for people. */
  nameOf(host: string): string
  /** What people said of hosts' absence, by host (hex); absent: nothing. */
  absences?(): ReadonlyMap<string, SaidAbsence>
}

/** Where one shard is said to be. */
export type ShardPlace = {
  index: number
  /** Hex. */
  host: string
  /** When the host last said, or proved, that it has the shard: ms since 1970. */
  seenAt: number
  /** It could not prove it when it was asked: does not count until it has. */
  refuted: boolean
}

/** A stripe, and what is known of its shards. */
export type StripeView = {
  /** 32 bytes each. */
  vault: Uint8Array
  pack: Uint8Array
  code: Code
  class: StripeClass
  /** Bytes. */
  shardLength: number
  /** ms since 1970, by the owner's clock. */
  created: number
  /** By index, then host; several places of one index when there are surplus copies. */
  places: readonly ShardPlace[]
}

/**
 * Who has what, of the stripes that concern this host: those it owns, and those that it holds a
 * shard of. A cache of what hosts said; what hosts that are away said last is remembered.
 */
export interface Whereabouts {
  /** Vaults (32 bytes) with stripes that concern this host. */
  vaults(): Promise<Uint8Array[]>
  /** By pack, ascending. */
  stripes(vault: Uint8Array): AsyncIterable<StripeView>
  stripe(vault: Uint8Array, pack: Uint8Array): Promise<StripeView | undefined>
  /**
   * The signed descriptor, verified: from this host's own shard or index, else from a holder.
   * NOT_FOUND, HOST_UNREACHABLE.
   */
  descriptor(
    vault: Uint8Array,
    pack: Uint8Array,
    signal: AbortSignal,
  ): Promise<{ envelope: Uint8Array; stripe: StripeDescriptor }>
  /**
   * For each pack of `vault` the hosts (hex) that could not be asked yet whether they have a shard
   * of it: what is not known is not missing.
   */
  unasked?(vault: Uint8Array): Promise<(pack: Uint8Array) => string[]>
  /** The host proved, or signed, that it has this shard. */
  confirm(shard: {
    vault: Uint8Array
    pack: Uint8Array
    index: number
    host: string
  }): Promise<void>
  /** The host could not prove this shard, or said that it does not have it. */
  refute(shard: { vault: Uint8Array; pack: Uint8Array; index: number; host: string }): Promise<void>
  /** Reads again what changed at `host`, or at all connected hosts; never rejects for a peer. */
  refresh(o: { host?: string; signal: AbortSignal }): Promise<void>
  /** Calls `listener` after places of some stripe of `vault` (hex) changed. */
  onChange(listener: (vault: string) => void): () => void
}

/** A host takes a stripe's repair upon itself until `until` (ms, by its own clock). */
export type RepairClaim = {
  vault: Uint8Array
  pack: Uint8Array
  /** Milliseconds from the moment of the message that the claim holds. */
  holdsMs: number
}

/** What one host tells another, without being asked. Nothing in it needs to be believed. */
export type HealthNews = {
  claims?: readonly RepairClaim[]
  /** Claims given up or carried out. */
  done?: readonly { vault: Uint8Array; pack: Uint8Array }[]
  /** Receipt envelopes (spec/receipt.md) of shards that were placed. */
  placed?: readonly Uint8Array[]
  /** Vaults of which the sender has more or fewer shards than it last said. */
  changed?: readonly Uint8Array[]
}

/** What one host answers another that asks how things are. */
export type HealthReport = {
  /** Its clock, ms since 1970. */
  now: number
  /** Digest of its inventory of each vault: 16 bytes each (spec/health.md). */
  inventories: readonly { vault: Uint8Array; digest: Uint8Array }[]
  /** Hosts (hex) that it presumes lost. */
  presumedLost: readonly string[]
  /** The newest audit report it has of each auditor and vault: `at` in ms. */
  audits: readonly { auditor: string; vault: Uint8Array; at: number }[]
}

/** The network as these services see it. */
export interface HealthNetwork {
  /** Connected hosts, hex. */
  connected(): readonly string[]
  isConnected(host: string): boolean
  /** Round trip in ms where it was measured; smaller is nearer. */
  rttMs(host: string): number | undefined
  on(event: PeerEvent, listener: (host: string) => void): () => void
  /** HOST_UNREACHABLE when the host is not connected. */
  shards(host: string): ShardClient
  /** Asks how things are; rejects with the peer's error or the lane's. */
  ask(host: string, signal: AbortSignal): Promise<HealthReport>
  /** Audit report envelopes of those auditors and vaults, as far as the host has them. */
  audits(
    host: string,
    wanted: readonly { auditor: string; vault: Uint8Array }[],
    signal: AbortSignal,
  ): Promise<readonly Uint8Array[]>
  tell(host: string, news: HealthNews, signal: AbortSignal): Promise<void>
}
