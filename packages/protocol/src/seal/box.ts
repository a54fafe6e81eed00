/**
 * Boxes: small sealed bodies with a key of their own (spec/pack.md §6).
 *
 * `salt (32) || commitment (32) || ciphertext || tag (16)`. The random salt gives each box its own
 * key, so the nonce can be zero and no two boxes ever share a key and a nonce.
 */

import { assert } from '../assert.ts'
import { equalBytes } from '../bytes.ts'
import { MoyaiError } from '../errors.ts'
import { deriveKey } from '../keys/index.ts'
import { COMMITMENT_BYTES, KEY_BYTES, SEAL_SALT_BYTES, SEAL_TAG_BYTES } from '../limits.ts'
import type { Random } from '../ports.ts'
import { nonceOf, nodeAead, unseal } from './aead.ts'

/** How much longer a box is than what it holds. */
export const BOX_OVERHEAD_BYTES: number = SEAL_SALT_BYTES + COMMITMENT_BYTES + SEAL_TAG_BYTES

const BODY_OFFSET = SEAL_SALT_BYTES + COMMITMENT_BYTES

function boxKeys(key: Uint8Array, salt: Uint8Array): { key: Uint8Array; commitment: Uint8Array } {
  assert(key.length === KEY_BYTES, 'a box key has 32 bytes')
  const both = deriveKey({ key, salt, info: 'box', length: KEY_BYTES + COMMITMENT_BYTES })
  return { key: both.subarray(0, KEY_BYTES), commitment: both.subarray(KEY_BYTES) }
}

/**
 * Seals `plaintext` under `key` (32 bytes). `aad` is authenticated and must begin with the name of
 * its format.
 */
export function sealBox(o: {
  key: Uint8Array
  aad: Uint8Array
  plaintext: Uint8Array
  random: Random
}): Uint8Array {
  const salt = o.random.bytes(SEAL_SALT_BYTES)
  assert(salt.length === SEAL_SALT_BYTES, 'the random source gave another length')
  const keys = boxKeys(o.key, salt)
  const box = new Uint8Array(o.plaintext.length + BOX_OVERHEAD_BYTES)
  box.set(salt)
  box.set(keys.commitment, SEAL_SALT_BYTES)
  const { aad, plaintext } = o
  const target = box.subarray(BODY_OFFSET)
  nodeAead.seal({ key: keys.key, nonce: nonceOf(0), aad, plaintext, target })
  return box
}

/**
 * What a box holds. TRUNCATED or TOO_LARGE (more than `plaintextMax` bytes) before any work;
 * SEAL_MISMATCH for another key (known from the commitment, before decrypting), other `aad` or a
 * changed bit.
 */
export function openBox(o: {
  key: Uint8Array
  aad: Uint8Array
  box: Uint8Array
  plaintextMax: number
}): Uint8Array {
  const length = o.box.length - BOX_OVERHEAD_BYTES
  if (length < 0) throw new MoyaiError('TRUNCATED', 'box shorter than its seal')
  if (length > o.plaintextMax) {
    throw new MoyaiError('TOO_LARGE', `box of ${length} bytes, at most ${o.plaintextMax}`)
  }
  const keys = boxKeys(o.key, o.box.subarray(0, SEAL_SALT_BYTES))
  if (!equalBytes(keys.commitment, o.box.subarray(SEAL_SALT_BYTES, BODY_OFFSET))) {
    throw new MoyaiError('SEAL_MISMATCH', 'the box was sealed with another key')
  }
  const sealed = o.box.subarray(BODY_OFFSET)
  return unseal({ key: keys.key, nonce: nonceOf(0), aad: o.aad, sealed, what: 'the box' })
}
