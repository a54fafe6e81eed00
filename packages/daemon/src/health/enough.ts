/** Why waits and requests end before their time. */

import { MoyaiError } from '@moyai/protocol'

/**
 * Reason of `abort` for waits that are part of every request and every pass. One for all: without a
 * reason the runtime makes an error and its stack each time, which costs more than the wait does.
 */
export const ENOUGH: MoyaiError = new MoyaiError('ABORTED', 'what was waited for came')

/** Reason of `abort` for all that a service has under way when it is stopped. */
export const STOPPING: MoyaiError = new MoyaiError('ABORTED', 'the daemon is stopping')
