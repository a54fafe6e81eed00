/**
 * `/moyai/reach/1`: how long a message takes, and whether the asked host reaches the asking one
 * (spec/reach.md).
 */

import { decodeAs, encodeCbor, s, type Infer } from '@moyai/protocol'

/** spec/reach.md §1 */
export const REACH_PROTOCOL = '/moyai/reach/1'

/** A request and a response are some 20 bytes; a response names one address. */
export const REACH_MESSAGE_BYTES_MAX = 1024
/** Requests of one peer at once: a measurement while a dial back is under way. */
export const REACH_REQUESTS_MAX = 2
/** Dials back at once, for all who ask: each opens a connection and holds it for a moment. */
export const DIAL_BACKS_MAX = 4
/** A host that asks again sooner gets the last answer. */
export const DIAL_BACK_MS_MIN = 10_000
/** An answer to an echo that takes longer is none. */
export const ECHO_MS_MAX = 3_000
/** A dial back tries some addresses of five seconds each. */
export const DIAL_BACK_MS_MAX = 20_000

const v = s.version(1)
const address = s.text({ min: 1, max: 300 })

const REQUEST = s.variant('kind', {
  echo: s.map({ v, kind: s.literal('echo') }),
  'dial-back': s.map({ v, kind: s.literal('dial-back') }),
})
const ECHO = s.map({ v, now: s.int() })
const DIALED_BACK = s.map({ v, address: s.optional(address) })

const LIMITS = { bytesMax: REACH_MESSAGE_BYTES_MAX, itemsMax: 16 }

export type ReachKind = Infer<typeof REQUEST>['kind']
/** `now`: the clock of the asked host, ms. */
export type Echo = { now: number }
/** `address`: where the asked host reached the asking one; absent when it did not. */
export type DialedBack = { address?: string }

export function encodeReachRequest(kind: ReachKind): Uint8Array {
  return encodeCbor({ v: 1, kind })
}

/** MALFORMED, TOO_LARGE, UNKNOWN_VERSION; so the others. */
export function decodeReachRequest(bytes: Uint8Array): ReachKind {
  return decodeAs(REQUEST, bytes, { ...LIMITS, what: 'reach request' }).kind
}

export function encodeEcho(echo: Echo): Uint8Array {
  return encodeCbor({ v: 1, ...echo })
}

export function decodeEcho(bytes: Uint8Array): Echo {
  return { now: decodeAs(ECHO, bytes, { ...LIMITS, what: 'echo' }).now }
}

export function encodeDialedBack(answer: DialedBack): Uint8Array {
  return encodeCbor({ v: 1, ...answer })
}

export function decodeDialedBack(bytes: Uint8Array): DialedBack {
  const answer = decodeAs(DIALED_BACK, bytes, { ...LIMITS, what: 'dialed back' })
  return answer.address === undefined ? {} : { address: answer.address }
}
