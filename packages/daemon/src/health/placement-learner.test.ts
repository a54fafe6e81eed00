// Goal: the owner's index says where shards are now, and only what a holder signed for.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { blake3, ed25519Signer, signReceipt, signStripe, toHex } from '@moyai/protocol'

import { ManualClock } from '../clock.ts'
import { openMemoryDatabase } from '../database/index.ts'
import { createLogger } from '../logger.ts'
import { VaultIndex } from '../store/index.ts'
import { PlacementLearner } from './placement-learner.ts'
import type { HealthNetwork, HealthPool, StripeView, Whereabouts } from './ports.ts'

const VAULT = ed25519Signer(new Uint8Array(32).fill(9))
const SHARD = new Uint8Array(65_536)
const PACK = blake3(Uint8Array.of(1))
const HOSTS = [1, 2, 3, 4].map((seed) => ed25519Signer(new Uint8Array(32).fill(seed)))
const hex = (i: number): string => toHex((HOSTS[i] as (typeof HOSTS)[0]).publicKey)
const signal = new AbortController().signal

function receiptOf(by: number, index: number, pack = PACK): Uint8Array {
  const signer = HOSTS[by] as (typeof HOSTS)[0]
  const facts = { host: signer.publicKey, index, pack, pool: new Uint8Array(32) }
  const more = { shardHash: blake3(SHARD), storedAt: 1, protectedUntil: 2, vault: VAULT.publicKey }
  return signReceipt({ ...facts, ...more }, signer)
}

/** An owner whose index has shard 0 at host 0 and shard 1 at host 1. */
class Owner {
  readonly index = new VaultIndex(openMemoryDatabase())
  readonly clock = new ManualClock()
  readonly away = new Set<string>()
  readonly learner: PlacementLearner
  places: [number, number, boolean?][] = []
  sign = (by: number, index: number): Uint8Array => receiptOf(by, index)
  up: () => void = () => undefined

  constructor() {
    this.learner = new PlacementLearner({
      vault: VAULT.publicKey,
      index: this.index,
      whereabouts: this.whereabouts(),
      network: this.network(),
      pool: { self: 'owner' } as HealthPool,
      clock: this.clock,
      logger: createLogger({ level: 'error', destination: { write: () => undefined } }),
    })
  }

  async record(): Promise<void> {
    const hashes = Array.from({ length: 4 }, () => blake3(SHARD))
    const code = { k: 2, m: 2, shardLength: SHARD.length, shardHashes: hashes }
    const times = { protectedUntil: 2, created: 1 }
    const vault = { vault: VAULT.publicKey, vaultSalt: new Uint8Array(16) }
    const envelope = signStripe({ ...vault, ...code, ...times, pack: PACK, class: 'data' }, VAULT)
    const stripe = { pack: PACK, envelope, salt: new Uint8Array(32), packClass: 'data' as const }
    const holders = [0, 1].map((at) => ({ index: at, host: hex(at), receipt: receiptOf(at, at) }))
    await this.index.recordPack({ stripe, blobs: [], holders, missing: 2 })
  }

  async holders(): Promise<string[]> {
    const holders = await this.index.holders(PACK)
    const number = (host: string): number => HOSTS.findIndex((_, i) => hex(i) === host)
    return holders.map(({ index, host }) => `${index}@${number(host)}`)
  }

  whereabouts(): Whereabouts {
    const view = (): StripeView => ({
      vault: VAULT.publicKey,
      pack: PACK,
      code: { k: 2, m: 2 },
      class: 'data',
      shardLength: SHARD.length,
      created: 1,
      places: this.places.map(([index, host, refuted = false]) => {
        return { index, host: hex(host), seenAt: 1, refuted }
      }),
    })
    const some: Partial<Whereabouts> = {
      onChange: () => () => undefined,
      stripes: async function* () {
        yield view()
      },
    }
    return some as Whereabouts
  }

  network(): HealthNetwork {
    const some: Partial<HealthNetwork> = {
      isConnected: (host) => !this.away.has(host),
      on: (_, listener) => {
        this.up = () => listener('any')
        return () => undefined
      },
      shards: (host) => {
        const by = HOSTS.findIndex((_, i) => hex(i) === host)
        const put = async ({ index }: { index: number }): Promise<unknown> => {
          return { receipt: this.sign(by, index), had: true }
        }
        return { put } as unknown as ReturnType<HealthNetwork['shards']>
      },
    }
    return some as HealthNetwork
  }
}

test('a shard that moved, and one that had no holder, are recorded where they are', async () => {
  const owner = new Owner()
  await owner.record()
  owner.places = [
    [0, 0],
    [0, 3],
    [1, 2],
    [2, 3],
    [3, 1, true],
  ]
  assert.equal(await owner.learner.turn(signal), 2)
  assert.deepEqual(await owner.holders(), ['0@0', '1@2', '2@3'])
  assert.equal(await owner.learner.turn(signal), 0, 'nothing more to learn')
})

test('who lists a shard and does not sign for it replaces nobody', async () => {
  const owner = new Owner()
  await owner.record()
  owner.places = [[1, 2]]
  const wrong = [
    () => receiptOf(3, 1),
    () => receiptOf(2, 2),
    () => receiptOf(2, 1, blake3(Uint8Array.of(2))),
    () => new Uint8Array(100),
  ]
  for (const sign of wrong) {
    owner.sign = sign
    assert.equal(await owner.learner.turn(signal), 0)
    assert.deepEqual(await owner.holders(), ['0@0', '1@1'])
  }
})

test('a holder that is away signs when it is back, though nothing else changed', async () => {
  const owner = new Owner()
  await owner.record()
  owner.places = [[1, 2]]
  owner.away.add(hex(2))
  owner.learner.start()
  await owner.clock.advance(60_000)
  assert.deepEqual(await owner.holders(), ['0@0', '1@1'])
  owner.away.clear()
  owner.up()
  for (let isLearned = false; !isLearned;) {
    await owner.clock.advance(60_000)
    isLearned = (await owner.holders()).includes('1@2')
  }
  await owner.learner.stop()
})
