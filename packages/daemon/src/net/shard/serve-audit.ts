/** The holding side of an audit (spec/audit.md §2). */

import {
  type AuditAnswerItem,
  type AuditClaim,
  auditProof,
  equalBytes,
  fields,
  fromHex,
  GROUP_BYTES,
  groupHashes,
  HASH_BYTES,
  type Clock,
  isMoyaiError,
  MoyaiError,
  signAuditAnswer,
  type Signer,
  sliceProof,
} from '@moyai/protocol'
import type { Exchange } from '../exchange.ts'
import { type AuditResponse, encodeAuditResponse, type ShardRequest } from './constants.ts'
import type { ShardStore } from '../../shard-store/shard-store.ts'
import type { Membership } from '../types.ts'
import type { RecentGets } from './recent-gets.ts'

type AuditRequest = Extract<ShardRequest, { op: 'audit' }>
type Challenge = AuditRequest['challenges'][number]
type Components = {
  store: Pick<ShardStore, 'open' | 'verify' | 'isDamaged'>
  membership: Membership
  signer: Signer
  clock: Clock
  recent: RecentGets
}

/** The bytes of a held group and their slice proof; or why there are none. */
type Found =
  | { claim: 'held'; bytes: Uint8Array; proof: Uint8Array }
  | { claim: Exclude<AuditClaim, 'held'> }

export async function serveAudit(
  components: Components,
  exchange: Exchange,
  request: AuditRequest,
): Promise<void> {
  const { membership, signer, clock, recent } = components
  const { vault, nonce } = request
  const pool = membership.pool()
  if (pool === undefined) throw new MoyaiError('NO_POOL', 'this host is in no pool')
  const payload: Uint8Array[] = []
  const signed: AuditAnswerItem[] = []
  const items: AuditResponse['items'] = []
  // One after the other: an audit is nobody's hurry, and the disk serves others.
  for (const challenge of request.challenges) {
    const found = await findGroup(components, exchange, { vault, ...challenge })
    const isHeld = found.claim === 'held'
    if (isHeld) payload.push(found.bytes)
    const proof = isHeld ? auditProof(nonce, found.bytes) : undefined
    const { pack, index, group } = challenge
    signed.push(fields({ pack, index, group, claim: found.claim, proof }) as AuditAnswerItem)
    const askers = recent.askers({ vault, pack, group })
    items.push({
      proof: isHeld ? found.proof : new Uint8Array(0),
      askers: askers.map(({ host, agoMs }) => ({ host: fromHex(host), agoMs })),
    })
  }
  const answer = signAuditAnswer(
    {
      pool,
      vault,
      host: signer.publicKey,
      auditor: fromHex(exchange.peer),
      nonce,
      at: clock.now(),
      items: signed,
    },
    signer,
  )
  await exchange.respond(encodeAuditResponse({ answer, items }), payload.length > 0)
  if (payload.length === 0) return
  for (const bytes of payload) await exchange.send(bytes)
  await exchange.end()
}

async function findGroup(
  { store }: Components,
  exchange: Exchange,
  o: Challenge & { vault: Uint8Array },
): Promise<Found> {
  const { vault, pack, index, group } = o
  const id = { vault, pack, index }
  if (store.isDamaged(id)) return { claim: 'damaged' }
  try {
    const reader = await store.open(id)
    try {
      const { shardLength } = reader.descriptor
      const range = { offset: group * GROUP_BYTES, length: GROUP_BYTES }
      if (range.offset + range.length > shardLength) {
        throw exchange.violated('a group beyond the shard')
      }
      const bytes = await reader.read(range.offset, range.length)
      const hash = reader.groups.subarray(group * HASH_BYTES, (group + 1) * HASH_BYTES)
      if (equalBytes(groupHashes(bytes, group), hash)) {
        return { claim: 'held', bytes, proof: sliceProof(reader.groups, shardLength, range) }
      }
    } finally {
      await reader.close()
    }
    // The store has to know: whoever audits next, and repair, learn it from there.
    await store.verify(id)
  } catch (error) {
    if (isMoyaiError(error, 'NOT_FOUND')) return { claim: 'missing' }
    // A sector that cannot be read; the store finds out whether it is the whole disk.
    if (isMoyaiError(error, 'DISK')) await store.verify(id).catch(() => undefined)
    if (!isMoyaiError(error, 'SHARD_DAMAGED') && !store.isDamaged(id)) throw error
  }
  return { claim: 'damaged' }
}
