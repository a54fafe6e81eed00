/** Bandwidth limits over real connections: sending and receiving wait, and go on when they may. */

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { blake3 } from '@moyai/protocol'

import { RateLimit } from '../bandwidth/rate-limit.ts'
import { systemClock } from '../clock.ts'
import { eventually } from '../testing/eventually.ts'
import {
  buildHost,
  introduce,
  introduceVault,
  makeStripe,
  pieces,
  vault,
} from './testing/network.ts'

const SLOW = 64_000
const FAST = 2_000_000

for (const direction of ['upload', 'download'] as const) {
  test(`goal: a limit of the ${direction} holds transfers back, until it is lifted`, async () => {
    const rates = {
      upload: new RateLimit(systemClock),
      download: new RateLimit(systemClock),
    }
    const limit = rates[direction]
    await using a = await buildHost(1, { rates })
    await using b = await buildHost(2)
    await a.network.start()
    await b.network.start()
    introduce(a, b)
    introduceVault(a, b)
    await eventually('they are connected', () => a.network.peers().some((peer) => peer.connected))
    const stripe = makeStripe(3)
    const shard = stripe.shards[0] as Uint8Array
    const client = a.network.shards(b.id)
    const put = (): Promise<unknown> =>
      client.put({ envelope: stripe.envelope, index: 0, payload: () => pieces(shard) })
    const get = async (): Promise<void> => {
      const root = blake3(shard)
      const { pack } = stripe.descriptor
      const range = { offset: 0, length: shard.length, shardLength: shard.length }
      const parts: Uint8Array[] = []
      for await (const part of client.get({
        vault: vault.publicKey,
        pack,
        index: 0,
        root,
        ...range,
      }))
        parts.push(part.slice())
      assert.deepEqual(Buffer.concat(parts), Buffer.from(shard))
    }
    if (direction === 'download') await put()
    limit.set(SLOW)
    let isDone = false
    const began = performance.now()
    const moved = (direction === 'upload' ? put() : get()).then(() => (isDone = true))
    await eventually('bytes are held back', () => limit.isHolding)
    // a MiB needs 16 s at this rate: whatever the machine does, it cannot be through
    if (performance.now() - began < 5000) assert.equal(isDone, false)
    limit.set(FAST)
    await moved
    assert.ok(performance.now() - began >= (1000 * (shard.length - SLOW * 5)) / FAST)
    limit.set(undefined)
    await get()
  })
}
