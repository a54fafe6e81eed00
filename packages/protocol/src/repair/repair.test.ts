import assert from 'node:assert/strict'
import { test } from 'node:test'

import * as fc from 'fast-check'

import { placementCaps } from '../placement/index.ts'
import type { HostFacts } from '../placement/index.ts'
import { domainOf } from '../placement/hosts.ts'
import { assessStripe, hostStanding } from './assess.ts'
import type { HostStanding, StripePlace } from './assess.ts'
import { compareUrgency, isLossAgreed, planRepair } from './plan.ts'
import type { RepairNeed, Urgency } from './plan.ts'
import { claimYields, repairDueAt, repairRanks, REPAIR_PATIENCE_MS } from './rank.ts'
import { repairTargets } from './targets.ts'

const HOSTS = Array.from({ length: 12 }, (_, i) => `h${String(i).padStart(2, '0')}`)
const codes = fc.record({ k: fc.integer({ min: 1, max: 6 }), m: fc.integer({ min: 0, max: 5 }) })
const standings = fc.constantFrom<HostStanding>(
  'here',
  'here',
  'here',
  'doubtful',
  'emptied',
  'distrusted',
  'gone',
)

type World = { code: { k: number; m: number }; places: StripePlace[]; of: HostStanding[] }

const worlds: fc.Arbitrary<World> = codes.chain((code) =>
  fc.record({
    code: fc.constant(code),
    places: fc.array(
      fc.record({
        index: fc.integer({ min: 0, max: code.k + code.m }),
        host: fc.constantFrom(...HOSTS),
        seenAt: fc.integer({ min: 0, max: 100 }),
        refuted: fc.boolean().map((yes) => yes && true),
      }),
      { maxLength: 24 },
    ),
    of: fc.array(standings, { minLength: HOSTS.length, maxLength: HOSTS.length }),
  }),
)

const standing =
  ({ of }: Pick<World, 'of'>) =>
  (host: string): HostStanding =>
    of[HOSTS.indexOf(host)] ?? 'gone'

function health(world: World): ReturnType<typeof assessStripe> {
  const { code, places } = world
  return assessStripe({ code, owner: 'h11', places, standingOf: standing(world) })
}

const plan = (world: World, margin = 1): RepairNeed | undefined =>
  planRepair({ code: world.code, health: health(world), margin })

test('every index is in one class, no host counts twice, and the figures follow', () => {
  fc.assert(
    fc.property(worlds, (world) => {
      const { stays, doubtful, leaving, missing, ...figures } = health(world)
      const all = [...stays.keys(), ...doubtful.keys(), ...leaving, ...missing]
      const shards = world.code.k + world.code.m
      assert.deepEqual(
        all.toSorted((a, b) => a - b),
        Array.from({ length: shards }, (_, i) => i),
      )
      const hosts = [...stays.values(), ...doubtful.values()]
      assert.equal(new Set(hosts).size, hosts.length)
      assert.equal(figures.healthy, shards - missing.length)
      assert.ok(figures.sure <= figures.healthy && figures.healthy <= figures.readable)
    }),
  )
})

test('the order in which places are known makes no difference', () => {
  const shuffled = worlds.chain((world) =>
    fc.record({
      world: fc.constant(world),
      order: fc.shuffledSubarray(world.places, { minLength: world.places.length }),
    }),
  )
  fc.assert(
    fc.property(shuffled, ({ world, order }) => {
      assert.deepEqual(plan({ ...world, places: order }), plan(world))
    }),
  )
})

test('losing a host never makes a stripe less urgent, nor a need into none', () => {
  const lossy = fc.record({ world: worlds, host: fc.nat(HOSTS.length - 1) })
  fc.assert(
    fc.property(lossy, fc.integer({ min: 0, max: 5 }), ({ world, host }, margin) => {
      const before = plan(world, margin)
      const of = world.of.map((one, i) => (i === host ? ('gone' as const) : one))
      const after = plan({ ...world, of }, margin)
      if (before === undefined) return
      assert.ok(after !== undefined)
      assert.ok(after.distance <= before.distance)
      if (before.endangered) assert.ok(after.endangered)
      if (before.kind === 'lost') assert.equal(after.kind, 'lost')
    }),
  )
})

test('a stripe is lost exactly when fewer than k of its shards can be read anywhere', () => {
  fc.assert(
    fc.property(worlds, (world) => {
      const readable = new Set(
        world.places
          .filter(({ index, host, refuted }) => {
            const inCode = index < world.code.k + world.code.m
            return inCode && !refuted && host !== 'h11' && standing(world)(host) !== 'gone'
          })
          .map(({ index }) => index),
      )
      assert.equal(plan(world)?.kind === 'lost', readable.size < world.code.k)
    }),
  )
})

const place = (index: number, host: string): StripePlace => ({
  index,
  host,
  seenAt: 0,
  refuted: false,
})
const full = (shards: number): StripePlace[] =>
  Array.from({ length: shards }, (_, i) => place(i, HOSTS[i] as string))
