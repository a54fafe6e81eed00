/**
 * Ed25519 with raw 32-byte keys, by Node's crypto (spec/keys.md §5).
 *
 * Verification is cofactorless, as OpenSSL does it, and stricter in one respect: public keys that
 * are not canonical points or lie in the small subgroup are refused, because under those a
 * signature says nothing about who made it.
 */

import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import { assert } from '../assert.ts'
import { concatBytes, fromHex, toHex } from '../bytes.ts'
import { PUBLIC_KEY_BYTES, SIGNATURE_BYTES } from '../limits.ts'

/** Signs with one Ed25519 key. */
export type Signer = {
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  /** 64-byte signature of `message`. */
  sign(message: Uint8Array): Uint8Array
}

/**
 * PrivateKeyInfo { version 0, id-Ed25519, OCTET STRING { OCTET STRING (32) } } up to the seed (RFC
 * 8410 §7).
 */
const PKCS8_PREFIX = fromHex('302e020100300506032b657004220420')
/** SubjectPublicKeyInfo { id-Ed25519, BIT STRING (32) } up to the key (RFC 8410 §4). */
const SPKI_PREFIX = fromHex('302a300506032b6570032100')

const SEED_BYTES = 32

/**
 * y coordinates (sign bit cleared) of the eight points of small order; those with y ≥ p are refused
 * as non-canonical before they get here.
 */
const SMALL_ORDER: ReadonlySet<string> = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
])

/** True when y, without the sign bit, is below p = 2^255 - 19. */
function isCanonicalPoint(key: Uint8Array): boolean {
  if (((key[31] as number) & 0x7f) !== 0x7f) return true
  for (let i = 30; i > 0; i--) if (key[i] !== 0xff) return true
  return (key[0] as number) < 0xed
}

function isAcceptable(key: Uint8Array): boolean {
  if (key.length !== PUBLIC_KEY_BYTES || !isCanonicalPoint(key)) return false
  const y = new Uint8Array(key)
  y[31] = (y[31] as number) & 0x7f
  return !SMALL_ORDER.has(toHex(y))
}

/** Vaults and hosts of a pool, over and over; about 1 KiB each. */
const KEYS_KEPT_MAX = 256
const kept = new Map<string, KeyObject>()

/** Decoding a key takes a third of the time of a verification: those used last are kept. */
function publicKeyObject(key: Uint8Array): KeyObject {
  const name = toHex(key)
  const known = kept.get(name)
  if (known !== undefined) return known
  const made = createPublicKey({
    key: Buffer.from(concatBytes(SPKI_PREFIX, key)),
    format: 'der',
    type: 'spki',
  })
  if (kept.size >= KEYS_KEPT_MAX) {
    const [oldest] = kept.keys()
    if (oldest !== undefined) kept.delete(oldest)
  }
  kept.set(name, made)
  return made
}

/** The signer of a 32-byte seed (RFC 8032's private key). The seed itself is not kept. */
export function ed25519Signer(seed: Uint8Array): Signer {
  assert(seed.length === SEED_BYTES, 'an Ed25519 seed has 32 bytes')
  const der = concatBytes(PKCS8_PREFIX, seed)
  const privateKey = createPrivateKey({
    key: Buffer.from(der.buffer),
    format: 'der',
    type: 'pkcs8',
  })
  der.fill(0)
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  const publicKey = new Uint8Array(spki.subarray(SPKI_PREFIX.length))
  assert(publicKey.length === PUBLIC_KEY_BYTES, 'an Ed25519 public key has 32 bytes')
  return { publicKey, sign: (message) => new Uint8Array(sign(null, message, privateKey)) }
}

/**
 * True when `signature` is `publicKey`'s over `message`. False, never an error, for keys of any
 * other shape.
 */
export function verifyEd25519(
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (signature.length !== SIGNATURE_BYTES || !isAcceptable(publicKey)) return false
  try {
    return verify(null, message, publicKeyObject(publicKey), signature)
  } catch {
    // OpenSSL throws where the key is no point on the curve: such a key has signed nothing.
    return false
  }
}
