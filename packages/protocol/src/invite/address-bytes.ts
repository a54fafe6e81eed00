/**
 * Multiaddrs in few bytes (spec/join.md §1): a token goes through a chat line or a picture, so the
 * usual ones, a number or a name with a TCP port, are written as such. Everything else is text.
 * There is one form for each text.
 */

import { assert } from '../assert.ts'
import { concatBytes, fromUtf8, utf8 } from '../bytes.ts'
import { MoyaiError } from '../errors.ts'

const TEXT = 0
const NAMES: Readonly<Record<number, string>> = { 1: 'dns', 2: 'dns4', 3: 'dns6' }
const IP4 = 4
const IP6 = 6
const TEXT_BYTES_MAX = 255

function portOf(text: string): number | undefined {
  const port = /^(?:0|[1-9]\d{0,4})$/.test(text) ? Number(text) : Number.NaN
  return port <= 0xffff ? port : undefined
}

function ip4Bytes(text: string): Uint8Array | undefined {
  const parts = text
    .split('.')
    .map((part) => (/^(?:0|[1-9]\d{0,2})$/.test(part) ? Number(part) : 256))
  return parts.length === 4 && parts.every((part) => part < 256)
    ? Uint8Array.from(parts)
    : undefined
}

/** The text of 16 bytes as RFC 5952 has it: the longest run of zeros is left out. */
function ip6Text(bytes: Uint8Array): string {
  const words = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] as number) << 8) | (bytes[2 * i + 1] as number)).toString(16),
  )
  let start = 0
  let length = 0
  for (let from = 0; from < 8; from++) {
    let to = from
    while (words[to] === '0') to++
    if (to - from > length) [start, length] = [from, to - from]
  }
  if (length < 2) return words.join(':')
  return `${words.slice(0, start).join(':')}::${words.slice(start + length).join(':')}`
}

/** Undefined for anything but the text that `ip6Text` gives. */
function ip6Bytes(text: string): Uint8Array | undefined {
  const [head = '', tail, more] = text.split('::')
  if (more !== undefined) return undefined
  const words = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const before = words(head)
  const after = tail === undefined ? [] : words(tail)
  const zeros = 8 - before.length - after.length
  if (tail === undefined ? zeros !== 0 : zeros < 1) return undefined
  const all = [...before, ...Array.from({ length: zeros }, () => '0'), ...after]
  if (!all.every((word) => /^[0-9a-f]{1,4}$/.test(word))) return undefined
  const bytes = Uint8Array.from(
    all.flatMap((word) => [Number.parseInt(word, 16) >>> 8, Number.parseInt(word, 16) & 0xff]),
  )
  return ip6Text(bytes) === text ? bytes : undefined
}

function withPort(type: number, body: Uint8Array, port: number): Uint8Array {
  return concatBytes(Uint8Array.of(type), body, Uint8Array.of(port >>> 8, port & 0xff))
}

function short(text: string): Uint8Array | undefined {
  const [empty, kind, value = '', tcp, digits = '', more] = text.split('/')
  const port = portOf(digits)
  if (empty !== '' || tcp !== 'tcp' || port === undefined || more !== undefined) return undefined
  const number = kind === 'ip4' ? ip4Bytes(value) : kind === 'ip6' ? ip6Bytes(value) : undefined
  if (number !== undefined) return withPort(number.length === 4 ? IP4 : IP6, number, port)
  const named = Object.entries(NAMES).find(([, name]) => name === kind)
  const name = utf8(value)
  if (named === undefined || name.length === 0 || name.length > TEXT_BYTES_MAX) return undefined
  const body = concatBytes(Uint8Array.of(name.length), name)
  return withPort(Number(named[0]), body, port)
}

/** A multiaddr of printable ASCII. TOO_LARGE above 255 characters. */
export function addressBytes(text: string): Uint8Array {
  const bytes = utf8(text)
  assert(bytes.length > 0, 'an address is not empty')
  const compact = short(text)
  if (compact !== undefined) return compact
  if (bytes.length > TEXT_BYTES_MAX) throw new MoyaiError('TOO_LARGE', 'an address is too long')
  return concatBytes(Uint8Array.of(TEXT, bytes.length), bytes)
}

/**
 * The multiaddr at `at` and where it ends. TRUNCATED, MALFORMED: also for a longer form of what has
 * a shorter one.
 */
export function readAddress(bytes: Uint8Array, at: number): { text: string; end: number } {
  const type = bytes[at]
  const counted = type === TEXT || (type !== undefined && NAMES[type] !== undefined)
  const start = counted ? at + 2 : at + 1
  const length = counted ? (bytes[at + 1] ?? 0) : type === IP4 ? 4 : type === IP6 ? 16 : undefined
  if (length === undefined) throw new MoyaiError('MALFORMED', 'an address of an unknown kind')
  const end = start + length + (type === TEXT ? 0 : 2)
  if (end > bytes.length) throw new MoyaiError('TRUNCATED', 'an address ends too early')
  const body = bytes.subarray(start, start + length)
  const text = type === TEXT ? fromUtf8(body) : textOf(type as number, body, bytes, end)
  const again = text === '' ? undefined : addressBytes(text)
  const same = again?.length === end - at && again.every((byte, i) => byte === bytes[at + i])
  if (!same) throw new MoyaiError('MALFORMED', 'an address that has a shorter form')
  return { text, end }
}

function textOf(type: number, body: Uint8Array, bytes: Uint8Array, end: number): string {
  const port = ((bytes[end - 2] as number) << 8) | (bytes[end - 1] as number)
  if (type === IP4) return `/ip4/${body.join('.')}/tcp/${port}`
  if (type === IP6) return `/ip6/${ip6Text(body)}/tcp/${port}`
  return `/${NAMES[type]}/${fromUtf8(body)}/tcp/${port}`
}
