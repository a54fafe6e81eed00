import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { isMoyaiError } from '../errors.ts'
import {
  DEFAULT_POLICY,
  domainOf,
  GROUP_KINDS,
  minimumShards,
  parsePolicy,
  placementCaps,
  placeShards,
  planCode,
  policyText,
  survives,
} from './index.ts'
import type { Caps, HostFacts, Policy } from './index.ts'

const STRIPE = new Uint8Array(32).fill(9)

function host(number: number, facts: Partial<HostFacts> = {}): HostFacts {
  return {
    id: number.toString(16).padStart(64, '0'),
    org: `org-${number}`,
    site: `site-${number}`,
    provider: 'self',
    online: true,
    freeBytes: 1e9,
    ...facts,
  }
}

/**
 * `count` hosts, dealt out evenly over `sites`; host 0 is the owner and lives in a site of its own.
 */
function pool(count: number, sites: number): HostFacts[] {
  return Array.from({ length: count }, (_, i) =>
    host(i, { site: i === 0 ? 'owner' : `site-${i % sites}` }),
  )
}

const OWNER = host(0).id

/** Six hosts, three sites, two providers of three hosts each: the demo. */
const SIX = [
  host(0, { site: 'tokyo', provider: 'a' }),
  host(1, { site: 'tokyo', provider: 'b' }),
  host(2, { site: 'osaka', provider: 'a' }),
  host(3, { site: 'osaka', provider: 'b' }),
  host(4, { site: 'nagoya', provider: 'a' }),
  host(5, { site: 'nagoya', provider: 'b' }),
]

const hostFacts = fc.record({
  org: fc.constantFrom('x', 'y', 'z'),
  site: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
  provider: fc.constantFrom('self', 'self', 'p', 'q'),
  online: fc.boolean(),
  freeBytes: fc.constantFrom(0, 1, 1e6, 1e9, 5e12),
})
const pools = fc
  .array(hostFacts, { minLength: 2, maxLength: 24 })
  .map((facts) => facts.map((fact, i) => ({ ...fact, id: host(i).id })))
const policies = fc.record(
  {
    host: fc.integer({ min: 0, max: 4 }),
    site: fc.integer({ min: 0, max: 2 }),
    provider: fc.integer({ min: 0, max: 2 }),
    org: fc.integer({ min: 0, max: 1 }),
  },
  { noNullPrototype: true },
)
const classes = fc.constantFrom('data', 'meta', 'critical')

function loads(hosts: readonly HostFacts[], ids: Iterable<string>, kind: keyof Policy): number[] {
  const counts = new Map<string, number>()
  for (const id of ids) {
    const facts = hosts.find((one) => one.id === id)
    assert.ok(facts)
    counts.set(domainOf(facts, kind), (counts.get(domainOf(facts, kind)) ?? 0) + 1)
  }
  return [...counts.values()]
}

function codeText(hosts: readonly HostFacts[], kind: 'data' | 'meta' = 'data'): string {
  const { code } = planCode({ hosts, owner: OWNER, class: kind })
  return `${code.k}+${code.m}`
}

