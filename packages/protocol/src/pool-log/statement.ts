/**
 * Statements of the pool log (spec/pool-log.md §4): genesis, organisation admitted, host certified.
 * Each is signed by a host, and carries the delegation under which that host acts for its
 * organisation.
 */

import { assert } from '../assert.ts'
import { equalBytes } from '../bytes.ts'
import { blake3 } from '../blake3/index.ts'
import {
  decodeCbor,
  encodeCbor,
  parse,
  s,
  type CborMap,
  type CborValue,
  type Schema,
} from '../cbor/index.ts'
import { envelopePayload, openEnvelope, signEnvelope, type Signer } from '../envelope/index.ts'
import { MoyaiError } from '../errors.ts'
import {
  DELEGATION_BYTES_MAX,
  GENESIS_NONCE_BYTES,
  HASH_BYTES,
  HOST_CLAIM_BYTES_MAX,
  PUBLIC_KEY_BYTES,
  SIGNATURE_BYTES,
  STATEMENT_BYTES_MAX,
  TIME_MAX,
} from '../limits.ts'
import { openHostClaim, type HostClaim } from './claim.ts'
import { mayAct, openDelegation } from './delegation.ts'
import { labelSchema } from './label.ts'

type Common = {
  /** The host that signs. */
  by: Uint8Array
  /** Ms since the epoch. */
  at: number
  /** Envelope of the delegation to `by`. */
  delegation: Uint8Array
}

/** The first statement: founds a pool with one organisation. */
export type GenesisStatement = Common & {
  kind: 'genesis'
  name: string
  /** Random; two pools of one name stay two pools. */
  nonce: Uint8Array
}

/** An organisation of the pool admits another. */
export type OrganisationStatement = Common & {
  kind: 'organisation'
  pool: Uint8Array
  /** The organisation that is admitted. */
  org: Uint8Array
  /** Id of the invite that it redeemed. */
  invite: Uint8Array
}

/** An organisation certifies one of its hosts. */
export type HostStatement = Common & {
  kind: 'host'
  pool: Uint8Array
  /** Envelope of the host's claim. */
  claim: Uint8Array
}

export type Statement = GenesisStatement | OrganisationStatement | HostStatement

/** A statement whose signatures, and those inside, were verified. */
export type OpenedStatement = {
  id: Uint8Array
  /** The organisation that `by` acts for. */
  org: Uint8Array
  statement: Statement
  /** Of a host statement. */
  claim?: HostClaim
}

const KINDS = ['genesis', 'organisation', 'host']
const hash = s.bytes({ length: HASH_BYTES })
const key = s.bytes({ length: PUBLIC_KEY_BYTES })
const common = {
  v: s.version(1),
  by: key,
  at: s.int({ max: TIME_MAX }),
  delegation: s.bytes({ min: SIGNATURE_BYTES, max: DELEGATION_BYTES_MAX }),
}
const GENESIS: Schema<GenesisStatement & { v: 1 }> = s.map({
  ...common,
  kind: s.literal('genesis'),
  name: labelSchema,
  nonce: s.bytes({ length: GENESIS_NONCE_BYTES }),
})
const ORGANISATION: Schema<OrganisationStatement & { v: 1 }> = s.map({
  ...common,
  kind: s.literal('organisation'),
  pool: hash,
  org: key,
  invite: hash,
})
const HOST: Schema<HostStatement & { v: 1 }> = s.map({
  ...common,
  kind: s.literal('host'),
  pool: hash,
  claim: s.bytes({ min: SIGNATURE_BYTES, max: HOST_CLAIM_BYTES_MAX }),
})
const STATEMENT: Schema<Statement & { v: 1 }> = s.variant('kind', {
  genesis: GENESIS,
  organisation: ORGANISATION,
  host: HOST,
})

function sign(value: CborMap, by: Signer): Uint8Array {
  assert(equalBytes(value['by'] as Uint8Array, by.publicKey), 'a host signs its own statements')
  STATEMENT.read(value, 'pool-log statement')
  return signEnvelope('pool-log', encodeCbor(value), by)
}

