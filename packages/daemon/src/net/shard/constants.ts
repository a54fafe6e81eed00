/** `/moyai/shard/1`: put, get, stat, inventory and audit of shards (spec/wire.md §6). */

import {
  AUDIT_ANSWER_BYTES_MAX,
  AUDIT_CHALLENGES_MAX,
  AUDIT_NONCE_BYTES,
  CODE_K_MAX,
  CODE_M_MAX,
  decodeAs,
  encodeCbor,
  fields,
  GROUP_BYTES,
  HASH_BYTES,
  PUBLIC_KEY_BYTES,
  RECEIPT_ENVELOPE_BYTES_MAX,
  s,
  SHARD_HEADER_BYTES_MAX,
  SHARD_LENGTH_MAX,
  SIGNATURE_BYTES,
  STRIPE_ENVELOPE_BYTES_MAX,
  type Infer,
} from '@moyai/protocol'
import { DIGEST_BUCKETS, DIGESTS_BYTES } from '../../shard-store/digests.ts'
import {
  AUDIT_ASKERS_MAX,
  AUDIT_PROOF_BYTES_MAX,
  CURSOR_BYTES_MAX,
  INVENTORY_PAGE_MAX,
  SHARD_REQUEST_BYTES_MAX,
  SHARD_RESPONSE_BYTES_MAX,
  STAT_ITEMS_MAX,
} from '../limits.ts'

export const SHARD_PROTOCOL = '/moyai/shard/1'

const SHARD_FILE_BYTES_MAX: number = SHARD_HEADER_BYTES_MAX + SHARD_LENGTH_MAX

const vault = s.bytes({ length: PUBLIC_KEY_BYTES })
const pack = s.bytes({ length: HASH_BYTES })
const index = s.int({ max: CODE_K_MAX + CODE_M_MAX - 1 })
const group = s.int({ max: SHARD_LENGTH_MAX / GROUP_BYTES - 1 })
const envelope = s.bytes({ min: SIGNATURE_BYTES + 1, max: STRIPE_ENVELOPE_BYTES_MAX })
const cursor = s.bytes({ min: 1, max: CURSOR_BYTES_MAX })

const REQUEST = s.variant('op', {
  put: s.map({ op: s.literal('put'), envelope, index }),
  get: s.map({
    op: s.literal('get'),
    vault,
    pack,
    index,
    offset: s.int({ max: SHARD_LENGTH_MAX - 1 }),
    length: s.int({ min: 1, max: SHARD_LENGTH_MAX }),
  }),
  stat: s.map({ op: s.literal('stat'), vault, pack }),
  inventory: s.map({
    op: s.literal('inventory'),
    vault,
    cursor: s.optional(cursor),
    bucket: s.optional(s.int({ max: DIGEST_BUCKETS - 1 })),
  }),
  digests: s.map({ op: s.literal('digests'), vault }),
  audit: s.map({
    op: s.literal('audit'),
    vault,
    challenges: s.array(s.map({ pack, index, group }), { min: 1, max: AUDIT_CHALLENGES_MAX }),
    nonce: s.bytes({ length: AUDIT_NONCE_BYTES }),
  }),
})

/** Body of a REQUEST. */
export type ShardRequest = Infer<typeof REQUEST>

const receipt = s.bytes({ min: SIGNATURE_BYTES + 1, max: RECEIPT_ENVELOPE_BYTES_MAX })
const PUT_RESPONSE = s.map({ receipt, had: s.bool() })
const GET_RESPONSE = s.map({
  length: s.int({ min: 1, max: SHARD_LENGTH_MAX }),
  proof: s.bytes({ max: SHARD_RESPONSE_BYTES_MAX }),
})
const STAT_RESPONSE = s.map({
  items: s.array(s.map({ index, envelope }), { max: STAT_ITEMS_MAX }),
})
const DIGESTS_RESPONSE = s.map({ digests: s.bytes({ length: DIGESTS_BYTES }) })
const INVENTORY_RESPONSE = s.map({
  items: s.array(s.map({ pack, index, length: s.int({ max: SHARD_FILE_BYTES_MAX }) }), {
    max: INVENTORY_PAGE_MAX,
  }),
  next: s.optional(cursor),
})

