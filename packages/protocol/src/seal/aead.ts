/**
 * AES-256-GCM under derived keys that commit (spec/pack.md §3).
 *
 * GCM alone does not commit to its key: one ciphertext can open under two keys. So every key comes
 * out of HKDF together with a commitment, which is stored beside the ciphertext and compared before
 * anything is decrypted.
 */

import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto'
import { MoyaiError } from '../errors.ts'
import { SEAL_TAG_BYTES } from '../limits.ts'

const CIPHER = 'aes-256-gcm'
const NONCE_BYTES = 12

/** The 12-byte big-endian nonce of a counter below 2^32. */
export function nonceOf(counter: number): Uint8Array {
  const nonce = new Uint8Array(NONCE_BYTES)
  new DataView(nonce.buffer).setUint32(NONCE_BYTES - 4, counter)
  return nonce
}

/**
 * Seals `plaintext` into `target` at `offset` as ciphertext || tag, SEAL_TAG_BYTES longer than the
 * plaintext. A nonce must never come twice under one key.
 */
export function sealInto(o: {
  key: KeyObject
  nonce: Uint8Array
  aad: Uint8Array
  plaintext: Uint8Array
  target: Uint8Array
  offset: number
}): void {
  const cipher = createCipheriv(CIPHER, o.key, o.nonce, { authTagLength: SEAL_TAG_BYTES })
  cipher.setAAD(o.aad)
  o.target.set(cipher.update(o.plaintext), o.offset)
  cipher.final()
  o.target.set(cipher.getAuthTag(), o.offset + o.plaintext.length)
}

/**
 * The plaintext of ciphertext || tag; SEAL_MISMATCH unless key, nonce, aad and every bit are right.
 */
export function unseal(o: {
  key: KeyObject
  nonce: Uint8Array
  aad: Uint8Array
  sealed: Uint8Array
  what: string
}): Uint8Array {
  const split = o.sealed.length - SEAL_TAG_BYTES
  if (split < 0) throw new MoyaiError('TRUNCATED', `${o.what} is shorter than its seal`)
  const decipher = createDecipheriv(CIPHER, o.key, o.nonce, { authTagLength: SEAL_TAG_BYTES })
  decipher.setAAD(o.aad)
  decipher.setAuthTag(o.sealed.subarray(split))
  const plaintext = decipher.update(o.sealed.subarray(0, split))
  try {
    decipher.final()
  } catch {
    plaintext.fill(0)
    throw new MoyaiError('SEAL_MISMATCH', `${o.what} was changed, or sealed with another key`)
  }
  return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.length)
}
