/** Making the keys of a further host of the organisation, for its invite. */

import { randomBytes } from 'node:crypto'

import {
  decodeInvite,
  deriveVaultBundle,
  ed25519Signer,
  fromHex,
  equalBytes,
  guardSigner,
  inviteKeys,
  MoyaiError,
  type PoolAttachParams,
  sealHostPackage,
  signDelegation,
  toHex,
  VAULT_SALT_BYTES,
} from '@moyai/protocol'

const random = { bytes: (length: number): Uint8Array => new Uint8Array(randomBytes(length)) }

/**
 * A new identity, its vault's keys and the delegation to it, sealed under the secret of `token`.
 * `org` is the inviting host's organisation, `delegatedAt` the time of its own delegation, of which
 * the new host's is the junior. `secret` is wiped. BAD_PHRASE when it is another organisation's.
 */
export function keysForToken(o: {
  token: string
  secret: Uint8Array
  org: string
  delegatedAt: number
}): PoolAttachParams {
  const { secret } = o
  const invite = decodeInvite(o.token)
  const guard = guardSigner(secret)
  const bundle = deriveVaultBundle(secret, random.bytes(VAULT_SALT_BYTES))
  secret.fill(0)
  if (!equalBytes(guard.publicKey, fromHex(o.org))) {
    throw new MoyaiError(
      'BAD_PHRASE',
      "this is not the recovery phrase of this host's organisation",
      {
        hint: 'the phrase that moyai init printed on the first machine of the organisation is needed',
      },
    )
  }
  const identitySeed = random.bytes(32)
  const host = ed25519Signer(identitySeed).publicKey
  const at = Math.max(Date.now(), o.delegatedAt + 1)
  const may = ['certify-host', 'invite']
  const delegation = signDelegation({ org: guard.publicKey, delegate: host, may, at }, guard)
  const sealed = sealHostPackage(invite, { identitySeed, bundle, delegation }, random)
  return { invite: toHex(inviteKeys(invite.secret).id), host: toHex(host), sealed: toHex(sealed) }
}
