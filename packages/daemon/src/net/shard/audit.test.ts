/** Audits over the shard protocol: what a holder answers, and what an auditor makes of it. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ed25519Signer, GROUP_BYTES, toHex, type Signer } from '@moyai/protocol'
import { ManualClock } from '../../clock.ts'
import { type Answer, loopClient, type LoopOptions } from '../testing/loop-client.ts'
import { MemoryShards } from '../testing/memory-shards.ts'
import {
  introduce,
  buildHost,
  introduceVault,
  makeStripe,
  pieces,
  POOL,
  TestMembership,
} from '../testing/network.ts'
import type { AuditChallenge, ShardClient } from '../types.ts'
import { eventually } from '../../testing/eventually.ts'
import { shardHandler } from './handler.ts'

const SHARD_LENGTH = 256 * 1024
const AUDITOR = ed25519Signer(new Uint8Array(32).fill(21))
const HOLDER = ed25519Signer(new Uint8Array(32).fill(22))
const stripe = makeStripe(7, { shardLength: SHARD_LENGTH, count: 3 })
const { vault, pack } = stripe.descriptor

function challenge(index: number, group: number): AuditChallenge {
  const root = stripe.descriptor.shardHashes[index] ?? assert.fail()
  return { pack, index, group, root, shardLength: SHARD_LENGTH }
}

async function holder(o: {
  indexes: readonly number[]
  signer?: Signer
  spoil?: LoopOptions['spoil']
  clock?: ManualClock
}): Promise<{ store: MemoryShards; client: ShardClient; as: (asker: Signer) => ShardClient }> {
  const store = new MemoryShards()
  for (const index of o.indexes) {
    const put = await store.put({ envelope: stripe.envelope, index })
    assert.ok(!put.had)
    await put.writer.write(stripe.shards[index] ?? assert.fail())
    await put.writer.commit()
  }
  const signer = o.signer ?? HOLDER
  const clock = o.clock ?? new ManualClock()
  const membership = new TestMembership()
  const handler = shardHandler({ store, signer, clock, membership })
  const host = toHex(HOLDER.publicKey)
  const spoil = o.spoil === undefined ? {} : { spoil: o.spoil }
  const as = (asker: Signer): ShardClient =>
    loopClient({ host, self: asker.publicKey, pool: POOL, handler, ...spoil })
  return { store, client: as(AUDITOR), as }
}

let nonces = 0
async function results(client: ShardClient, challenges: AuditChallenge[]): Promise<string[]> {
  const nonce = new Uint8Array(16).fill(++nonces)
  const answers = await client.audit({ vault, challenges, nonce })
  return answers.map(({ result }) => result)
}

test('goal: what is held is proved, what is not is missing, what is damaged is said to be', async () => {
  const { store, client } = await holder({ indexes: [0, 1] })
  const damaged = [...store.held.values()].find(({ index }) => index === 1) ?? assert.fail()
  const challenges = [challenge(0, 0), challenge(2, 5), challenge(0, 15), challenge(1, 3)]
  assert.deepEqual(await results(client, challenges), ['proved', 'missing', 'proved', 'proved'])
  const right = damaged.bytes
  const bytes = right.slice()
  bytes[3 * GROUP_BYTES] = (bytes[3 * GROUP_BYTES] ?? 0) ^ 1
  damaged.bytes = bytes
  const open = store.open.bind(store)
  // The hashes in the header are those of the right bytes.
  store.open = async (id) => {
    if (id.index !== 1) return open(id)
    damaged.bytes = right
    const reader = await open(id)
    damaged.bytes = bytes
    return { ...reader, read: async (offset, length) => bytes.slice(offset, offset + length) }
  }
  assert.deepEqual(await results(client, challenges), ['proved', 'missing', 'proved', 'damaged'])
  // From now on the whole shard counts as damaged, its good groups too.
  assert.deepEqual(await results(client, [challenge(1, 4)]), ['damaged'])
})

test('goal: a holder of the first group alone, garbage, and half an answer are all wrong', async () => {
  const zero = (answer: Answer): Answer => ({
    ...answer,
    payload: answer.payload.map((bytes, i) => (i === 0 ? bytes : new Uint8Array(bytes.length))),
  })
  const one = await holder({ indexes: [0], spoil: (_request, answer) => zero(answer) })
  assert.deepEqual(await results(one.client, [challenge(0, 0), challenge(0, 9)]), [
    'proved',
    'wrong',
  ])
  const two = await holder({
    indexes: [0],
    spoil: (_request, answer) => ({
      ...answer,
      payload: answer.payload.map((bytes) => bytes.map((byte) => byte ^ 1)),
    }),
  })
  assert.deepEqual(await results(two.client, [challenge(0, 0), challenge(0, 9)]), [
    'wrong',
    'wrong',
  ])
  const three = await holder({
    indexes: [0],
    spoil: (_request, answer) => ({ ...answer, payload: answer.payload.slice(0, 1) }),
  })
  assert.deepEqual(await results(three.client, [challenge(0, 0), challenge(0, 9)]), [
    'proved',
    'wrong',
  ])
})

test('goal: an old answer, and one signed by another or made for another, are wrong', async () => {
  let old: Answer | undefined
  const replaying = await holder({
    indexes: [0],
    spoil: (_request, answer) => {
      old ??= answer
      return old
    },
  })
  assert.deepEqual(await results(replaying.client, [challenge(0, 4)]), ['proved'])
  assert.deepEqual(await results(replaying.client, [challenge(0, 4)]), ['wrong'])
  const lent = await holder({ indexes: [0], signer: ed25519Signer(new Uint8Array(32).fill(23)) })
  assert.deepEqual(await results(lent.client, [challenge(0, 4)]), ['wrong'])
  const honest = await holder({ indexes: [0] })
  // What it answers another asker is worth nothing to this one.
  let other: Answer | undefined
  const eavesdropped = await holder({ indexes: [0], spoil: (_request, answer) => other ?? answer })
  const nonce = new Uint8Array(16).fill(99)
  const spied = await holder({
    indexes: [0],
    spoil: (_request, answer) => {
      other = answer
      return answer
    },
  })
  const stranger = ed25519Signer(new Uint8Array(32).fill(24))
  await spied.as(stranger).audit({ vault, challenges: [challenge(0, 4)], nonce })
  const [answer] = await eavesdropped.client.audit({ vault, challenges: [challenge(0, 4)], nonce })
  assert.equal(answer?.result, 'wrong')
  assert.deepEqual(await results(honest.client, [challenge(0, 4)]), ['proved'])
})

test('goal: a holder tells who lately asked it for exactly the audited group, and forgets', async () => {
  const clock = new ManualClock()
  const { as, client } = await holder({ indexes: [1], clock })
  const thief = ed25519Signer(new Uint8Array(32).fill(25))
  const read = async (asker: Signer, offset: number, length: number): Promise<void> => {
    const root = stripe.descriptor.shardHashes[1] ?? assert.fail()
    const range = { vault, pack, index: 1, offset, length, root, shardLength: SHARD_LENGTH }
    for await (const _ of as(asker).get(range)) continue
  }
  const askers = async (group: number): Promise<string[]> => {
    const nonce = new Uint8Array(16).fill(++nonces)
    const [answer] = await client.audit({ vault, challenges: [challenge(1, group)], nonce })
    return (answer?.askers ?? []).map(({ host }) => host)
  }
  await read(thief, 5 * GROUP_BYTES, GROUP_BYTES)
  await read(AUDITOR, 7 * GROUP_BYTES + 3, 100)
  // A restore or a repair reads more than a group.
  await read(thief, 6 * GROUP_BYTES, 4 * GROUP_BYTES)
  assert.deepEqual(await askers(5), [toHex(thief.publicKey)])
  assert.deepEqual(await askers(7), [toHex(AUDITOR.publicKey)])
  assert.deepEqual(await askers(6), [])
  await clock.advance(601_000)
  assert.deepEqual(await askers(5), [])
})

test('goal: an audit over a real network, of sixteen groups at once', async () => {
  await using auditor = await buildHost(31)
  await using other = await buildHost(32)
  introduceVault(auditor, other)
  await auditor.network.start()
  await other.network.start()
  introduce(auditor, other)
  await eventually('they are connected', () =>
    auditor.network.peers().some((peer) => peer.connected),
  )
  const client = auditor.network.shards(other.id)
  const [bytes = assert.fail()] = stripe.shards
  await client.put({ envelope: stripe.envelope, index: 0, payload: () => pieces(bytes) })
  const all = Array.from({ length: 16 }, (_, group) => challenge(group === 9 ? 1 : 0, group))
  const expected = all.map((_, group) => (group === 9 ? 'missing' : 'proved'))
  assert.deepEqual(await results(client, all), expected)
  assert.deepEqual(await results(client, [challenge(2, 0)]), ['missing'])
  assert.deepEqual(other.violations, [])
})
