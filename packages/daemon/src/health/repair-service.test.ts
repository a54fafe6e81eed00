import assert from 'node:assert/strict'
import { test } from 'node:test'

import { defined, MoyaiError, repairRanks, toHex } from '@moyai/protocol'

import { ManualClock } from '../clock.ts'
import { repairNow } from './repair-now.ts'
import { buildHost, introduce } from '../net/testing/network.ts'
import type { TestHost as NetworkHost } from '../net/testing/network.ts'
import { eventually } from '../testing/eventually.ts'
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

/** The hosts with a shard that are there, first the one that is to repair. */
function ranked({ pool, stored }: World): TestHost[] {
  const holders = [...pool.holders(stored).values()].flat()
  const live = holders.filter((host) => pool.host(host).online)
  const ranks = repairRanks({ pack: stored.stripe.pack, live, owner: undefined })
  return ranks.map((id) => pool.host(id))
}

function atMostOneEach({ pool, stored }: World): boolean {
  const hosts = [...pool.holders(stored).values()].flat()
  return new Set(hosts).size === hosts.length
}

function lose({ pool }: World, ...numbers: number[]): void {
  for (const number of numbers)
    pool.setState(defined(pool.hosts[number], 'a host'), 'presumed-lost')
}

const turn = (service: { turn: (signal: AbortSignal) => Promise<number> }): Promise<number> =>
  service.turn(new AbortController().signal)

test('the host whose turn it is does nothing: the next takes over after a while', async () => {
  const w = world()
  lose(w, 1)
  const [first, second, third] = ranked(w) as [TestHost, TestHost, TestHost]
  const services = [w.pool.service(second), w.pool.service(third)]
  // it claims the stripe, and is not heard of again
  const { vault, pack } = w.stored.stripe
  for (const one of services) {
    await one.onNews(first.id, { claims: [{ vault, pack, holdsMs: 120_000 }] })
    await turn(one)
  }
  assert.ok(!isFull(w))
  await w.clock.advance(119_000)
  for (const one of services) await turn(one)
  assert.ok(!isFull(w))
  await w.clock.advance(2000)
  for (const one of services) await turn(one)
  assert.ok(isFull(w))
  assert.deepEqual(
    services.map((one) => one.stats().repaired),
    [1, 0],
  )
})

test('of two that claim a stripe, the one of lower rank stops before it has placed anything', async () => {
  const w = world({ shardLength: 1024 * 1024 })
  lose(w, 1)
  const [first, second] = ranked(w) as [TestHost, TestHost]
  const low = w.pool.service(second, { stallMs: 0 })
  const { vault, pack } = w.stored.stripe
  first.before = async () => {
    await low.onNews(first.id, { claims: [{ vault, pack, holdsMs: 60_000 }] })
  }
  for (const host of w.pool.hosts) host.before = first.before
  await turn(low)
  assert.ok(!isFull(w))
  assert.equal(low.stats().bytesPlaced, 0)
  assert.equal(low.stats().queue, 1)
  for (const host of w.pool.hosts) host.before = async () => undefined
  await turn(w.pool.service(first))
  assert.ok(isFull(w))
  await w.clock.advance(61_000)
  await turn(low)
  assert.equal(low.stats().queue, 0)
})

test('two that do not hear one another do no harm', async () => {
  const w = world()
  lose(w, 1, 2)
  w.pool.deafTo = () => true
  const services = ranked(w).map((host) => w.pool.service(host, { stallMs: 0 }))
  await Promise.all(services.map(turn))
  assert.ok(isFull(w))
  assert.ok(atMostOneEach(w))
})

test('a source that dies half-way is replaced by another where it was', async () => {
  const w = world({ shardLength: 1024 * 1024 })
  lose(w, 1)
  const [first, ...others] = ranked(w) as [TestHost, ...TestHost[]]
  defined(others[0], 'a host').diesAfter = 400_000
  const service = w.pool.service(first)
  await turn(service)
  assert.ok(isFull(w))
  // the rest of one shard more than k at most
  assert.ok(service.stats().bytesFetched <= 3 * 1024 * 1024)
})

