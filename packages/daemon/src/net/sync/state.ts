/** What a host has to sync: the parts of membership as the sync protocol sees them. */

import type { VaultLogs } from '../../membership/vault-logs.ts'

/** Signed envelopes with ids; a grow-only set. */
export interface StatementSet {
  /** Hash of the sorted ids. */
  digest(): Uint8Array
  /** All ids, sorted. */
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

export type SyncState = {
  /** Undefined while this host is in no pool. */
  pool(): Uint8Array | undefined
  statements: StatementSet
  addresses: AddressRecords
  logs: VaultLogs
  /** Whether the vault (hex) belongs to a certified host. */
  isVault(vault: string): boolean
}
