/**
 * Whether a pool, as its statements have it, has this host in it; and what proves a host's place.
 */

import {
  equalBytes,
  MoyaiError,
  signHost,
  signHostClaim,
  statementId,
  toHex,
  type HostCertificate,
  type HostClass,
  type PoolState,
  type Signer,
  type VaultBundle,
} from '@moyai/protocol'

import type { StatementSet } from '../net/sync/state.ts'

/** What a host says of itself when it enters a pool. */
export type Profile = {
  name: string
  site: string
  provider: string
  class: HostClass
  offeredBytes: number
}

/** The statement by which a host certifies itself, with all its keys, for a pool (id). */
export function signOwnPlace(
  o: {
    identity: Signer
    vault: Signer
    bundle: VaultBundle
    delegation: Uint8Array
    profile: Profile
  },
  { pool, at }: { pool: Uint8Array; at: number },
): Uint8Array {
  const { identity, vault, bundle, delegation, profile } = o
  const claim = signHostClaim(
    {
      pool,
      ...profile,
      host: identity.publicKey,
      vault: vault.publicKey,
      org: bundle.org,
      vaultSalt: bundle.salt,
      at,
    },
    { host: identity, vault },
  )
  return signHost({ pool, claim, delegation, at }, identity)
}

type Own = { host: Uint8Array; vault: Uint8Array; org: Uint8Array }

function certificate(state: PoolState, own: Own): HostCertificate | undefined {
  const found = state.hosts.get(toHex(own.host))
  const mine =
    found !== undefined && equalBytes(found.vault, own.vault) && equalBytes(found.org, own.org)
  return state.name !== '' && mine ? found : undefined
}

/** NOT_A_MEMBER unless the statements certify this host with its vault. */
export function checkOwnPlace(state: PoolState, own: Own): void {
  if (certificate(state, own) !== undefined) return
  throw new MoyaiError('NOT_A_MEMBER', 'the pool does not know this host', {
    hint: 'join it with an invite: moyai pool join TOKEN',
  })
}

/** PROTOCOL_VIOLATION unless the answer to a join certifies this host and the one that answered. */
export function checkAdmitted(state: PoolState, own: Own & { inviter: Uint8Array }): void {
  const inviter = state.hosts.has(toHex(own.inviter))
  if (inviter && certificate(state, own) !== undefined) return
  throw new MoyaiError('PROTOCOL_VIOLATION', 'the inviting host answered without letting us in', {
    hint: 'try again; if it stays so, make a new invite on another host',
  })
}

/**
 * True when this vault was first certified by `statement`, the very one that enters the pool: then
 * no host can have an entry of its log, because witnesses keep logs of certified vaults only.
 */
export function isNewVault(state: PoolState, own: Own, statement: Uint8Array): boolean {
  const mine = certificate(state, own)
  if (mine === undefined || !equalBytes(mine.statement, statementId(statement))) return false
  if (mine.since !== mine.at) return false
  for (const other of state.hosts.values()) {
    if (!equalBytes(other.host, own.host) && equalBytes(other.vault, own.vault)) return false
  }
  return true
}

/**
 * All statements; first those that prove the places of `hosts`: the chain of their organisations to
 * the genesis.
 */
export function essentialStatements(
  state: PoolState,
  statements: StatementSet,
  hosts: readonly Uint8Array[],
): Uint8Array[] {
  const first = new Map<string, Uint8Array>([[toHex(state.id), state.id]])
  for (const host of hosts) {
    const certified = state.hosts.get(toHex(host))
    if (certified === undefined) continue
    first.set(toHex(certified.statement), certified.statement)
    let org = state.organisations.get(toHex(certified.org))
    while (org !== undefined && !first.has(toHex(org.statement))) {
      first.set(toHex(org.statement), org.statement)
      org = state.organisations.get(toHex(org.admittedBy))
    }
  }
  for (const id of statements.ids()) first.set(toHex(id), id)
  return [...first.values()].flatMap((id) => statements.get(id) ?? [])
}