const AUDIT_RESPONSE = s.map({
  answer: s.bytes({ min: SIGNATURE_BYTES + 1, max: AUDIT_ANSWER_BYTES_MAX }),
  items: s.array(
    s.map({
      proof: s.bytes({ max: AUDIT_PROOF_BYTES_MAX }),
      askers: s.array(s.map({ host: s.bytes({ length: PUBLIC_KEY_BYTES }), agoMs: s.int() }), {
        max: AUDIT_ASKERS_MAX,
      }),
    }),
    { min: 1, max: AUDIT_CHALLENGES_MAX },
  ),
})

/** `had`: the holder had the shard and took no payload. */
export type PutResponse = Infer<typeof PUT_RESPONSE>
/** `length`: of the whole shard; `proof`: of the asked range (bao slice proof). */
export type GetResponse = Infer<typeof GET_RESPONSE>
export type DigestsResponse = Infer<typeof DIGESTS_RESPONSE>
export type StatResponse = Infer<typeof STAT_RESPONSE>
export type InventoryResponse = Infer<typeof INVENTORY_RESPONSE>
/**
 * `answer`: the holder's signed word (spec/audit.md); `items` in the order of the challenges, with
 * the slice proof of what is held (else empty) and the hosts that asked for the same lately.
 */
export type AuditResponse = Infer<typeof AUDIT_RESPONSE>

/** Items of a full inventory page, each with its map, keys and values, and room to spare. */
const RESPONSE_ITEMS_MAX: number = INVENTORY_PAGE_MAX * 8 + 64

export function encodeShardRequest(request: ShardRequest): Uint8Array {
  return encodeCbor(fields(request))
}

/** A peer's request; MALFORMED or TOO_LARGE. */
export function decodeShardRequest(bytes: Uint8Array): ShardRequest {
  const limits = { bytesMax: SHARD_REQUEST_BYTES_MAX, itemsMax: 192, what: 'shard request' }
  return decodeAs(REQUEST, bytes, limits)
}

export function encodePutResponse(response: PutResponse): Uint8Array {
  return encodeCbor(response)
}

export function encodeGetResponse(response: GetResponse): Uint8Array {
  return encodeCbor(response)
}

export function encodeStatResponse(response: StatResponse): Uint8Array {
  return encodeCbor(response)
}

export function encodeDigestsResponse(response: DigestsResponse): Uint8Array {
  return encodeCbor(response)
}

export function encodeInventoryResponse(response: InventoryResponse): Uint8Array {
  return encodeCbor(fields(response))
}

export function encodeAuditResponse(response: AuditResponse): Uint8Array {
  return encodeCbor(response)
}

const LIMITS = { bytesMax: SHARD_RESPONSE_BYTES_MAX, itemsMax: RESPONSE_ITEMS_MAX }

/** A holder's responses; MALFORMED or TOO_LARGE. */
export function decodePutResponse(bytes: Uint8Array): PutResponse {
  return decodeAs(PUT_RESPONSE, bytes, { ...LIMITS, what: 'put response' })
}

export function decodeGetResponse(bytes: Uint8Array): GetResponse {
  return decodeAs(GET_RESPONSE, bytes, { ...LIMITS, what: 'get response' })
}

export function decodeStatResponse(bytes: Uint8Array): StatResponse {
  return decodeAs(STAT_RESPONSE, bytes, { ...LIMITS, what: 'stat response' })
}

export function decodeDigestsResponse(bytes: Uint8Array): DigestsResponse {
  return decodeAs(DIGESTS_RESPONSE, bytes, { ...LIMITS, what: 'digests response' })
}

export function decodeInventoryResponse(bytes: Uint8Array): InventoryResponse {
  return decodeAs(INVENTORY_RESPONSE, bytes, { ...LIMITS, what: 'inventory response' })
}

export function decodeAuditResponse(bytes: Uint8Array): AuditResponse {
  return decodeAs(AUDIT_RESPONSE, bytes, { ...LIMITS, what: 'audit response' })
}
