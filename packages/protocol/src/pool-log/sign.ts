/**
 * Making statements of the pool log (spec/pool-log.md §4). `by` is always the signer of the acting
 * host, `delegation` the envelope that lets it act for its organisation, `at` ms since the epoch.
 * MALFORMED for what no statement holds.
 */

import { encodeCbor, type CborMap } from '../cbor/index.ts'
import { signEnvelope, type Signer } from '../envelope/index.ts'
import { SIGNATURE_BYTES } from '../limits.ts'
import type { Policy } from '../placement/hosts.ts'
import {
  revocationOrder,
  statementSchema,
  type HostLabels,
  type RegisterPlace,
  type RevokeStatement,
} from './statement.ts'

type Acting = { delegation: Uint8Array; at: number }
type InPool = Acting & { pool: Uint8Array }

function sign(value: CborMap, by: Signer): Uint8Array {
  const whole = { v: 1, ...value, by: by.publicKey }
  statementSchema.read(whole, 'pool-log statement')
  return signEnvelope('pool-log', encodeCbor(whole), by)
}

/** Founds a pool: the envelope whose id is the pool's. */
export function signGenesis(
  o: Acting & { name: string; nonce: Uint8Array },
  by: Signer,
): Uint8Array {
  const { name, nonce, delegation, at } = o
  return sign({ kind: 'genesis', name, nonce, at, delegation }, by)
}

/** Admits the organisation `org`; `by` is a host of an admitted one. */
export function signOrganisation(
  o: InPool & { org: Uint8Array; invite: Uint8Array },
  by: Signer,
): Uint8Array {
  const { pool, org, invite, delegation, at } = o
  return sign({ kind: 'organisation', pool, org, invite, at, delegation }, by)
}

/** Certifies the host of `claim` (an envelope); `by` acts for the claim's organisation. */
export function signHost(o: InPool & { claim: Uint8Array }, by: Signer): Uint8Array {
  const { pool, claim, delegation, at } = o
  return sign({ kind: 'host', pool, claim, at, delegation }, by)
}

/** Labels a host of the organisation that `by` acts for. */
export function signLabel(
  o: InPool & RegisterPlace & { host: Uint8Array; set: HostLabels },
  by: Signer,
): Uint8Array {
  const { pool, host, set, seq, after, delegation, at } = o
  return sign({ kind: 'label', pool, host, set: { ...set }, seq, after, at, delegation }, by)
}

/** Retires a host of the organisation that `by` acts for, or takes that back. */
export function signRetire(
  o: InPool & RegisterPlace & { host: Uint8Array; retired: boolean },
  by: Signer,
): Uint8Array {
  const { pool, host, retired, seq, after, delegation, at } = o
  return sign({ kind: 'retire', pool, host, retired, seq, after, at, delegation }, by)
}

/** Announces that a host of the organisation that `by` acts for is away until then; 0: it is back. */
export function signAway(
  o: InPool & RegisterPlace & { host: Uint8Array; until: number },
  by: Signer,
): Uint8Array {
  const { pool, host, until, seq, after, delegation, at } = o
  return sign({ kind: 'away', pool, host, until, seq, after, at, delegation }, by)
}

/** Declares any host of the pool lost, or takes that back. */
export function signLost(
  o: InPool & RegisterPlace & { host: Uint8Array; lost: boolean },
  by: Signer,
): Uint8Array {
  const { pool, host, lost, seq, after, delegation, at } = o
  return sign({ kind: 'lost', pool, host, lost, seq, after, at, delegation }, by)
}

/** Sets the pool's policy. */
export function signPolicy(o: InPool & RegisterPlace & { policy: Policy }, by: Signer): Uint8Array {
  const { pool, policy, seq, after, delegation, at } = o
  return sign({ kind: 'policy', pool, policy: { ...policy }, seq, after, at, delegation }, by)
}

/**
 * Revokes a host; `keep` are the ids of its statements that stay valid. With `target`, its
 * delegation, `by` must be its senior or itself; with `order`, which `signRevocationOrder` gives,
 * any host of the pool may pass it on.
 */
export function signRevoke(
  o: InPool & { host: Uint8Array; keep: Uint8Array[] } & (
      | { target: Uint8Array }
      | { order: NonNullable<RevokeStatement['order']> }
    ),
  by: Signer,
): Uint8Array {
  const { pool, host, keep, delegation, at } = o
  const proof = 'target' in o ? { target: o.target } : { order: o.order }
  return sign({ kind: 'revoke', pool, host, keep, at, delegation, ...proof }, by)
}

/** The word of a host's guard key that it is revoked, for these statements of it to be kept. */
export function signRevocationOrder(
  o: Pick<RevokeStatement, 'pool' | 'host' | 'keep'>,
  guard: Signer,
): NonNullable<RevokeStatement['order']> {
  const signature = signEnvelope('guard', revocationOrder(o), guard).slice(0, SIGNATURE_BYTES)
  return { org: guard.publicKey, signature }
}
