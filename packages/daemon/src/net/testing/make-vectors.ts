/**
 * Writes test/vectors/wire/frames.json: `node packages/daemon/src/net/testing/make-vectors.ts`.
 * A test holds the program to what is committed; run this only when the wire changes on purpose.
 */

import { writeFileSync } from 'node:fs'
import { encodeCbor, toHex, type CborValue } from '@moyai/protocol'
import { encodeFrameHeader, type FrameHeader } from '../frame.ts'

const limits = { requestBytesMax: 16_384, responseBytesMax: 131_072 }

type Raw = {
  type?: number
  flags?: number
  reserved?: number
  request?: number
  length?: number
  tail?: number
}

function raw(o: Raw): string {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, o.type ?? 3)
  view.setUint8(1, o.flags ?? 0)
  view.setUint16(2, o.reserved ?? 0)
  view.setUint32(4, o.request ?? 1)
  view.setUint32(8, o.length ?? 1)
  view.setUint32(12, o.tail ?? 0)
  return toHex(bytes)
}

function good(name: string, frame: FrameHeader): object {
  return { name, header: toHex(encodeFrameHeader(frame)), expect: 'ok', frame }
}

function bad(name: string, expect: string, fields: Raw): object {
  return { name, header: raw(fields), expect }
}

function body(name: string, kind: string, expect: string, value: CborValue | string): object {
  return { name, kind, body: typeof value === 'string' ? value : toHex(encodeCbor(value)), expect }
}

const more = false
const headers = [
  good('hello of 60 bytes', { type: 'hello', more, request: 0, length: 60 }),
  good('request without payload', { type: 'request', more, request: 1, length: 90 }),
  good('request with payload', { type: 'request', more: true, request: 2, length: 16_384 }),
  good('data of one byte', { type: 'data', more, request: 2, length: 1 }),
  good('longest data', { type: 'data', more, request: 2, length: 262_144 }),
  good('end', { type: 'end', more, request: 2, length: 0 }),
  good('empty response', { type: 'response', more, request: 1, length: 0 }),
  good('response with payload', { type: 'response', more: true, request: 3, length: 131_072 }),
  good('error of a request', { type: 'error', more, request: 3, length: 40 }),
  good('error of the lane', { type: 'error', more, request: 0, length: 40 }),
  good('credit', { type: 'credit', more, request: 3, length: 4 }),
  good('cancel of the last request id', { type: 'cancel', more, request: 2 ** 31, length: 0 }),
  bad('type 0', 'PROTOCOL_VIOLATION', { type: 0 }),
  bad('type 9', 'PROTOCOL_VIOLATION', { type: 9 }),
  bad('type 255', 'PROTOCOL_VIOLATION', { type: 255 }),
  bad('unknown flag', 'PROTOCOL_VIOLATION', { type: 2, flags: 2 }),
  bad('unknown flag beside MORE', 'PROTOCOL_VIOLATION', { type: 2, flags: 3 }),
  bad('MORE on data', 'PROTOCOL_VIOLATION', { flags: 1 }),
  bad('MORE on error', 'PROTOCOL_VIOLATION', { type: 6, flags: 1 }),
  bad('reserved bytes 2 and 3', 'PROTOCOL_VIOLATION', { reserved: 1 }),
  bad('reserved bytes 12 to 15', 'PROTOCOL_VIOLATION', { tail: 1 }),
  bad('hello with a request id', 'PROTOCOL_VIOLATION', { type: 1, request: 1 }),
  bad('data without a request id', 'PROTOCOL_VIOLATION', { request: 0 }),
  bad('request without a request id', 'PROTOCOL_VIOLATION', { type: 2, request: 0 }),
  bad('credit without a request id', 'PROTOCOL_VIOLATION', { type: 7, request: 0, length: 4 }),
  bad('request id 2^31 + 1', 'PROTOCOL_VIOLATION', { request: 2 ** 31 + 1 }),
  bad('request id 2^32 - 1', 'PROTOCOL_VIOLATION', { request: 2 ** 32 - 1 }),
  bad('empty data', 'PROTOCOL_VIOLATION', { length: 0 }),
  bad('empty request', 'PROTOCOL_VIOLATION', { type: 2, length: 0 }),
  bad('empty hello', 'PROTOCOL_VIOLATION', { type: 1, request: 0, length: 0 }),
  bad('empty error', 'PROTOCOL_VIOLATION', { type: 6, length: 0 }),
  bad('credit of 3 bytes', 'PROTOCOL_VIOLATION', { type: 7, length: 3 }),
  bad('credit of 5 bytes', 'TOO_LARGE', { type: 7, length: 5 }),
  bad('data one byte too long', 'TOO_LARGE', { length: 262_145 }),
  bad('data of 2^32 - 1 bytes', 'TOO_LARGE', { length: 2 ** 32 - 1 }),
  bad('request one byte above its protocol', 'TOO_LARGE', { type: 2, length: 16_385 }),
  bad('response one byte above its protocol', 'TOO_LARGE', { type: 5, length: 131_073 }),
  bad('hello too long', 'TOO_LARGE', { type: 1, request: 0, length: 1025 }),
  bad('error too long', 'TOO_LARGE', { type: 6, length: 2049 }),
  bad('end with a body', 'TOO_LARGE', { type: 4, length: 1 }),
  bad('cancel with a body', 'TOO_LARGE', { type: 8, length: 1 }),
]

