/**
 * From the organisation secret to every other key (spec/keys.md §3).
 *
 * HKDF-SHA256 throughout; each key has its own info text, so that no key says anything about
 * another. The guard key is cold: it exists in memory while a phrase is typed, and nowhere else.
 */

import { hkdfSync } from 'node:crypto'
import { assert } from '../assert.ts'
import { utf8 } from '../bytes.ts'
import { decodeAs, encodeCbor, s } from '../cbor/index.ts'
import { ed25519Signer, type Signer } from '../envelope/index.ts'
import { KEY_BYTES, PUBLIC_KEY_BYTES, VAULT_BUNDLE_BYTES_MAX, VAULT_SALT_BYTES } from '../limits.ts'

/** Everything a host needs for its own vault, and nothing for another's. */
export type VaultBundle = {
  /** Public half of the organisation's guard key, 32 bytes. */
  org: Uint8Array
  /** 16 random bytes, public: with the secret they give this bundle again. */
  salt: Uint8Array
  /** Ed25519 seed of the vault key. */
  signingSeed: Uint8Array
  /** Key of the BLAKE3 that names chunks. */
  chunkIdKey: Uint8Array
  /** Root of pack, snapshot and gear keys. */
  dataKey: Uint8Array
}

const EMPTY = new Uint8Array(0)

/**
 * HKDF-SHA256 with a moyai info text: `length` bytes. `context` follows the text after a zero byte.
 */
export function deriveKey(o: {
  key: Uint8Array
  salt?: Uint8Array
  info: string
  context?: Uint8Array
  length?: number
}): Uint8Array {
  const label = utf8(`moyai/v1/${o.info}`)
  const context = o.context ?? EMPTY
  const info = new Uint8Array(label.length + 1 + context.length)
  info.set(label)
  info.set(context, label.length + 1)
  return new Uint8Array(hkdfSync('sha256', o.key, o.salt ?? EMPTY, info, o.length ?? KEY_BYTES))
}

/** The guard key of an organisation; its public key is the organisation's id. */
export function guardSigner(secret: Uint8Array): Signer {
  assert(secret.length === KEY_BYTES, 'an organisation secret has 32 bytes')
  return ed25519Signer(deriveKey({ key: secret, info: 'guard' }))
}

/**
 * The bundle of the vault with this 16-byte salt: the same for the same secret, on any machine,
 * forever.
 */
export function deriveVaultBundle(secret: Uint8Array, salt: Uint8Array): VaultBundle {
  assert(salt.length === VAULT_SALT_BYTES, 'a vault salt has 16 bytes')
  return {
    org: guardSigner(secret).publicKey,
    salt: new Uint8Array(salt),
    signingSeed: deriveKey({ key: secret, salt, info: 'vault-signing' }),
    chunkIdKey: deriveKey({ key: secret, salt, info: 'vault-chunk-id' }),
    dataKey: deriveKey({ key: secret, salt, info: 'vault-data' }),
  }
}

/** The vault key; its public key is the vault's id. */
export function vaultSigner(bundle: VaultBundle): Signer {
  return ed25519Signer(bundle.signingSeed)
}

/** 32 bytes from which the vault's secret gear table is made (spec/chunker.md). */
export function gearSeed(bundle: VaultBundle): Uint8Array {
  return deriveKey({ key: bundle.dataKey, info: 'gear' })
}

/** The key of the boxes that hold sealed bodies of vault-log entries. */
export function snapshotKey(bundle: VaultBundle): Uint8Array {
  return deriveKey({ key: bundle.dataKey, info: 'snapshot' })
}

const BUNDLE = s.map({
  v: s.version(1),
  org: s.bytes({ length: PUBLIC_KEY_BYTES }),
  salt: s.bytes({ length: VAULT_SALT_BYTES }),
  signingSeed: s.bytes({ length: KEY_BYTES }),
  chunkIdKey: s.bytes({ length: KEY_BYTES }),
  dataKey: s.bytes({ length: KEY_BYTES }),
})

/** The bundle as it stands in a keys file; secret. */
export function encodeBundle(bundle: VaultBundle): Uint8Array {
  const { org, salt, signingSeed, chunkIdKey, dataKey } = bundle
  return encodeCbor({ v: 1, org, salt, signingSeed, chunkIdKey, dataKey })
}

/** MALFORMED, TOO_LARGE or UNKNOWN_VERSION for anything but an encoded bundle. */
export function decodeBundle(bytes: Uint8Array): VaultBundle {
  const limits = { bytesMax: VAULT_BUNDLE_BYTES_MAX, what: 'vault keys' }
  const { org, salt, signingSeed, chunkIdKey, dataKey } = decodeAs(BUNDLE, bytes, limits)
  return { org, salt, signingSeed, chunkIdKey, dataKey }
}
