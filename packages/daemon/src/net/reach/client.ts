/** Asking a host over `/moyai/reach/1`. */

import type { Clock } from '@moyai/protocol'
import type { Network } from '../types.ts'
import {
  DIAL_BACK_MS_MAX,
  decodeDialedBack,
  decodeEcho,
  ECHO_MS_MAX,
  encodeReachRequest,
  REACH_PROTOCOL,
  type DialedBack,
} from './constants.ts'

type Asking = { network: Pick<Network, 'request'>; clock: Clock }

/**
 * Round trip to a connected host in ms, and how far its clock is ahead of ours, ms. Rejects as
 * `request` does.
 */
export async function measure(
  host: string,
  { network, clock }: Asking,
): Promise<{ rttMs: number; clockMs: number }> {
  const once = async (): Promise<{ rttMs: number; clockMs: number }> => {
    const began = clock.monotonic()
    const signal = AbortSignal.timeout(ECHO_MS_MAX)
    const options = { signal, idleMs: ECHO_MS_MAX }
    const bytes = await network.request(host, REACH_PROTOCOL, encodeReachRequest('echo'), options)
    const rttMs = clock.monotonic() - began
    return { rttMs, clockMs: decodeEcho(bytes).now + rttMs / 2 - clock.now() }
  }
  const first = await once()
  // The first one may have opened the lane, which takes some round trips more.
  const second = await once()
  return second.rttMs < first.rttMs ? second : first
}

/** Asks a connected host to reach this one at its published addresses. As `request`, and BUSY. */
export async function askDialBack(host: string, network: Asking['network']): Promise<DialedBack> {
  const signal = AbortSignal.timeout(DIAL_BACK_MS_MAX)
  const options = { signal, idleMs: DIAL_BACK_MS_MAX }
  const request = encodeReachRequest('dial-back')
  return decodeDialedBack(await network.request(host, REACH_PROTOCOL, request, options))
}
