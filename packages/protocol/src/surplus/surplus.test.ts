import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import * as fc from 'fast-check'

import { DOMAIN_KINDS, survives } from '../placement/index.ts'
import type { HostFacts, Policy } from '../placement/index.ts'
import { copyStanding, surplusOf } from './surplus.ts'
import type { CopyStanding, SurplusFacts } from './surplus.ts'

const POLICY: Policy = { host: 2, site: 1, provider: 1, org: 1 }
const PACK = new Uint8Array(32).fill(5)

function host(id: string, site: string, o: Partial<HostFacts> = {}): HostFacts {
  return { id, site, org: 'a', provider: 'self', online: true, freeBytes: 1e9, ...o }
}

function at(index: number, id: string): SurplusFacts['places'][number] {
  return { index, host: id, refuted: false }
}

const HOSTS = [host('a', 'x'), host('b', 'y'), host('c', 'z'), host('d', 'z'), host('o', 'x')]

function facts(o: Partial<SurplusFacts>): SurplusFacts {
  return {
    code: { k: 1, m: 2 },
    pack: PACK,
    owner: 'o',
    hosts: HOSTS,
    policy: POLICY,
    standingOf: () => 'stays',
    places: [],
    ...o,
  }
}

void describe('surplus copies', () => {
  void test('goal: of two copies the one goes that spreads worse', () => {
    const places = [at(0, 'a'), at(1, 'b'), at(2, 'c'), at(2, 'd'), at(1, 'd')]
    // d, at the site of c, may have index 1 or 2: b at a site of its own is better than both.
    const named = surplusOf(facts({ places }))
    assert.deepEqual(
      named.map(({ index }) => index),
      [1, 2],
    )
    assert.ok(named.every(({ index, host: id }) => index !== 1 || id === 'd'))
  })

  void test('goal: of equal copies all name the same one', () => {
    const [c, d] = [at(2, 'c'), at(2, 'd')]
    const rest = [at(0, 'a'), at(1, 'b')]
    const one = surplusOf(facts({ places: [c, d, ...rest] }))
    assert.equal(one.length, 1)
    const other = { places: [...rest, d, c], hosts: HOSTS.toReversed() }
    assert.deepEqual(surplusOf(facts(other)), one)
  })

  void test('goal: nothing is surplus while any shard of the stripe has no copy that counts', () => {
    const places = [at(0, 'a'), at(1, 'b'), at(2, 'c'), at(2, 'd')]
    const named = (o: Partial<SurplusFacts>): number => surplusOf(facts({ places, ...o })).length
    assert.equal(named({}), 1)
    assert.equal(named({ code: { k: 1, m: 3 } }), 0)
    assert.equal(named({ standingOf: (id) => (id === 'b' ? 'unsure' : 'stays') }), 0)
    assert.equal(named({ standingOf: (id) => (id === 'b' ? 'leaves' : 'stays') }), 0)
    assert.equal(named({ places: places.map((one) => ({ ...one, refuted: one.index === 1 })) }), 0)
    assert.equal(named({ hosts: HOSTS.filter(({ id }) => id !== 'b') }), 0)
    // What the owner has of its own does not count.
    assert.equal(named({ owner: 'b' }), 0)
    // One host with two shards is one loss, not two.
    assert.equal(named({ places: [at(0, 'a'), at(1, 'a'), at(2, 'c'), at(2, 'd')] }), 0)
  })

  void test('goal: a host that is emptied lets go of what is elsewhere, and of nothing else', () => {
    const standingOf = (id: string): CopyStanding => (id === 'd' ? 'leaves' : 'stays')
    const places = [at(0, 'a'), at(1, 'b'), at(2, 'd')]
    assert.deepEqual(surplusOf(facts({ places, standingOf })), [])
    assert.deepEqual(surplusOf(facts({ places: [...places, at(2, 'c')], standingOf })), [
      { index: 2, host: 'd', stays: 'c' },
    ])
  })

  void test('goal: of a host that is not there, nothing is said', () => {
    const standingOf = (id: string): CopyStanding => (id === 'd' ? 'unsure' : 'stays')
    const places = [at(0, 'a'), at(1, 'b'), at(2, 'c'), at(2, 'd')]
    assert.deepEqual(surplusOf(facts({ places, standingOf })), [])
  })

  void test('goal: what a host is worth follows from what is known of it', () => {
    const good = { member: true, state: 'online', retiring: false, trusted: true } as const
    assert.equal(copyStanding(good), 'stays')
    assert.equal(copyStanding({ ...good, state: 'away' }), 'stays')
    assert.equal(copyStanding({ ...good, retiring: true }), 'leaves')
    assert.equal(copyStanding({ ...good, trusted: false }), 'leaves')
    for (const state of ['suspect', 'presumed-lost'] as const) {
      assert.equal(copyStanding({ ...good, state, retiring: true }), 'unsure')
    }
    assert.equal(copyStanding({ ...good, member: false, retiring: true }), 'unsure')
  })
})

