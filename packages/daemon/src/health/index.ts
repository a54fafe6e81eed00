/** Keeping stripes whole: who is there, who has what, what is made again, what may go. */

export type { AuditOptions } from './audit/index.ts'
export { healthPool } from './health-pool.ts'
export { type HealthEvidence, HealthServices } from './health-services.ts'
export { type Presence } from './liveness-service.ts'
export type * from './ports.ts'
export { repairRate } from './repair-budget.ts'
export type { RepairStats } from './repair-service.ts'