const hello = { versions: [1], features: [], requests: 8, credit: 4_194_304, frame: 262_144 }
const bodies = [
  body('hello', 'hello', 'ok', hello),
  body('hello that also speaks later versions', 'hello', 'ok', {
    ...hello,
    versions: [3, 2, 1],
    features: ['audit'],
  }),
  body('hello of other versions only', 'hello', 'UNKNOWN_VERSION', { ...hello, versions: [2] }),
  body('hello without versions', 'hello', 'MALFORMED', { ...hello, versions: [] }),
  body('hello with an unknown key', 'hello', 'MALFORMED', { ...hello, extra: 1 }),
  body('hello without credit', 'hello', 'MALFORMED', { ...hello, credit: 0 }),
  body('hello with negative requests', 'hello', 'MALFORMED', { ...hello, requests: -1 }),
  body('hello with trailing bytes', 'hello', 'MALFORMED', `${toHex(encodeCbor(hello))}00`),
  body('hello that is no CBOR', 'hello', 'MALFORMED', 'ff'),
  body('error', 'error', 'ok', { code: 'NO_SPACE', text: 'the disk is full', hint: 'make room' }),
  body('error without hint', 'error', 'ok', { code: 'NOT_FOUND', text: 'no such shard' }),
  body('error with a code of the future', 'error', 'ok', { code: 'TEA_TIME', text: '' }),
  body('error without code', 'error', 'MALFORMED', { text: 'x' }),
  body('error with a number as text', 'error', 'MALFORMED', { code: 'DISK', text: 1 }),
  body('credit of one byte', 'credit', 'ok', '00000001'),
  body('credit of nothing', 'credit', 'PROTOCOL_VIOLATION', '00000000'),
]

const path = new URL('../../../../../test/vectors/wire/frames.json', import.meta.url)
writeFileSync(path, `${JSON.stringify({ limits, headers, bodies }, undefined, 2)}\n`)

// ---- shard.json ---------------------------------------------------------------------------------

const b = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)
const fill = (count: number, value: CborValue): CborValue[] =>
  Array.from({ length: count }, () => value)
const put = { op: 'put', envelope: b(400, 7), index: 3 }
const get = { op: 'get', vault: b(32, 1), pack: b(32, 2), index: 0, offset: 1000, length: 100 }
const stat = { op: 'stat', vault: b(32, 1), pack: b(32, 2) }
const inventory = { op: 'inventory', vault: b(32, 1) }
const putResponse = { receipt: b(300, 7), had: false }
const getResponse = { length: 65_536, proof: b(128, 5) }
const challenge = { pack: b(32, 2), index: 1, group: 3 }
const audit = { op: 'audit', vault: b(32, 1), challenges: [challenge], nonce: b(16, 6) }
const answered = { proof: b(128, 5), askers: [{ host: b(32, 8), agoMs: 20 }] }
const auditResponse = { answer: b(300, 7), items: [answered] }
const item = { pack: b(32, 2), index: 1, length: 69_632 }