describe('planCode', () => {
  it('gives the codes of small pools', () => {
    // Goal: the pools people start with. Method: the table of spec/placement.md §2, by hand.
    assert.equal(codeText(SIX), '1+3')
    assert.equal(codeText(SIX, 'meta'), '1+4')
    assert.equal(planCode({ hosts: SIX, owner: OWNER, class: 'data' }).met, true)
    assert.equal(codeText(pool(2, 1)), '1+0')
    assert.equal(codeText(pool(3, 2)), '1+1')
    assert.equal(codeText(pool(4, 3)), '1+2')
    assert.equal(codeText(pool(4, 3), 'meta'), '1+2')
    const three = planCode({ hosts: pool(3, 2), owner: OWNER, class: 'data' })
    assert.equal(three.met, false)
    assert.match(three.explain, /does not survive the loss of 2 hosts/)
  })

  it('refuses a pool without another host', () => {
    // Goal: the owner's own machine never counts.
    assert.throws(
      () => planCode({ hosts: [host(0)], owner: OWNER, class: 'data' }),
      (error) => isMoyaiError(error, 'TOO_FEW_HOSTS'),
    )
  })

  it('takes a code that is set by hand, and says what it does not survive', () => {
    // Goal: an expert's choice is honoured, never made to look better than it is.
    const fixed = { k: 4, m: 2 }
    const seven = { hosts: pool(7, 3), owner: OWNER, fixed }
    const data = planCode({ ...seven, class: 'data' })
    assert.deepEqual(data.code, fixed)
    assert.equal(data.met, true)
    assert.match(data.explain, /^set by hand: 4\+2 on 6 possible holders: survives 2 hosts/)
    assert.deepEqual(planCode({ ...seven, class: 'meta' }).code, { k: 3, m: 3 })
    const oneSite = planCode({ ...seven, hosts: pool(7, 1), class: 'data' })
    assert.deepEqual(oneSite.code, fixed)
    assert.match(oneSite.explain, /does not survive the loss of 1 site/)
    const weak = planCode({ ...seven, class: 'data', fixed: { k: 4, m: 1 } })
    assert.match(weak.explain, /does not survive the loss of 2 hosts/)
    const error = { code: 'TOO_FEW_HOSTS', message: /needs 6 other hosts; the pool has 5/ }
    const six = { ...seven, hosts: pool(6, 3) }
    assert.throws(() => planCode({ ...six, class: 'data' }), { ...error, hint: /add 1/ })
    assert.throws(() => planCode({ ...six, class: 'meta' }), error)
  })

  it('gives codes that can be placed, and says truly whether the policy is met', () => {
    // Goal: no promise that the placement cannot keep. Method: random pools, all online with room,
    // placed and counted.
    fc.assert(
      fc.property(pools, policies, classes, (hosts, policy, kind) => {
        const awake = hosts.map((one) => ({ ...one, online: true, freeBytes: 1e9 }))
        const plan = planCode({ hosts: awake, owner: OWNER, class: kind, policy })
        const { k, m } = plan.code
        const holders = hosts.length - 1
        assert.ok(k >= 1 && k <= 8 && k + m <= Math.min(holders, 14))
        assert.ok(m >= 2 || holders < 3, 'two losses wherever there are three holders')
        assert.ok(m >= 1 || holders === 1, 'no parity only with a single holder')
        const { assignment } = placeShards({
          hosts: awake,
          owner: OWNER,
          code: plan.code,
          stripe: STRIPE,
          policy,
        })
        const shards = assignment.map((id, index) => ({
          index,
          host: id ?? assert.fail('unplaced'),
        }))
        const real = survives({ shards, hosts: awake, code: plan.code })
        if (plan.met) {
          assert.ok(real.host >= policy.host && real.site >= policy.site, plan.explain)
          assert.ok(real.provider >= policy.provider, plan.explain)
        } else {
          assert.ok(plan.gaps.length > 0)
        }
        assert.ok(plan.explain.startsWith(`${k}+${m} on ${holders} possible holder`))
      }),
      { numRuns: 3000 },
    )
  })

  it('gives metadata at least the parity of data', () => {
    // Goal: a file list outlives the files. Method: random pools.
    fc.assert(
      fc.property(pools, (hosts) => {
        const data = planCode({ hosts, owner: OWNER, class: 'data' }).code
        const meta = planCode({ hosts, owner: OWNER, class: 'meta' }).code
        assert.ok(meta.m >= data.m && meta.k <= data.k)
        if (hosts.length - 1 > data.k + data.m || data.k > 1) assert.ok(meta.m >= data.m)
      }),
      { numRuns: 500 },
    )
  })

  it('does not depend on the order of hosts or on who is online', () => {
    // Goal: the same code tonight and tomorrow. Method: shuffled pools.
    fc.assert(
      fc.property(pools, (hosts) => {
        const plan = planCode({ hosts, owner: OWNER, class: 'data' })
        const turned = hosts.toReversed().map((one) => ({ ...one, online: !one.online }))
        assert.deepEqual(planCode({ hosts: turned, owner: OWNER, class: 'data' }), plan)
      }),
      { numRuns: 300 },
    )
  })

  it('plans pools of some hundred hosts quickly', () => {
    // Goal: a plan is made at every membership change. Method: 300 hosts whose sites, providers and
    // organisations overlap; some ten milliseconds, and a hundred times that for a busy machine.
    const hosts = Array.from({ length: 300 }, (_, i) =>
      host(i, {
        site: `s${i % 40}`,
        provider: i % 3 === 0 ? `p${i % 7}` : 'self',
        org: `o${i % 4}`,
      }),
    )
    const start = performance.now()
    assert.equal(codeText(hosts), '7+7')
    placeShards({ hosts, owner: OWNER, code: { k: 8, m: 6 }, stripe: STRIPE })
    assert.ok(performance.now() - start < 2000)
  })

  it('needs fewer hosts to read than run at night', () => {
    // Goal: a restore at three in the morning. Method: twelve hosts in four sites, with more and
    // more that are always on; from three on by default, otherwise on request.
    const awake = (count: number): HostFacts[] =>
      pool(12, 4).map((one, i) => ({ ...one, alwaysOn: i > 0 && i <= count }))
    assert.equal(codeText(awake(2)), '6+5')
    assert.equal(codeText(awake(3)), '2+4')
    assert.equal(codeText(awake(4)), '3+4')
    assert.equal(codeText(awake(5)), '4+4')
    assert.equal(codeText(awake(11)), '6+5')
    const asked = { owner: OWNER, class: 'data' as const }
    assert.equal(planCode({ ...asked, hosts: awake(2), nights: true }).code.k, 1)
    assert.equal(planCode({ ...asked, hosts: awake(4), nights: false }).code.k, 6)
  })

  it('asks about organisations where two or more pool', () => {
    // Goal: an organisation that leaves takes no data along; a single one is not held against it.
    const shared = pool(9, 3).map((one, i) => ({ ...one, org: i < 5 ? 'x' : 'y' }))
    const plan = planCode({ hosts: shared, owner: OWNER, class: 'data' })
    assert.deepEqual([plan.code, plan.caps.org], [{ k: 3, m: 5 }, 4])
    assert.match(plan.explain, /or any 1 site or 1 provider or 1 organisation and 1 host more$/)
    const guests = shared.map((one, i) => ({ ...one, org: i === 0 ? 'x' : 'y' }))
    const all = planCode({ hosts: guests, owner: OWNER, class: 'data' })
    assert.deepEqual(all.gaps, ['does not survive the loss of 1 organisation'])
    const alone = shared.map((one) => ({ ...one, org: 'x' }))
    assert.equal(planCode({ hosts: alone, owner: OWNER, class: 'data' }).met, true)
  })
})

