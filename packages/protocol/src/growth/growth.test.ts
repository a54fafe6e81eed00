import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import * as fc from 'fast-check'

import { plainCodec } from '../codec/index.ts'
import { generatorMatrix } from '../codec/matrix.ts'
import { DOMAIN_KINDS, codeFit, overheadOf, planCode, survives } from '../placement/index.ts'
import type { HostFacts, Policy } from '../placement/index.ts'
import { needsMore } from './growth.ts'
import { planMove } from './move.ts'

function host(i: number, site: string, o: Partial<HostFacts> = {}): HostFacts {
  const id = `h${String(i).padStart(2, '0')}`
  return { id, org: 'a', site, provider: 'self', online: true, freeBytes: 1e12, ...o }
}

/** `count` hosts in turn at so many sites, and the owner at the first. */
function poolOf(count: number, sites: number): HostFacts[] {
  const others = Array.from({ length: count }, (_, i) => host(i, `s${i % sites}`))
  return [...others, { ...host(0, 's0'), id: 'owner' }]
}

const owner = 'owner'

void describe('more parity for a stripe', () => {
  void test('goal: parity rows do not depend on how many there are', () => {
    for (let k = 1; k <= 8; k++) {
      const longest = generatorMatrix(k, 14)
      for (let m = 0; m < 14; m++) {
        assert.deepEqual(generatorMatrix(k, m), longest.slice(0, k + m), `${k}+${m}`)
      }
    }
    const codec = plainCodec()
    const length = 64
    const data = Uint8Array.from(
      { length: 3 * length },
      (_, i) => Math.imul(i, 2_654_435_761) >>> 24,
    )
    const encoded = (m: number): Uint8Array => {
      const shards = codec.allocate((3 + m) * length)
      shards.set(data)
      codec.encode({ k: 3, m }, length, shards)
      return shards
    }
    assert.deepEqual(encoded(2), encoded(5).subarray(0, 5 * length))
  })

  void test('goal: a pool that has grown gives more parity, at the same k', () => {
    const code = { k: 3, m: 2 }
    const o = { code, class: 'data' as const, owner }
    assert.equal(needsMore({ ...o, hosts: poolOf(5, 5) }), undefined)
    assert.deepEqual(needsMore({ ...o, hosts: poolOf(8, 4) }), {
      kind: 'extend',
      code: { k: 3, m: 4 },
    })
    // Copies at three hosts are dear already.
    const copies = { k: 1, m: 2 }
    assert.equal(needsMore({ ...o, code: copies, hosts: poolOf(8, 4) }), undefined)
  })

  void test('goal: a pool with fewer holders than shards has to store anew', () => {
    const hosts = poolOf(4, 4)
    const growth = needsMore({ code: { k: 4, m: 3 }, class: 'data', hosts, owner })
    assert.deepEqual(growth, {
      kind: 'recode',
      code: planCode({ hosts, owner, class: 'data' }).code,
    })
  })

  void test('goal: what was planned for this very pool needs nothing', () => {
    for (const stripeClass of ['data', 'meta', 'critical'] as const) {
      for (let holders = 1; holders <= 20; holders++) {
        for (const sites of [1, 2, 3, 5]) {
          const o = { hosts: poolOf(holders, sites), owner, class: stripeClass }
          const { code } = planCode(o)
          assert.equal(needsMore({ ...o, code }), undefined, `${holders} at ${sites}`)
        }
      }
    }
    assert.equal(
      needsMore({ code: { k: 1, m: 1 }, class: 'data', hosts: poolOf(0, 1), owner }),
      undefined,
    )
  })
})

const hostsOf = fc
  .array(fc.tuple(fc.nat(4), fc.nat(2), fc.nat(1)), { minLength: 1, maxLength: 18 })
  .map((list) => [
    ...list.map(([site, provider, org], i) =>
      host(i, `s${site}`, { provider: provider === 0 ? 'self' : `p${provider}`, org: `o${org}` }),
    ),
    { ...host(0, 's0'), id: owner },
  ])
