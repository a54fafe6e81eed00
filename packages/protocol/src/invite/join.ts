/**
 * The messages of /moyai/join/1 (spec/join.md §3–5): one request, one response, over a connection
 * on which Noise has proven both hosts' keys. The proof ties the request to the invite's secret, to
 * both hosts and to the pool, so that it is worth nothing to anybody else, or on another
 * connection.
 */

import { concatBytes, equalBytes, utf8 } from '../bytes.ts'
import { blake3, blake3Keyed } from '../blake3/index.ts'
import { decodeAs, encodeCbor, s, type CborMap, type Schema } from '../cbor/index.ts'
import { isErrorCode, MoyaiError, type ErrorCode } from '../errors.ts'
import {
  ADDRESS_RECORD_BYTES_MAX,
  HASH_BYTES,
  HOST_PACKAGE_BYTES_MAX,
  JOIN_REQUEST_BYTES_MAX,
  JOIN_RESPONSE_BYTES_MAX,
  POOL_HOSTS_MAX,
  POOL_STATEMENTS_MAX,
  REFUSAL_LENGTH_MAX,
  SIGNATURE_BYTES,
  STATEMENT_BYTES_MAX,
  TIME_MAX,
} from '../limits.ts'
import { inviteKeys, type Invite } from './invite.ts'

/** What every request has. */
type Common = {
  /** Id of the invite. */
  invite: Uint8Array
  /** Its clock, ms since the epoch: hosts whose clocks disagree cannot keep protection windows. */
  time: number
}

/** What a host without keys asks for, when the token says that there are some: `package.ts`. */
export type PackageRequest = Common & { kind: 'package' }

/** What the joining host sends. */
export type JoinRequest = Common & {
  kind: 'join'
  /**
   * Its host statement (an envelope), signed by its own organisation's delegate for the pool of the
   * invite.
   */
  statement: Uint8Array
  /** Its address record (an envelope). */
  address: Uint8Array
}

/** A request with what its proof covers. */
export type ReceivedJoinRequest = (JoinRequest | PackageRequest) & {
  /** The bytes that were sent, under the proof. */
  body: Uint8Array
  proof: Uint8Array
}

/** What the inviting host answers. */
export type JoinResponse =
  | {
      kind: 'admitted'
      /** All statements of the pool, with those that admit the joining host. */
      statements: Uint8Array[]
      /** Address records of its hosts. */
      addresses: Uint8Array[]
      /** Clock of the answering host. */
      time: number
    }
  /** The keys of a further host, sealed. */
  | { kind: 'package'; sealed: Uint8Array; time: number }
  | { kind: 'refused'; code: ErrorCode; text: string }

/** The parties that a proof is bound to: what Noise proved, and the pool. */
export type JoinParties = {
  pool: Uint8Array
  /** Identity key of the host that made the invite. */
  inviter: Uint8Array
  /** Identity key of the host that joins. */
  joiner: Uint8Array
}

const statement = s.bytes({ min: SIGNATURE_BYTES, max: STATEMENT_BYTES_MAX })
const address = s.bytes({ min: SIGNATURE_BYTES, max: ADDRESS_RECORD_BYTES_MAX })
const time = s.int({ max: TIME_MAX })
const OUTER = s.map({
  v: s.version(1),
  body: s.bytes({ min: 1, max: JOIN_REQUEST_BYTES_MAX }),
  proof: s.bytes({ length: HASH_BYTES }),
})
const common = { v: s.version(1), invite: s.bytes({ length: HASH_BYTES }), time }
const BODY: Schema<(JoinRequest | PackageRequest) & { v: 1 }> = s.variant('kind', {
  join: s.map({ ...common, kind: s.literal('join'), statement, address }),
  package: s.map({ ...common, kind: s.literal('package') }),
})
const ADMITTED: Schema<Extract<JoinResponse, { kind: 'admitted' }> & { v: 1 }> = s.map({
  v: s.version(1),
  kind: s.literal('admitted'),
  statements: s.array(statement, { max: POOL_STATEMENTS_MAX }),
  addresses: s.array(address, { max: POOL_HOSTS_MAX }),
  time,
})
const REFUSED: Schema<{ v: 1; kind: 'refused'; code: string; text: string }> = s.map({
  v: s.version(1),
  kind: s.literal('refused'),
  code: s.text({ min: 1, max: 64 }),
  text: s.text({ max: REFUSAL_LENGTH_MAX }),
})
const PACKAGE: Schema<Extract<JoinResponse, { kind: 'package' }> & { v: 1 }> = s.map({
  v: s.version(1),
  kind: s.literal('package'),
  sealed: s.bytes({ min: 1, max: HOST_PACKAGE_BYTES_MAX }),
  time,
})
const RESPONSE = s.variant('kind', { admitted: ADMITTED, package: PACKAGE, refused: REFUSED })