test('a source that gives garbage is refuted, and harms nothing', async () => {
  const w = world({ hosts: 12 })
  lose(w, 1)
  const [first, liar] = ranked(w) as [TestHost, TestHost]
  liar.spoil = (bytes) => bytes.map((byte) => byte ^ 1)
  const service = w.pool.service(first, { stallMs: 0 })
  for (const host of w.pool.hosts)
    if (host !== first) host.site = host === liar ? first.site : `far ${host.site}`
  await turn(service)
  assert.equal(w.pool.refuted.size, 1)
  assert.ok([...w.pool.refuted].every((key) => key.startsWith(liar.id)))
  await w.clock.advance(61_000)
  await turn(service)
  assert.ok(isFull(w))
  // the shard that it does not have is made again elsewhere, too
  assert.equal(service.stats().shards, 2)
})

test('who could not prove a shard does not get by with saying that it has it', async () => {
  const w = world({ hosts: 12 })
  const [first, liar] = ranked(w) as [TestHost, TestHost]
  const { vault, pack } = w.stored.stripe
  const [index] = defined(
    [...w.pool.holders(w.stored)].find(([, hosts]) => hosts.includes(liar.id)),
    'what the liar was given',
  )
  const service = w.pool.service(first, { stallMs: 0 })
  w.pool.refuted.add(`${liar.id} ${toHex(vault)}/${toHex(pack)}.${index}`)
  await turn(service)
  await w.clock.advance(61_000)
  await turn(service)
  const holders = defined(w.pool.holders(w.stored).get(index), 'holders')
  assert.ok(
    holders.some((host) => host !== liar.id),
    'an honest host has it now',
  )
  assert.equal(w.pool.refuted.size, 1, 'and the liar still has to prove it')
})

test('a host that refuses is replaced by another', async () => {
  const w = world({ hosts: 12 })
  lose(w, 1)
  let refused = 0
  for (const host of w.pool.hosts) {
    host.before = async (what) => {
      if (what.startsWith('put') && refused++ === 0) throw new MoyaiError('QUOTA', 'no more')
    }
  }
  await turn(w.pool.service(defined(ranked(w)[0], 'a host')))
  assert.ok(isFull(w))
  assert.ok(atMostOneEach(w))
  assert.equal(refused, 2)
})

test('a daemon that ends half-way leaves nothing behind, and goes on when it is back', async () => {
  const w = world({ shardLength: 1024 * 1024 })
  lose(w, 1, 2)
  const [first] = ranked(w) as [TestHost]
  const service = w.pool.service(first)
  let gets = 0
  for (const host of w.pool.hosts) {
    host.before = async (what) => {
      if (what.startsWith('get') && ++gets === 2) await service.stop()
    }
  }
  const before = w.pool.holders(w.stored)
  await turn(service)
  assert.deepEqual(w.pool.holders(w.stored), before)
  assert.ok(w.pool.hosts.every(({ shards }) => shards.writing === 0))
  for (const host of w.pool.hosts) host.before = async () => undefined
  await turn(w.pool.service(first))
  assert.ok(isFull(w))
})

test('too few are left: the stripe is listed as lost, and healed when one is back', async () => {
  const w = world()
  lose(w, 1, 2, 3, 4)
  const [first] = ranked(w) as [TestHost]
  const service = w.pool.service(first)
  await turn(service)
  const { lost, queue } = service.stats()
  assert.equal(queue, 0)
  assert.equal(lost.count, 1)
  assert.deepEqual(lost.stripes[0]?.pack, w.stored.stripe.pack)
  assert.deepEqual([lost.stripes[0]?.have, lost.stripes[0]?.need], [2, 3])
  w.pool.setState(defined(w.pool.hosts[1], 'a host'), 'online')
  await turns(w, 3)
  assert.equal(service.stats().lost.count, 0)
  // nine hosts: three are lost, one is the owner, five hold what can be held
  const live = [...w.pool.holders(w.stored)].filter(([, hosts]) =>
    hosts.some((host) => w.pool.host(host).online),
  )
  assert.equal(live.length, 5)
})

