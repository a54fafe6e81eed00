/** Answering over `/moyai/health/1`. Only members get here. */

import { toHex, unreachable } from '@moyai/protocol'

import type { HealthNews, HealthReport } from '../../health/ports.ts'
import type { MessageHandler } from '../types.ts'
import { AUDITS_WANTED_MAX } from './constants.ts'
import {
  decodeHealthRequest,
  encodeAudits,
  encodeNoted,
  encodeReport,
  newsOf,
  type WantedAudit,
} from './messages.ts'

/** Who answers for this host. */
export type HealthReporter = {
  report(): Promise<HealthReport>
  /** Newest audit report envelopes of those auditors and vaults, as far as they are here. */
  audits(wanted: readonly WantedAudit[]): Promise<readonly Uint8Array[]>
  /** Takes what `host` (hex) tells; what it makes of it is done later. */
  onNews(host: string, news: HealthNews): void
}

export function healthHandler(reporter: HealthReporter): MessageHandler {
  return async ({ host, bytes }) => {
    const request = decodeHealthRequest(bytes)
    switch (request.kind) {
      case 'report':
        return encodeReport(await reporter.report())
      case 'audits': {
        const wanted = request.wanted.map(({ auditor, vault }) => ({
          auditor: toHex(auditor),
          vault,
        }))
        const envelopes = await reporter.audits(wanted)
        return encodeAudits(envelopes.slice(0, AUDITS_WANTED_MAX))
      }
      case 'news':
        reporter.onNews(host, newsOf(request))
        return encodeNoted()
      default:
        return unreachable(request)
    }
  }
}