describe('placeShards', () => {
  it('never breaks a rule', () => {
    // Goal: distinct holders, never the owner, only online ones with room, caps kept. Method:
    // random pools and codes.
    fc.assert(
      fc.property(
        pools,
        policies,
        fc.record({ k: fc.integer({ min: 1, max: 8 }), m: fc.integer({ min: 0, max: 6 }) }),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        (hosts, policy, code, stripe) => {
          const { assignment } = placeShards({ hosts, owner: OWNER, code, stripe, policy })
          assert.equal(assignment.length, code.k + code.m)
          const ids = assignment.filter((id) => id !== undefined)
          assert.equal(new Set(ids).size, ids.length)
          assert.ok(!ids.includes(OWNER))
          for (const id of ids) {
            const facts = hosts.find((one) => one.id === id)
            assert.ok(facts?.online === true && facts.freeBytes > 0)
          }
          const caps = placementCaps({ hosts, owner: OWNER, code, policy })
          for (const kind of GROUP_KINDS) {
            assert.ok(loads(hosts, ids, kind).every((load) => load <= caps[kind]))
          }
          const again = placeShards({
            hosts: hosts.toReversed(),
            owner: OWNER,
            code,
            stripe,
            policy,
          })
          assert.deepEqual(again.assignment, assignment)
        },
      ),
      { numRuns: 5000 },
    )
  })

  it('places as many as can be placed at all', () => {
    // Goal: a place that exists is found. Method: all subsets of small pools, by brute force.
    fc.assert(
      fc.property(
        fc.array(hostFacts, { minLength: 2, maxLength: 8 }),
        fc.record({ k: fc.integer({ min: 1, max: 3 }), m: fc.integer({ min: 1, max: 4 }) }),
        (facts, code) => {
          const hosts = facts.map((fact, i) => ({ ...fact, id: host(i).id }))
          const { assignment } = placeShards({ hosts, owner: OWNER, code, stripe: STRIPE })
          const caps = placementCaps({ hosts, owner: OWNER, code })
          const eligible = hosts.slice(1).filter((one) => one.online && one.freeBytes > 0)
          let best = 0
          for (let mask = 0; mask < 1 << eligible.length; mask++) {
            const ids = eligible.filter((_, i) => mask & (1 << i)).map((one) => one.id)
            const fits = GROUP_KINDS.every((kind) =>
              loads(hosts, ids, kind).every((load) => load <= caps[kind]),
            )
            if (fits) best = Math.max(best, ids.length)
          }
          const placed = assignment.filter((id) => id !== undefined).length
          assert.equal(placed, Math.min(best, code.k + code.m))
        },
      ),
      { numRuns: 1500 },
    )
  })

  it('places every small pool exhaustively', () => {
    // Goal: no small pool is special. Method: all pools of up to 5 holders over 3 sites and 2
    // providers, planned and placed: everything is placed, and what the plan calls met survives the
    // worst loss.
    for (let holders = 1; holders <= 5; holders++) {
      for (let number = 0; number < 6 ** holders; number++) {
        const hosts = [host(0, { site: 'owner' })]
        for (let i = 1, rest = number; i <= holders; i++, rest = Math.floor(rest / 6)) {
          hosts.push(host(i, { site: `s${rest % 3}`, provider: rest % 6 < 3 ? 'p' : 'q' }))
        }
        const { code, met } = planCode({ hosts, owner: OWNER, class: 'data' })
        const { assignment } = placeShards({ hosts, owner: OWNER, code, stripe: STRIPE })
        const shards = assignment.map((id, index) => ({ index, host: id ?? assert.fail() }))
        const real = survives({ shards, hosts, code })
        assert.equal(met, real.host >= 2 && real.site >= 1 && real.provider >= 1)
      }
    }
  })

  it('splits the demo pool by sites and providers', () => {
    // Goal: five holders, providers two and three, no site above two.
    const code = { k: 2, m: 3 }
    const { assignment } = placeShards({ hosts: SIX, owner: OWNER, code, stripe: STRIPE })
    const ids = assignment.filter((id) => id !== undefined)
    assert.equal(ids.length, 5)
    assert.deepEqual(
      loads(SIX, ids, 'provider').toSorted((a, b) => a - b),
      [2, 3],
    )
    assert.deepEqual(
      loads(SIX, ids, 'site').toSorted((a, b) => a - b),
      [1, 2, 2],
    )
  })

  it('leaves placed shards where they are and counts them', () => {
    // Goal: a retry continues. Method: random first halves, then the rest; never two shards on one
    // host.
    fc.assert(
      fc.property(pools, fc.integer({ min: 0, max: 10 }), (hosts, kept) => {
        const code = planCode({ hosts, owner: OWNER, class: 'data' }).code
        const awake = hosts.map((one) => ({ ...one, online: true, freeBytes: 1e9 }))
        const first = placeShards({ hosts: awake, owner: OWNER, code, stripe: STRIPE }).assignment
        const already = new Map(first.slice(0, kept).map((id, i) => [i, id ?? assert.fail()]))
        const avoid = new Set(first.slice(kept).flatMap((id) => id ?? []))
        const o = { hosts: awake, owner: OWNER, code, stripe: STRIPE, already }
        const same = placeShards(o).assignment
        const other = placeShards({ ...o, avoid }).assignment
        for (const assignment of [same, other]) {
          const ids = assignment.filter((id) => id !== undefined)
          assert.equal(new Set(ids).size, ids.length)
          for (const [index, id] of already) assert.equal(assignment[index], id)
        }
        assert.ok(same.every((id) => id !== undefined))
        assert.ok(other.every((id, i) => id === undefined || already.has(i) || !avoid.has(id)))
        const caps = placementCaps({ hosts, owner: OWNER, code })
        const ids = same.flatMap((id) => id ?? [])
        assert.ok(loads(hosts, ids, 'site').every((load) => load <= caps.site))
      }),
      { numRuns: 1000 },
    )
  })

  it('gives one shard more than a reader needs to hosts that run at night', () => {
    // Goal: with one of them away, the rest can be read from. Method: many stripes; each of three
    // offices has two always-on hosts and two desktops.
    const hosts = pool(13, 3).map((one, i) => ({ ...one, alwaysOn: i % 12 < 6 && i > 0 }))
    const { code } = planCode({ hosts, owner: OWNER, class: 'data' })
    assert.deepEqual(code, { k: 5, m: 6 })
    const awake = new Set(hosts.filter((one) => one.alwaysOn).map((one) => one.id))
    const desktops = new Set<string>()
    for (let i = 0; i < 200; i++) {
      const { assignment } = placeShards({ hosts, owner: OWNER, code, stripe: Uint8Array.of(i) })
      const ids = assignment.map((id) => id ?? assert.fail())
      assert.ok(ids.filter((id) => awake.has(id)).length >= code.k + 1)
      for (const id of ids) if (!awake.has(id)) desktops.add(id)
    }
    assert.equal(desktops.size, 12 - awake.size)
  })

  it('keeps shards of hosts that have left the pool in their places', () => {
    // Goal: a retired holder is not given a second shard and does not disturb the caps.
    const gone = 'ff'.repeat(32)
    const code = { k: 2, m: 2 }
    const { assignment } = placeShards({
      hosts: SIX,
      owner: OWNER,
      code,
      stripe: STRIPE,
      already: new Map([[1, gone]]),
    })
    assert.equal(assignment[1], gone)
    assert.equal(new Set(assignment).size, 4)
  })

  it('uses hosts in proportion to their free space, and all of them', () => {
    // Goal: no host fills up while others are empty. Method: 4000 stripes over ten hosts, one with
    // a tenth of the room.
    const hosts = pool(11, 10).map((one, i) => ({ ...one, freeBytes: i === 5 ? 1e8 : 1e9 }))
    const counts = new Map<string, number>()
    for (let i = 0; i < 4000; i++) {
      const stripe = Uint8Array.of(i, i >> 8, 3)
      const { assignment } = placeShards({ hosts, owner: OWNER, code: { k: 2, m: 2 }, stripe })
      for (const id of assignment) counts.set(id ?? '', (counts.get(id ?? '') ?? 0) + 1)
    }
    const small = counts.get(host(5).id) ?? 0
    counts.delete(host(5).id)
    assert.equal(counts.size, 9)
    for (const count of counts.values()) assert.ok(count > 1500 && count < 1900, `${count}`)
    assert.ok(small > 100 && small < 900, `${small}`)
  })
})