test('a host that is only missed is waited for, unless the stripe cannot afford it', async () => {
  const w = world()
  const service = w.pool.service(defined(w.pool.hosts[6], 'a host'), { stallMs: 0 })
  w.pool.setState(defined(w.pool.hosts[1], 'a host'), 'suspect')
  await turn(service)
  assert.equal(service.stats().shards, 0)
  w.pool.setState(defined(w.pool.hosts[2], 'a host'), 'suspect')
  await turn(service)
  assert.equal(service.stats().shards, 2)
})

test('one host alone does not decide that another is lost', async () => {
  const w = world()
  w.pool.agrees = false
  lose(w, 1)
  const service = w.pool.service(defined(w.pool.hosts[6], 'a host'), { stallMs: 0 })
  await turn(service)
  assert.equal(service.stats().shards, 0)
  w.pool.agrees = true
  await w.clock.advance(16 * 60_000)
  await turn(service)
  assert.equal(service.stats().shards, 1)
})

test('what is at a host that retires is copied, not made again', async () => {
  const w = world()
  const leaving = defined(w.pool.hosts[1], 'a host')
  w.pool.retiring.add(leaving.id)
  const service = w.pool.service(defined(w.pool.hosts[6], 'a host'), { stallMs: 0 })
  await turn(service)
  assert.equal(service.stats().bytesFetched, 65_536)
  assert.equal(service.stats().bytesPlaced, 65_536)
  const [there] = [...w.pool.holders(w.stored).values()].filter((hosts) =>
    hosts.includes(leaving.id),
  )
  assert.equal(there?.length, 2)
})

test("a damaged shard of this host's own is made again where it is", async () => {
  const w = world()
  const host = defined(w.pool.hosts[6], 'a host')
  const service = w.pool.service(host)
  await turn(service)
  const key = defined([...host.shards.held.keys()][0], 'a shard')
  host.shards.held.delete(key) // as the store has it: a put replaces a damaged file
  await service.repairOwn(w.stored.stripe.vault, w.stored.stripe.pack, 5)
  assert.ok(host.shards.held.has(key))
  assert.equal(w.pool.refuted.size, 0)
})

test("the owner learns of what others placed, by the holders' receipts", async () => {
  const w = world()
  lose(w, 1)
  w.owner.online = true
  const learned: string[] = []
  w.pool.service(w.owner, {
    onPlaced: async (_vault, pack, { index, host }) => {
      learned.push(`${toHex(pack)} ${index} ${host}`)
    },
  })
  const ownerService = defined(w.pool.services.get(w.owner.id), 'a service')
  // it knows the hosts, and is too slow
  await ownerService.turn(AbortSignal.abort()).catch(() => undefined)
  const other = w.pool.service(defined(ranked(w)[0], 'a host'), { stallMs: 0 })
  await turn(other)
  const [host] = [...(w.pool.holders(w.stored).get(0) ?? [])].filter((id) => w.pool.host(id).online)
  assert.deepEqual(learned, [`${toHex(w.stored.stripe.pack)} 0 ${host}`])
})

test('`moyai repair` waits for nobody whose turn it would be, and says what was done', async () => {
  const w = world()
  lose(w, 1)
  const last = defined(ranked(w).at(-1), 'a host')
  const repair = w.pool.service(last)
  await turn(repair)
  assert.ok(!isFull(w))
  const events: unknown[] = []
  const signal = new AbortController().signal
  const onEvent = (event: unknown): void => void events.push(event)
  const summary = await repairNow({ repair, clock: w.clock }, { signal, onEvent })
  assert.ok(isFull(w))
  assert.equal(events.length, 1)
  assert.deepEqual(
    [summary.stripes_repaired, summary.shards_placed, summary.stripes_left, summary.stripes_lost],
    [1, 1, 0, 0],
  )
})

