/**
 * Envelopes: signed bytes that travel with their signature and are never re-encoded
 * (spec/encoding.md §3).
 *
 * An envelope is `signature (64) || payload`. What is signed is `"moyai/v1/" tag 0x00 payload`, so
 * a signature made for one purpose is worth nothing for another.
 */

import { concatBytes, utf8 } from '../bytes.ts'
import { MoyaiError } from '../errors.ts'
import { SIGNATURE_BYTES } from '../limits.ts'
import { verifyEd25519, type Signer } from './ed25519.ts'

/** The purposes of signatures; each names one format. */
export type SignatureTag =
  | 'stripe'
  | 'receipt'
  | 'log-receipt'
  | 'vault-log'
  | 'pool-log'
  | 'delegation'
  | 'join'
  | 'address'
  | 'guard'
  | 'audit'
  | 'audit-answer'

const SEPARATOR = Uint8Array.of(0)

/** The bytes under a signature of `payload` for `tag`. */
export function signedMessage(tag: SignatureTag, payload: Uint8Array): Uint8Array {
  return concatBytes(utf8(`moyai/v1/${tag}`), SEPARATOR, payload)
}

/** The envelope of `payload`, signed for `tag`. */
export function signEnvelope(tag: SignatureTag, payload: Uint8Array, signer: Signer): Uint8Array {
  return concatBytes(signer.sign(signedMessage(tag, payload)), payload)
}

/**
 * The payload of an envelope that nobody vouches for yet: for formats whose signer is named inside.
 * TRUNCATED when there is no room for a signature. A view of `envelope`, not a copy.
 */
export function envelopePayload(envelope: Uint8Array): Uint8Array {
  if (envelope.length < SIGNATURE_BYTES) {
    throw new MoyaiError('TRUNCATED', 'envelope shorter than a signature')
  }
  return envelope.subarray(SIGNATURE_BYTES)
}

/** The payload (a view) after its signature was verified. BAD_SIGNATURE, or TRUNCATED. */
export function openEnvelope(
  tag: SignatureTag,
  envelope: Uint8Array,
  publicKey: Uint8Array,
): Uint8Array {
  const payload = envelopePayload(envelope)
  const signature = envelope.subarray(0, SIGNATURE_BYTES)
  if (!verifyEd25519(publicKey, signedMessage(tag, payload), signature)) {
    throw new MoyaiError('BAD_SIGNATURE', `the signature of this ${tag} is not its signer's`)
  }
  return payload
}
