/** The two secret files of a home, and how each shows by itself that it is whole. */

import {
  blake3,
  concatBytes,
  decodeBundle,
  ed25519Signer,
  encodeBundle,
  equalBytes,
  HASH_BYTES,
  MoyaiError,
  PUBLIC_KEY_BYTES,
  type Signer,
  type VaultBundle,
} from '@moyai/protocol'

const SEED_BYTES = 32
/** Both files are some hundred bytes. */
export const KEY_FILE_BYTES_MAX = 4096

function damaged(what: string): MoyaiError {
  return new MoyaiError('DISK', `${what} is damaged`, {
    hint: 'restore the file from another copy of this folder',
  })
}

/** `identity.key`: the seed, then the public key that it must give. */
export function encodeIdentity(seed: Uint8Array): Uint8Array {
  return concatBytes(seed, ed25519Signer(seed).publicKey)
}

/** DISK when the file is not whole. */
export function decodeIdentity(bytes: Uint8Array): { seed: Uint8Array; signer: Signer } {
  if (bytes.length !== SEED_BYTES + PUBLIC_KEY_BYTES) throw damaged('identity.key')
  const seed = bytes.slice(0, SEED_BYTES)
  const signer = ed25519Signer(seed)
  if (!equalBytes(signer.publicKey, bytes.subarray(SEED_BYTES))) throw damaged('identity.key')
  return { seed, signer }
}

/**
 * `vault.keys`: the bundle, then its hash: one flipped bit of a data key would make every future
 * pack unreadable.
 */
export function encodeVaultKeys(bundle: VaultBundle): Uint8Array {
  const bytes = encodeBundle(bundle)
  return concatBytes(bytes, blake3(bytes))
}

/** DISK when the file is not whole. */
export function decodeVaultKeys(bytes: Uint8Array): VaultBundle {
  if (bytes.length <= HASH_BYTES) throw damaged('vault.keys')
  const body = bytes.subarray(0, bytes.length - HASH_BYTES)
  if (!equalBytes(blake3(body), bytes.subarray(body.length))) throw damaged('vault.keys')
  return decodeBundle(body)
}
