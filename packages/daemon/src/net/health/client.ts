/** The network as the health services see it, over the real one. */

import type { HealthNetwork } from '../../health/ports.ts'
import type { Network } from '../types.ts'
import {
  AUDITS_WANTED_MAX,
  HEALTH_BYTES_MAX,
  HEALTH_PROTOCOL,
  HEALTH_REQUESTS_MAX,
} from './constants.ts'
import { type HealthReporter, healthHandler } from './handler.ts'
import {
  decodeAudits,
  decodeNoted,
  decodeReport,
  encodeAuditsRequest,
  encodeNews,
  encodeReportRequest,
} from './messages.ts'

/** Registers the protocol at `network`; `reporter` answers from then on. */
export function serveHealth(network: Network, reporter: HealthReporter): void {
  network.registerProtocol(HEALTH_PROTOCOL, healthHandler(reporter), {
    requestBytesMax: HEALTH_BYTES_MAX,
    responseBytesMax: HEALTH_BYTES_MAX,
    requestsMax: HEALTH_REQUESTS_MAX,
  })
}

/** `serveHealth` must have been called for the same network before anything is asked. */
export function healthNetwork(network: Network): HealthNetwork {
  const ask = (host: string, bytes: Uint8Array, signal: AbortSignal): Promise<Uint8Array> =>
    network.request(host, HEALTH_PROTOCOL, bytes, { signal })
  const peerOf = (host: string): ReturnType<Network['peers']>[number] | undefined =>
    network.peers().find((peer) => peer.host === host)
  return {
    connected: () => network.peers().flatMap(({ host, connected }) => (connected ? [host] : [])),
    isConnected: (host) => peerOf(host)?.connected === true,
    rttMs: (host) => peerOf(host)?.rttMs,
    on: (event, listener) => network.on(event, listener),
    shards: (host) => network.shards(host),
    ask: async (host, signal) => decodeReport(await ask(host, encodeReportRequest(), signal)),
    audits: async (host, wanted, signal) => {
      const some = wanted.slice(0, AUDITS_WANTED_MAX)
      return decodeAudits(await ask(host, encodeAuditsRequest(some), signal))
    },
    tell: async (host, news, signal) => decodeNoted(await ask(host, encodeNews(news), signal)),
  }
}
