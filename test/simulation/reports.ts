/** Audit reports that some host has verified: the others of the simulation do not do so again. */

import { equalBytes, openAuditReport, toHex, type AuditReport } from '@moyai/protocol'

/** Reports kept; the oldest go. A pool of 60 hosts with 5 vaults has 300 that are current. */
const KEPT_MAX = 2048
const SIGNATURE_BYTES = 64

/** `openAuditReport` that remembers what it opened. */
export function openingOnce(): typeof openAuditReport {
  const opened = new Map<string, { envelope: Uint8Array; report: AuditReport }>()
  return (envelope) => {
    const key = toHex(envelope.subarray(0, SIGNATURE_BYTES))
    const known = opened.get(key)
    if (known !== undefined && equalBytes(known.envelope, envelope)) return known.report
    const report = openAuditReport(envelope)
    const [oldest] = opened.keys()
    if (opened.size >= KEPT_MAX && oldest !== undefined) opened.delete(oldest)
    opened.set(key, { envelope: envelope.slice(), report })
    return report
  }
}
