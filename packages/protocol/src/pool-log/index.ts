/** Pool log: delegations, claims, statements, what a pool is, addresses (spec/pool-log.md). */

export * from './address.ts'
export * from './claim.ts'
export * from './delegation.ts'
export { isLabel } from './label.ts'
export * from './pool-state.ts'
export * from './statement.ts'
