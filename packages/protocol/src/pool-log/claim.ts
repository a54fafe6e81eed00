/**
 * Host claims: what a host says of itself, signed by itself, with a proof that it holds its vault's
 * key (spec/pool-log.md §3). Its organisation certifies the claim as it is.
 *
 * Both signatures are there because a certificate alone would let an organisation list a stranger's
 * host or vault as its own.
 */

import { assert } from '../assert.ts'
import { equalBytes } from '../bytes.ts'
import { decodeAs, encodeCbor, s, type Schema } from '../cbor/index.ts'
import { envelopePayload, openEnvelope, signEnvelope, type Signer } from '../envelope/index.ts'
import { MoyaiError } from '../errors.ts'
import {
  HASH_BYTES,
  HOST_CLAIM_BYTES_MAX,
  PUBLIC_KEY_BYTES,
  SIGNATURE_BYTES,
  TIME_MAX,
  VAULT_SALT_BYTES,
} from '../limits.ts'
import { labelSchema } from './label.ts'

/** How often a host is there. */
export type HostClass = 'always-on' | 'desktop' | 'laptop'

/** What a host says of itself. */
export type HostClaim = {
  /** The pool it wants to be in. */
  pool: Uint8Array
  /** Its identity key, which signs this. */
  host: Uint8Array
  name: string
  org: Uint8Array
  site: string
  /** `self`, or a company. */
  provider: string
  class: HostClass
  /** Public key of its vault, which signs the proof inside. */
  vault: Uint8Array
  /** 16 bytes: with the recovery phrase they give the vault's keys again. */
  vaultSalt: Uint8Array
  /** Bytes it keeps for others. */
  offeredBytes: number
  /** Ms since the epoch. */
  at: number
}

const key = s.bytes({ length: PUBLIC_KEY_BYTES })
const CLAIM: Schema<HostClaim & { v: 1; vaultProof: Uint8Array }> = s.map({
  v: s.version(1),
  pool: s.bytes({ length: HASH_BYTES }),
  host: key,
  name: labelSchema,
  org: key,
  site: labelSchema,
  provider: labelSchema,
  class: s.oneOf('always-on', 'desktop', 'laptop'),
  vault: key,
  vaultSalt: s.bytes({ length: VAULT_SALT_BYTES }),
  offeredBytes: s.int(),
  at: s.int({ max: TIME_MAX }),
  vaultProof: s.bytes({ length: SIGNATURE_BYTES }),
})

/** What the vault key signs: this host is where the vault lives, in this pool. */
function vaultPayload(claim: HostClaim): Uint8Array {
  const { pool, host, vault, vaultSalt } = claim
  return encodeCbor({ v: 1, kind: 'vault-claim', pool, host, vault, vaultSalt })
}

/**
 * The envelope of `claim`; `host` and `vault` are the signers of those two keys. MALFORMED for a
 * bad label.
 */
export function signHostClaim(
  claim: HostClaim,
  signers: { host: Signer; vault: Signer },
): Uint8Array {
  assert(equalBytes(claim.host, signers.host.publicKey), 'a host signs its own claim')
  assert(equalBytes(claim.vault, signers.vault.publicKey), 'a vault signs its own proof')
  const proof = signEnvelope('join', vaultPayload(claim), signers.vault)
  const value = {
    v: 1,
    pool: claim.pool,
    host: claim.host,
    name: claim.name,
    org: claim.org,
    site: claim.site,
    provider: claim.provider,
    class: claim.class,
    vault: claim.vault,
    vaultSalt: claim.vaultSalt,
    offeredBytes: claim.offeredBytes,
    at: claim.at,
    vaultProof: proof.subarray(0, SIGNATURE_BYTES),
  }
  CLAIM.read(value, 'host claim')
  return signEnvelope('join', encodeCbor(value), signers.host)
}

/**
 * The claim in an envelope, after both signatures were verified with the keys named in it.
 * MALFORMED, TRUNCATED, TOO_LARGE, UNKNOWN_VERSION or BAD_SIGNATURE.
 */
export function openHostClaim(envelope: Uint8Array): HostClaim {
  if (envelope.length > HOST_CLAIM_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', `host claim of ${envelope.length} bytes`)
  }
  const {
    v: _,
    vaultProof,
    ...claim
  } = decodeAs(CLAIM, envelopePayload(envelope), {
    bytesMax: HOST_CLAIM_BYTES_MAX - SIGNATURE_BYTES,
    depthMax: 2,
    itemsMax: 32,
    what: 'host claim',
  })
  openEnvelope('join', envelope, claim.host)
  const payload = vaultPayload(claim)
  const proof = new Uint8Array(SIGNATURE_BYTES + payload.length)
  proof.set(vaultProof)
  proof.set(payload, SIGNATURE_BYTES)
  openEnvelope('join', proof, claim.vault)
  return claim
}