/** `survives`, by trying all sets of domains. */
function slowly(
  o: {
    shards: { index: number; host: string }[]
    hosts: HostFacts[]
    code: { k: number; m: number }
  },
  kind: keyof Policy,
): number {
  const domain = (id: string): string => {
    const facts = o.hosts.find((one) => one.id === id)
    return facts === undefined ? (kind === 'host' ? id : '?') : domainOf(facts, kind)
  }
  const domains = [...new Set(o.shards.map((shard) => domain(shard.host)))]
  let smallest = domains.length + 1
  for (let mask = 0; mask < 1 << domains.length; mask++) {
    const lost = domains.filter((_, i) => mask & (1 << i))
    const left = o.shards.filter((shard) => !lost.includes(domain(shard.host)))
    if (new Set(left.map((shard) => shard.index)).size < o.code.k) {
      smallest = Math.min(smallest, lost.length)
    }
  }
  return smallest - 1
}

describe('survives', () => {
  it('equals the definition', () => {
    // Goal: a figure people rely on. Method: random shards, with copies and strangers, against
    // brute force.
    fc.assert(
      fc.property(
        fc.array(hostFacts, { minLength: 1, maxLength: 7 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 47 }), fc.nat()), { maxLength: 9 }),
        fc.integer({ min: 1, max: 4 }),
        (facts, drawn, k) => {
          const hosts = facts.map((fact, i) => ({ ...fact, id: host(i).id }))
          const shards = drawn.map(([index, number]) => ({
            index,
            host: host(number % (hosts.length + 1)).id,
          }))
          const o = { shards, hosts, code: { k, m: 3 } }
          const found = survives(o)
          for (const kind of ['host', 'site', 'provider', 'org'] as const) {
            assert.equal(found[kind], slowly(o, kind), kind)
          }
        },
      ),
      { numRuns: 1500 },
    )
  })

  it('errs on the safe side beyond what it searches', () => {
    // Goal: with many copies the figure may be low, never high. Method: 20 hosts, each shard twice:
    // 1+9 survives 19.
    const hosts = pool(20, 20)
    const shards = hosts.map((one, i) => ({ index: i % 10, host: one.id }))
    const found = survives({ shards, hosts, code: { k: 1, m: 9 } })
    assert.ok(found.host >= 9 && found.host <= 19)
  })
})

