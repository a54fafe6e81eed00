/**
 * A look over encoded CBOR before any object is built from it.
 *
 * Everything is bounded by the bytes themselves: an array of n items needs n further bytes, so a
 * declared length beyond what is left is refused before anything of that length exists. Only what
 * DAG-CBOR allows and moyai uses passes (spec/encoding.md §2): integers in their shortest form,
 * definite byte and text strings, arrays, maps with text keys in canonical order, booleans. No
 * null, floats, tags or indefinite lengths.
 */

import { compareBytes } from '../bytes.ts'
import { MoyaiError } from '../errors.ts'

const MAJOR_UNSIGNED = 0
const MAJOR_NEGATIVE = 1
const MAJOR_BYTES = 2
const MAJOR_TEXT = 3
const MAJOR_ARRAY = 4
const MAJOR_MAP = 5
const MAJOR_TAG = 6

const FALSE = 0xf4
const TRUE = 0xf5

/** Bounds of one scan: levels of nesting, and items (scalars, keys and containers alike). */
export type ScanLimits = { depthMax: number; itemsMax: number }

/** One open container; `keyNext` is meaningful for maps only. */
type Level = {
  remaining: number
  isMap: boolean
  keyNext: boolean
  keyLast: Uint8Array | undefined
}

type Head = { major: number; argument: number; next: number }

function malformed(what: string, offset: number): never {
  throw new MoyaiError('MALFORMED', `CBOR: ${what} at byte ${offset}`)
}

/**
 * Value of `length` big-endian bytes; beyond 2^53 it is inexact, which lengths never survive and
 * integers do not need.
 */
function readArgument(bytes: Uint8Array, offset: number, length: number): number {
  if (offset + length > bytes.length) malformed('input ends inside a number', offset)
  let value = 0
  for (let i = 0; i < length; i++) value = value * 256 + (bytes[offset + i] as number)
  return value
}

/** Initial byte and argument of the item at `offset`; shortest form only. */
function readHead(bytes: Uint8Array, offset: number): Head {
  const initial = bytes[offset] as number
  const major = initial >> 5
  const minor = initial & 31
  if (minor < 24) return { major, argument: minor, next: offset + 1 }
  if (minor > 27) malformed('indefinite or reserved length', offset)
  const length = 1 << (minor - 24)
  const argument = readArgument(bytes, offset + 1, length)
  const smallest = length === 1 ? 24 : 2 ** (4 * length)
  if (argument < smallest) malformed('number not in its shortest form', offset)
  return { major, argument, next: offset + 1 + length }
}

/** DAG-CBOR order of map keys: shorter first, then bytewise. Equal keys are duplicates. */
function checkKey(level: Level, key: Uint8Array, offset: number): void {
  const last = level.keyLast
  if (last !== undefined) {
    const order = last.length === key.length ? compareBytes(last, key) : last.length - key.length
    if (order === 0) malformed('repeated map key', offset)
    if (order > 0) malformed('map keys not in canonical order', offset)
  }
  level.keyLast = key
}

/**
 * Walks `bytes` once, iteratively, and returns the number of items. MALFORMED for anything that is
 * not exactly one canonical item; TOO_LARGE beyond a limit. UTF-8 is not looked at: the decoder's
 * round trip does that.
 */
export function scanCbor(bytes: Uint8Array, limits: ScanLimits): number {
  const levels: Level[] = []
  let offset = 0
  let items = 0
  do {
    if (offset >= bytes.length) malformed('input ends inside a value', offset)
    items += 1
    if (items > limits.itemsMax) {
      throw new MoyaiError('TOO_LARGE', `CBOR: more than ${limits.itemsMax} items`)
    }
    const start = offset
    const level = levels.at(-1)
    const isKey = level !== undefined && level.isMap && level.keyNext
    const initial = bytes[start] as number
    if (level !== undefined) {
      level.remaining -= 1
      level.keyNext = !level.keyNext
    }
    if (initial === FALSE || initial === TRUE) {
      if (isKey) malformed('map key that is not text', start)
      offset = start + 1
    } else {
      const head = readHead(bytes, start)
      if (isKey && head.major !== MAJOR_TEXT) malformed('map key that is not text', start)
      const rest = bytes.length - head.next
      offset = head.next
      switch (head.major) {
        case MAJOR_UNSIGNED:
        case MAJOR_NEGATIVE:
          break
        case MAJOR_BYTES:
        case MAJOR_TEXT:
          if (head.argument > rest) malformed('string longer than the input', start)
          offset += head.argument
          if (isKey && level !== undefined)
            checkKey(level, bytes.subarray(head.next, offset), start)
          break
        case MAJOR_ARRAY:
        case MAJOR_MAP: {
          const isMap = head.major === MAJOR_MAP
          const members = isMap ? head.argument * 2 : head.argument
          if (members > rest) malformed('container longer than the input', start)
          if (levels.length >= limits.depthMax) {
            throw new MoyaiError('TOO_LARGE', `CBOR: nested deeper than ${limits.depthMax}`)
          }
          levels.push({ remaining: members, isMap, keyNext: isMap, keyLast: undefined })
          break
        }
        case MAJOR_TAG:
          malformed('tags are not used', start)
          break
        default:
          malformed('null, undefined, floats and simple values are not used', start)
      }
    }
    while (levels.length > 0 && levels.at(-1)?.remaining === 0) levels.pop()
  } while (levels.length > 0)
  if (offset !== bytes.length) malformed('bytes after the value', offset)
  return items
}
