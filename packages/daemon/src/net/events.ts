/**
 * Log events of the network layer, one helper each. Texts from peers appear at debug level only.
 */

import type { MoyaiError } from '@moyai/protocol'
import type { Logger } from '../logger.ts'

export function peerChanged(logger: Logger | undefined, host: string, connected: boolean): void {
  logger?.info({ host }, connected ? 'host connected' : 'host disconnected')
}

/** A peer broke a rule of the wire and lost its connection. */
export function violated(
  logger: Logger | undefined,
  host: string,
  protocol: string,
  error: MoyaiError,
): void {
  logger?.warn({ host, protocol, code: error.code }, 'protocol violation')
  logger?.debug({ host, protocol, text: error.message }, 'protocol violation in detail')
}

/** A handler of ours failed unexpectedly: a defect, told to the peer only as `INTERNAL`. */
export function handlerFailed(
  logger: Logger | undefined,
  protocol: string,
  error: MoyaiError,
): void {
  logger?.error({ protocol, text: error.message, stack: error.stack }, 'handler failed')
}

/** libp2p could not forget a stranger; its table is in memory, so this cannot happen often. */
export function forgetFailed(logger: Logger | undefined, error: MoyaiError): void {
  logger?.warn({ text: error.message }, 'a stranger could not be forgotten')
}

/** The machine slept, or has other addresses: hosts are connected anew. */
export function circumstancesChanged(logger: Logger | undefined, what: 'slept' | 'moved'): void {
  logger?.info({ what }, 'connecting anew')
}
