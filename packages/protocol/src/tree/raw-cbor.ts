/**
 * A small writer and reader of canonical DAG-CBOR for the formats with many items: directory pages
 * and index segments.
 *
 * A generic decoder builds a value, then a schema walks it, then it is encoded again to prove that
 * it was canonical: three passes and some dozen objects per directory entry. Here the caller says
 * what comes next, so a page is read in one pass and every rule (shortest integers, definite
 * lengths, key order, limits) is checked on the way. Property tests hold both to @ipld/dag-cbor
 * byte for byte. What is not needed is absent: floats, tags, null.
 */

import { assert } from '../assert.ts'
import { fromUtf8, utf8 } from '../bytes.ts'
import { MoyaiError } from '../errors.ts'

const TWO_32 = 0x1_0000_0000
const TWO_32N = 0x1_0000_0000n
const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n
const UINT64_MAX = 2n ** 64n - 1n

/** For counts that must be one number anyway; the input bounds them. */
const LENGTH_MAX = 0xffff_ffff

const MAJOR_UINT = 0x00
const MAJOR_NEGATIVE = 0x20
const MAJOR_BYTES = 0x40
const MAJOR_TEXT = 0x60
const MAJOR_ARRAY = 0x80
const MAJOR_MAP = 0xa0
const FALSE = 0xf4
const TRUE = 0xf5
const MAJOR_NAMES = [
  'integer',
  'negative integer',
  'bytes',
  'text',
  'array',
  'map',
  'tag',
  'simple',
]

/** Appends canonical items to a buffer that grows. */
export class RawCborWriter {
  #bytes: Uint8Array
  #view: DataView
  #capacity: number
  #length = 0

