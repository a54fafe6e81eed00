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
  /** Remembers on the disk that `host` was given the keys of the invite, before it is. */
  claim: (invite: InviteRecord, host: Uint8Array) => Promise<void>
  onRefused: (host: string, error: MoyaiError) => void
}

function refuse(...arguments_: ConstructorParameters<typeof MoyaiError>): never {
  throw new MoyaiError(...arguments_)
}

type Received<K extends ReceivedJoinRequest['kind']> = Extract<ReceivedJoinRequest, { kind: K }>

class JoinHandler {
  readonly #o: JoinHandlerComponents

  constructor(o: JoinHandlerComponents) {
    this.#o = o
  }

  async handle(request: MessageRequest): Promise<Uint8Array> {
    const received = decodeJoinRequest(request.bytes)
    try {
      if (received.kind === 'package') return await this.#givePackage(received, request.host)
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

  /** Keys go to one host: who asks first, and again should the answer be lost. */
  async #givePackage(received: ReceivedJoinRequest, host: string): Promise<Uint8Array> {
    const key = fromHex(host)
    const { invite } = this.#judgeInvite(received, key)
    const { sealed, claimedBy } = invite
    if (sealed === undefined) {
      return refuse('INVITE_USED', 'the keys that this invite had are not there any more')
    }
    if (claimedBy !== undefined && !equalBytes(claimedBy, key)) {
      return refuse('INVITE_USED', 'the keys of this invite went to another machine already')
    }
    if (claimedBy === undefined) await this.#o.claim(invite, key)
    return encodeJoinResponse({ kind: 'package', sealed, time: this.#o.clock.now() })
  }

  /** The pool and the invite, when the host may use it now. */
  #judgeInvite(
    received: ReceivedJoinRequest,
    host: Uint8Array,
  ): { state: PoolState; invite: InviteRecord } {
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
    return { state, invite }
  }

  #judge(received: Received<'join'>, host: Uint8Array): Admission {
    const { state, invite } = this.#judgeInvite(received, host)
    if (invite.host !== undefined && !equalBytes(invite.host, host)) {
      return refuse('INVITE_UNKNOWN', 'this invite is for a host that gets its keys with it')
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
