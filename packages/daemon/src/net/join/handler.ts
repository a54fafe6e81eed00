/**
 * Answering a host that brings an invite: the one protocol open to strangers. Refusals are answers,
 * so that a person reads why; only what is no request at all costs the connection.
 */

import {
  decodeJoinRequest,
  encodeJoinResponse,
  equalBytes,
  fromHex,
  isMoyaiError,
  isNameTaken,
  MoyaiError,
  openAddressRecord,
  openStatement,
  toHex,
  verifyJoinProof,
  type Clock,
  type HostClaim,
  type PoolState,
  type ReceivedJoinRequest,
} from '@moyai/protocol'

import type { InviteRecord } from '../../membership/invites.ts'
import type { MessageHandler, MessageRequest } from '../types.ts'
import { JOIN_ANSWER_BYTES_MAX, JOIN_CLOCK_MS_MAX } from './constants.ts'

/** A request that may be granted. */
export type Admission = {
  invite: InviteRecord
  /** The joining host's identity key. */
  host: Uint8Array
  claim: HostClaim
  /** Its host statement and address record, envelopes. */
  statement: Uint8Array
  address: Uint8Array
}

export type JoinHandlerComponents = {
  /** This host's identity key. */
  self: Uint8Array
  clock: Clock
  state: () => PoolState | undefined
  findInvite: (id: Uint8Array) => InviteRecord | undefined
  /** Admits on the disk; the statements (essential first) and addresses to answer with. */
  admit: (admission: Admission) => Promise<{ statements: Uint8Array[]; addresses: Uint8Array[] }>
  onRefused: (host: string, error: MoyaiError) => void
}

function refuse(...arguments_: ConstructorParameters<typeof MoyaiError>): never {
  throw new MoyaiError(...arguments_)
}

class JoinHandler {
  readonly #o: JoinHandlerComponents

  constructor(o: JoinHandlerComponents) {
    this.#o = o
  }

  async handle(request: MessageRequest): Promise<Uint8Array> {
    const received = decodeJoinRequest(request.bytes)
    try {
      const admission = this.#judge(received, fromHex(request.host))
      const { statements, addresses } = await this.#o.admit(admission)
      const time = this.#o.clock.now()
      return encodeJoinResponse({
        kind: 'admitted',
        ...withinAnswer({ statements, addresses }),
        time,
      })
    } catch (error) {
      if (!isMoyaiError(error) || error.code === 'DISK') throw error
      this.#o.onRefused(request.host, error)
      return encodeJoinResponse({ kind: 'refused', code: error.code, text: error.message })
    }
  }

  #judge(received: ReceivedJoinRequest, host: Uint8Array): Admission {
    const state = this.#o.state() ?? refuse('NO_POOL', 'the inviting host is in no pool any more')
    const invite = this.#o.findInvite(received.invite)
    const parties = { pool: state.id, inviter: this.#o.self, joiner: host }
    // An unknown id and a wrong proof are told apart by nobody who does not have the token.
    if (
      invite === undefined ||
      !verifyJoinProof(received, { ...parties, proofKey: invite.proofKey })
    ) {
      return refuse('INVITE_UNKNOWN', 'the inviting host does not know this invite')
    }
    if (state.revoked.has(toHex(host))) {
      return refuse('HOST_REVOKED', 'this host was revoked: the pool has put it out')
    }
    const now = this.#o.clock.now()
    const again = invite.usedBy.some((one) => equalBytes(one, host))
    if (!again && now > invite.expires) refuse('INVITE_EXPIRED', 'the invite has expired')
    if (!again && invite.usedBy.length >= invite.uses) {
      refuse('INVITE_USED', 'the invite has been used already')
    }
    const skewMinutes = Math.round(Math.abs(received.time - now) / 60_000)
    if (Math.abs(received.time - now) > JOIN_CLOCK_MS_MAX) {
      refuse('CLOCK_DISAGREES', `the clocks of the two hosts are ${skewMinutes} minutes apart`)
    }
    const { statement, claim } = openStatement(received.statement)
    const own =
      claim !== undefined && equalBytes(claim.host, host) && equalBytes(statement.by, host)
    if (!own || !equalBytes(claim.pool, state.id)) {
      return refuse('MALFORMED', 'the certificate is not that of the joining host for this pool')
    }
    if (!equalBytes(openAddressRecord(received.address).host, host)) {
      refuse('MALFORMED', 'the address record is not that of the joining host')
    }
    if (isNameTaken(state, claim.name, toHex(host))) {
      refuse('NAME_TAKEN', `the pool already has a host named '${claim.name}'`)
    }
    return { invite, host, claim, statement: received.statement, address: received.address }
  }
}

/** The first of each that fit the answer, statements before addresses. */
function withinAnswer(o: { statements: Uint8Array[]; addresses: Uint8Array[] }): typeof o {
  let left = JOIN_ANSWER_BYTES_MAX
  const fitting = (envelopes: Uint8Array[]): Uint8Array[] =>
    envelopes.filter((envelope) => {
      const fits = envelope.length + 5 <= left
      if (fits) left -= envelope.length + 5
      return fits
    })
  return { statements: fitting(o.statements), addresses: fitting(o.addresses) }
}

/** The handler to register for JOIN_PROTOCOL, with `strangers: true`. */
export function createJoinHandler(o: JoinHandlerComponents): MessageHandler {
  const handler = new JoinHandler(o)
  return (request) => handler.handle(request)
}