  /** `capacity`: bytes to begin with. */
  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity)
    this.#capacity = capacity
    this.#view = new DataView(this.#bytes.buffer)
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length
  }

  /** Makes room for `count` more bytes. */
  #reserve(count: number): void {
    const needed = this.#length + count
    if (needed <= this.#capacity) return
    this.#capacity = Math.max(needed, 2 * this.#capacity)
    const larger = new Uint8Array(this.#capacity)
    larger.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = larger
    this.#view = new DataView(larger.buffer)
  }

  #head(major: number, value: number): void {
    this.#reserve(9)
    const bytes = this.#bytes
    const at = this.#length
    if (value < 24) {
      bytes[at] = major | value
      this.#length = at + 1
    } else if (value < 0x100) {
      bytes[at] = major | 24
      bytes[at + 1] = value
      this.#length = at + 2
    } else if (value < 0x1_0000) {
      bytes[at] = major | 25
      this.#view.setUint16(at + 1, value)
      this.#length = at + 3
    } else if (value < TWO_32) {
      bytes[at] = major | 26
      this.#view.setUint32(at + 1, value)
      this.#length = at + 5
    } else {
      bytes[at] = major | 27
      this.#view.setUint32(at + 1, Math.floor(value / TWO_32))
      this.#view.setUint32(at + 5, value % TWO_32)
      this.#length = at + 9
    }
  }

  /** A non-negative safe integer. */
  uint(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'not an unsigned integer')
    this.#head(MAJOR_UINT, value)
  }

  #argument64(major: number, value: bigint): void {
    if (value < TWO_32N) {
      this.#head(major, Number(value))
      return
    }
    this.#reserve(9)
    this.#bytes[this.#length] = major | 27
    this.#view.setBigUint64(this.#length + 1, value)
    this.#length += 9
  }

  /** An integer of −2^63 … 2^63 − 1. */
  int64(value: bigint): void {
    assert(value >= INT64_MIN && value <= INT64_MAX, 'not a signed 64-bit integer')
    if (value >= 0n) this.#argument64(MAJOR_UINT, value)
    else this.#argument64(MAJOR_NEGATIVE, ~value)
  }

  /** An integer of 0 … 2^64 − 1. */
  uint64(value: bigint): void {
    assert(value >= 0n && value <= UINT64_MAX, 'not an unsigned 64-bit integer')
    this.#argument64(MAJOR_UINT, value)
  }

  #wordsArgument(major: number, high: number, low: number): void {
    if (high === 0) {
      this.#head(major, low >>> 0)
      return
    }
    this.#reserve(9)
    this.#bytes[this.#length] = major | 27
    this.#view.setInt32(this.#length + 1, high)
    this.#view.setInt32(this.#length + 5, low)
    this.#length += 9
  }

  /** `int64` of a number given as its two 32-bit words. */
  int64Words(high: number, low: number): void {
    if (high >= 0) this.#wordsArgument(MAJOR_UINT, high, low)
    else this.#wordsArgument(MAJOR_NEGATIVE, ~high, ~low)
  }

  /** `uint64` of a number given as its two 32-bit words. */
  uint64Words(high: number, low: number): void {
    this.#wordsArgument(MAJOR_UINT, high, low)
  }

  bytes(value: Uint8Array): void {
    this.#head(MAJOR_BYTES, value.length)
    this.raw(value)
  }

  /** A byte string given as a text of one character per byte. */
  latin1(value: string): void {
    const length = value.length
    this.#head(MAJOR_BYTES, length)
    this.#reserve(length)
    const at = this.#length
    for (let i = 0; i < length; i++) this.#bytes[at + i] = value.charCodeAt(i)
    this.#length = at + length
  }

  /** A text; it must be well-formed, or it would not come back as it was. */
  text(value: string): void {
    if (value.length < 24 && this.#shortAscii(value)) return
    assert(value.isWellFormed(), 'a text with half a surrogate pair')
    const bytes = utf8(value)
    this.#head(MAJOR_TEXT, bytes.length)
    this.raw(bytes)
  }

  /**
   * Writes a text of less than 24 ASCII characters without an encoder; false, and nothing written,
   * if it is not.
   */
  #shortAscii(value: string): boolean {
    this.#reserve(24)
    const at = this.#length
    const length = value.length
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i)
      if (code >= 0x80) return false
      this.#bytes[at + 1 + i] = code
    }
    this.#bytes[at] = MAJOR_TEXT | length
    this.#length = at + 1 + length
    return true
  }

  /** A map key of one ASCII character, given as its code. */
  key(code: number): void {
    this.#reserve(2)
    this.#bytes[this.#length] = MAJOR_TEXT | 1
    this.#bytes[this.#length + 1] = code
    this.#length += 2
  }

  bool(value: boolean): void {
    this.#reserve(1)
    this.#bytes[this.#length++] = value ? TRUE : FALSE
  }

  /** Head of an array of `count` items, which must follow. */
  array(count: number): void {
    this.#head(MAJOR_ARRAY, count)
  }

  /** Head of a map of `count` pairs, which must follow in canonical order. */
  map(count: number): void {
    this.#head(MAJOR_MAP, count)
  }

  /** Leaves a byte for a map head whose count is not known yet; `closeMap` fills it. */
  openMap(): number {
    this.#reserve(1)
    return this.#length++
  }

  /**
   * Fills the head that `openMap` left at `at`; a count of 24 or more (up to 255) moves the map by
   * a byte.
   */
  closeMap(at: number, count: number): void {
    assert(count < 0x100, 'a map of more than 255 pairs')
    if (count < 24) {
      this.#bytes[at] = MAJOR_MAP | count
      return
    }
    this.#reserve(1)
    this.#bytes.copyWithin(at + 2, at + 1, this.#length)
    this.#bytes[at] = MAJOR_MAP | 24
    this.#bytes[at + 1] = count
    this.#length++
  }

  /** Bytes that are encoded already. */
  raw(value: Uint8Array): void {
    const length = value.length
    this.#reserve(length)
    // Below some dozen bytes a call of `set` costs more than the bytes.
    if (length > 48) this.#bytes.set(value, this.#length)
    else {
      const at = this.#length
      for (let i = 0; i < length; i++) this.#bytes[at + i] = value[i] as number
    }
    this.#length += length
  }

  /** The bytes `from` … `to` of `value`, which are encoded already. */
  rawRange(value: Uint8Array, from: number, to: number): void {
    const length = to - from
    this.#reserve(length)
    const at = this.#length
    // a view of the bytes costs as much as copying some hundred of them
    if (length > 256) this.#bytes.set(value.subarray(from, to), at)
    else for (let i = 0; i < length; i++) this.#bytes[at + i] = value[from + i] as number
    this.#length = at + length
  }

  /** The buffer itself: what was written stays in it until it is replaced by a larger one. */
  get backing(): Uint8Array {
    return this.#bytes
  }

  /** Room for bytes before the buffer is replaced by a larger one. */
  get room(): number {
    return this.#capacity - this.#length
  }

  /** What was written from `from` to `to`, as a view that the next write may overwrite. */
  view(from = 0, to: number = this.#length): Uint8Array {
    return this.#bytes.subarray(from, to)
  }

  /** A copy of all that was written. */
  copy(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  /** Drops what was written after `length`. */
  truncate(length: number): void {
    this.#length = length
  }

  /** Drops the first `count` bytes. */
  drop(count: number): void {
    this.#bytes.copyWithin(0, count, this.#length)
    this.#length -= count
  }
}

/**
 * Reads canonical items in the order in which the caller expects them; everything else is refused.
 */
