/** Who is in the pool, and the logs that all of them keep. */

export { CLOCK_SKEW_MS_MAX, SYNC_POLL_MS } from './anti-entropy.ts'
export {
  Membership,
  type MembershipComponents,
  type MembershipOptions,
  type MembershipTransport,
} from './membership.ts'
export { OwnLog, type AppendResult, type PullResult } from './own-log.ts'
export { VaultLogs, type Acceptance, type ForkProof, type Refusal } from './vault-logs.ts'
