/**
 * Delegations: what an organisation's guard key lets a host do for it (spec/pool-log.md §2). The
 * guard key itself stays cold; it signs one of these when a host is set up.
 */

import { assert } from '../assert.ts'
import { compareBytes, equalBytes } from '../bytes.ts'
import { decodeAs, encodeCbor, s, type Schema } from '../cbor/index.ts'
import { envelopePayload, openEnvelope, signEnvelope, type Signer } from '../envelope/index.ts'
import { MoyaiError } from '../errors.ts'
import {
  DELEGATION_BYTES_MAX,
  DELEGATION_RIGHTS_MAX,
  PUBLIC_KEY_BYTES,
  SIGNATURE_BYTES,
  TIME_MAX,
} from '../limits.ts'

/**
 * Rights that this version knows: `certify-host` is to keep the list of the organisation's own
 * hosts (certify, label, retire, revoke), `invite` is for what concerns the whole pool.
 */
export type Right = 'certify-host' | 'invite'

/** One delegation. */
export type Delegation = {
  /** Public half of the guard key, which signs this. */
  org: Uint8Array
  /** Identity key of the host that may act. */
  delegate: Uint8Array
  /** Rights; those of later versions may be among them. */
  may: string[]
  /** Ms since the epoch. */
  at: number
}

const DELEGATION: Schema<Delegation & { v: 1 }> = s.map({
  v: s.version(1),
  org: s.bytes({ length: PUBLIC_KEY_BYTES }),
  delegate: s.bytes({ length: PUBLIC_KEY_BYTES }),
  may: s.array(s.text({ min: 1, max: 32 }), { max: DELEGATION_RIGHTS_MAX }),
  at: s.int({ max: TIME_MAX }),
})

/** The envelope of `delegation`; `guard` is the signer of `delegation.org`. */
export function signDelegation(delegation: Delegation, guard: Signer): Uint8Array {
  assert(equalBytes(delegation.org, guard.publicKey), 'the guard key signs for its organisation')
  const { org, delegate, may, at } = delegation
  const value = { v: 1, org, delegate, may, at }
  DELEGATION.read(value, 'delegation')
  return signEnvelope('delegation', encodeCbor(value), guard)
}

/**
 * The delegation in an envelope, after its signature was verified with the organisation named in
 * it. MALFORMED, TRUNCATED, TOO_LARGE, UNKNOWN_VERSION or BAD_SIGNATURE.
 */
export function openDelegation(envelope: Uint8Array): Delegation {
  if (envelope.length > DELEGATION_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', `delegation of ${envelope.length} bytes`)
  }
  const { v: _, ...delegation } = decodeAs(DELEGATION, envelopePayload(envelope), {
    bytesMax: DELEGATION_BYTES_MAX - SIGNATURE_BYTES,
    depthMax: 3,
    itemsMax: 16 + DELEGATION_RIGHTS_MAX,
    what: 'delegation',
  })
  openEnvelope('delegation', envelope, delegation.org)
  return delegation
}

/** True when `delegation` gives `right` to `delegate`. */
export function mayAct(delegation: Delegation, delegate: Uint8Array, right: Right): boolean {
  return equalBytes(delegation.delegate, delegate) && delegation.may.includes(right)
}

/**
 * True when `a` was made a delegate before `b`; of two of the same ms the lower key is the senior.
 * The time is under the guard key's signature, so that nobody can make himself older.
 */
export function isSenior(a: Delegation, b: Delegation): boolean {
  return (a.at - b.at || compareBytes(a.delegate, b.delegate)) < 0
}