describe('minimumShards and policies', () => {
  it('knows the least that counts as stored', () => {
    // Goal: below it nothing is committed.
    assert.equal(minimumShards({ k: 2, m: 3 }), 3)
    assert.equal(minimumShards({ k: 1, m: 1 }), 2)
    assert.equal(minimumShards({ k: 1, m: 0 }), 1)
  })

  it('reads and writes policies', () => {
    // Goal: text and back, and a clear refusal.
    assert.equal(policyText(DEFAULT_POLICY), 'host=2 site=1 provider=1 org=1')
    assert.deepEqual(parsePolicy('site=2, host=3'), { ...DEFAULT_POLICY, host: 3, site: 2 })
    fc.assert(
      fc.property(policies, (policy) => assert.deepEqual(parsePolicy(policyText(policy)), policy)),
    )
    for (const bad of [
      'host',
      'host=x',
      'room=1',
      'host=17',
      'host=1 host=2',
      'host=-1',
      'host=1.5',
    ]) {
      assert.throws(
        () => parsePolicy(bad),
        (error) => isMoyaiError(error, 'CONFIG_INVALID'),
        bad,
      )
    }
  })

  it('keeps a company apart from a site', () => {
    // Goal: nobody joins two domains by a clever name.
    const own = host(1, { site: 'x', provider: 'self' })
    assert.notEqual(
      domainOf(own, 'provider'),
      domainOf(host(2, { provider: 'self:x' }), 'provider'),
    )
    assert.equal(domainOf(own, 'provider'), domainOf(host(3, { site: 'x' }), 'provider'))
  })
})

