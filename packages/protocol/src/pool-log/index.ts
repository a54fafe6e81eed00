/** Pool log: delegations, claims, statements, what a pool is, addresses (spec/pool-log.md). */

export * from './address.ts'
export * from './claim.ts'
export * from './delegation.ts'
export * from './find-host.ts'
export { isLabel } from './label.ts'
export * from './pool-state.ts'
export { nextRegisterPlace, type RegisterState } from './register.ts'
export * from './sign.ts'
export {
  openStatement,
  poolId,
  statementId,
  type GenesisStatement,
  type HostLabels,
  type HostStatement,
  type LabelStatement,
  type OpenedStatement,
  type OrganisationStatement,
  type PolicyStatement,
  type RegisterPlace,
  type RetireStatement,
  type RevokeStatement,
  type Statement,
} from './statement.ts'
