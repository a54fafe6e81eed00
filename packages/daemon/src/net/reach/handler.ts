/**
 * Answers members that ask how far away this host is, and whether it reaches them.
 *
 * Dialed are only the addresses that the asking host itself published, which this host would dial
 * anyway: nobody can make it knock at other doors.
 */

import { MoyaiError, type Clock } from '@moyai/protocol'
import type { MessageHandler } from '../types.ts'
import {
  DIAL_BACK_MS_MIN,
  DIAL_BACKS_MAX,
  decodeReachRequest,
  encodeDialedBack,
  encodeEcho,
} from './constants.ts'

/** Opens a new direct connection to a host (hex); gives the address, rejects when none answers. */
export type DialBack = (host: string, signal: AbortSignal) => Promise<string>

/** The handler of `/moyai/reach/1`. BUSY when too many ask at once. */
export function reachHandler(o: { dialBack: DialBack }, c: { clock: Clock }): MessageHandler {
  /** Last answers by host: of members, so there are never more than those. */
  const answers = new Map<string, { at: number; answer: Uint8Array }>()
  let dialing = 0
  return async ({ host, bytes, signal }) => {
    if (decodeReachRequest(bytes) === 'echo') return encodeEcho({ now: c.clock.now() })
    const last = answers.get(host)
    if (last !== undefined && c.clock.monotonic() - last.at < DIAL_BACK_MS_MIN) return last.answer
    if (dialing >= DIAL_BACKS_MAX) {
      throw new MoyaiError('BUSY', 'this host is dialing others back')
    }
    dialing += 1
    let answer: Uint8Array
    try {
      answer = encodeDialedBack({ address: await o.dialBack(host, signal) })
    } catch {
      // Not reached is an answer, too.
      answer = encodeDialedBack({})
    } finally {
      dialing -= 1
    }
    answers.set(host, { at: c.clock.monotonic(), answer })
    return answer
  }
}
