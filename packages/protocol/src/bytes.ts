/** Small helpers on `Uint8Array`; nothing here assumes Node's Buffer. */

import { MoyaiError } from './errors.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const HEX: string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

const NO_DIGIT = 0x80
/** What a hexadecimal digit stands for, by its code. */
const DIGITS: Uint8Array = new Uint8Array(128).fill(NO_DIGIT)
for (let value = 0; value < 16; value++) {
  const digit = value.toString(16)
  DIGITS[digit.charCodeAt(0)] = value
  DIGITS[digit.toUpperCase().charCodeAt(0)] = value
}

/** Lowercase hex. */
export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += HEX[byte]
  return text
}

/** Bytes of a lowercase or uppercase hex text; MALFORMED when it is not hex of whole bytes. */
export function fromHex(text: string): Uint8Array {
  const bytes = new Uint8Array(Math.floor(text.length / 2))
  let wrong = text.length % 2
  for (let i = 0; i < bytes.length; i++) {
    const high = DIGITS[text.charCodeAt(2 * i)] ?? NO_DIGIT
    const low = DIGITS[text.charCodeAt(2 * i + 1)] ?? NO_DIGIT
    wrong |= (high | low) & NO_DIGIT
    bytes[i] = (high << 4) | low
  }
  if (wrong !== 0) throw new MoyaiError('MALFORMED', 'not a hexadecimal text')
  return bytes
}

export function utf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** Text of strictly valid UTF-8; MALFORMED otherwise. */
export function fromUtf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch (cause) {
    throw new MoyaiError('MALFORMED', 'not valid UTF-8', { cause })
  }
}

/** Bytewise order: negative, zero or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

/** Equality whose time does not depend on where the bytes differ. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] as number)
  return difference === 0
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const all = new Uint8Array(length)
  let offset = 0
  for (const part of parts) {
    all.set(part, offset)
    offset += part.length
  }
  return all
}

/** A copy that pins no larger slab: for small values kept from a received buffer. */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  return Uint8Array.prototype.slice.call(bytes)
}

/**
 * Text from a peer or a file name, made safe to print: control characters, escapes and invalid
 * UTF-8 become `\xNN`, and it is cut at `lengthMax` characters.
 */
export function printable(value: Uint8Array | string, lengthMax = 200): string {
  const text = typeof value === 'string' ? value : new TextDecoder().decode(value)
  let safe = ''
  for (const character of text) {
    if (safe.length >= lengthMax) return `${safe}…`
    const code = character.codePointAt(0) as number
    const hidden =
      code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x202a && code <= 0x202e)
    safe += hidden || (code >= 0x2066 && code <= 0x2069) ? `\\x${code.toString(16)}` : character
  }
  return safe
}
