/** The report of what this host's audits of a vault showed (spec/audit.md §4). */

import {
  AUDIT_FAILED_MAX,
  AUDIT_FAILED_TOTAL_MAX,
  AUDIT_HOLDERS_MAX,
  AUDIT_OWNER_MS_MAX,
  compareBytes,
  failedOf,
  fromHex,
  type HolderReport,
  signAuditReport,
  type Signer,
  tallyOf,
} from '@moyai/protocol'

import { type HolderState, namedShard, type VaultAudit } from './audit-state.ts'

const DAY_MS = 86_400_000

/** The signed envelope; `isOwner`: every shard of the vault is this host's to audit. */
export function auditReport(o: {
  pool: Uint8Array
  vault: Uint8Array
  audit: VaultAudit
  isOwner: boolean
  now: number
  signer: Signer
}): Uint8Array {
  const { pool, vault, now, signer } = o
  const holders = [...o.audit.holders.values()].filter(({ days }) => days.length > 0)
  const firstDay = Math.min(...holders.map(({ days }) => days[0]?.day ?? Infinity))
  const from = Math.min(now, firstDay * DAY_MS)
  const isCovered = [...o.audit.holders.values()].every(
    ({ shards, coveredSince }) =>
      shards === 0 || (coveredSince !== undefined && coveredSince >= now - 2 * AUDIT_OWNER_MS_MAX),
  )
  const report = {
    pool,
    auditor: signer.publicKey,
    vault,
    from,
    to: now,
    whole: o.isOwner && isCovered,
    holders: bounded(holders.map(holderReport)),
  }
  return signAuditReport(report, signer)
}

/** As much as a report holds, those first that failed; ascending by host. */
function bounded(holders: HolderReport[]): HolderReport[] {
  const failures = ({ failed, proxied }: HolderReport): number => failed.length + proxied
  let room = AUDIT_FAILED_TOTAL_MAX
  return holders
    .sort((a, b) => failures(b) - failures(a))
    .slice(0, AUDIT_HOLDERS_MAX)
    .map((holder) => {
      const failed = holder.failed.slice(0, room)
      room -= failed.length
      return { ...holder, failed }
    })
    .sort((a, b) => compareBytes(a.host, b.host))
}

function holderReport({ host, days }: HolderState): HolderReport {
  const { asked, proved, late, proxied, failedDays } = tallyOf(days)
  const failed = failedOf(days)
    .slice(0, AUDIT_FAILED_MAX)
    .flatMap((name) => namedShard(name) ?? [])
  return { host: fromHex(host), asked, proved, late, proxied, failedDays, failed }
}
