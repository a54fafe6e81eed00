/**
 * The asking side of an audit (spec/audit.md §2). Whatever a holder sends becomes a result: only
 * silence, and errors of the lane, are none.
 */

import {
  assert,
  AUDIT_CHALLENGES_MAX,
  auditProof,
  concatBytes,
  equalBytes,
  fromHex,
  GROUP_BYTES,
  isMoyaiError,
  openAuditAnswer,
  type SignedAuditAnswer,
  SliceVerifier,
  toHex,
} from '@moyai/protocol'
import type { Exchange } from '../exchange.ts'
import type { AuditAnswer, AuditChallenge, ShardClient } from '../types.ts'
import { decoded, GIVEN_UP, type ShardClientOptions } from './asking.ts'
import { type AuditResponse, decodeAuditResponse, encodeShardRequest } from './constants.ts'

type AuditOptions = Parameters<ShardClient['audit']>[0]

export async function audit(options: ShardClientOptions, o: AuditOptions): Promise<AuditAnswer[]> {
  const { vault, challenges, nonce } = o
  assert(
    challenges.length > 0 && challenges.length <= AUDIT_CHALLENGES_MAX,
    'a batch of challenges',
  )
  const asked = challenges.map(({ pack, index, group }) => ({ pack, index, group }))
  const body = encodeShardRequest({ op: 'audit', vault, challenges: asked, nonce })
  const signal = o.signal === undefined ? {} : { signal: o.signal }
  const expect = challenges.length * GROUP_BYTES
  const exchange = await options.request({ body, expect, ...signal })
  try {
    const response = await exchange.response()
    const head = decoded(exchange, response.body, decodeAuditResponse)
    const payload = response.more ? await received(exchange) : new Uint8Array(0)
    return judge(options, o, { head, payload })
  } finally {
    exchange.cancel(GIVEN_UP)
  }
}

/** At most what was granted: the groups of all challenges. */
async function received(exchange: Exchange): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for (;;) {
    const parts = await exchange.receive()
    if (parts === undefined) return concatBytes(...pieces)
    for (const part of parts) pieces.push(part.slice())
  }
}

function judge(
  options: ShardClientOptions,
  o: AuditOptions,
  { head, payload }: { head: AuditResponse; payload: Uint8Array },
): AuditAnswer[] {
  const signed = signedAnswer(options, o, head)
  let at = 0
  return o.challenges.map((challenge, i) => {
    const item = signed?.items[i]
    const sent = head.items[i]
    const askers = (sent?.askers ?? []).map(({ host, agoMs }) => ({ host: toHex(host), agoMs }))
    if (item === undefined || sent === undefined) return { result: 'wrong', askers }
    if (item.claim !== 'held') return { result: item.claim, askers }
    const bytes = payload.subarray(at, at + GROUP_BYTES)
    at += GROUP_BYTES
    const isProved =
      item.proof !== undefined &&
      equalBytes(item.proof, auditProof(o.nonce, bytes)) &&
      isGroup(challenge, bytes, sent.proof)
    return { result: isProved ? 'proved' : 'wrong', askers }
  })
}

/** Undefined unless the holder signed an answer to exactly these questions. */
function signedAnswer(
  options: ShardClientOptions,
  o: AuditOptions,
  head: AuditResponse,
): SignedAuditAnswer | undefined {
  let answer: SignedAuditAnswer
  try {
    answer = openAuditAnswer(head.answer)
  } catch (error) {
    if (!isMoyaiError(error)) throw error
    return undefined
  }
  const pool = options.pool()
  const right =
    pool !== undefined &&
    equalBytes(answer.pool, pool) &&
    equalBytes(answer.host, fromHex(options.host)) &&
    equalBytes(answer.auditor, options.self) &&
    equalBytes(answer.vault, o.vault) &&
    equalBytes(answer.nonce, o.nonce) &&
    answer.items.length === o.challenges.length &&
    head.items.length === o.challenges.length &&
    answer.items.every((item, i) => {
      const asked = o.challenges[i]
      const { pack, index, group } = item
      return asked?.index === index && asked.group === group && equalBytes(asked.pack, pack)
    })
  return right ? answer : undefined
}

/** Whether these are the bytes that the owner signed for. */
function isGroup(challenge: AuditChallenge, bytes: Uint8Array, proof: Uint8Array): boolean {
  const { root, shardLength, group } = challenge
  const range = { offset: group * GROUP_BYTES, length: GROUP_BYTES }
  try {
    const verifier = new SliceVerifier({ root, payloadLength: shardLength, ...range, proof })
    verifier.push(bytes)
    verifier.finish()
    return true
  } catch (error) {
    if (!isMoyaiError(error)) throw error
    return false
  }
}