const REQUEST_LIMITS = { bytesMax: JOIN_REQUEST_BYTES_MAX, depthMax: 2, itemsMax: 32 }

/**
 * The proof: a keyed hash of all that the request must be bound to. Every part has a fixed length.
 */
function proofOf(o: JoinParties & { proofKey: Uint8Array; body: Uint8Array }): Uint8Array {
  const label = concatBytes(utf8('moyai/v1/join-proof'), new Uint8Array(1))
  return blake3Keyed(o.proofKey, concatBytes(label, o.pool, o.inviter, o.joiner, blake3(o.body)))
}

/**
 * The bytes of a request by the host `joiner` for `invite`. MALFORMED or TOO_LARGE for what no
 * request holds.
 */
export function encodeJoinRequest(o: {
  invite: Invite
  joiner: Uint8Array
  time: number
  statement: Uint8Array
  address: Uint8Array
}): Uint8Array {
  return proven(o, { kind: 'join', statement: o.statement, address: o.address })
}

/** The bytes of a request for the keys that `invite` has, by a host with the key `joiner`. */
export function encodePackageRequest(o: {
  invite: Invite
  joiner: Uint8Array
  time: number
}): Uint8Array {
  return proven(o, { kind: 'package' })
}

function proven(o: { invite: Invite; joiner: Uint8Array; time: number }, of: CborMap): Uint8Array {
  const { id, proofKey } = inviteKeys(o.invite.secret)
  const value = { v: 1, invite: id, time: o.time, ...of }
  BODY.read(value, 'join request')
  const body = encodeCbor(value)
  const { pool, host: inviter } = o.invite
  const proof = proofOf({ pool, inviter, joiner: o.joiner, proofKey, body })
  return encodeCbor({ v: 1, body, proof })
}

/**
 * A request as it came. MALFORMED, TRUNCATED, TOO_LARGE or UNKNOWN_VERSION. Nothing in it is
 * trusted before `verifyJoinProof`.
 */
export function decodeJoinRequest(bytes: Uint8Array): ReceivedJoinRequest {
  const { body, proof } = decodeAs(OUTER, bytes, { ...REQUEST_LIMITS, what: 'join request' })
  const { v: _, ...request } = decodeAs(BODY, body, { ...REQUEST_LIMITS, what: 'join request' })
  return { ...request, body, proof }
}

/**
 * True when who sent `request` knows the secret of the invite with this proof key and meant these
 * parties.
 */
export function verifyJoinProof(
  request: ReceivedJoinRequest,
  o: JoinParties & { proofKey: Uint8Array },
): boolean {
  return equalBytes(proofOf({ ...o, body: request.body }), request.proof)
}

/** `text` as a refusal may carry it: cut at its limit, and with a round trip. */
function refusalText(text: string): string {
  return text.slice(0, REFUSAL_LENGTH_MAX).replaceAll('\uFEFF', '').toWellFormed()
}

/**
 * The bytes of a response; the text of a refusal is cut at its limit. TOO_LARGE above
 * JOIN_RESPONSE_BYTES_MAX.
 */
export function encodeJoinResponse(response: JoinResponse): Uint8Array {
  const value: CborMap =
    response.kind === 'refused'
      ? { v: 1, ...response, text: refusalText(response.text) }
      : { v: 1, ...response }
  RESPONSE.read(value, 'join response')
  const bytes = encodeCbor(value)
  if (bytes.length > JOIN_RESPONSE_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', `join response of ${bytes.length} bytes`)
  }
  return bytes
}

/**
 * The response in `bytes`; a code that is not known here becomes HOST_REFUSED. MALFORMED,
 * TRUNCATED, TOO_LARGE or UNKNOWN_VERSION.
 */
export function decodeJoinResponse(bytes: Uint8Array): JoinResponse {
  const { v: _, ...response } = decodeAs(RESPONSE, bytes, {
    bytesMax: JOIN_RESPONSE_BYTES_MAX,
    depthMax: 3,
    itemsMax: POOL_STATEMENTS_MAX + POOL_HOSTS_MAX + 32,
    what: 'join response',
  })
  if (response.kind !== 'refused') return response
  const code = isErrorCode(response.code) ? response.code : 'HOST_REFUSED'
  return { kind: 'refused', code, text: response.text }
}
