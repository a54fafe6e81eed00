/**
 * Statements of the pool log (spec/pool-log.md §4): what is in them, and how they are opened. Each
 * is signed by a host, and carries the delegation under which that host acts for its organisation.
 * Making them is in `sign.ts`, what follows from a set of them in `pool-state.ts`.
 */

import { concatBytes, equalBytes } from '../bytes.ts'
import { blake3 } from '../blake3/index.ts'
import { decodeCbor, encodeCbor, parse, s, type CborValue, type Schema } from '../cbor/index.ts'
import { envelopePayload, openEnvelope } from '../envelope/index.ts'
import { MoyaiError } from '../errors.ts'
import {
  AWAY_MS_MAX,
  CODE_M_MAX,
  DELEGATION_BYTES_MAX,
  GENESIS_NONCE_BYTES,
  HASH_BYTES,
  HOST_CLAIM_BYTES_MAX,
  PUBLIC_KEY_BYTES,
  REGISTER_AFTER_MAX,
  REGISTER_SEQ_MAX,
  REVOCATION_KEEP_MAX,
  SIGNATURE_BYTES,
  STATEMENT_BYTES_MAX,
  TIME_MAX,
} from '../limits.ts'
import type { Policy } from '../placement/hosts.ts'
import { openHostClaim, type HostClaim, type HostClass } from './claim.ts'
import { isSenior, mayAct, openDelegation, type Delegation, type Right } from './delegation.ts'
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

/**
 * Where a statement stands among those about the same thing, of which one counts: `seq` is one more
 * than the highest that its author knew, `after` names those that it replaces. No clock is asked.
 */
export type RegisterPlace = { seq: number; after: Uint8Array[] }

/** What an organisation says of one of its hosts; fields that are absent stay as they are. */
export type HostLabels = {
  name?: string
  site?: string
  provider?: string
  class?: HostClass
  offeredBytes?: number
}

/** An organisation names or describes one of its hosts anew. */
export type LabelStatement = Common &
  RegisterPlace & {
    kind: 'label'
    pool: Uint8Array
    host: Uint8Array
    set: HostLabels
  }

/** An organisation takes one of its hosts out of use, or (`retired: false`) back into it. */
export type RetireStatement = Common &
  RegisterPlace & {
    kind: 'retire'
    pool: Uint8Array
    host: Uint8Array
    retired: boolean
  }

/** An organisation announces that one of its hosts is away until `until`; 0: it is not. */
export type AwayStatement = Common &
  RegisterPlace & {
    kind: 'away'
    pool: Uint8Array
    host: Uint8Array
    /** Ms since the epoch. */
    until: number
  }

/**
 * Some organisation of the pool declares that a host's shards are lost, or takes that back. It asks
 * for copies and allows no deletion; a host that is seen afterwards has refuted it.
 */
export type LostStatement = Common &
  RegisterPlace & {
    kind: 'lost'
    pool: Uint8Array
    host: Uint8Array
    lost: boolean
  }

/** What the pool's vaults want to survive where nothing else is said. */
export type PolicyStatement = Common &
  RegisterPlace & {
    kind: 'policy'
    pool: Uint8Array
    policy: Policy
  }

/** A host is declared gone, for ever: by one of its organisation, or by its guard key. */
export type RevokeStatement = Common & {
  kind: 'revoke'
  pool: Uint8Array
  host: Uint8Array
  /** Ids of statements of `host` that stay valid; every other one is void. */
  keep: Uint8Array[]
  /** The delegation (envelope) to `host`, which shows that `by` is its senior; or else `order`. */
  target?: Uint8Array
  /** The guard key `org` signed what the statement says: then `by` only passes it on. */
  order?: { org: Uint8Array; signature: Uint8Array }
}

export type Statement =
  | GenesisStatement
  | OrganisationStatement
  | HostStatement
  | LabelStatement
  | RetireStatement
  | AwayStatement
  | LostStatement
  | PolicyStatement
  | RevokeStatement

/** A statement whose signatures, and those inside, were verified. */
export type OpenedStatement = {
  id: Uint8Array
  /** The organisation that `by` acts for. */
  org: Uint8Array
  statement: Statement
  /** When the guard key made `by` its delegate, ms: what seniority goes by. */
  delegatedAt: number
  /** Of a host statement. */
  claim?: HostClaim
}

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
const register = {
  seq: s.int({ min: 1, max: REGISTER_SEQ_MAX }),
  after: s.array(hash, { max: REGISTER_AFTER_MAX }),
}
const LABELS: Schema<HostLabels> = s.where(
  s.map({
    name: s.optional(labelSchema),
    site: s.optional(labelSchema),
    provider: s.optional(labelSchema),
    class: s.optional(s.oneOf('always-on', 'desktop', 'laptop')),
    offeredBytes: s.optional(s.int()),
  }),
  (set) => Object.keys(set).length > 0,
  'at least one label',
)
const LABEL: Schema<LabelStatement & { v: 1 }> = s.map({
  ...common,
  ...register,
  kind: s.literal('label'),
  pool: hash,
  host: key,
  set: LABELS,
})
const RETIRE: Schema<RetireStatement & { v: 1 }> = s.map({
  ...common,
  ...register,
  kind: s.literal('retire'),
  pool: hash,
  host: key,
  retired: s.bool(),
})
const AWAY: Schema<AwayStatement & { v: 1 }> = s.map({
  ...common,
  ...register,
  kind: s.literal('away'),
  pool: hash,
  host: key,
  until: s.int({ max: TIME_MAX }),
})
const LOST: Schema<LostStatement & { v: 1 }> = s.map({
  ...common,
  ...register,
  kind: s.literal('lost'),
  pool: hash,
  host: key,
  lost: s.bool(),
})
const losses = s.int({ max: CODE_M_MAX })
const POLICY: Schema<PolicyStatement & { v: 1 }> = s.map({
  ...common,
  ...register,
  kind: s.literal('policy'),
  pool: hash,
  policy: s.map({ host: losses, site: losses, provider: losses, org: losses }),
})
const REVOKE: Schema<RevokeStatement & { v: 1 }> = s.map({
  ...common,
  kind: s.literal('revoke'),
  pool: hash,
  host: key,
  keep: s.array(hash, { max: REVOCATION_KEEP_MAX }),
  target: s.optional(s.bytes({ min: SIGNATURE_BYTES, max: DELEGATION_BYTES_MAX })),
  order: s.optional(s.map({ org: key, signature: s.bytes({ length: SIGNATURE_BYTES }) })),
})
const SCHEMAS = {
  genesis: GENESIS,
  organisation: ORGANISATION,
  host: HOST,
  label: LABEL,
  retire: RETIRE,
  away: AWAY,
  lost: LOST,
  policy: POLICY,
  revoke: REVOKE,
}

