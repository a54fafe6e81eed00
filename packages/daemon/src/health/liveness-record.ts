/**
 * What liveness keeps across restarts, in one small record: columns of bytes, hosts in one order.
 * Everything in it is learned evidence: without it the host is as one that has just joined.
 */

import {
  type CborValue,
  concatBytes,
  decodeAs,
  encodeCbor,
  fromHex,
  type LivenessTable,
  MoyaiError,
  PUBLIC_KEY_BYTES,
  HASH_BYTES,
  recallHost,
  s,
  TIME_MAX,
  toHex,
  WEEK_HOURS,
} from '@moyai/protocol'

/** More than a pool can have; 1.6 MB of patterns. */
const HOSTS_MAX = 10_000
/** Four numbers of eight bytes each: known since, seen at, lost at, hours of absence. */
const TIMES = 4
const TIME_BYTES: number = TIMES * 8
const RECORD_BYTES_MAX: number = HOSTS_MAX * 512

const RECORD = s.map({
  v: s.version(1),
  savedAt: s.int({ max: TIME_MAX }),
  watchingSince: s.int({ max: TIME_MAX }),
  hosts: s.bytes({ max: HOSTS_MAX * PUBLIC_KEY_BYTES }),
  patterns: s.bytes({ max: HOSTS_MAX * WEEK_HOURS }),
  times: s.bytes({ max: HOSTS_MAX * TIME_BYTES }),
  lost: s.bytes({ max: HOSTS_MAX }),
  refuted: s.bytes({ max: HOSTS_MAX * (PUBLIC_KEY_BYTES + HASH_BYTES) }),
})

const idColumns = new WeakMap<readonly string[], Uint8Array>()

/** The ids one after the other: the same for as long as the pool has the same hosts. */
function idColumn(hosts: readonly string[]): Uint8Array {
  const column = idColumns.get(hosts) ?? concatBytes(...hosts.map(fromHex))
  idColumns.set(hosts, column)
  return column
}

/** `refuted`: declarations of loss (hex) after which the host (hex) was seen. */
export type LivenessRecord = { savedAt: number; refuted: Map<string, string> }

export function encodeLiveness(
  table: LivenessTable,
  { savedAt, refuted }: LivenessRecord,
): Uint8Array {
  const n = table.hosts.length
  const times = new DataView(new ArrayBuffer(n * TIME_BYTES))
  for (let slot = 0; slot < n; slot++) {
    const at = slot * TIME_BYTES
    times.setFloat64(at, table.knownSince[slot] as number)
    times.setFloat64(at + 8, table.seenAt[slot] as number)
    times.setFloat64(at + 16, table.lostAt[slot] as number)
    times.setFloat64(at + 24, table.absentHours[slot] as number)
  }
  const record: CborValue = {
    v: 1,
    savedAt,
    watchingSince: table.watchingSince,
    hosts: idColumn(table.hosts),
    patterns: table.patterns,
    times: new Uint8Array(times.buffer),
    lost: table.verdict,
    refuted: concatBytes(...[...refuted].flatMap(([host, id]) => [fromHex(host), fromHex(id)])),
  }
  return encodeCbor(record)
}

function time(view: DataView, at: number): number {
  const value = view.getFloat64(at)
  if (value >= 0 && value <= TIME_MAX) return value
  throw new MoyaiError('MALFORMED', 'liveness: a time that is none')
}

/** Takes into `table` what the record has of its hosts; MALFORMED, and then nothing is taken. */
export function decodeLiveness(encoded: Uint8Array, table: LivenessTable): LivenessRecord {
  const limits = { bytesMax: RECORD_BYTES_MAX, itemsMax: 64, what: 'liveness' }
  const record = decodeAs(RECORD, encoded, limits)
  const n = record.lost.length
  const isWhole =
    record.hosts.length === n * PUBLIC_KEY_BYTES &&
    record.patterns.length === n * WEEK_HOURS &&
    record.times.length === n * TIME_BYTES &&
    record.refuted.length % (PUBLIC_KEY_BYTES + HASH_BYTES) === 0
  if (!isWhole) throw new MoyaiError('MALFORMED', 'liveness: columns of different lengths')
  const view = new DataView(record.times.buffer, record.times.byteOffset, record.times.length)
  const memories = Array.from({ length: n }, (_, i) => ({
    host: toHex(record.hosts.subarray(i * PUBLIC_KEY_BYTES, (i + 1) * PUBLIC_KEY_BYTES)),
    pattern: Uint8Array.from(
      { length: WEEK_HOURS },
      (_hour, hour) => record.patterns[hour * n + i] as number,
    ),
    knownSince: time(view, i * TIME_BYTES),
    seenAt: time(view, i * TIME_BYTES + 8),
    lostAt: time(view, i * TIME_BYTES + 16),
    absentHours: time(view, i * TIME_BYTES + 24),
    presumedLost: record.lost[i] === 1,
  }))
  for (const { host, ...memory } of memories) {
    const slot = table.slots.get(host)
    if (slot !== undefined) recallHost(table, slot, memory)
  }
  table.watchingSince = record.watchingSince
  return { savedAt: record.savedAt, refuted: refutedOf(record.refuted) }
}

function refutedOf(bytes: Uint8Array): Map<string, string> {
  const refuted = new Map<string, string>()
  const width = PUBLIC_KEY_BYTES + HASH_BYTES
  for (let at = 0; at < bytes.length; at += width) {
    const host = toHex(bytes.subarray(at, at + PUBLIC_KEY_BYTES))
    refuted.set(host, toHex(bytes.subarray(at + PUBLIC_KEY_BYTES, at + width)))
  }
  return refuted
}