export class RawCborReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #what: string
  readonly #end: number
  #at: number
  /** Set by `#argument` when the argument does not fit a safe integer. */
  #wide: bigint | undefined

  /** `what` names the format in errors. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#what = what
    this.#end = bytes.length
    this.#at = 0
    this.#wide = undefined
  }

  /** Bytes read so far. */
  get offset(): number {
    return this.#at
  }

  /** Throws MALFORMED with `text`. */
  malformed(text: string): never {
    throw new MoyaiError('MALFORMED', `${this.#what}: ${text} at byte ${this.#at}`)
  }

  #need(count: number): void {
    if (this.#end - this.#at < count) throw new MoyaiError('TRUNCATED', `${this.#what}: cut short`)
  }

  #limit(count: number, max: number): void {
    if (count > max) {
      throw new MoyaiError('TOO_LARGE', `${this.#what}: ${count} where ${max} is the limit`)
    }
  }

  /**
   * The argument of an item of `major`; a 64-bit one beyond the safe integers is also left in
   * `#wide`.
   */
  #argument(major: number): number {
    this.#need(1)
    const initial = this.#bytes[this.#at] as number
    if ((initial & 0xe0) !== major) this.malformed(`no ${MAJOR_NAMES[major >> 5]}`)
    this.#at++
    const short = initial & 0x1f
    if (short < 24) return short
    if (short > 27) this.malformed('indefinite or reserved length')
    const width = 1 << (short - 24)
    this.#need(width)
    const at = this.#at
    let value: number
    if (width === 1) value = this.#bytes[at] as number
    else if (width === 2) value = this.#view.getUint16(at)
    else if (width === 4) value = this.#view.getUint32(at)
    else return this.#argumentWide()
    if (value < (width === 1 ? 24 : width === 2 ? 0x100 : 0x1_0000)) {
      this.malformed('not the shortest form')
    }
    this.#at = at + width
    return value
  }

  #argumentWide(): number {
    const high = this.#view.getUint32(this.#at)
    const low = this.#view.getUint32(this.#at + 4)
    if (high === 0) this.malformed('not the shortest form')
    if (high > 0x1f_ffff) this.#wide = this.#view.getBigUint64(this.#at)
    this.#at += 8
    return high * TWO_32 + low
  }

  /** The argument as a number; TOO_LARGE beyond `max` (a safe integer). */
  #bounded(major: number, max: number): number {
    const value = this.#argument(major)
    this.#wide = undefined
    this.#limit(value, max)
    return value
  }

  #argument64(major: number): bigint {
    const value = this.#argument(major)
    const wide = this.#wide
    this.#wide = undefined
    return wide ?? BigInt(value)
  }

  /** An integer of 0 … `max`. */
  uint(max: number): number {
    const value = this.#argument(MAJOR_UINT)
    this.#wide = undefined
    if (value > max) this.malformed(`integer beyond ${max}`)
    return value
  }

  /** An integer of −2^63 … 2^63 − 1. */
  int64(): bigint {
    this.#need(1)
    const negative = ((this.#bytes[this.#at] as number) & 0xe0) === MAJOR_NEGATIVE
    const value = this.#argument64(negative ? MAJOR_NEGATIVE : MAJOR_UINT)
    if (value > INT64_MAX) this.malformed('integer outside 64 bits')
    return negative ? ~value : value
  }

  /** An integer of 0 … 2^64 − 1. */
  uint64(): bigint {
    return this.#argument64(MAJOR_UINT)
  }

  /** An integer of 0 … 2^64 − 1: a number while that is exact, else a bigint. */
  uintOrWide(): number | bigint {
    const value = this.#argument(MAJOR_UINT)
    const wide = this.#wide
    this.#wide = undefined
    return wide ?? value
  }

  /** A byte string of at most `max` bytes: a view of the input, not a copy. */
  bytes(max: number): Uint8Array {
    const length = this.#bounded(MAJOR_BYTES, max)
    this.#need(length)
    const value = this.#bytes.subarray(this.#at, this.#at + length)
    this.#at += length
    return value
  }

  /** A text of at most `max` bytes of strict UTF-8. */
  text(max: number): string {
    const length = this.#bounded(MAJOR_TEXT, max)
    this.#need(length)
    const end = this.#at + length
    const start = this.#at
    this.#at = end
    let text = ''
    for (let i = start; i < end; i++) {
      const byte = this.#bytes[i] as number
      if (byte >= 0x80) return fromUtf8(this.#bytes.subarray(start, end))
      text += String.fromCharCode(byte)
    }
    return text
  }

  /** A map key of one ASCII character, as its code. */
  key(): number {
    this.#need(2)
    if (this.#bytes[this.#at] !== (MAJOR_TEXT | 1)) this.malformed('no key of one character')
    const code = this.#bytes[this.#at + 1] as number
    this.#at += 2
    return code
  }

  bool(): boolean {
    this.#need(1)
    const byte = this.#bytes[this.#at] as number
    if (byte !== TRUE && byte !== FALSE) this.malformed('no boolean')
    this.#at++
    return byte === TRUE
  }

  /**
   * The count of an array of at most `max` items; every item takes a byte, so the input bounds it,
   * too.
   */
  array(max: number): number {
    const count = this.#bounded(MAJOR_ARRAY, max)
    this.#need(count)
    return count
  }

  /** MALFORMED unless an array of exactly `count` items follows. */
  arrayOf(count: number): void {
    if (this.array(LENGTH_MAX) !== count) this.malformed(`not ${count} items`)
  }

  /** MALFORMED unless a map of exactly `count` pairs follows. */
  mapOf(count: number): void {
    if (this.map(LENGTH_MAX) !== count) this.malformed(`not ${count} fields`)
  }

  /** The count of a map of at most `max` pairs. */
  map(max: number): number {
    const count = this.#bounded(MAJOR_MAP, max)
    this.#need(2 * count)
    return count
  }

  /** MALFORMED unless all input was read. */
  end(): void {
    if (this.#at !== this.#end) this.malformed('bytes after the end')
  }
}
