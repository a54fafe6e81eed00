/**
 * What a further host of an organisation is given (spec/join.md §6): its identity, its vault's keys
 * and the delegation to it, made by whoever has the phrase, at the inviting host, and sealed under
 * the secret of the invite, which that host does not keep.
 */

import { concatBytes, equalBytes, utf8 } from '../bytes.ts'
import { decodeAs, encodeCbor, s } from '../cbor/index.ts'
import { ed25519Signer } from '../envelope/index.ts'
import { MoyaiError } from '../errors.ts'
import { decodeBundle, deriveKey, encodeBundle, type VaultBundle } from '../keys/index.ts'
import {
  DELEGATION_BYTES_MAX,
  HOST_PACKAGE_BYTES_MAX,
  KEY_BYTES,
  SIGNATURE_BYTES,
  VAULT_BUNDLE_BYTES_MAX,
} from '../limits.ts'
import { openDelegation } from '../pool-log/delegation.ts'
import type { Random } from '../ports.ts'
import { openBox, sealBox } from '../seal/index.ts'
import type { Invite } from './invite.ts'

/** All keys of one new host; secret. */
export type HostPackage = {
  /** Ed25519 seed of the host's identity. */
  identitySeed: Uint8Array
  bundle: VaultBundle
  /** The organisation's delegation to that identity, an envelope. */
  delegation: Uint8Array
}

const PACKAGE = s.map({
  v: s.version(1),
  identitySeed: s.bytes({ length: KEY_BYTES }),
  bundle: s.bytes({ min: 1, max: VAULT_BUNDLE_BYTES_MAX }),
  delegation: s.bytes({ min: SIGNATURE_BYTES, max: DELEGATION_BYTES_MAX }),
})

type Of = Pick<Invite, 'secret' | 'pool' | 'host'>

function boxOf({ secret, pool, host }: Of): { key: Uint8Array; aad: Uint8Array } {
  const label = concatBytes(utf8('moyai/v1/invite-package'), new Uint8Array(1))
  return {
    key: deriveKey({ key: secret, info: 'invite-package' }),
    aad: concatBytes(label, pool, host),
  }
}

/** The package, sealed for who has the token of `invite`. */
export function sealHostPackage(invite: Of, keys: HostPackage, random: Random): Uint8Array {
  const { identitySeed, delegation } = keys
  const bundle = encodeBundle(keys.bundle)
  const plaintext = encodeCbor({ v: 1, identitySeed, bundle, delegation })
  return sealBox({ ...boxOf(invite), plaintext, random })
}

/**
 * The keys in a sealed package. SEAL_MISMATCH for another invite, TRUNCATED, TOO_LARGE, MALFORMED,
 * UNKNOWN_VERSION, BAD_SIGNATURE; IDENTITY_MISMATCH when they do not belong together.
 */
export function openHostPackage(invite: Of, sealed: Uint8Array): HostPackage {
  const limits = { bytesMax: HOST_PACKAGE_BYTES_MAX, what: 'host keys' }
  const plain = openBox({ ...boxOf(invite), box: sealed, plaintextMax: HOST_PACKAGE_BYTES_MAX })
  const { identitySeed, bundle: encoded, delegation } = decodeAs(PACKAGE, plain, limits)
  const bundle = decodeBundle(encoded)
  const { org, delegate } = openDelegation(delegation)
  const { publicKey } = ed25519Signer(identitySeed)
  if (!equalBytes(org, bundle.org) || !equalBytes(delegate, publicKey)) {
    throw new MoyaiError('IDENTITY_MISMATCH', 'the keys of an invite do not belong together')
  }
  return { identitySeed, bundle, delegation }
}
