/** Audits: who has what it says, and whose word counts. spec/audit.md. */

export { AuditReports, type AuditReportsComponents } from './audit-reports.ts'
export { type AuditComponents, type AuditOptions, AuditService } from './audit-service.ts'
export { Trust, type TrustComponents, untrustedAlarms } from './trust.ts'
