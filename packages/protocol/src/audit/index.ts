/** Audits: challenges, answers, reports, schedule and trust. spec/audit.md. */

export {
  type AuditAnswerItem,
  type AuditClaim,
  auditProof,
  openAuditAnswer,
  signAuditAnswer,
  type SignedAuditAnswer,
} from './answer.ts'
export { auditorOf, challengedGroup } from './challenge.ts'
export { type AuditDay, failedOf, noteVerdict, tallyOf } from './days.ts'
export {
  type AuditReport,
  type HolderReport,
  openAuditReport,
  reportedTally,
  signAuditReport,
} from './report.ts'
export { auditShare } from './schedule.ts'
export {
  type AuditTally,
  EMPTY_TALLY,
  isPattern,
  isRedeemed,
  type AuditVerdict,
  TALLY_DAYS,
  type TrustState,
  trustAfter,
} from './trust.ts'
