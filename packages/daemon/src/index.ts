/** The public surface of the daemon package. */

export * from './clock.ts'
export * from './database/index.ts'
export * from './random.ts'
export * from './config/index.ts'
export * from './control-server/index.ts'
export * from './home/index.ts'
export * from './logger.ts'
export * from './codec.ts'
export {
  FaultyDisk,
  nodeDisk,
  SimulatedDisk,
  survivors,
  type Disk,
  type DiskAccess,
  type DiskEntry,
  type DiskFault,
  type DiskFile,
  type DiskOperation,
} from './file-system/index.ts'
export * from './shard-store/index.ts'
export {
  createNetwork,
  type InspectableNetwork,
  type Member,
  type Membership,
  type Network,
  type NetworkComponents,
  type NetworkOptions,
  type ShardClient,
} from './net/index.ts'
export type { PeerEvent } from './net/types.ts'
export type * from './health/ports.ts'
export { AuditReports, AuditService, Trust } from './health/audit/index.ts'
export { ScrubService } from './health/scrub/index.ts'
export { LivenessService } from './health/liveness-service.ts'
export { RepairService, type RepairDecisions } from './health/repair-service.ts'
export { SurplusService } from './health/surplus-service.ts'
export { WhereaboutsService } from './health/whereabouts.ts'
export { runDaemon, type DaemonOptions } from './daemon.ts'
