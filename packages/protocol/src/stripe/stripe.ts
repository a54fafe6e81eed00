/**
 * Stripe descriptors: what a vault signs about one pack and its shards (spec/stripe.md).
 *
 * The descriptor is all that holders, auditors and repairers know of a pack: which shards there
 * are, what each hashes to, and until when nobody may delete them. It says nothing of what is
 * inside.
 */

import { assert } from '../assert.ts'
import { concatBytes, equalBytes } from '../bytes.ts'
import { decodeAs, encodeCbor, s } from '../cbor/index.ts'
import type { Schema } from '../cbor/index.ts'
import { isCode } from '../codec/codec.ts'
import { envelopePayload, openEnvelope, signEnvelope } from '../envelope/index.ts'
import type { Signer } from '../envelope/index.ts'
import { MoyaiError } from '../errors.ts'
import {
  CODE_K_MAX,
  CODE_M_MAX,
  HASH_BYTES,
  PUBLIC_KEY_BYTES,
  SHARD_LENGTHS,
  SIGNATURE_BYTES,
  STRIPE_ENVELOPE_BYTES_MAX,
  TIME_MAX,
  VAULT_SALT_BYTES,
} from '../limits.ts'

/**
 * `data`: packs of file content. `meta`: trees and indexes. `critical`: what everything else is
 * found by.
 */
export type StripeClass = 'data' | 'meta' | 'critical'

/** One stripe: spec/stripe.md §1. */
export type StripeDescriptor = {
  /** Ed25519 public key of the vault, which signs this: 32 bytes. */
  vault: Uint8Array
  /** From which, with the recovery phrase, the vault's keys are derived again: 16 bytes. */
  vaultSalt: Uint8Array
  /** BLAKE3 of the whole pack, `k × shardLength` bytes: the id of pack and stripe. */
  pack: Uint8Array
  k: number
  m: number
  /** One of SHARD_LENGTHS, bytes. */
  shardLength: number
  /** BLAKE3 of each of the k + m shards, in order. */
  shardHashes: Uint8Array[]
  class: StripeClass
  /** Milliseconds since 1970: no holder deletes before, by its own clock. */
  protectedUntil: number
  /** Milliseconds since 1970, by the owner's clock. */
  created: number
}

const schema: Schema<{
  v: 1
  class: StripeClass
  created: number
  k: number
  length: number
  m: number
  pack: Uint8Array
  salt: Uint8Array
  shards: Uint8Array
  until: number
  vault: Uint8Array
}> = s.map({
  v: s.version(1),
  class: s.oneOf('data', 'meta', 'critical'),
  created: s.int({ max: TIME_MAX }),
  k: s.int({ min: 1, max: CODE_K_MAX }),
  length: s.oneOf(...SHARD_LENGTHS),
  m: s.int({ max: CODE_M_MAX }),
  pack: s.bytes({ length: HASH_BYTES }),
  salt: s.bytes({ length: VAULT_SALT_BYTES }),
  shards: s.bytes({ min: HASH_BYTES, max: (CODE_K_MAX + CODE_M_MAX) * HASH_BYTES }),
  until: s.int({ max: TIME_MAX }),
  vault: s.bytes({ length: PUBLIC_KEY_BYTES }),
})

/** The envelope of a descriptor. `vault` is the signer of `descriptor.vault`. */
export function signStripe(descriptor: StripeDescriptor, vault: Signer): Uint8Array {
  const { k, m, shardHashes } = descriptor
  assert(isCode({ k, m }), 'a code within the limits')
  assert(SHARD_LENGTHS.includes(descriptor.shardLength), 'a shard length of the list')
  assert(shardHashes.length === k + m, 'one hash per shard')
  assert(equalBytes(descriptor.vault, vault.publicKey), 'the vault signs its own stripes')
  const payload = encodeCbor({
    v: 1,
    class: descriptor.class,
    created: descriptor.created,
    k,
    length: descriptor.shardLength,
    m,
    pack: descriptor.pack,
    salt: descriptor.vaultSalt,
    shards: concatBytes(...shardHashes),
    until: descriptor.protectedUntil,
    vault: descriptor.vault,
  })
  const envelope = signEnvelope('stripe', payload, vault)
  assert(envelope.length <= STRIPE_ENVELOPE_BYTES_MAX, 'an envelope within its limit')
  return envelope
}

/**
 * The descriptor of an envelope, its signature verified with the vault key that it names: whether
 * that vault belongs to the pool is for the caller to say. MALFORMED, UNKNOWN_VERSION, TOO_LARGE,
 * TRUNCATED, BAD_SIGNATURE.
 */
export function openStripe(envelope: Uint8Array): StripeDescriptor {
  if (envelope.length > STRIPE_ENVELOPE_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', `stripe descriptor of ${envelope.length} bytes`)
  }
  const d = decodeAs(schema, envelopePayload(envelope), {
    bytesMax: STRIPE_ENVELOPE_BYTES_MAX - SIGNATURE_BYTES,
    depthMax: 2,
    itemsMax: 64,
    what: 'stripe',
  })
  openEnvelope('stripe', envelope, d.vault)
  if (d.shards.length !== (d.k + d.m) * HASH_BYTES) {
    throw new MoyaiError('MALFORMED', `stripe.shards: expected ${d.k + d.m} hashes`)
  }
  return {
    vault: d.vault,
    vaultSalt: d.salt,
    pack: d.pack,
    k: d.k,
    m: d.m,
    shardLength: d.length,
    shardHashes: Array.from({ length: d.k + d.m }, (_, i) =>
      d.shards.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES),
    ),
    class: d.class,
    protectedUntil: d.until,
    created: d.created,
  }
}