/** Founds a pool: the envelope whose id is the pool's. MALFORMED for a bad name. */
export function signGenesis(
  o: { name: string; nonce: Uint8Array; delegation: Uint8Array; at: number },
  by: Signer,
): Uint8Array {
  const { name, nonce, delegation, at } = o
  return sign({ v: 1, kind: 'genesis', name, nonce, by: by.publicKey, at, delegation }, by)
}

/** Admits the organisation `org`; `by` is a host of an admitted one, `delegation` its own. */
export function signOrganisation(
  o: {
    pool: Uint8Array
    org: Uint8Array
    invite: Uint8Array
    delegation: Uint8Array
    at: number
  },
  by: Signer,
): Uint8Array {
  const { pool, org, invite, delegation, at } = o
  return sign(
    { v: 1, kind: 'organisation', pool, org, invite, by: by.publicKey, at, delegation },
    by,
  )
}

/**
 * Certifies the host of `claim` (an envelope); `by` acts for the claim's organisation, `delegation`
 * is its own.
 */
export function signHost(
  o: { pool: Uint8Array; claim: Uint8Array; delegation: Uint8Array; at: number },
  by: Signer,
): Uint8Array {
  const { pool, claim, delegation, at } = o
  return sign({ v: 1, kind: 'host', pool, claim, by: by.publicKey, at, delegation }, by)
}

/** Id of a statement: BLAKE3 of its envelope. */
export function statementId(envelope: Uint8Array): Uint8Array {
  return blake3(envelope)
}

/**
 * Id of the pool that a genesis founds: that of the statement. Whether it is a genesis is for
 * `evaluatePool`.
 */
export function poolId(genesisEnvelope: Uint8Array): Uint8Array {
  return statementId(genesisEnvelope)
}

function kindOf(value: CborValue): unknown {
  const isMap = typeof value === 'object' && !Array.isArray(value) && !(value instanceof Uint8Array)
  return isMap && Object.hasOwn(value, 'kind') ? value['kind'] : undefined
}

function openInner(statement: Statement): { org: Uint8Array; claim?: HostClaim } {
  const delegation = openDelegation(statement.delegation)
  const right = statement.kind === 'host' ? 'certify-host' : 'invite'
  if (!mayAct(delegation, statement.by, right)) {
    throw new MoyaiError('MALFORMED', `statement: its delegation does not allow it (${right})`)
  }
  if (statement.kind !== 'host') return { org: delegation.org }
  const claim = openHostClaim(statement.claim)
  if (!equalBytes(claim.pool, statement.pool)) {
    throw new MoyaiError('MALFORMED', 'statement: its claim is for another pool')
  }
  if (!equalBytes(claim.org, delegation.org)) {
    throw new MoyaiError('MALFORMED', "statement: certifies another organisation's host")
  }
  return { org: delegation.org, claim }
}

/**
 * The statement in an envelope, after its signature and those of the delegation and claim inside
 * were verified. Whether it belongs to a pool is for `evaluatePool`. MALFORMED, TRUNCATED,
 * TOO_LARGE, BAD_SIGNATURE, or UNKNOWN_VERSION for a kind or version that is not known here (its
 * signature is not looked at then).
 */
export function openStatement(envelope: Uint8Array): OpenedStatement {
  if (envelope.length > STATEMENT_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', `statement of ${envelope.length} bytes`)
  }
  const value = decodeCbor(envelopePayload(envelope), {
    bytesMax: STATEMENT_BYTES_MAX - SIGNATURE_BYTES,
    itemsMax: 256,
  })
  const kind = kindOf(value)
  if (typeof kind === 'string' && !KINDS.includes(kind)) {
    throw new MoyaiError('UNKNOWN_VERSION', 'unknown kind')
  }
  const { v: _, ...statement } = parse(STATEMENT, value, 'statement')
  openEnvelope('pool-log', envelope, statement.by)
  return { id: statementId(envelope), statement, ...openInner(statement) }
}
