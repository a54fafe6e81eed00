/** What a host has to sync: the parts of membership as the sync protocol sees them. */

import type { VaultLogs } from '../../membership/vault-logs.ts'

/** Signed envelopes with ids; a grow-only set. What is offered to others is what counts. */
export interface StatementSet {
  /** Hash of the sorted ids. */
  digest(): Uint8Array
  /** Ids of all that count, sorted. */
  ids(): Uint8Array[]
  has(id: Uint8Array): boolean
  get(id: Uint8Array): Uint8Array | undefined
  /** Keeps those that are valid with what is here; how many were new. DISK. */
  add(envelopes: readonly Uint8Array[]): Promise<number>
}

/** Newest address record of each member. */
export interface AddressRecords {
  list(): { host: Uint8Array; seq: number; envelope: Uint8Array }[]
  /** Keeps those of members that are newer than what is here; how many were. DISK. */
  add(envelopes: readonly Uint8Array[]): Promise<number>
}

/** Shards of a host's own vault at another host; `stuck` of them have nowhere to go. */
export type Remaining = { host: Uint8Array; shards: number; bytes: number; stuck: number }

export type SyncState = {
  /** Undefined while this host is in no pool. */
  pool(): Uint8Array | undefined
  statements: StatementSet
  addresses: AddressRecords
  logs: VaultLogs
  /** Whether the vault (hex) belongs to a certified host. */
  isVault(vault: string): boolean
  /** What of this host's own vault is at each of `hosts`, where there is any. */
  leaving(hosts: readonly Uint8Array[]): Promise<Remaining[]>
}
