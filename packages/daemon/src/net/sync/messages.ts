/**
 * The messages of `/moyai/sync/1` (spec/sync.md §2): one request, one response, both canonical
 * CBOR. What they carry are envelopes, each of which is checked by its own signature; nothing in a
 * message is believed because of who sent it.
 */

import {
  decodeAs,
  encodeCbor,
  HASH_BYTES,
  LOG_SEQ_MAX,
  PUBLIC_KEY_BYTES,
  s,
  SIGNATURE_BYTES,
  type Infer,
  type Schema,
} from '@moyai/protocol'

import {
  SYNC_BYTES_MAX,
  SYNC_HOSTS_MAX,
  SYNC_IDS_MAX,
  SYNC_PAGE_BYTES_MAX,
  SYNC_PAGE_ITEMS_MAX,
} from './constants.ts'

const id = s.bytes({ length: HASH_BYTES })
const key = s.bytes({ length: PUBLIC_KEY_BYTES })
const envelope = s.bytes({ min: SIGNATURE_BYTES + 1, max: SYNC_PAGE_BYTES_MAX })
const envelopes = s.array(envelope, { max: SYNC_PAGE_ITEMS_MAX })
const ids = s.array(id, { max: SYNC_IDS_MAX })
const hosts = s.array(key, { max: SYNC_HOSTS_MAX })
const seq = s.int({ max: LOG_SEQ_MAX })
const v = s.version(1)

const REQUEST = s.variant('kind', {
  summary: s.map({ v, kind: s.literal('summary') }),
  'statement-ids': s.map({ v, kind: s.literal('statement-ids') }),
  statements: s.map({ v, kind: s.literal('statements'), ids }),
  addresses: s.map({ v, kind: s.literal('addresses'), hosts }),
  entries: s.map({ v, kind: s.literal('entries'), vault: key, from: seq }),
  append: s.map({
    v,
    kind: s.literal('append'),
    vault: key,
    seq,
    id,
    envelope: s.optional(envelope),
  }),
  changed: s.map({ v, kind: s.literal('changed'), address: s.optional(envelope) }),
  leaving: s.map({ v, kind: s.literal('leaving'), hosts }),
})

/** What a host can be asked. */
export type SyncRequest = Infer<typeof REQUEST>

const RESPONSES = {
  /**
   * What the host has; `statements` is the hash of its sorted statement ids, `now` its clock in ms.
   */
  summary: s.map({
    v,
    pool: id,
    now: s.int(),
    statements: id,
    addresses: s.array(s.map({ host: key, seq: s.int() }), { max: SYNC_HOSTS_MAX }),
    heads: s.array(s.map({ vault: key, seq, id }), { max: SYNC_HOSTS_MAX }),
  }),
  /** All, sorted. */
  'statement-ids': s.map({ v, ids }),
  /** As many of those asked for as fit, in the order asked; none that the host does not have. */
  statements: s.map({ v, envelopes }),
  addresses: s.map({ v, envelopes }),
  /** Consecutive entries from `from` on; none when there are none. */
  entries: s.map({ v, envelopes }),
  /**
   * A log receipt for the entry named, or why there is none. `head` is where the host's log of the
   * vault ends.
   */
  append: s.map({
    v,
    receipt: s.optional(envelope),
    head: s.optional(s.map({ seq, id })),
    refused: s.optional(s.text({ min: 1, max: 40 })),
  }),
  changed: s.map({ v }),
  /** Shards of the answering host's own vault that are at those of `hosts` where it has any. */
  leaving: s.map({
    v,
    remaining: s.array(s.map({ host: key, shards: s.int(), bytes: s.int(), stuck: s.int() }), {
      max: SYNC_HOSTS_MAX,
    }),
  }),
}

export type SyncKind = SyncRequest['kind']
export type SyncResponses = { [K in SyncKind]: Omit<Infer<(typeof RESPONSES)[K]>, 'v'> }
export type Summary = SyncResponses['summary']
export type AppendResponse = SyncResponses['append']

/** The most items: all statement ids, or 1024 × 12 in a summary. */
const LIMITS = { bytesMax: SYNC_BYTES_MAX, itemsMax: SYNC_IDS_MAX + 64 }

/** A request without its version, as code writes it. */
export type SyncAsk = SyncRequest extends infer R
  ? R extends { v: 1 }
    ? Omit<R, 'v'>
    : never
  : never

export function encodeSyncRequest(request: SyncAsk): Uint8Array {
  return encodeCbor({ v: 1, ...request })
}

/** MALFORMED, TOO_LARGE, UNKNOWN_VERSION. */
export function decodeSyncRequest(bytes: Uint8Array): SyncRequest {
  return decodeAs(REQUEST, bytes, { ...LIMITS, what: 'sync request' })
}

export function encodeSyncResponse<K extends SyncKind>(
  _kind: K,
  response: SyncResponses[K],
): Uint8Array {
  return encodeCbor({ v: 1, ...response })
}

/** The answer to a request of that kind; MALFORMED, TOO_LARGE, UNKNOWN_VERSION. */
export function decodeSyncResponse<K extends SyncKind>(
  kind: K,
  bytes: Uint8Array,
): SyncResponses[K] {
  const schema = RESPONSES[kind] as unknown as Schema<SyncResponses[K]>
  return decodeAs(schema, bytes, { ...LIMITS, what: `sync ${kind}` })
}

/** As many of `envelopes`, from the first on, as one message may carry. */
export function firstPage(all: readonly Uint8Array[]): Uint8Array[] {
  const page: Uint8Array[] = []
  let bytes = 0
  for (const one of all) {
    bytes += one.length + 5
    if (bytes > SYNC_PAGE_BYTES_MAX || page.length >= SYNC_PAGE_ITEMS_MAX) break
    page.push(one)
  }
  return page
}
