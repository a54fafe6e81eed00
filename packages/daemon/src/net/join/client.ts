/** Redeeming an invite. */

import {
  decodeJoinResponse,
  encodeJoinRequest,
  encodePackageRequest,
  isMoyaiError,
  MoyaiError,
  printable,
  toHex,
  type Clock,
  type ErrorCode,
  type Invite,
  type JoinResponse,
} from '@moyai/protocol'

import type { Network } from '../types.ts'
import { JOIN_CLOCK_MS_MAX, JOIN_PROTOCOL } from './constants.ts'

const NEW_TOKEN = 'make a new one with `moyai pool invite` on a host of the pool'

/** What a person can do about each refusal. */
const HINTS: Partial<Record<ErrorCode, string>> = {
  INVITE_EXPIRED: NEW_TOKEN,
  INVITE_USED: NEW_TOKEN,
  INVITE_UNKNOWN: `was the whole line copied? if so, ${NEW_TOKEN}`,
  NAME_TAKEN: 'give this host another name: host.name in config.toml, then restart the daemon',
  CLOCK_DISAGREES: 'set both clocks (time synchronisation in the system settings), then join again',
}

/** The pool's statements and addresses after the inviting host admitted this one. */
export type Admitted = { statements: Uint8Array[]; addresses: Uint8Array[] }

/**
 * Brings `invite` to the host that made it. INVITE_EXPIRED, INVITE_USED, INVITE_UNKNOWN,
 * NAME_TAKEN, CLOCK_DISAGREES, HOST_UNREACHABLE, IDENTITY_MISMATCH, HOST_REFUSED: each with a hint.
 */
export async function redeemInvite(
  o: {
    invite: Invite
    /** This host's identity key, host statement and address record. */
    host: Uint8Array
    statement: Uint8Array
    address: Uint8Array
    signal?: AbortSignal
  },
  components: { network: Pick<Network, 'requestAt'>; clock: Clock },
): Promise<Admitted> {
  const { invite, statement, address } = o
  const now = components.clock.now()
  const bytes = encodeJoinRequest({ invite, joiner: o.host, time: now, statement, address })
  const response = decodeJoinResponse(await send({ ...o, now }, components.network, bytes))
  if (response.kind === 'admitted') return response
  throw refused(response)
}

/**
 * Brings `invite` to the host that made it, for the keys that it has for a further host of its
 * organisation: sealed, for `openHostPackage`. Errors as of `redeemInvite`.
 */
export async function fetchHostPackage(
  o: { invite: Invite; host: Uint8Array; signal?: AbortSignal },
  components: { network: Pick<Network, 'requestAt'>; clock: Clock },
): Promise<Uint8Array> {
  const now = components.clock.now()
  const bytes = encodePackageRequest({ invite: o.invite, joiner: o.host, time: now })
  const response = decodeJoinResponse(await send({ ...o, now }, components.network, bytes))
  if (response.kind === 'package') return response.sealed
  throw refused(response)
}

function refused(response: JoinResponse): MoyaiError {
  if (response.kind === 'refused') return refusal(response.code, printable(response.text))
  return new MoyaiError('PROTOCOL_VIOLATION', 'the inviting host answered something else')
}

async function send(
  o: { invite: Invite; now: number; signal?: AbortSignal },
  network: Pick<Network, 'requestAt'>,
  bytes: Uint8Array,
): Promise<Uint8Array> {
  const { host, addresses } = o.invite
  try {
    return await network.requestAt({
      host: toHex(host),
      addresses,
      protocol: JOIN_PROTOCOL,
      bytes,
      ...(o.signal === undefined ? {} : { signal: o.signal }),
    })
  } catch (cause) {
    if (!isMoyaiError(cause, 'HOST_UNREACHABLE', 'STREAM_CLOSED', 'TIMED_OUT')) throw cause
    // The clock of the host that made it decides; when that is not to be had, this one may know.
    if (o.now > o.invite.expires * 1000 + JOIN_CLOCK_MS_MAX) {
      throw refusal('INVITE_EXPIRED', 'the invite has expired, and its host does not answer')
    }
    throw new MoyaiError('HOST_UNREACHABLE', 'the host that made the invite does not answer', {
      hint: `is it on, and reachable from here at ${addresses[0] ?? 'its address'}?`,
      cause,
    })
  }
}

function refusal(code: ErrorCode, text: string): MoyaiError {
  const hint = HINTS[code]
  return new MoyaiError(code, text, hint === undefined ? {} : { hint })
}