test('a host that is not trusted gets nothing, and what it has goes elsewhere', async () => {
  const w = world({ hosts: 12 })
  lose(w, 1)
  const service = w.pool.service(defined(ranked(w)[0], 'a host'))
  const [, , liar] = w.pool.hosts as [TestHost, TestHost, TestHost]
  for (const host of [liar, ...w.pool.hosts.slice(7, 9)]) w.pool.untrusted.add(host.id)
  await turns(w, 20)
  assert.equal(service.stats().shards, 2)
  for (const host of w.pool.hosts.slice(7, 9)) assert.equal(host.shards.held.size, 0)
})

test('a stripe whose owner signed what cannot be is given up before its last bytes', async () => {
  const w = world()
  const { stripe } = w.stored
  lose(w, 1)
  // the hash that is signed is of other bytes than the code gives
  defined(w.pool.stripes.get(toHex(stripe.pack)), 'it').stripe = {
    ...stripe,
    shardHashes: stripe.shardHashes.map((hash, i) => (i === 0 ? stripe.pack : hash)),
  }
  const service = w.pool.service(defined(ranked(w)[0], 'a host'))
  await turns(w, 30)
  assert.equal(service.stats().bytesPlaced, 0)
  assert.equal(service.stats().bytesFetched, 2 * 65_536)
  assert.equal(w.pool.refuted.size, 0)
})

test('over real connections: shards are made again and placed, at the price of k and one', async () => {
  await using stack = new AsyncDisposableStack()
  const clock = new ManualClock()
  const pool = new TestPool(clock, { hosts: 9, sites: 3 })
  const built = new Map<string, NetworkHost>()
  for (const [i, host] of pool.hosts.entries()) {
    const one = stack.use(await buildHost(i + 1))
    await one.network.start()
    built.set(one.id, one)
    host.shards = one.store
  }
  introduce(...built.values())
  const owner = defined(pool.hosts[0], 'a host')
  const stored = pool.store({ owner, code: CODE, seed: 3, shardLength: 1024 * 1024 })
  const vault = toHex(stored.stripe.vault)
  for (const { membership } of built.values()) membership.vaults.add(vault)
  pool.clientOf = (from, to) => defined(built.get(from), 'a host').network.shards(to)
  owner.online = false
  const w = { pool, clock, owner, stored }
  lose(w, 1)
  const [first] = ranked(w) as [TestHost]
  const isConnected = (): boolean =>
    defined(built.get(first.id), 'a host')
      .network.peers()
      .every(({ connected }) => connected)
  await eventually('all are connected', isConnected)
  const service = pool.service(first)
  await turn(service)
  assert.ok(isFull(w))
  assert.ok(atMostOneEach(w))
  const { bytesFetched, bytesPlaced } = service.stats()
  assert.deepEqual([bytesFetched, bytesPlaced], [2 * 1024 * 1024, 1024 * 1024])
  // again, now with the lost host's shard and a target that has no room
  const second = defined(pool.hosts[2], 'a host')
  pool.setState(second, 'presumed-lost')
  const spare = pool.hosts.slice(7)
  for (const host of spare) host.shards.failure = new MoyaiError('NO_SPACE', 'the disk is full')
  await turn(service)
  assert.ok(!isFull(w))
  for (const host of spare) host.shards.failure = undefined
  await clock.advance(120_000)
  for (const host of ranked(w)) await turn(pool.services.get(host.id) ?? pool.service(host))
  assert.ok(isFull(w))
  assert.ok(atMostOneEach(w))
})
