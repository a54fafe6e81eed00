/** What membership logs. Hosts and vaults by the first eight bytes of their ids in hex. */

import { printable, toHex, toMoyaiError, type MoyaiError } from '@moyai/protocol'

import { errorFields, type Logger } from '../logger.ts'

const SHORT = 16

export function peerNotTold(logger: Logger, host: string, error: MoyaiError): void {
  logger.debug({ host: host.slice(0, SHORT), ...errorFields(error) }, 'peer not told of news')
}

export function pullFailed(logger: Logger, host: string, error: MoyaiError): void {
  logger.warn({ host: host.slice(0, SHORT), ...errorFields(error) }, 'sync with a peer failed')
}

export function clockDisagrees(logger: Logger, host: string, skewMs: number): void {
  logger.warn({ host: host.slice(0, SHORT), skewMs }, 'clock of a peer disagrees')
}

export function logNotFollowed(
  logger: Logger,
  host: string,
  vault: Uint8Array,
  refused: string,
): void {
  const fields = { host: host.slice(0, SHORT), vault: toHex(vault).slice(0, SHORT) }
  logger.warn({ ...fields, refused: printable(refused, 40) }, 'vault log of a peer does not follow')
}

export function headNotReplicated(logger: Logger, host: string, error: MoyaiError): void {
  logger.debug({ host: host.slice(0, SHORT), ...errorFields(error) }, 'log head not replicated')
}

export function joined(logger: Logger, host: string, name: string): void {
  logger.info({ host: host.slice(0, SHORT), name: printable(name, 63) }, 'host joined the pool')
}

export function joinRefused(logger: Logger, host: string, error: MoyaiError): void {
  logger.warn({ host: host.slice(0, SHORT), ...errorFields(error) }, 'join refused')
}

export function membershipChanged(logger: Logger, hosts: number): void {
  logger.info({ hosts }, 'pool membership changed')
}

export function tendingFailed(logger: Logger, error: unknown): void {
  logger.warn(errorFields(toMoyaiError(error)), 'membership upkeep failed')
}

export function poolNotFound(logger: Logger, host: string, error: MoyaiError): void {
  logger.warn({ host: host.slice(0, SHORT), ...errorFields(error) }, 'pool not found at a host')
}
