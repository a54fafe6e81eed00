/**
 * What the generators of stripe, shard-file and receipt vectors share: one small stripe, and the
 * ways to spoil signed bytes.
 */

import { writeFileSync } from 'node:fs'
import {
  blake3,
  decodeCbor,
  ed25519Signer,
  encodeCbor,
  envelopePayload,
  groupHashes,
  plainCodec,
  signEnvelope,
  toHex,
} from '@moyai/protocol'
import type { CborMap, CborValue, SignatureTag, Signer, StripeDescriptor } from '@moyai/protocol'

export const VAULT: Signer = ed25519Signer(new Uint8Array(32).fill(1))
export const HOST: Signer = ed25519Signer(new Uint8Array(32).fill(2))
export const SHARD_LENGTH = 65_536

/** A stripe of 2+3: byte `i` of the pack is `i · 2654435761 >> 24` modulo 256. */
export const SHARDS: Uint8Array[] = (() => {
  const all = new Uint8Array(5 * SHARD_LENGTH)
  for (let i = 0; i < 2 * SHARD_LENGTH; i++) all[i] = Math.imul(i, 2_654_435_761) >>> 24
  plainCodec().encode({ k: 2, m: 3 }, SHARD_LENGTH, all)
  return Array.from({ length: 5 }, (_, i) =>
    all.subarray(i * SHARD_LENGTH, (i + 1) * SHARD_LENGTH),
  )
})()

export const STRIPE: StripeDescriptor = {
  vault: VAULT.publicKey,
  vaultSalt: new Uint8Array(16).fill(3),
  pack: blake3(Buffer.concat(SHARDS.slice(0, 2))),
  k: 2,
  m: 3,
  shardLength: SHARD_LENGTH,
  shardHashes: SHARDS.map((shard) => blake3(shard)),
  class: 'data',
  protectedUntil: 1_798_000_000_000,
  created: 1_795_408_000_000,
}

export function groupsOf(index: number): Uint8Array {
  return groupHashes(SHARDS[index] ?? new Uint8Array())
}

/**
 * `envelope` with some fields of its payload changed (undefined: left out), signed again by
 * `signer`.
 */
export function changed(
  tag: SignatureTag,
  envelope: Uint8Array,
  signer: Signer,
  changes: { [key: string]: CborValue | undefined },
): Uint8Array {
  const map = decodeCbor(envelopePayload(envelope), { bytesMax: 1e6 }) as CborMap
  const kept = Object.entries({ ...map, ...changes }).filter(
    (pair): pair is [string, CborValue] => pair[1] !== undefined,
  )
  return signEnvelope(tag, encodeCbor(Object.fromEntries(kept)), signer)
}

/** `bytes` with one bit flipped. */
export function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice()
  const index = at < 0 ? bytes.length + at : at
  copy[index] = (copy[index] ?? 0) ^ 1
  return copy
}

/** A value with bytes as hex, as the vectors have it. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return toHex(value)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]))
}

export function write(url: URL, content: object): void {
  writeFileSync(url, `${JSON.stringify(content, undefined, 2)}\n`)
}
