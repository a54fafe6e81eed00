/**
 * The holding side of `/moyai/shard/1` (spec/wire.md §6).
 *
 * A PUT is acknowledged only after the store has committed it: bytes checked against the descriptor's hash, fsynced and
 * renamed. The store enforces retention itself; this handler has no request that deletes.
 */

import {
  alignedRange,
  equalBytes,
  MoyaiError,
  isMoyaiError,
  openStripe,
  signReceipt,
  sliceProof,
  toHex,
  type Clock,
  type Signer,
  type StripeDescriptor,
} from '@moyai/protocol'
import type { Exchange } from '../exchange.ts'
import type { ExchangeHandler } from '../lane.ts'
import { INVENTORY_PAGE_MAX, SHARD_READ_BYTES, STAT_ITEMS_MAX } from '../limits.ts'
import type { Membership } from '../types.ts'
import {
  decodeShardRequest,
  encodeGetResponse,
  encodeInventoryResponse,
  encodePutResponse,
  encodeStatResponse,
  type ShardRequest,
} from './constants.ts'

/** What the handler needs of a shard store (shard-store/). */
export type HeldShards = {
  put(o: { envelope: Uint8Array; index: number }): Promise<{
    write(bytes: Uint8Array): Promise<void>
    commit(): Promise<void>
    abort(): Promise<void>
  }>
  has(vault: Uint8Array, pack: Uint8Array, index: number): Promise<boolean>
  open(
    vault: Uint8Array,
    pack: Uint8Array,
    index: number,
  ): Promise<{
    descriptor: StripeDescriptor
    groups: Uint8Array
    read(offset: number, length: number): Promise<Uint8Array>
    close(): Promise<void>
  }>
  stat(vault: Uint8Array, pack: Uint8Array): Promise<{ index: number; envelope: Uint8Array }[]>
  /** Sorted by pack and index; from the first after `cursor` on. */
  list(
    vault: Uint8Array,
    cursor?: Uint8Array,
  ): AsyncIterable<{ pack: Uint8Array; index: number; length: number; cursor: Uint8Array }>
}

export type ShardHandlerComponents = {
  store: HeldShards
  /** The host key: it signs receipts. */
  signer: Signer
  membership: Membership
  clock: Clock
}

type RequestOf<Op extends ShardRequest['op']> = Extract<ShardRequest, { op: Op }>

/** Serves the shard protocol from a store. */
export function shardHandler(components: ShardHandlerComponents): ExchangeHandler {
  return async (exchange) => {
    const request = requestOf(exchange)
    switch (request.op) {
      case 'put':
        return servePut(components, exchange, request)
      case 'get':
        return serveGet(components, exchange, request)
      case 'stat':
        return serveStat(components, exchange, request)
      case 'inventory':
        return serveInventory(components, exchange, request)
    }
  }
}

function requestOf(exchange: Exchange): ShardRequest {
  let request: ShardRequest
  try {
    request = decodeShardRequest(exchange.body)
  } catch (error) {
    if (!isMoyaiError(error)) throw error
    throw exchange.violated(error.message, error)
  }
  if (exchange.more !== (request.op === 'put')) {
    throw exchange.violated(`${request.op} ${exchange.more ? 'with' : 'without'} payload`)
  }
  return request
}

// ---- put ---------------------------------------------------------------------------------------------------------

async function servePut(
  components: ShardHandlerComponents,
  exchange: Exchange,
  request: RequestOf<'put'>,
): Promise<void> {
  const stripe = openStripe(request.envelope)
  const { index } = request
  const hash = stripe.shardHashes[index]
  if (hash === undefined) throw exchange.violated('the stripe has no such shard')
  if (!components.membership.isVault(toHex(stripe.vault))) {
    throw new MoyaiError('NOT_A_MEMBER', 'the vault does not belong to a host of this pool')
  }
  if (await alreadyHeld(components, stripe, index, hash)) {
    const receipt = receiptFor(components, stripe, index, hash)
    return exchange.respond(encodePutResponse({ receipt, had: true }))
  }
  await receiveShard(components, exchange, request, stripe.shardLength)
  const receipt = receiptFor(components, stripe, index, hash)
  return exchange.respond(encodePutResponse({ receipt, had: false }))
}