describe('vectors', () => {
  it('are agreed with', () => {
    // Goal: another implementation can check its decisions. Method: plans and survivals of
    // test/vectors/placement.
    const url = new URL('../../../../test/vectors/placement/placement.json', import.meta.url)
    const vectors = JSON.parse(readFileSync(url, 'utf8')) as Vectors
    for (const plan of vectors.plans) {
      const { name, hosts, owner, policy, expect } = plan
      for (const kind of ['data', 'meta'] as const) {
        const run = (): PlanVector => {
          const { code, margin, caps, met } = planCode({ hosts, owner, class: kind, policy })
          return { code: `${code.k}+${code.m}`, margin, caps, met }
        }
        if (expect === 'ok') assert.deepEqual(run(), plan[kind], name)
        else assert.throws(run, (error) => isMoyaiError(error) && error.code === expect)
      }
    }
    for (const { name, shards, hosts, code, result } of vectors.survivals) {
      assert.deepEqual(survives({ shards, hosts, code }), result, name)
    }
  })
})

type PlanVector = { code: string; margin: number; caps: Caps; met: boolean }

type Vectors = {
  plans: {
    name: string
    hosts: HostFacts[]
    owner: string
    policy: Policy
    data?: PlanVector
    meta?: PlanVector
    expect: string
  }[]
  survivals: {
    name: string
    shards: { index: number; host: string }[]
    hosts: HostFacts[]
    code: { k: number; m: number }
    result: Policy
  }[]
}