const all = (same: HostStanding): HostStanding[] => HOSTS.map(() => same)
const but = (changes: Record<number, HostStanding>): HostStanding[] =>
  all('here').map((one, i) => changes[i] ?? one)

test('one lost shard is repaired at once, or waited with where margin is plenty', () => {
  const world = { code: { k: 3, m: 5 }, places: full(8), of: but({ 2: 'gone' }) }
  assert.deepEqual(plan(world, 3)?.wanted, [2])
  assert.equal(plan(world, 4), undefined)
  assert.deepEqual(plan({ ...world, of: but({ 2: 'gone', 5: 'gone' }) }, 4)?.wanted, [2, 5])
  // what has to move is not waited with
  assert.deepEqual(plan({ ...world, of: but({ 2: 'emptied' }) }, 4)?.wanted, [2])
})

test('missed hosts count as lost where the stripe cannot afford to wait', () => {
  const wide = { code: { k: 3, m: 3 }, places: full(6), of: but({ 0: 'doubtful' }) }
  assert.equal(plan(wide), undefined)
  const two = plan({ ...wide, of: but({ 0: 'doubtful', 1: 'doubtful' }) })
  assert.deepEqual([two?.wanted, two?.distance, two?.endangered], [[0, 1], 1, true])
  const narrow = { code: { k: 3, m: 2 }, places: full(5), of: but({ 0: 'doubtful' }) }
  assert.equal(plan(narrow), undefined)
  assert.deepEqual(plan({ ...narrow, of: but({ 0: 'doubtful', 1: 'doubtful' }) })?.wanted, [0, 1])
})

test('a host that was presumed lost counts with what it was seen with since it is back', () => {
  const facts = { code: { k: 2, m: 1 }, owner: undefined, standingOf: () => 'here' as const }
  const places = full(3).map((one, i) => ({ ...one, seenAt: i === 0 ? 10 : 99 }))
  const since = (at: number) => assessStripe({ ...facts, places, backSince: () => at })
  assert.deepEqual(since(11).missing, [0])
  assert.deepEqual(since(10).missing, [])
  assert.equal(since(11).readable, 3)
})

test('a second shard at one host has to be elsewhere, and does not count as lost', () => {
  const places = [...full(4), place(4, HOSTS[0] as string)]
  const need = plan({ code: { k: 3, m: 2 }, places, of: all('here') })
  assert.equal(need?.kind, 'move')
  assert.equal(need?.wanted.length, 1)
  assert.equal(need?.distance, 2)
})

test('the standing of a host is the worst that is known of it', () => {
  const good = { member: true, state: 'online', agreed: false, retiring: false, trusted: true }
  const of = (o: object): HostStanding =>
    hostStanding({ ...good, ...o } as Parameters<typeof hostStanding>[0])
  assert.equal(of({}), 'here')
  assert.equal(of({ state: 'away' }), 'here')
  assert.equal(of({ state: 'suspect', retiring: true }), 'doubtful')
  assert.equal(of({ state: 'presumed-lost' }), 'doubtful')
  assert.equal(of({ state: 'presumed-lost', agreed: true }), 'gone')
  assert.equal(of({ retiring: true }), 'emptied')
  assert.equal(of({ retiring: true, trusted: false }), 'distrusted')
  assert.equal(of({ member: false, trusted: false }), 'gone')
})

test('two observers agree on a loss, where there are two', () => {
  const said = (...hosts: string[]): ReadonlySet<string> => new Set(hosts)
  const asked = { host: 'a', connected: 3 }
  assert.ok(!isLossAgreed({ ...asked, presumedLost: [said(), said('b')] }))
  assert.ok(isLossAgreed({ ...asked, presumedLost: [said(), said('a')] }))
  assert.ok(isLossAgreed({ ...asked, connected: 1, presumedLost: [] }))
})

const urgencies: fc.Arbitrary<Urgency> = fc.record({
  need: fc.record({
    kind: fc.constantFrom('repair' as const, 'move' as const, 'lost' as const),
    distance: fc.integer({ min: -2, max: 4 }),
  }),
  class: fc.constantFrom('data' as const, 'meta' as const, 'critical' as const),
  created: fc.integer({ min: 0, max: 3 }),
  vault: fc.uint8Array({ minLength: 1, maxLength: 1 }),
  pack: fc.uint8Array({ minLength: 1, maxLength: 1 }),
})

test('urgency is a total order: the nearest to loss, then critical, then the oldest', () => {
  fc.assert(
    fc.property(urgencies, urgencies, urgencies, (a, b, c) => {
      assert.equal(Math.sign(compareUrgency(a, b)), -Math.sign(compareUrgency(b, a)) + 0)
      if (compareUrgency(a, b) <= 0 && compareUrgency(b, c) <= 0) {
        assert.ok(compareUrgency(a, c) <= 0)
      }
      const lost = (one: Urgency): boolean => one.need.kind === 'lost'
      if (!lost(a) && !lost(b) && a.need.distance < b.need.distance) {
        assert.ok(compareUrgency(a, b) < 0)
      }
      if (lost(b) && !lost(a)) assert.ok(compareUrgency(a, b) < 0)
    }),
  )
})

