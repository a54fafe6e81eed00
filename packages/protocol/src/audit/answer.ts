/** What a holder signs about one audit. spec/audit.md §2. */

import { assert } from '../assert.ts'
import { blake3 } from '../blake3/index.ts'
import { concatBytes, equalBytes } from '../bytes.ts'
import { decodeAs, encodeCbor, fields, s } from '../cbor/index.ts'
import type { Schema } from '../cbor/index.ts'
import { envelopePayload, openEnvelope, signEnvelope } from '../envelope/index.ts'
import type { Signer } from '../envelope/index.ts'
import { MoyaiError } from '../errors.ts'
import {
  AUDIT_ANSWER_BYTES_MAX,
  AUDIT_CHALLENGES_MAX,
  AUDIT_NONCE_BYTES,
  CODE_K_MAX,
  CODE_M_MAX,
  GROUP_BYTES,
  HASH_BYTES,
  PUBLIC_KEY_BYTES,
  SHARD_LENGTH_MAX,
  SIGNATURE_BYTES,
  TIME_MAX,
} from '../limits.ts'

/** What a holder says of one challenge: it has the group, or not, or finds its shard damaged. */
export type AuditClaim = 'held' | 'missing' | 'damaged'

export type AuditAnswerItem = {
  pack: Uint8Array
  index: number
  /** Number of the group of GROUP_BYTES in the shard. */
  group: number
  claim: AuditClaim
  /** `auditProof` of the group, when it is held. */
  proof?: Uint8Array
}

/** A holder's word on one audit: spec/audit.md §2. */
export type SignedAuditAnswer = {
  pool: Uint8Array
  vault: Uint8Array
  /** Ed25519 public key of the holder, which signs this. */
  host: Uint8Array
  /** Whom it answers. */
  auditor: Uint8Array
  /** The auditor's, AUDIT_NONCE_BYTES: an old answer is none. */
  nonce: Uint8Array
  /** ms since 1970, by the holder's clock. */
  at: number
  /** In the order of the challenges. */
  items: AuditAnswerItem[]
}

const key = s.bytes({ length: PUBLIC_KEY_BYTES })
const hash = s.bytes({ length: HASH_BYTES })

const schema: Schema<SignedAuditAnswer & { v: 1 }> = s.map({
  v: s.version(1),
  at: s.int({ max: TIME_MAX }),
  auditor: key,
  host: key,
  items: s.array(
    s.where(
      s.map({
        claim: s.oneOf('held', 'missing', 'damaged'),
        group: s.int({ max: SHARD_LENGTH_MAX / GROUP_BYTES - 1 }),
        index: s.int({ max: CODE_K_MAX + CODE_M_MAX - 1 }),
        pack: hash,
        proof: s.optional(hash),
      }),
      ({ claim, proof }) => (claim === 'held') === (proof !== undefined),
      'a proof of what is held, and of nothing else',
    ),
    { max: AUDIT_CHALLENGES_MAX, min: 1 },
  ),
  nonce: s.bytes({ length: AUDIT_NONCE_BYTES }),
  pool: hash,
  vault: key,
})

/**
 * What only who has the bytes of a group can say after it got the nonce: the hash of both. Group
 * hashes alone would not do, they stand in the header of a shard's file.
 */
export function auditProof(nonce: Uint8Array, group: Uint8Array): Uint8Array {
  return blake3(concatBytes(nonce, group))
}

/** The envelope of an answer; `host` is the signer of `answer.host`. */
export function signAuditAnswer(answer: SignedAuditAnswer, host: Signer): Uint8Array {
  assert(equalBytes(answer.host, host.publicKey), 'a holder signs its own answers')
  const items = answer.items.map((item) => fields(item))
  return signEnvelope('audit-answer', encodeCbor(fields({ v: 1, ...answer, items })), host)
}

/**
 * The answer of an envelope, verified with the key of the holder that it names: the caller compares
 * that, and everything else, with what it asked. MALFORMED, UNKNOWN_VERSION, TOO_LARGE, TRUNCATED,
 * BAD_SIGNATURE.
 */
export function openAuditAnswer(envelope: Uint8Array): SignedAuditAnswer {
  if (envelope.length > AUDIT_ANSWER_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', `audit answer of ${envelope.length} bytes`)
  }
  const { v: _, ...answer } = decodeAs(schema, envelopePayload(envelope), {
    bytesMax: AUDIT_ANSWER_BYTES_MAX - SIGNATURE_BYTES,
    depthMax: 5,
    itemsMax: AUDIT_CHALLENGES_MAX * 12 + 32,
    what: 'audit answer',
  })
  openEnvelope('audit-answer', envelope, answer.host)
  return answer
}
