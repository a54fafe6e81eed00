/**
 * The holding side of `/moyai/shard/1` (spec/wire.md §6).
 *
 * A PUT is acknowledged only after the store has committed it: bytes checked against the
 * descriptor's hash, fsynced and renamed. The store enforces retention itself; this handler has no
 * request that deletes.
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
import type { ShardStore, ShardWriter, VaultQuota } from '../../shard-store/shard-store.ts'
import type { Exchange } from '../exchange.ts'
import type { ExchangeHandler } from '../lane.ts'
import { INVENTORY_PAGE_MAX, SHARD_READ_BYTES, STAT_ITEMS_MAX } from '../limits.ts'
import type { Membership } from '../types.ts'
import { serveAudit } from './serve-audit.ts'
import { RecentGets } from './recent-gets.ts'
import {
  decodeShardRequest,
  encodeDigestsResponse,
  encodeGetResponse,
  encodeInventoryResponse,
  encodePutResponse,
  encodeStatResponse,
  type ShardRequest,
} from './constants.ts'

/** What the handler needs of the shard store. */
export type HeldShards = Pick<
  ShardStore,
  'put' | 'open' | 'list' | 'stat' | 'digests' | 'verify' | 'isDamaged'
>

export type ShardHandlerComponents = {
  store: HeldShards
  /** The host key: it signs receipts. */
  signer: Signer
  membership: Membership
  clock: Clock
  /** What the vault (hex) may take here; undefined for as much as there is room. */
  quotaOf?: ((vault: string) => VaultQuota | undefined) | undefined
}

type RequestOf<Op extends ShardRequest['op']> = Extract<ShardRequest, { op: Op }>

/** Serves the shard protocol from a store. */
export function shardHandler(components: ShardHandlerComponents): ExchangeHandler {
  const recent = new RecentGets(components.clock)
  return async (exchange) => {
    const request = requestOf(exchange)
    switch (request.op) {
      case 'put':
        return servePut(components, exchange, request)
      case 'get':
        recent.note(exchange.peer, request)
        return serveGet(components, exchange, request)
      case 'stat':
        return serveStat(components, exchange, request)
      case 'inventory':
        return serveInventory(components, exchange, request)
      case 'digests': {
        const digests = await components.store.digests(request.vault)
        return exchange.respond(encodeDigestsResponse({ digests }))
      }
      case 'audit':
        return serveAudit({ ...components, recent }, exchange, request)
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

// ---- put ----------------------------------------------------------------------------------------

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
  const pool = components.membership.pool()
  if (pool === undefined) throw new MoyaiError('NO_POOL', 'this host is in no pool')
  const { envelope } = request
  const quota = components.quotaOf?.(toHex(stripe.vault))
  const begun = await components.store.put({ envelope, index, descriptor: stripe, quota })
  if (begun.had) checkHeld(begun.descriptor, stripe, index)
  else await receiveShard(exchange, begun.writer, stripe.shardLength)
  const { signer, clock } = components
  const { vault, pack, protectedUntil } = stripe
  const about = { pool, vault, pack, index, shardHash: hash, protectedUntil }
  const storedAt = clock.now()
  const receipt = signReceipt({ ...about, host: signer.publicKey, storedAt }, signer)
  return exchange.respond(encodePutResponse({ receipt, had: begun.had }))
}

/** HOST_REFUSED unless what is held is the very same shard, protected as long. */
function checkHeld(held: StripeDescriptor, asked: StripeDescriptor, index: number): void {
  const [a, b] = [held.shardHashes[index], asked.shardHashes[index]]
  if (a === undefined || b === undefined || !equalBytes(a, b)) {
    throw new MoyaiError('HOST_REFUSED', 'another stripe of this pack is held here')
  }
  if (held.protectedUntil < asked.protectedUntil) {
    throw new MoyaiError('HOST_REFUSED', 'this shard is held here with a shorter protection')
  }
}

async function receiveShard(
  exchange: Exchange,
  writer: ShardWriter,
  shardLength: number,
): Promise<void> {
  try {
    exchange.expect(shardLength)
    for (;;) {
      const parts = await exchange.receive()
      if (parts === undefined) break
      await writer.write(parts)
    }
    // The writer knows the length and the hash: a payload that ended early is TRUNCATED.
    await writer.commit()
  } finally {
    await writer.abort()
  }
}

// ---- get, stat, inventory -----------------------------------------------------------------------

async function serveGet(
  components: ShardHandlerComponents,
  exchange: Exchange,
  request: RequestOf<'get'>,
): Promise<void> {
  const { vault, pack, index, offset, length } = request
  const reader = await components.store.open({ vault, pack, index })
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
  const found = await components.store.stat({ vault: request.vault, pack: request.pack })
  const items = found.slice(0, STAT_ITEMS_MAX).map(({ index, envelope }) => ({ index, envelope }))
  return exchange.respond(encodeStatResponse({ items }))
}

async function serveInventory(
  components: ShardHandlerComponents,
  exchange: Exchange,
  request: RequestOf<'inventory'>,
): Promise<void> {
  const { vault, cursor, bucket } = request
  const page = await components.store.list({
    vault,
    limit: INVENTORY_PAGE_MAX,
    ...(bucket === undefined ? {} : { bucket }),
    ...(cursor === undefined ? {} : { cursor }),
  })
  const items = page.items.map(({ pack, index, length }) => ({ pack, index, length }))
  const next = page.next === undefined ? {} : { next: page.next }
  return exchange.respond(encodeInventoryResponse({ items, ...next }))
}