const pools = fc.array(
  fc.record({
    site: fc.constantFrom('a', 'b', 'c', 'd'),
    online: fc.boolean(),
    freeBytes: fc.constantFrom(0, 1000, 5000),
  }),
  { minLength: 3, maxLength: 12 },
)

test('targets: never a second shard, never a host without room, caps unless endangered', () => {
  const inputs = fc.record({
    pool: pools,
    code: codes,
    endangered: fc.boolean(),
    seed: fc.nat(255),
  })
  fc.assert(
    fc.property(inputs, ({ pool, code, endangered, seed }) => {
      const hosts: HostFacts[] = pool.map((one, i) => {
        return { ...one, id: HOSTS[i] as string, provider: 'self', org: 'o' }
      })
      const owner = 'h00'
      const shards = code.k + code.m
      const stays = new Map<number, string>()
      for (let i = 0; i < shards && i + 1 < hosts.length; i += 2)
        stays.set(i, HOSTS[i + 1] as string)
      const wanted = Array.from({ length: shards }, (_, i) => i).filter((i) => !stays.has(i))
      const avoid = new Set([HOSTS[2] as string])
      const about = { hosts, owner, code, stays, wanted, avoid, shardLength: 1000 }
      const stripe = Uint8Array.of(seed)
      const found = repairTargets({ ...about, stripe, endangered })
      const holders = [...stays.values(), ...found.values()]
      assert.equal(new Set(holders).size, holders.length)
      for (const [index, id] of found) {
        const host = hosts.find((one) => one.id === id)
        assert.ok(wanted.includes(index))
        assert.ok(host?.online && host.freeBytes >= 1000 && id !== owner && !avoid.has(id))
      }
      const hard = repairTargets({ ...about, stripe, endangered: false })
      assert.ok(found.size >= hard.size)
      if (endangered) {
        // every host that can take one has one, or all are placed
        const can = hosts.filter(
          ({ id, online, freeBytes }) =>
            online && freeBytes >= 1000 && id !== owner && !avoid.has(id) && !holders.includes(id),
        )
        assert.ok(found.size === wanted.length || can.length === 0)
        return
      }
      const caps = placementCaps({ hosts, owner, code })
      const sites = new Map<string, number>()
      for (const id of found.values()) {
        const host = hosts.find((one) => one.id === id) as HostFacts
        const site = domainOf(host, 'site')
        sites.set(site, (sites.get(site) ?? 0) + 1)
      }
      assert.ok([...sites.values()].every((count) => count <= caps.site))
    }),
  )
})

test('ranks: the owner first, then an order of their own for each stripe that all agree on', () => {
  const inputs = fc.record({
    pack: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    live: fc.shuffledSubarray(HOSTS, { minLength: 1 }),
  })
  fc.assert(
    fc.property(inputs, ({ pack, live }) => {
      const ranks = repairRanks({ pack, live, owner: undefined })
      assert.deepEqual(ranks.toSorted(), live.toSorted())
      assert.deepEqual(repairRanks({ pack, live: live.toReversed(), owner: undefined }), ranks)
      // one host less: the others keep their order
      const less = repairRanks({ pack, live: live.slice(1), owner: undefined })
      assert.deepEqual(
        less,
        ranks.filter((host) => host !== live[0]),
      )
      assert.equal(repairRanks({ pack, live, owner: live[0] })[0], live[0])
    }),
  )
})

test('each rank waits for those before it, longer while they are at work, but not for ever', () => {
  const ranks = ['a', 'b', 'c']
  const due = (self: string, worked: Record<string, number> = {}, endangered = false): number =>
    repairDueAt({ ranks, self, since: 1000, stallMs: 10, endangered, workedAt: (h) => worked[h] })
  assert.deepEqual([due('a'), due('b'), due('c'), due('x')], [1000, 1010, 1020, -1])
  assert.equal(due('c', { a: 5000 }), 5020)
  assert.equal(due('c', { a: 5000, b: 5000 }), 5020)
  assert.equal(due('a', { c: 5000 }), 1000)
  assert.equal(due('c', { a: 5000 }, true), 1020)
  assert.equal(due('c', { a: 1e12 }), 1020 + REPAIR_PATIENCE_MS)
})

test('of two claims exactly one yields', () => {
  const ranks = ['a', 'b', 'c']
  for (const self of ranks) {
    for (const other of ranks.filter((host) => host !== self)) {
      const mine = claimYields({ ranks, self, other })
      assert.equal(claimYields({ ranks, self: other, other: self }), !mine)
    }
  }
  assert.ok(!claimYields({ ranks, self: 'c', other: 'stranger' }))
})
