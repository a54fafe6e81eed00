/**
 * AES-256-GCM under derived keys that commit (spec/pack.md §3).
 *
 * GCM alone does not commit to its key: one ciphertext can open under two keys. So every key comes
 * out of HKDF together with a commitment, which is stored beside the ciphertext and compared before
 * anything is decrypted.
 */

import { createCipheriv, createDecipheriv } from 'node:crypto'
import { MoyaiError } from '../errors.ts'
import { SEAL_TAG_BYTES } from '../limits.ts'
import type { Aead } from '../ports.ts'

const CIPHER = 'aes-256-gcm'
const NONCE_BYTES = 12

/** The 12-byte big-endian nonce of a counter below 2^32. */
export function nonceOf(counter: number): Uint8Array {
  const nonce = new Uint8Array(NONCE_BYTES)
  new DataView(nonce.buffer).setUint32(NONCE_BYTES - 4, counter)
  return nonce
}

/** Node's own cipher: what a machine without a native one uses. */
export const nodeAead: Aead = {
  seal({ key, nonce, aad, plaintext, target }) {
    const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: SEAL_TAG_BYTES })
    cipher.setAAD(aad)
    target.set(cipher.update(plaintext))
    cipher.final()
    target.set(cipher.getAuthTag(), plaintext.length)
  },
  open({ key, nonce, aad, sealed, target }) {
    const split = sealed.length - SEAL_TAG_BYTES
    const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: SEAL_TAG_BYTES })
    decipher.setAAD(aad)
    decipher.setAuthTag(sealed.subarray(split))
    const plaintext = decipher.update(sealed.subarray(0, split))
    try {
      decipher.final()
    } catch {
      plaintext.fill(0)
      return false
    }
    target.set(plaintext)
    return true
  },
}

/**
 * The plaintext of ciphertext || tag; SEAL_MISMATCH unless key, nonce, aad and every bit are right.
 */
export function unseal(o: {
  key: Uint8Array
  nonce: Uint8Array
  aad: Uint8Array
  sealed: Uint8Array
  what: string
  aead?: Aead
}): Uint8Array<ArrayBuffer> {
  const target = new Uint8Array(Math.max(o.sealed.length - SEAL_TAG_BYTES, 0))
  unsealInto({ ...o, target })
  return target
}

/**
 * Like `unseal`, to the start of `target`, which may be `sealed` itself; nothing of the plaintext
 * is there when it throws.
 */
export function unsealInto(o: {
  key: Uint8Array
  nonce: Uint8Array
  aad: Uint8Array
  sealed: Uint8Array
  target: Uint8Array
  what: string
  aead?: Aead
}): void {
  const { key, nonce, aad, sealed, target } = o
  if (sealed.length < SEAL_TAG_BYTES) {
    throw new MoyaiError('TRUNCATED', `${o.what} is shorter than its seal`)
  }
  if (!(o.aead ?? nodeAead).open({ key, nonce, aad, sealed, target })) {
    throw new MoyaiError('SEAL_MISMATCH', `${o.what} was changed, or sealed with another key`)
  }
}