/** One statement with its version, whatever its kind. */
export const statementSchema: Schema<Statement & { v: 1 }> = s.variant('kind', SCHEMAS)

/** The right that a delegation must give for each kind. */
const RIGHTS: Readonly<Record<Statement['kind'], Right>> = {
  genesis: 'invite',
  organisation: 'invite',
  policy: 'invite',
  host: 'certify-host',
  label: 'certify-host',
  retire: 'certify-host',
  away: 'certify-host',
  lost: 'invite',
  revoke: 'certify-host',
}

/** What the guard key signs to revoke a host. */
export function revocationOrder(o: Pick<RevokeStatement, 'pool' | 'host' | 'keep'>): Uint8Array {
  return encodeCbor({ v: 1, kind: 'revoke', pool: o.pool, host: o.host, keep: o.keep })
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

function openClaim(statement: HostStatement, org: Uint8Array): HostClaim {
  const claim = openHostClaim(statement.claim)
  if (!equalBytes(claim.pool, statement.pool)) {
    throw new MoyaiError('MALFORMED', 'statement: its claim is for another pool')
  }
  if (!equalBytes(claim.org, org)) {
    throw new MoyaiError('MALFORMED', "statement: certifies another organisation's host")
  }
  return claim
}

/** MALFORMED or BAD_SIGNATURE unless `by` may revoke the host. */
function checkRevocation(statement: RevokeStatement, own: Delegation): void {
  const { host, target, order } = statement
  if (order !== undefined) {
    openEnvelope('guard', concatBytes(order.signature, revocationOrder(statement)), order.org)
    if (target === undefined) return
    throw new MoyaiError('MALFORMED', 'statement: a revocation with two proofs')
  }
  if (target === undefined) throw new MoyaiError('MALFORMED', 'statement: revokes without a proof')
  const other = openDelegation(target)
  if (!equalBytes(other.org, own.org) || !equalBytes(other.delegate, host)) {
    throw new MoyaiError('MALFORMED', "statement: revokes another organisation's host")
  }
  if (!equalBytes(host, own.delegate) && !isSenior(own, other)) {
    throw new MoyaiError('MALFORMED', 'statement: revokes a host that is its senior')
  }
}

function openInner(statement: Statement): Pick<OpenedStatement, 'org' | 'delegatedAt' | 'claim'> {
  const delegation = openDelegation(statement.delegation)
  const right = RIGHTS[statement.kind]
  if (!mayAct(delegation, statement.by, right)) {
    throw new MoyaiError('MALFORMED', `statement: its delegation does not allow it (${right})`)
  }
  const { org, at: delegatedAt } = delegation
  if (statement.kind === 'revoke') checkRevocation(statement, delegation)
  if (statement.kind === 'away' && statement.until > statement.at + AWAY_MS_MAX) {
    throw new MoyaiError('MALFORMED', 'statement: an absence that is too long')
  }
  if (statement.kind !== 'host') return { org, delegatedAt }
  return { org, delegatedAt, claim: openClaim(statement, org) }
}

/**
 * The statement in an envelope, after its signature and those of the delegation, claim or order
 * inside were verified. Whether it belongs to a pool is for `evaluatePool`. MALFORMED, TRUNCATED,
 * TOO_LARGE, BAD_SIGNATURE, or UNKNOWN_VERSION for a kind or version that is not known here (its
 * signature is not looked at then).
 */
export function openStatement(envelope: Uint8Array): OpenedStatement {
  if (envelope.length > STATEMENT_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', `statement of ${envelope.length} bytes`)
  }
  const value = decodeCbor(envelopePayload(envelope), {
    bytesMax: STATEMENT_BYTES_MAX - SIGNATURE_BYTES,
    itemsMax: 64 + REVOCATION_KEEP_MAX,
  })
  const kind = kindOf(value)
  if (typeof kind === 'string' && !Object.hasOwn(SCHEMAS, kind)) {
    throw new MoyaiError('UNKNOWN_VERSION', 'unknown kind')
  }
  const { v: _, ...statement } = parse(statementSchema, value, 'statement')
  openEnvelope('pool-log', envelope, statement.by)
  return { id: statementId(envelope), statement, ...openInner(statement) }
}
