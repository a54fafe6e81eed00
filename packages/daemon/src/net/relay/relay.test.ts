/** Circuits through a host of the pool: who gets one, what it keeps in memory, how it ends. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { toHex } from '@moyai/protocol'
import * as fc from 'fast-check'
import { eventually } from '../../testing/eventually.ts'
import { peerIdOfHex } from '../identity.ts'
import type { PeerState } from '../types.ts'
import { buildHost, introduceVault, makeStripe, pieces, vault } from '../testing/network.ts'
import type { TestHost } from '../testing/network.ts'
import { decodeHop, decodeStop, encodeHopStatus, encodeStopConnect, STATUS } from './messages.ts'

const MIB = 1024 * 1024
const SYNC = '/moyai/sync/1'

function stateOf(host: TestHost, other: TestHost): PeerState | undefined {
  return host.network.peers().find((peer) => peer.host === other.id)
}

function viaOf(host: TestHost, other: TestHost): string | undefined {
  const state = stateOf(host, other)
  return state?.connected === true ? state.link?.via : undefined
}

/** Three members; the outer two know only the address of the one in the middle. */
async function startThree(): Promise<{
  left: TestHost
  middle: TestHost
  right: TestHost
  [Symbol.asyncDispose](): Promise<void>
}> {
  const hosts = await Promise.all([1, 2, 3].map((seed) => buildHost(seed)))
  const [left, middle, right] = hosts as [TestHost, TestHost, TestHost]
  for (const host of hosts) {
    host.network.registerProtocol(SYNC, async ({ bytes }) => bytes.toReversed())
    await host.network.start()
  }
  introduceVault(...hosts)
  for (const host of hosts) {
    for (const other of hosts) {
      host.membership.hosts.set(other.id, other === middle ? middle.network.addresses() : [])
    }
    host.network.membershipChanged()
  }
  return {
    left,
    middle,
    right,
    [Symbol.asyncDispose]: async () => {
      for (const host of hosts) await host[Symbol.asyncDispose]()
    },
  }
}

setFlagsFromString('--expose-gc')
/** What is measured is what is held, not what nobody has collected yet. */
const collectGarbage = runInNewContext('gc') as () => void

test('goal: two hosts that do not reach one another exchange shards and messages through a third', async () => {
  await using pool = await startThree()
  const { left, middle, right } = pool
  await eventually('both are relayed', () => viaOf(left, right) === 'relayed')
  await eventually('the other side, too', () => viaOf(right, left) === 'relayed')
  assert.equal(stateOf(left, right)?.link?.relay, middle.id)
  assert.equal(viaOf(left, middle), 'direct')
  assert.ok(middle.network.usage.circuits >= 1, 'two when both dialed at once')
  const answer = await left.network.request(right.id, SYNC, Uint8Array.of(1, 2, 3))
  assert.deepEqual(answer, Uint8Array.of(3, 2, 1))

  const stripe = makeStripe(1, { shardLength: 4 * MIB, count: 8 })
  const client = left.network.shards(right.id)
  collectGarbage()
  const before = process.memoryUsage().arrayBuffers
  await Promise.all(
    stripe.shards.map((shard, index) =>
      client.put({ envelope: stripe.envelope, index, payload: pieces(shard) }),
    ),
  )
  const { pack, shardLength, shardHashes } = stripe.descriptor
  for (const [index, shard] of stripe.shards.entries()) {
    const root = shardHashes[index] as Uint8Array
    const parts: Uint8Array[] = []
    const range = { vault: vault.publicKey, pack, index, offset: 0, length: shardLength }
    for await (const part of client.get({ ...range, root, shardLength })) parts.push(part)
    assert.equal(Buffer.compare(Buffer.concat(parts), shard), 0)
  }
  // Trap 9: libp2p's relay would still hold the 32 MiB that it carried, and the store holds as
  // much.
  await eventually('no more is held than that', () => {
    // What has been collected is counted out by another thread, a little later.
    collectGarbage()
    return process.memoryUsage().arrayBuffers - before < 2 * 32 * MIB
  })
})

test('goal: when an address becomes known, the direct connection takes over without an error', async () => {
  await using pool = await startThree()
  const { left, middle, right } = pool
  await eventually('relayed', () => viaOf(left, right) === 'relayed')
  const done = new AbortController()
  const talking = (async (): Promise<void> => {
    while (!done.signal.aborted) {
      const answer = await left.network.request(right.id, SYNC, Uint8Array.of(1, 2))
      assert.deepEqual(answer, Uint8Array.of(2, 1))
    }
  })()
  left.membership.hosts.set(right.id, right.network.addresses())
  left.network.membershipChanged()
  await eventually('upgraded', () => viaOf(left, right) === 'direct')
  await eventually('the other side, too', () => viaOf(right, left) === 'direct')
  await eventually('the circuit is given back', () => middle.network.usage.circuits === 0)
  done.abort()
  await talking
})

test('goal: a host that is no member any more loses its circuits', async () => {
  await using pool = await startThree()
  const { left, middle, right } = pool
  await eventually('relayed', () => viaOf(left, right) === 'relayed')
  middle.membership.hosts.delete(right.id)
  await eventually('cut', () => middle.network.usage.circuits === 0)
  await eventually('and not connected', () => stateOf(left, right)?.connected === false)
})

test('goal: another relay is found when one goes away', async () => {
  await using pool = await startThree()
  const { left, middle, right } = pool
  await eventually('relayed', () => viaOf(left, right) === 'relayed')
  await using second = await buildHost(4)
  await second.network.start()
  for (const host of [left, right, middle]) {
    host.membership.hosts.set(second.id, second.network.addresses())
    second.membership.hosts.set(host.id, [])
    host.network.membershipChanged()
  }
  await eventually('the second one is connected', () => viaOf(left, second) === 'direct')
  // The left one may have brought the two together before they met directly.
  const met = (): boolean => (viaOf(right, second) ?? 'relayed') !== 'relayed'
  await eventually('with both', met)
  await middle[Symbol.asyncDispose]()
  await eventually(
    'relayed by the other one',
    () => viaOf(left, right) === 'relayed' && stateOf(left, right)?.link?.relay === second.id,
  )
})

test('goal: handshake messages say what they mean, and bad ones are MALFORMED, never more', () => {
  const host = 'ab'.repeat(32)
  assert.deepEqual(decodeHop(encodeHopStatus(STATUS.denied).subarray(1)), { type: 2, status: 202 })
  assert.deepEqual(decodeStop(encodeStopConnect(host).subarray(1)), { type: 0, host })
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      for (const decode of [decodeHop, decodeStop]) {
        try {
          const { host: named } = decode(bytes)
          if (named !== undefined) assert.equal(named.length, 64)
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'MALFORMED')
        }
      }
    }),
  )
  const whole = encodeStopConnect(host).subarray(1)
  for (let length = 0; length < whole.length; length++) {
    try {
      assert.notDeepEqual(decodeStop(whole.subarray(0, length)), { type: 0, host })
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'MALFORMED')
    }
  }
  const peer = peerIdOfHex(host.replaceAll('ab', '01'))
  assert.equal(toHex(peer.toMultihash().bytes).slice(0, 12), '002408011220')
})
