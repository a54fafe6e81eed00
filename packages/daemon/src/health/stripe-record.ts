/**
 * What is kept of a stripe in the table of whereabouts: a few hundred bytes, so that a pass over a
 * vault reads little.
 */

import {
  assert,
  CODE_K_MAX,
  CODE_M_MAX,
  fromHex,
  isCode,
  MoyaiError,
  SHARD_LENGTHS,
  toHex,
} from '@moyai/protocol'
import type { StripeClass } from '@moyai/protocol'

import type { ShardPlace, StripeView } from './ports.ts'

const CLASSES: readonly StripeClass[] = ['data', 'meta', 'critical']
const HEAD_BYTES = 12
const PLACE_BYTES = 42
/** Copies of one stripe's shards that are remembered: all of them, and as many again. */
export const PLACES_MAX: number = 2 * (CODE_K_MAX + CODE_M_MAX)

export type StripeFacts = Omit<StripeView, 'vault' | 'pack' | 'places'>
export type StripeRecord = StripeFacts & { places: ShardPlace[] }

/** Places in their order: by index, then host. */
export function sortPlaces(places: readonly ShardPlace[]): ShardPlace[] {
  return places.toSorted((a, b) => a.index - b.index || (a.host < b.host ? -1 : 1))
}

/** Head: k, m, class, length, created (f64); then index, refuted, seenAt (f64), host of each. */
export function encodeRecord(record: StripeRecord): Uint8Array {
  const places = sortPlaces(record.places).slice(0, PLACES_MAX)
  const bytes = new Uint8Array(HEAD_BYTES + places.length * PLACE_BYTES)
  const view = new DataView(bytes.buffer)
  bytes.set([record.code.k, record.code.m, CLASSES.indexOf(record.class)])
  bytes[3] = SHARD_LENGTHS.indexOf(record.shardLength)
  view.setFloat64(4, record.created)
  for (const [i, { index, host, seenAt, refuted }] of places.entries()) {
    const at = HEAD_BYTES + i * PLACE_BYTES
    bytes.set([index, refuted ? 1 : 0], at)
    view.setFloat64(at + 2, seenAt)
    const key = fromHex(host)
    assert(key.length === 32, 'a host is named by its 32-byte key')
    bytes.set(key, at + 10)
  }
  return bytes
}

/** MALFORMED when these are not the bytes of a record. */
export function decodeRecord(bytes: Uint8Array): StripeRecord {
  const count = (bytes.length - HEAD_BYTES) / PLACE_BYTES
  const [k = 0, m = 0, classNumber = 255, lengthNumber = 255] = bytes
  const stripeClass = CLASSES[classNumber]
  const shardLength = SHARD_LENGTHS[lengthNumber]
  const isRight = Number.isInteger(count) && count >= 0 && count <= PLACES_MAX && isCode({ k, m })
  if (!isRight || stripeClass === undefined || shardLength === undefined) {
    throw new MoyaiError('MALFORMED', 'a record of where shards are is damaged')
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const places = Array.from({ length: count }, (_, i): ShardPlace => {
    const at = HEAD_BYTES + i * PLACE_BYTES
    return {
      index: bytes[at] as number,
      refuted: bytes[at + 1] === 1,
      seenAt: view.getFloat64(at + 2),
      host: toHex(bytes.subarray(at + 10, at + PLACE_BYTES)),
    }
  })
  return { code: { k, m }, class: stripeClass, shardLength, created: view.getFloat64(4), places }
}
