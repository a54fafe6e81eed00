/**
 * Canonical DAG-CBOR, the encoding of every structure that is signed or hashed (spec/encoding.md
 * §2).
 *
 * Encoding and decoding are done by @ipld/dag-cbor. Around it stand a scan of the raw bytes, so
 * that hostile input is refused before it costs memory, and a comparison with the re-encoded value,
 * so that one value has one encoding.
 */

import { decode, encode } from '@ipld/dag-cbor'
import { assert } from '../assert.ts'
import { equalBytes } from '../bytes.ts'
import { MoyaiError } from '../errors.ts'
import { CBOR_DEPTH_MAX, CBOR_ITEMS_MAX } from '../limits.ts'
import { scanCbor } from './scan.ts'

/**
 * What moyai encodes. Integers from -2^64 to 2^64 - 1: a `number` while it is safe, else a
 * `bigint`. There is no null: what is absent has no key.
 */
export type CborValue = boolean | number | bigint | string | Uint8Array | CborValue[] | CborMap

/** A map; keys are text. */
export type CborMap = { [key: string]: CborValue }

/** Limits of one decoding. */
export type DecodeLimits = {
  /** Bytes of the whole input; TOO_LARGE above. */
  bytesMax: number
  /** Levels of nesting; CBOR_DEPTH_MAX unless given. */
  depthMax?: number
  /** Scalars, keys and containers together; CBOR_ITEMS_MAX unless given. */
  itemsMax?: number
}

/** Keys that JavaScript or the codec gives a meaning of their own. */
const KEYS_REFUSED: readonly string[] = ['__proto__', '/']

const INTEGER_MIN = -(2n ** 64n)
const INTEGER_MAX = 2n ** 64n - 1n

function assertText(text: string): void {
  // The codec's reader drops a leading byte order mark, so such a text has no round trip.
  assert(text.isWellFormed() && !text.startsWith('\uFEFF'), 'text must be well-formed')
}

function assertEncodable(value: unknown, depth: number): void {
  if (typeof value === 'boolean' || value instanceof Uint8Array) return
  if (typeof value === 'string') return assertText(value)
  if (typeof value === 'number') {
    assert(Number.isSafeInteger(value), 'only safe integers are encoded')
    return
  }
  if (typeof value === 'bigint') {
    assert(value >= INTEGER_MIN && value <= INTEGER_MAX, 'integer beyond 64 bits')
    return
  }
  assert(typeof value === 'object' && value !== null, `${typeof value} has no encoding`)
  assert(depth < CBOR_DEPTH_MAX, 'value nested too deep for CBOR')
  if (Array.isArray(value)) {
    for (const item of value) assertEncodable(item, depth + 1)
    return
  }
  for (const [key, item] of Object.entries(value)) {
    assert(!KEYS_REFUSED.includes(key), 'reserved map key')
    assertText(key)
    assertEncodable(item, depth + 1)
  }
}

/**
 * The one canonical encoding of `value`. Values outside CborValue are a programmer's error (see
 * `fields`).
 */
export function encodeCbor(value: CborValue): Uint8Array {
  assertEncodable(value, 0)
  return encode(value)
}

/** `members` without those that are undefined: how optional fields are left out of a map. */
export function fields(members: { [key: string]: CborValue | undefined }): CborMap {
  const map: CborMap = {}
  for (const [key, value] of Object.entries(members)) if (value !== undefined) map[key] = value
  return map
}

/**
 * The value of canonical `bytes`. MALFORMED unless the bytes are exactly what `encodeCbor` gives
 * for the value; TOO_LARGE beyond a limit. Byte strings in the result are copies: they keep nothing
 * of `bytes` alive.
 */
export function decodeCbor(bytes: Uint8Array, limits: DecodeLimits): CborValue {
  if (bytes.length > limits.bytesMax) {
    throw new MoyaiError('TOO_LARGE', `CBOR: ${bytes.length} bytes, at most ${limits.bytesMax}`)
  }
  // Text decoders refuse shared memory, and another thread must not change what was scanned.
  const own = bytes.buffer instanceof ArrayBuffer ? bytes : new Uint8Array(bytes)
  scanCbor(own, {
    depthMax: limits.depthMax ?? CBOR_DEPTH_MAX,
    itemsMax: limits.itemsMax ?? CBOR_ITEMS_MAX,
  })
  let value: CborValue
  let again: Uint8Array
  try {
    value = decode(own)
    again = encode(value)
  } catch (cause) {
    throw new MoyaiError('MALFORMED', 'CBOR: not decodable', { cause })
  }
  refuseReservedKeys(value)
  if (!equalBytes(own, again)) throw new MoyaiError('MALFORMED', 'CBOR: not canonical')
  return value
}

function refuseReservedKeys(value: CborValue): void {
  if (typeof value !== 'object' || value instanceof Uint8Array) return
  if (Array.isArray(value)) {
    for (const item of value) refuseReservedKeys(item)
    return
  }
  for (const key of KEYS_REFUSED) {
    if (Object.hasOwn(value, key)) throw new MoyaiError('MALFORMED', 'CBOR: reserved map key')
  }
  for (const item of Object.values(value)) refuseReservedKeys(item)
}
