/**
 * Invites: a token that a person carries from one host to another (spec/join.md §1–2).
 *
 * It says whom to call and is the right to join once. The secret in it never travels: what is sent
 * is its id and, as proof, a keyed hash under a key derived from it.
 */

import { concatBytes, equalBytes } from '../bytes.ts'
import { blake3 } from '../blake3/index.ts'
import { decodeAs, encodeCbor, s, type Schema } from '../cbor/index.ts'
import { MoyaiError } from '../errors.ts'
import { deriveKey } from '../keys/index.ts'
import {
  ADDRESSES_MAX,
  HASH_BYTES,
  INVITE_SECRET_BYTES,
  INVITE_TOKEN_LENGTH_MAX,
  PUBLIC_KEY_BYTES,
  TIME_MAX,
} from '../limits.ts'
import { addressSchema } from '../pool-log/address.ts'
import { fromBase64Url, toBase64Url } from './base64url.ts'

/** What a token says. */
export type Invite = {
  /** Identity key of the host that made it and will answer. */
  host: Uint8Array
  /** 16 random bytes. */
  secret: Uint8Array
  /** Id of the pool, 32 bytes: what joins signs for this pool before it has seen it. */
  pool: Uint8Array
  /** End of its validity, whole seconds since the epoch. */
  expires: number
  /** Multiaddrs of the host, without the peer id. */
  addresses: string[]
}

const PREFIX = 'moyai1-'
const CHECKSUM_BYTES = 4
const INVITE: Schema<Invite & { v: 1 }> = s.map({
  v: s.version(1),
  host: s.bytes({ length: PUBLIC_KEY_BYTES }),
  secret: s.bytes({ length: INVITE_SECRET_BYTES }),
  pool: s.bytes({ length: HASH_BYTES }),
  expires: s.int({ max: Math.floor(TIME_MAX / 1000) }),
  addresses: s.array(addressSchema, { max: ADDRESSES_MAX }),
})

/**
 * The token of `invite`: `moyai1-` and letters, digits, `-` and `_`. MALFORMED or TOO_LARGE for
 * what no token holds.
 */
export function encodeInvite(invite: Invite): string {
  const { host, secret, pool, expires, addresses } = invite
  const value = { v: 1, host, secret, pool, expires, addresses }
  INVITE.read(value, 'invite')
  const body = encodeCbor(value)
  const checksum = blake3(body).subarray(0, CHECKSUM_BYTES)
  const token = PREFIX + toBase64Url(concatBytes(body, checksum))
  if (token.length > INVITE_TOKEN_LENGTH_MAX) {
    throw new MoyaiError('TOO_LARGE', 'invite with too many addresses')
  }
  return token
}

function badToken(message: string, hint: string, cause?: unknown): MoyaiError {
  return new MoyaiError('BAD_TOKEN', message, { hint, cause })
}

/**
 * The invite in a token; white space around it is ignored. BAD_TOKEN with what is wrong with it.
 */
export function decodeInvite(text: string): Invite {
  const token = text.trim()
  if (!token.startsWith(PREFIX)) {
    throw badToken('this is no invite', `an invite begins with ${PREFIX}`)
  }
  const again = 'copy the whole line that `moyai pool invite` printed'
  if (token.length > INVITE_TOKEN_LENGTH_MAX) throw badToken('this invite is too long', again)
  const bytes = fromBase64Url(token.slice(PREFIX.length))
  if (bytes === undefined || bytes.length <= CHECKSUM_BYTES) {
    throw badToken('this invite is cut off or has a strange character', again)
  }
  const body = bytes.subarray(0, -CHECKSUM_BYTES)
  if (!equalBytes(blake3(body).subarray(0, CHECKSUM_BYTES), bytes.subarray(-CHECKSUM_BYTES))) {
    throw badToken('this invite was changed or cut off on the way', again)
  }
  try {
    const { v: _, ...invite } = decodeAs(INVITE, body, {
      bytesMax: INVITE_TOKEN_LENGTH_MAX,
      depthMax: 3,
      itemsMax: 16 + ADDRESSES_MAX,
      what: 'invite',
    })
    return invite
  } catch (cause) {
    const newer = cause instanceof MoyaiError && cause.code === 'UNKNOWN_VERSION'
    throw newer
      ? badToken('this invite is of a newer moyai', 'update moyai on this host', cause)
      : badToken('this invite is malformed', 'make a new one with `moyai pool invite`', cause)
  }
}

/**
 * What a secret becomes on either side. The inviting host may keep these two and forget the secret.
 */
export type InviteKeys = {
  /** Names the invite on the wire and in the pool log; says nothing about the secret. */
  id: Uint8Array
  /** Key of the proof. */
  proofKey: Uint8Array
}

/** Id and proof key of an invite's secret. */
export function inviteKeys(secret: Uint8Array): InviteKeys {
  return {
    id: deriveKey({ key: secret, info: 'invite-id', length: HASH_BYTES }),
    proofKey: deriveKey({ key: secret, info: 'invite-proof', length: HASH_BYTES }),
  }
}
