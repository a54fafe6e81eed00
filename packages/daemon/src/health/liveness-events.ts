/** What the services that keep stripes whole log. */

import type { MoyaiError } from '@moyai/protocol'

import { errorFields, type Logger } from '../logger.ts'

export function livenessForgotten(logger: Logger, error: MoyaiError): void {
  logger.warn(errorFields(error), 'learned presence of hosts is not readable and begins anew')
}

export function livenessNotSaved(logger: Logger, error: MoyaiError): void {
  logger.warn(errorFields(error), 'learned presence of hosts not saved')
}