type Pool = { hosts: HostFacts[]; standings: CopyStanding[]; facts: SurplusFacts }

const standing = fc.oneof(
  { weight: 8, arbitrary: fc.constant('stays' as const) },
  { weight: 1, arbitrary: fc.constant('leaves' as const) },
  { weight: 1, arbitrary: fc.constant('unsure' as const) },
)

const pool: fc.Arbitrary<Pool> = fc
  .record({
    k: fc.integer({ min: 1, max: 4 }),
    m: fc.integer({ min: 1, max: 3 }),
    domains: fc.array(fc.tuple(fc.nat(3), fc.nat(2), fc.nat(1), standing), {
      minLength: 3,
      maxLength: 12,
    }),
    copies: fc.array(fc.tuple(fc.nat(6), fc.nat(11), fc.nat(9)), { maxLength: 8 }),
    policy: fc.record({ host: fc.nat(3), site: fc.nat(2), provider: fc.nat(2), org: fc.nat(1) }),
  })
  .map(({ k, m, domains, copies, policy }) => {
    const hosts = domains.map(([site, provider, org], i) => ({
      ...host(`h${i}`, `s${site}`),
      provider: provider === 0 ? 'self' : `p${provider}`,
      org: `o${org}`,
    }))
    const idOf = (i: number): string => `h${i % hosts.length}`
    // Each index at a host of its own as far as they reach, and copies anywhere.
    const places = Array.from({ length: Math.min(k + m, hosts.length) }, (_, i) => at(i, idOf(i)))
    for (const [index, where, refuted] of copies) {
      const place = { index: index % (k + m), host: idOf(where), refuted: refuted === 0 }
      const isThere = places.some((one) => one.index === place.index && one.host === place.host)
      if (!isThere) places.push(place)
    }
    const standings = domains.map(([, , , one]) => one)
    const standingOf = (id: string): CopyStanding => standings[Number(id.slice(1))] ?? 'unsure'
    const owner = undefined
    return {
      hosts,
      standings,
      facts: { code: { k, m }, pack: PACK, owner, places, hosts, policy, standingOf },
    }
  })

void describe('surplus copies of any pool', () => {
  void test('goal: without them every shard has one copy, and no less is survived', () => {
    let named = 0
    fc.assert(
      fc.property(pool, ({ facts: o }) => {
        const surplus = surplusOf(o)
        named += surplus.length
        if (surplus.length === 0) return
        const { k, m } = o.code
        const counting = o.places.filter(
          (one) => !one.refuted && o.standingOf(one.host) === 'stays',
        )
        const isNamed = (one: { index: number; host: string }): boolean =>
          surplus.some(({ index, host: id }) => index === one.index && id === one.host)
        const rest = counting.filter((one) => !isNamed(one))
        assert.deepEqual(
          rest.map(({ index }) => index).sort((a, b) => a - b),
          Array.from({ length: k + m }, (_, index) => index),
        )
        assert.equal(new Set(rest.map((one) => one.host)).size, k + m)
        for (const one of surplus) {
          assert.ok(rest.some(({ index, host: id }) => index === one.index && id === one.stays))
          assert.notEqual(o.standingOf(one.host), 'unsure')
        }
        const before = survives({ shards: counting, hosts: o.hosts, code: o.code })
        const after = survives({ shards: rest, hosts: o.hosts, code: o.code })
        const policy = o.policy ?? POLICY
        for (const kind of DOMAIN_KINDS) {
          assert.ok(after[kind] >= Math.min(before[kind], policy[kind]), kind)
        }
      }),
      { numRuns: 2000 },
    )
    assert.ok(named > 200, `${named} copies named`)
  })

  void test('goal: the order in which hosts and places are told makes no difference', () => {
    fc.assert(
      fc.property(pool, fc.integer(), ({ facts: o }, seed) => {
        const shuffled = <T>(list: readonly T[]): T[] =>
          list
            .map((one, i) => ({ one, key: Math.imul(i + 1, seed | 1) }))
            .sort((a, b) => a.key - b.key)
            .map(({ one }) => one)
        const other = { ...o, places: shuffled(o.places), hosts: shuffled(o.hosts) }
        assert.deepEqual(surplusOf(other), surplusOf(o))
      }),
      { numRuns: 500 },
    )
  })

  void test('goal: what is left over is left over no more', () => {
    fc.assert(
      fc.property(pool, ({ facts: o }) => {
        const surplus = surplusOf(o)
        const rest = o.places.filter(
          (one) => !surplus.some(({ index, host: id }) => index === one.index && id === one.host),
        )
        assert.deepEqual(surplusOf({ ...o, places: rest }), [])
      }),
      { numRuns: 500 },
    )
  })
})
