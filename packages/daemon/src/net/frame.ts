/**
 * Frames: all that travels on a lane (spec/wire.md §2). A fixed header of 16 bytes, then `length`
 * bytes of body.
 *
 * ```
 * offset  0     1      2..3          4..7      8..11    12..15
 *         type  flags  reserved (0)  request   length   reserved (0)      integers are big-endian
 * ```
 * The header alone decides whether a frame is acceptable: nothing is allocated for a body before
 * that.
 */

import { assert, FRAME_BYTES_MAX, MoyaiError } from '@moyai/protocol'
import { ERROR_BYTES_MAX, HELLO_BYTES_MAX, REQUEST_ID_MAX } from './limits.ts'

export const FRAME_HEADER_BYTES = 16

/** Frame types and their numbers. */
export const FRAME_TYPES = {
  hello: 1,
  request: 2,
  data: 3,
  end: 4,
  response: 5,
  error: 6,
  credit: 7,
  cancel: 8,
} as const

export type FrameType = keyof typeof FRAME_TYPES

const TYPE_NAMES: ReadonlyMap<number, FrameType> = new Map(
  (Object.keys(FRAME_TYPES) as FrameType[]).map((name) => [FRAME_TYPES[name], name]),
)

/** Flag of REQUEST and RESPONSE: DATA and END follow. */
const FLAG_MORE = 1

export type FrameHeader = {
  type: FrameType
  /** REQUEST and RESPONSE only: a payload of DATA frames and an END follow. */
  more: boolean
  /** 1 to REQUEST_ID_MAX; 0 for HELLO and for an ERROR that concerns the whole lane. */
  request: number
  /** Bytes of the body. */
  length: number
}

/** Largest bodies that a receiver accepts, by frame type where protocols differ. */
export type FrameLimits = { requestBytesMax: number; responseBytesMax: number }

/** The 16 bytes of a header. */
export function encodeFrameHeader(header: FrameHeader): Uint8Array {
  assert(header.length >= 0 && header.length <= FRAME_BYTES_MAX, 'a body fits its frame')
  assert(header.request >= 0 && header.request <= REQUEST_ID_MAX, 'request ids are 31 bits')
  const bytes = new Uint8Array(FRAME_HEADER_BYTES)
  const view = new DataView(bytes.buffer)
  bytes[0] = FRAME_TYPES[header.type]
  bytes[1] = header.more ? FLAG_MORE : 0
  view.setUint32(4, header.request)
  view.setUint32(8, header.length)
  return bytes
}

/** Shortest and longest body of a frame of this type. */
function bodyRange(type: FrameType, limits: FrameLimits): readonly [min: number, max: number] {
  const ranges: Record<FrameType, readonly [number, number]> = {
    hello: [1, HELLO_BYTES_MAX],
    request: [1, limits.requestBytesMax],
    response: [0, limits.responseBytesMax],
    data: [1, FRAME_BYTES_MAX],
    error: [1, ERROR_BYTES_MAX],
    credit: [4, 4],
    end: [0, 0],
    cancel: [0, 0],
  }
  return ranges[type]
}

function violation(what: string): never {
  throw new MoyaiError('PROTOCOL_VIOLATION', `frame: ${what}`)
}

/**
 * The header in `bytes` (16). PROTOCOL_VIOLATION when it breaks a rule of spec/wire.md §2,
 * TOO_LARGE for its length.
 */
export function decodeFrameHeader(bytes: Uint8Array, limits: FrameLimits): FrameHeader {
  assert(bytes.length === FRAME_HEADER_BYTES, 'a header is 16 bytes')
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEADER_BYTES)
  const type = TYPE_NAMES.get(view.getUint8(0))
  const flags = view.getUint8(1)
  const request = view.getUint32(4)
  const length = view.getUint32(8)
  if (type === undefined) violation(`unknown type ${view.getUint8(0)}`)
  if (view.getUint16(2) !== 0 || view.getUint32(12) !== 0) violation('reserved bytes are not zero')
  const more = flags === FLAG_MORE
  if (flags !== 0 && !(more && (type === 'request' || type === 'response'))) {
    violation(`unknown flags ${flags}`)
  }
  if (request > REQUEST_ID_MAX) violation('request id out of range')
  if (type === 'hello' ? request !== 0 : request === 0 && type !== 'error') {
    violation(`${type} with request id ${request}`)
  }
  const [min, max] = bodyRange(type, limits)
  if (length > max) {
    throw new MoyaiError('TOO_LARGE', `frame: ${type} of ${length} bytes, at most ${max}`)
  }
  if (length < min) violation(`${type} of ${length} bytes, at least ${min}`)
  return { type, more, request, length }
}

/** Body of a CREDIT frame. */
export function encodeCredit(bytes: number): Uint8Array {
  const body = new Uint8Array(4)
  new DataView(body.buffer).setUint32(0, bytes)
  return body
}

/** Bytes that a CREDIT frame grants; PROTOCOL_VIOLATION for none. */
export function decodeCredit(body: Uint8Array): number {
  const bytes = new DataView(body.buffer, body.byteOffset, 4).getUint32(0)
  if (bytes === 0) violation('credit of 0 bytes')
  return bytes
}
