/** Retrieving: from a snapshot's name to files, through whichever hosts have its shards. */

export type { PackIndex, ShardHosts, ShardSource } from './ports.ts'
export { Reading } from './reading.ts'
export type { ReadingComponents } from './reading.ts'
export type { RestoreEvent } from './restore-tally.ts'
export { RetrieveService } from './retrieve-service.ts'
export type {
  RetrieveControl,
  RetrieveServiceComponents,
  RetrieveServiceOptions,
} from './retrieve-service.ts'
export { findSnapshot, readSnapshots, snapshotInfo } from './snapshots.ts'
export type { NamedSnapshot, Resolved, VaultLog } from './snapshots.ts'
export { StripeReader } from './stripe-reader.ts'