/** True when the very same shard is here, protected as long; HOST_REFUSED when its place is taken by another. */
async function alreadyHeld(
  components: ShardHandlerComponents,
  stripe: StripeDescriptor,
  index: number,
  hash: Uint8Array,
): Promise<boolean> {
  const { store } = components
  if (!(await store.has(stripe.vault, stripe.pack, index))) return false
  const held = (await store.stat(stripe.vault, stripe.pack)).find((item) => item.index === index)
  if (held === undefined) return false
  const other = openStripe(held.envelope)
  if (!equalBytes(other.shardHashes[index] ?? new Uint8Array(0), hash)) {
    throw new MoyaiError('HOST_REFUSED', 'another stripe of this pack is held here')
  }
  if (other.protectedUntil < stripe.protectedUntil) {
    throw new MoyaiError('HOST_REFUSED', 'this shard is held here with a shorter protection')
  }
  return true
}

async function receiveShard(
  components: ShardHandlerComponents,
  exchange: Exchange,
  request: RequestOf<'put'>,
  shardLength: number,
): Promise<void> {
  const writer = await components.store.put({ envelope: request.envelope, index: request.index })
  try {
    let received = 0
    exchange.expect(shardLength)
    for (;;) {
      const parts = await exchange.receive()
      if (parts === undefined) break
      for (const part of parts) {
        received += part.length
        await writer.write(part)
      }
    }
    if (received !== shardLength) {
      throw new MoyaiError('TRUNCATED', `${received} of ${shardLength} bytes of the shard came`)
    }
    await writer.commit()
  } catch (error) {
    await writer.abort()
    throw error
  }
}

function receiptFor(
  components: ShardHandlerComponents,
  stripe: StripeDescriptor,
  index: number,
  shardHash: Uint8Array,
): Uint8Array {
  const { signer, membership, clock } = components
  const pool = membership.pool()
  if (pool === undefined) throw new MoyaiError('NO_POOL', 'this host is in no pool')
  const { vault, pack, protectedUntil } = stripe
  const storedAt = clock.now()
  const host = signer.publicKey
  return signReceipt(
    { pool, vault, pack, index, shardHash, host, storedAt, protectedUntil },
    signer,
  )
}

// ---- get, stat, inventory ----------------------------------------------------------------------------------------

async function serveGet(
  components: ShardHandlerComponents,
  exchange: Exchange,
  request: RequestOf<'get'>,
): Promise<void> {
  const { vault, pack, index, offset, length } = request
  const reader = await components.store.open(vault, pack, index)
  try {
    const { shardLength } = reader.descriptor
    if (offset + length > shardLength) throw exchange.violated('a range beyond the shard')
    const proof = sliceProof(reader.groups, shardLength, { offset, length })
    await exchange.respond(encodeGetResponse({ length: shardLength, proof }), true)
    const cover = alignedRange({ offset, length }, shardLength)
    const end = cover.offset + cover.length
    for (let at = cover.offset; at < end; at += SHARD_READ_BYTES) {
      await exchange.send(await reader.read(at, Math.min(SHARD_READ_BYTES, end - at)))
    }
    await exchange.end()
  } finally {
    await reader.close()
  }
}

async function serveStat(
  components: ShardHandlerComponents,
  exchange: Exchange,
  request: RequestOf<'stat'>,
): Promise<void> {
  const found = await components.store.stat(request.vault, request.pack)
  const items = found.slice(0, STAT_ITEMS_MAX).map(({ index, envelope }) => ({ index, envelope }))
  return exchange.respond(encodeStatResponse({ items }))
}

async function serveInventory(
  components: ShardHandlerComponents,
  exchange: Exchange,
  request: RequestOf<'inventory'>,
): Promise<void> {
  const items: { pack: Uint8Array; index: number; length: number }[] = []
  let last: Uint8Array | undefined
  let next: Uint8Array | undefined
  for await (const { pack, index, length, cursor } of components.store.list(
    request.vault,
    request.cursor,
  )) {
    if (items.length === INVENTORY_PAGE_MAX) {
      next = last
      break
    }
    items.push({ pack, index, length })
    last = cursor
  }
  const response = next === undefined ? { items } : { items, next }
  return exchange.respond(encodeInventoryResponse(response))
}
