/**
 * How tables share one ordered key space: `<table name> 0x00 <key>`; and the checks both
 * implementations make.
 */

import { assert, concatBytes, utf8 } from '@moyai/protocol'

import { KEY_BYTES_MAX, VALUE_BYTES_MAX, type Range } from './database.ts'

/** The prefix of a table's keys; also checks the name. */
export function tablePrefix(name: string): Uint8Array {
  assert(/^[a-z0-9-]{1,40}$/.test(name), `a table is named in a-z, 0-9 and '-': ${name}`)
  return concatBytes(utf8(name), Uint8Array.of(0))
}

/** `prefix || key`. */
export function prefixed(prefix: Uint8Array, key: Uint8Array): Uint8Array {
  assert(key.length > 0, 'a key has at least one byte')
  assert(key.length <= KEY_BYTES_MAX, 'a key is bounded')
  return concatBytes(prefix, key)
}

export function checkValue(value: Uint8Array): Uint8Array {
  assert(value.length <= VALUE_BYTES_MAX, 'a value is bounded')
  return value
}

/** The range of a table as a range of the whole key space. */
export function prefixedRange(prefix: Uint8Array, range: Range): Range {
  const end = prefix.slice()
  // Names never contain 0x00, so 0x01 in its place is just above every key of the table.
  end[end.length - 1] = 1
  const whole: Range = {}
  if (range.gt !== undefined) whole.gt = concatBytes(prefix, range.gt)
  else whole.gte = concatBytes(prefix, range.gte ?? new Uint8Array(0))
  if (range.lte !== undefined) whole.lte = concatBytes(prefix, range.lte)
  else whole.lt = range.lt === undefined ? end : concatBytes(prefix, range.lt)
  return whole
}
