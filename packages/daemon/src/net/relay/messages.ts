/**
 * The handshake messages of circuit relay v2 as far as moyai speaks them: protobuf with a length
 * before it. Fields that are not needed (addresses, vouchers, limits) are skipped when read and
 * never written.
 */

import { concatBytes, fromHex, MoyaiError, PUBLIC_KEY_BYTES, toHex } from '@moyai/protocol'

/** Status codes of circuit v2. */
export const STATUS = {
  ok: 100,
  refused: 200,
  tooMany: 201,
  denied: 202,
  failed: 203,
  notHere: 204,
  malformed: 400,
  unexpected: 401,
} as const

/** Types of HOP messages; CONNECT and STATUS of STOP messages are 0 and 1. */
export const HOP = { reserve: 0, connect: 1, status: 2 } as const
export const STOP = { connect: 0, status: 1 } as const

/** What a relay reads: `host` (hex) in CONNECT, `status` in STATUS. */
export type RelayMessage = { type: number; host?: string; status?: number }

const WIRE_VARINT = 0
const WIRE_BYTES = 2
/** Numbers of these messages are below 2^28: four bytes of seven bits. */
const VARINT_BYTES_MAX = 4
/** Of both messages: 1 is the type, 2 the peer; of HOP 5, of STOP 4 is the status. */
const FIELD_TYPE = 1
const FIELD_PEER = 2
const FIELD_PEER_ID = 1
/** An identity multihash of a protobuf Ed25519 public key; the key follows. */
const PEER_ID_PREFIX: Uint8Array = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)

function malformed(): MoyaiError {
  return new MoyaiError('MALFORMED', 'not a message of circuit relay v2')
}

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
  return Uint8Array.of(...bytes, rest)
}

/** Reads one protobuf message field by field. */
class Fields {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  #varint(): number {
    let value = 0
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined) throw malformed()
      value |= (byte & 0x7f) << (7 * i)
      if (byte < 0x80) return value
    }
    throw malformed()
  }

  /** The next field; undefined at the end. Only numbers and byte strings occur. */
  next(): { field: number; value: number | Uint8Array } | undefined {
    if (this.#at >= this.#bytes.length) return undefined
    const key = this.#varint()
    const field = key >>> 3
    if ((key & 7) === WIRE_VARINT) return { field, value: this.#varint() }
    if ((key & 7) !== WIRE_BYTES) throw malformed()
    const length = this.#varint()
    const end = this.#at + length
    if (end > this.#bytes.length) throw malformed()
    const value = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return { field, value }
  }
}

/** The host (hex) of a `Peer`. MALFORMED when it has no Ed25519 id. */
function hostOf(peer: Uint8Array): string {
  const fields = new Fields(peer)
  for (let one = fields.next(); one !== undefined; one = fields.next()) {
    if (one.field !== FIELD_PEER_ID || !(one.value instanceof Uint8Array)) continue
    const { value } = one
    const known = PEER_ID_PREFIX.every((byte, i) => value[i] === byte)
    if (!known || value.length !== PEER_ID_PREFIX.length + PUBLIC_KEY_BYTES) throw malformed()
    return toHex(value.subarray(PEER_ID_PREFIX.length))
  }
  throw malformed()
}

function decode(bytes: Uint8Array, statusField: number): RelayMessage {
  const fields = new Fields(bytes)
  const message: Partial<RelayMessage> = {}
  for (let one = fields.next(); one !== undefined; one = fields.next()) {
    const { field, value } = one
    if (field === FIELD_TYPE && typeof value === 'number') message.type = value
    if (field === FIELD_PEER && typeof value !== 'number') message.host = hostOf(value)
    if (field === statusField && typeof value === 'number') message.status = value
  }
  const { type } = message
  if (type === undefined) throw malformed()
  return { ...message, type }
}

/** MALFORMED when the bytes are no HOP message. */
export function decodeHop(bytes: Uint8Array): RelayMessage {
  return decode(bytes, 5)
}

/** MALFORMED when the bytes are no STOP message. */
export function decodeStop(bytes: Uint8Array): RelayMessage {
  return decode(bytes, 4)
}

function numberField(field: number, value: number): Uint8Array {
  return concatBytes(varint(field << 3), varint(value))
}

function bytesField(field: number, value: Uint8Array): Uint8Array {
  return concatBytes(varint((field << 3) | WIRE_BYTES), varint(value.length), value)
}

/** With its length before it, as it goes over the stream. */
function framed(message: Uint8Array): Uint8Array {
  return concatBytes(varint(message.length), message)
}

export function encodeHopStatus(status: number): Uint8Array {
  return framed(concatBytes(numberField(FIELD_TYPE, HOP.status), numberField(5, status)))
}

/** Tells the dialed host that `host` (hex) wants it. */
export function encodeStopConnect(host: string): Uint8Array {
  const id = concatBytes(PEER_ID_PREFIX, fromHex(host))
  const peer = bytesField(FIELD_PEER, bytesField(FIELD_PEER_ID, id))
  return framed(concatBytes(numberField(FIELD_TYPE, STOP.connect), peer))
}
