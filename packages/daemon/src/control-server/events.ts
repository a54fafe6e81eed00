/** What the control server logs. */

import type { ControlMethod, MoyaiError } from '@moyai/protocol'

import { errorFields, type Logger } from '../logger.ts'

export function logListening(logger: Logger, address: string): void {
  logger.info({ address }, 'control socket listening')
}

export function logRequestFailed(logger: Logger, method: ControlMethod, error: MoyaiError): void {
  logger.warn({ method, ...errorFields(error) }, 'control request failed')
}

export function logInternalError(logger: Logger, method: ControlMethod, error: unknown): void {
  const stack = error instanceof Error ? error.stack : String(error)
  logger.error({ method, stack }, 'control request broke the daemon’s expectations')
}

export function logConnectionRefused(logger: Logger, connections: number): void {
  logger.warn({ connections }, 'control connection refused: too many')
}
