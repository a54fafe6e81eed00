/**
 * The asking side of `/moyai/shard/1` (spec/wire.md §6): nothing that a holder answers is believed
 * without its check.
 */

import {
  alignedRange,
  assert,
  equalBytes,
  fromHex,
  MoyaiError,
  openReceipt,
  openStripe,
  SliceVerifier,
  type StripeDescriptor,
} from '@moyai/protocol'
import { COMMIT_IDLE_MS } from '../limits.ts'
import type { ShardClient } from '../types.ts'
import { audit } from './audit-client.ts'
import { decoded, GIVEN_UP, type ShardClientOptions } from './asking.ts'
import {
  decodeDigestsResponse,
  decodeGetResponse,
  decodeInventoryResponse,
  decodePutResponse,
  decodeStatResponse,
  encodeShardRequest,
  type PutResponse,
  type ShardRequest,
} from './constants.ts'

type PutOptions = Parameters<ShardClient['put']>[0]
type GetOptions = Parameters<ShardClient['get']>[0]

/** The shard protocol towards one holder. */
export function shardClient(options: ShardClientOptions): ShardClient {
  return {
    put: (o) => put(options, o),
    get: (o) => get(options, o),
    stat: async (o) => {
      const request = { op: 'stat', vault: o.vault, pack: o.pack } as const
      const response = await ask(options, request, decodeStatResponse, o.signal)
      return response.items
    },
    inventory: async (o) => {
      const cursor = o.cursor === undefined ? {} : { cursor: o.cursor }
      const bucket = o.bucket === undefined ? {} : { bucket: o.bucket }
      const request = { op: 'inventory', vault: o.vault, ...cursor, ...bucket } as const
      return ask(options, request, decodeInventoryResponse, o.signal)
    },
    digests: async (o) => {
      const request = { op: 'digests', vault: o.vault } as const
      return (await ask(options, request, decodeDigestsResponse, o.signal)).digests
    },
    audit: (o) => audit(options, o),
  }
}

async function ask<T>(
  options: ShardClientOptions,
  request: ShardRequest,
  decode: (bytes: Uint8Array) => T,
  signal: AbortSignal | undefined,
): Promise<T> {
  const body = encodeShardRequest(request)
  const exchange = await options.request(signal === undefined ? { body } : { body, signal })
  try {
    const response = await exchange.response()
    if (response.more) throw exchange.violated('payload after a response that has none')
    return decoded(exchange, response.body, decode)
  } finally {
    exchange.cancel(GIVEN_UP)
  }
}

async function put(options: ShardClientOptions, o: PutOptions): Promise<PutResponse> {
  const body = encodeShardRequest({ op: 'put', envelope: o.envelope, index: o.index })
  const signal = o.signal === undefined ? {} : { signal: o.signal }
  const exchange = await options.request({ body, more: true, idleMs: COMMIT_IDLE_MS, ...signal })
  try {
    // Payload is opened only for a holder that wants it.
    if (await exchange.wanted()) {
      const payload = typeof o.payload === 'function' ? o.payload() : o.payload
      for await (const chunk of payload) if (!(await exchange.send(chunk))) break
      await exchange.end()
    }
    const response = await exchange.response()
    if (response.more) throw exchange.violated('payload after a response that has none')
    const answer = decoded(exchange, response.body, decodePutResponse)
    checkReceipt(options, o, answer.receipt)
    return answer
  } finally {
    exchange.cancel(GIVEN_UP)
  }
}

/**
 * What envelopes say that were opened before: all shards of a stripe are sent with the same one.
 */
const opened = new WeakMap<Uint8Array, StripeDescriptor>()

function stripeOf(envelope: Uint8Array): StripeDescriptor {
  const known = opened.get(envelope) ?? openStripe(envelope)
  opened.set(envelope, known)
  return known
}

/** HOST_REFUSED unless the receipt is the holder's own and says what was asked. */
function checkReceipt(options: ShardClientOptions, o: PutOptions, envelope: Uint8Array): void {
  const stripe = stripeOf(o.envelope)
  const receipt = openReceipt(envelope)
  const pool = options.pool()
  const hash = stripe.shardHashes[o.index]
  assert(hash !== undefined, 'the index is one of the stripe')
  const right =
    pool !== undefined &&
    equalBytes(receipt.pool, pool) &&
    equalBytes(receipt.host, fromHex(options.host)) &&
    equalBytes(receipt.vault, stripe.vault) &&
    equalBytes(receipt.pack, stripe.pack) &&
    equalBytes(receipt.shardHash, hash) &&
    receipt.index === o.index &&
    receipt.protectedUntil >= stripe.protectedUntil
  if (!right) throw new MoyaiError('HOST_REFUSED', 'the receipt is for something else')
}

async function* get(options: ShardClientOptions, o: GetOptions): AsyncGenerator<Uint8Array> {
  const { vault, pack, index, offset, length, root, shardLength } = o
  assert(length > 0 && offset >= 0 && offset + length <= shardLength, 'a range of the shard')
  const body = encodeShardRequest({ op: 'get', vault, pack, index, offset, length })
  const cover = alignedRange({ offset, length }, shardLength)
  const signal = o.signal === undefined ? {} : { signal: o.signal }
  const exchange = await options.request({ body, expect: cover.length, ...signal })
  try {
    const response = await exchange.response()
    if (!response.more) throw exchange.violated('a response to GET without payload')
    const head = decoded(exchange, response.body, decodeGetResponse)
    if (head.length !== shardLength) {
      throw new MoyaiError('HASH_MISMATCH', 'the holder has a shard of another length')
    }
    const { proof } = head
    const verifier = new SliceVerifier({ root, payloadLength: shardLength, offset, length, proof })
    for (;;) {
      const parts = await exchange.receive()
      if (parts === undefined) break
      for (const part of parts) yield* verifier.push(part)
    }
    verifier.finish()
  } finally {
    exchange.cancel(GIVEN_UP)
  }
}
