/**
 * `/moyai/join/1`: a host that holds an invite becomes a member, in one round trip (spec/join.md).
 */

import { JOIN_RESPONSE_BYTES_MAX } from '@moyai/protocol'

/** spec/join.md §1 */
export const JOIN_PROTOCOL = '/moyai/join/1'

/** One request and it is done. */
export const JOIN_REQUESTS_MAX = 1

/**
 * Statements and addresses in the answer, in bytes: those that prove the membership of both hosts
 * come first, and what does not fit comes with the first sync.
 */
export const JOIN_ANSWER_BYTES_MAX: number = JOIN_RESPONSE_BYTES_MAX - 64 * 1024

/** Clocks that are further apart cannot keep each other's protection windows. */
export const JOIN_CLOCK_MS_MAX = 600_000
