/**
 * Invites: a token that a person carries from one host to another (spec/join.md §1–2).
 *
 * It says whom to call and is the right to join once. The secret in it never travels: what is sent
 * is its id and, as proof, a keyed hash under a key derived from it.
 */

import { concatBytes, equalBytes } from '../bytes.ts'
import { blake3 } from '../blake3/index.ts'
import { assert } from '../assert.ts'
import { MoyaiError } from '../errors.ts'
import { deriveKey } from '../keys/index.ts'
import {
  HASH_BYTES,
  INVITE_ADDRESSES_MAX,
  INVITE_SECRET_BYTES,
  INVITE_TOKEN_LENGTH_MAX,
  PUBLIC_KEY_BYTES,
} from '../limits.ts'
import { addressSchema } from '../pool-log/address.ts'
import { addressBytes, readAddress } from './address-bytes.ts'
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
  /** Multiaddrs of the host, without the peer id; INVITE_ADDRESSES_MAX at most. */
  addresses: string[]
  /** The host that made it has keys for one more host of its own organisation (`package.ts`). */
  sameOrg: boolean
}

const PREFIX = 'moyai1-'
const VERSION = 2
const SAME_ORG = 1
const CHECKSUM_BYTES = 4
const FIXED_BYTES = 2 + PUBLIC_KEY_BYTES + INVITE_SECRET_BYTES + HASH_BYTES + 4

/**
 * The token of `invite`: `moyai1-` and letters, digits, `-` and `_`. MALFORMED or TOO_LARGE for
 * what no token holds.
 */
export function encodeInvite(invite: Invite): string {
  const { host, secret, pool, expires, addresses, sameOrg } = invite
  const lengths = [host.length, secret.length, pool.length]
  assert(lengths.join() === `${PUBLIC_KEY_BYTES},${INVITE_SECRET_BYTES},${HASH_BYTES}`, 'lengths')
  assert(expires >= 0 && expires <= 0xffff_ffff, 'until the year 2106')
  if (addresses.length > INVITE_ADDRESSES_MAX) {
    throw new MoyaiError('TOO_LARGE', 'invite with too many addresses')
  }
  const start = new Uint8Array(6)
  start.set([VERSION, sameOrg ? SAME_ORG : 0])
  new DataView(start.buffer).setUint32(2, expires)
  const listed = addresses.map((address) => addressBytes(addressSchema.read(address, 'invite')))
  const body = concatBytes(start, host, secret, pool, ...listed)
  const checksum = blake3(body).subarray(0, CHECKSUM_BYTES)
  return PREFIX + toBase64Url(concatBytes(body, checksum))
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
  if (body[0] !== VERSION) {
    throw badToken('this invite is of another version of moyai', 'update moyai on both hosts')
  }
  try {
    return decodeBody(body)
  } catch (cause) {
    throw badToken('this invite is malformed', 'make a new one with `moyai pool invite`', cause)
  }
}

function decodeBody(body: Uint8Array): Invite {
  const flags = body[1]
  if (body.length < FIXED_BYTES) throw new MoyaiError('TRUNCATED', 'invite')
  if (flags !== 0 && flags !== SAME_ORG) throw new MoyaiError('MALFORMED', 'unknown flags')
  let at = 6
  const take = (length: number): Uint8Array => body.slice(at, (at += length))
  const host = take(PUBLIC_KEY_BYTES)
  const secret = take(INVITE_SECRET_BYTES)
  const pool = take(HASH_BYTES)
  const expires = new DataView(body.buffer, body.byteOffset).getUint32(2)
  const addresses: string[] = []
  while (at < body.length) {
    if (addresses.length === INVITE_ADDRESSES_MAX) throw new MoyaiError('TOO_LARGE', 'addresses')
    const { text, end } = readAddress(body, at)
    addresses.push(addressSchema.read(text, 'invite'))
    at = end
  }
  return { host, secret, pool, expires, addresses, sameOrg: flags === SAME_ORG }
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
