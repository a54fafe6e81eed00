import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ManualClock } from '../clock.ts'
import { TestPool } from './testing/repair-pool.ts'
import type { StoredStripe, TestHost } from './testing/repair-pool.ts'

const CODE = { k: 3, m: 3 }

type World = { pool: TestPool; clock: ManualClock; owner: TestHost; stored: StoredStripe }

function world(o: { shardLength?: number; hosts?: number } = {}): World {
  const clock = new ManualClock()
  const pool = new TestPool(clock, { hosts: o.hosts ?? 9, sites: 3 })
  const owner = pool.hosts[0] as TestHost
  const length = o.shardLength === undefined ? {} : { shardLength: o.shardLength }
  const stored = pool.store({ owner, code: CODE, seed: 1, ...length })
  owner.online = false
  return { pool, clock, owner, stored }
}

function isFull({ pool, stored }: World): boolean {
  const holders = pool.holders(stored)
  const gone = pool.hosts.filter(({ state }) => state === 'presumed-lost').map(({ id }) => id)
  const live = [...holders.values()].map((hosts) => hosts.filter((host) => !gone.includes(host)))
  return live.filter((hosts) => hosts.length > 0).length === CODE.k + CODE.m
}

/** Every service has its turn until nothing changes. */
async function turns({ pool, clock }: World, count = 3): Promise<void> {
  for (let i = 0; i < count; i++) {
    for (const service of pool.services.values()) await service.turn(new AbortController().signal)
    await clock.advance(15_000)
  }
}

test('a host is lost: its shards are made again elsewhere, without the owner', async () => {
  const w = world({ shardLength: 1024 * 1024 })
  const [, first, second] = w.pool.hosts as [TestHost, TestHost, TestHost]
  w.pool.setState(first, 'presumed-lost')
  w.pool.setState(second, 'presumed-lost')
  for (const host of w.pool.hosts.slice(3)) w.pool.service(host)
  await turns(w, 12)
  assert.ok(isFull(w))
  const figures = [...w.pool.services.values()].map((service) => service.stats())
  const sum = (of: (one: (typeof figures)[number]) => number): number =>
    figures.reduce((total, one) => total + of(one), 0)
  // k sources, of which the repairer has one itself, and two shards made of them
  assert.equal(
    sum((one) => one.bytesFetched),
    2 * 1024 * 1024,
  )
  assert.equal(
    sum((one) => one.bytesPlaced),
    2 * 1024 * 1024,
  )
  assert.equal(
    sum((one) => one.queue),
    0,
  )
})