const policyOf: fc.Arbitrary<Policy> = fc.record({
  host: fc.integer({ min: 1, max: 3 }),
  site: fc.nat(2),
  provider: fc.nat(1),
  org: fc.nat(1),
})
const codes = fc.record({ k: fc.integer({ min: 1, max: 6 }), m: fc.integer({ min: 1, max: 5 }) })

void describe('growth in any pool', () => {
  void test('goal: it helps, costs no more than it may, and is enough', () => {
    let extended = 0
    fc.assert(
      fc.property(hostsOf, policyOf, codes, (hosts, policy, code) => {
        const o = { hosts, owner, policy, class: 'data' as const }
        const growth = needsMore({ ...o, code })
        if (growth === undefined) return
        const holders = hosts.length - 1
        assert.ok(growth.code.k + growth.code.m <= holders)
        if (growth.kind === 'recode') {
          assert.ok(code.k + code.m > holders)
          return
        }
        extended++
        const [before, after] = [codeFit({ ...o, code }), codeFit({ ...o, code: growth.code })]
        assert.equal(growth.code.k, code.k)
        for (const kind of DOMAIN_KINDS) assert.ok(after.kept[kind] >= before.kept[kind])
        assert.ok(overheadOf(growth.code) <= (holders <= 5 ? 4 : 3))
        // Nothing is extended twice for one pool.
        assert.equal(needsMore({ ...o, code: growth.code }), undefined)
      }),
      { numRuns: 300 },
    )
    assert.ok(extended > 10, `${extended} extended`)
  })
})

void describe('moving one shard', () => {
  const base = { pack: new Uint8Array(32).fill(7), owner, shardLength: 65_536, roomMin: 1e9 }
  const code = { k: 2, m: 2 }

  void test('goal: from a crowded site to one of its own', () => {
    const hosts = [host(0, 'x'), host(1, 'x'), host(2, 'x'), host(3, 'y'), host(4, 'z')]
    const places = new Map([0, 1, 2, 3].map((i) => [i, hosts[i]?.id ?? '']))
    const move = planMove({ ...base, code, hosts, places })
    assert.equal(move?.to, 'h04')
    assert.ok(['h00', 'h01', 'h02'].includes(move?.from ?? ''))
  })

  void test('goal: away from a host that is nearly full', () => {
    const hosts = ['w', 'x', 'y', 'z', 'q'].map((site, i) =>
      host(i, site, { freeBytes: i === 1 ? 1e6 : 1e12 }),
    )
    const places = new Map([0, 1, 2, 3].map((i) => [i, hosts[i]?.id ?? '']))
    assert.deepEqual(planMove({ ...base, code, hosts, places }), {
      index: 1,
      from: 'h01',
      to: 'h04',
    })
    const roomy = hosts.map((one) => ({ ...one, freeBytes: 1e12 }))
    assert.equal(planMove({ ...base, code, hosts: roomy, places }), undefined)
    // A stripe that lacks a shard is repaired first.
    places.delete(3)
    assert.equal(planMove({ ...base, code, hosts, places }), undefined)
  })

  void test('goal: nothing is survived less, and moves come to an end', () => {
    fc.assert(
      fc.property(hostsOf, policyOf, codes, fc.nat(), (hosts, policy, shape, turn) => {
        const holders = hosts.filter(({ id }) => id !== owner)
        const shards = shape.k + shape.m
        if (holders.length < shards) return
        const places = new Map(
          Array.from({ length: shards }, (_, i) => [
            i,
            holders[(i + turn) % holders.length]?.id ?? '',
          ]),
        )
        const o = { ...base, code: shape, hosts, policy, places }
        const figure = (): Policy =>
          survives({
            shards: [...places].map(([index, id]) => ({ index, host: id })),
            hosts,
            code: shape,
          })
        for (let moves = 0; ; moves++) {
          const before = figure()
          const move = planMove(o)
          if (move === undefined) break
          assert.ok(moves < 10, 'it does not end')
          assert.ok(![...places.values()].includes(move.to))
          assert.notEqual(move.to, owner)
          places.set(move.index, move.to)
          const after = figure()
          for (const kind of DOMAIN_KINDS) assert.ok(after[kind] >= before[kind], kind)
        }
      }),
      { numRuns: 200 },
    )
  })
})
