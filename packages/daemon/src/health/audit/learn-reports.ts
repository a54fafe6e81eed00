/** Reports spread from host to host: the newest of each auditor and vault (spec/audit.md §4). */

import { isMoyaiError } from '@moyai/protocol'

import type { HealthNetwork } from '../ports.ts'
import type { AuditReports } from './audit-reports.ts'

/** Reports fetched with one request (net/health). */
const WANTED_AT_ONCE = 15

/**
 * Takes what `host` (hex) has that is newer than what is here. A report that is not good is left
 * out. Rejects with the peer's error or the lane's.
 */
export async function learnReports(o: {
  host: string
  network: Pick<HealthNetwork, 'ask' | 'audits'>
  reports: AuditReports
  signal: AbortSignal
}): Promise<void> {
  const { host, network, reports, signal } = o
  const { audits } = await network.ask(host, signal)
  const wanted = audits.filter(({ auditor, vault, at }) => (reports.at(auditor, vault) ?? -1) < at)
  for (let at = 0; at < wanted.length; at += WANTED_AT_ONCE) {
    const some = wanted.slice(at, at + WANTED_AT_ONCE)
    for (const envelope of await network.audits(host, some, signal)) {
      try {
        await reports.add(envelope)
      } catch (error) {
        // Not for this pool, or not signed as it says: the others may be.
        if (!isMoyaiError(error) || isMoyaiError(error, 'DISK')) throw error
      }
    }
  }
}