const requests = [
  body('put', 'request', 'ok', put),
  body('get', 'request', 'ok', get),
  body('stat', 'request', 'ok', stat),
  body('inventory from the start', 'request', 'ok', inventory),
  body('inventory from a cursor', 'request', 'ok', { ...inventory, cursor: b(1, 9) }),
  body('audit', 'request', 'ok', audit),
  body('audit of 16 groups', 'request', 'ok', { ...audit, challenges: fill(16, challenge) }),
  body('audit of 17 groups', 'request', 'MALFORMED', {
    ...audit,
    challenges: fill(17, challenge),
  }),
  body('audit of nothing', 'request', 'MALFORMED', { ...audit, challenges: [] }),
  body('audit of a group beyond any shard', 'request', 'MALFORMED', {
    ...audit,
    challenges: [{ ...challenge, group: 256 }],
  }),
  body('audit with a short nonce', 'request', 'MALFORMED', { ...audit, nonce: b(15, 6) }),
  body('audit without a nonce', 'request', 'MALFORMED', {
    op: 'audit',
    vault: audit.vault,
    challenges: audit.challenges,
  }),
  body('unknown op', 'request', 'MALFORMED', { ...stat, op: 'delete' }),
  body('no op', 'request', 'MALFORMED', { vault: b(32, 1) }),
  body('unknown key', 'request', 'MALFORMED', { ...stat, force: true }),
  body('put with an index beyond any code', 'request', 'MALFORMED', { ...put, index: 48 }),
  body('put with an envelope too long', 'request', 'MALFORMED', { ...put, envelope: b(2049, 7) }),
  body('put with an envelope too short', 'request', 'MALFORMED', { ...put, envelope: b(64, 7) }),
  body('get of nothing', 'request', 'MALFORMED', { ...get, length: 0 }),
  body('get from a negative offset', 'request', 'MALFORMED', { ...get, offset: -1 }),
  body('get beyond the largest shard', 'request', 'MALFORMED', { ...get, offset: 4_194_304 }),
  body('get of a vault of 31 bytes', 'request', 'MALFORMED', { ...get, vault: b(31, 1) }),
  body('inventory with an empty cursor', 'request', 'MALFORMED', { ...inventory, cursor: b(0, 0) }),
  body('inventory with a cursor too long', 'request', 'MALFORMED', {
    ...inventory,
    cursor: b(129, 0),
  }),
  body('a request above 4096 bytes', 'request', 'TOO_LARGE', { ...put, envelope: b(4096, 7) }),
  body('keys out of order', 'request', 'MALFORMED', 'a2657661756c744001626f706473746174'),
  body('put response', 'put-response', 'ok', putResponse),
  body('put response without receipt', 'put-response', 'MALFORMED', { had: true }),
  body('put response with a number', 'put-response', 'MALFORMED', { ...putResponse, had: 1 }),
  body('get response', 'get-response', 'ok', getResponse),
  body('get response of one group', 'get-response', 'ok', { length: 1, proof: b(0, 0) }),
  body('get response of no length', 'get-response', 'MALFORMED', { ...getResponse, length: 0 }),
  body('get response above any shard', 'get-response', 'MALFORMED', {
    ...getResponse,
    length: 4_194_305,
  }),
  body('stat response', 'stat-response', 'ok', { items: [{ index: 0, envelope: b(400, 7) }] }),
  body('stat response of nothing', 'stat-response', 'ok', { items: [] }),
  body('stat response of 33 shards', 'stat-response', 'MALFORMED', {
    items: Array.from({ length: 33 }, () => ({ index: 0, envelope: b(65, 7) })),
  }),
  body('inventory response', 'inventory-response', 'ok', { items: [item], next: b(8, 3) }),
  body('audit response', 'audit-response', 'ok', auditResponse),
  body('audit response of nothing', 'audit-response', 'MALFORMED', { ...auditResponse, items: [] }),
  body('audit response without an answer', 'audit-response', 'MALFORMED', { items: [answered] }),
  body('audit response with a proof too long', 'audit-response', 'MALFORMED', {
    ...auditResponse,
    items: [{ ...answered, proof: b(513, 5) }],
  }),
  body('audit response with nine askers', 'audit-response', 'MALFORMED', {
    ...auditResponse,
    items: [{ ...answered, askers: fill(9, answered.askers[0] as CborValue) }],
  }),
  body('last inventory response', 'inventory-response', 'ok', { items: [] }),
]
const shardPath = new URL('../../../../../test/vectors/wire/shard.json', import.meta.url)
writeFileSync(shardPath, `${JSON.stringify({ cases: requests }, undefined, 2)}\n`)
