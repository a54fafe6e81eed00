// Goal: what is said about the loss of a domain is what the loss would do. Method: pools with known
// answers; random shards, really taken away.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'

import type { HostFacts } from '../placement/hosts.ts'
import { REPAIR_BYTES_PER_SECOND, type StripeFacts, whatIf } from './what-if.ts'

function host(id: string, site: string, provider = 'self', org = 'x'): HostFacts {
  return { id, site, provider, org, online: true, freeBytes: 1 }
}

/** Six hosts in three sites, the first three with one provider; the owner is `a`. */
const SIX = ['a', 'b', 'c', 'd', 'e', 'f'].map((id, i) =>
  host(id, `site-${Math.floor(i / 2)}`, i < 3 ? 'one' : 'two', i < 4 ? 'x' : 'y'),
)
const NAMES = new Map(SIX.map(({ id }) => [id, `host-${id}`]))

/** One shard of a stripe of 2+3 on each of these hosts. */
function stripe(hosts: string, shardLength = 1e6): StripeFacts {
  const found = Array.from(hosts, (id, index) => ({ index, host: id }))
  return { code: { k: 2, m: 3 }, shardLength, found }
}

function outcomes(stripes: StripeFacts[], hosts = SIX): Map<string, string> {
  const told = whatIf({ stripes, hosts, owner: 'a', names: NAMES })
  return new Map(told.map(({ lose, outcome }) => [lose, outcome]))
}

test('each domain is named once, with what its loss would cost', () => {
  const all = outcomes([stripe('bcdef')])
  assert.deepEqual(
    [...all.keys()],
    [
      'host host-b',
      'host host-c',
      'host host-d',
      'host host-e',
      'host host-f',
      'site site-0',
      'site site-1',
      'site site-2',
      'provider one',
      'provider two',
      'organisation x',
      'organisation y',
    ],
  )
  const left = 'everything is retrievable from'
  assert.equal(all.get('host host-b'), `${left} 4 hosts, 2 more could go; repair needs 1 host more`)
  assert.equal(
    all.get('provider two'),
    `${left} 2 hosts, with nothing to spare; repair needs 3 hosts more`,
  )
  assert.equal(
    outcomes([stripe('def')]).get('provider two'),
    '1 of 1 stripes could not be retrieved',
  )
  assert.equal(outcomes([stripe('cdef')]).get('host host-b'), `${left} 4 hosts, 2 more could go`)
  assert.equal(outcomes([]).size, 0)
})

test('repair takes as long as the remaining hosts need to send it', () => {
  const hosts = [...SIX, host('g', 'site-3'), host('h', 'site-4')]
  const stripes = Array.from({ length: 2500 }, () => stripe('bcdef', 4e6))
  const told = whatIf({ stripes, hosts, owner: 'a', names: NAMES })
  const site = told.find(({ lose }) => lose === 'site site-2')
  assert.deepEqual(site, {
    lose: 'site site-2',
    outcome: 'everything is retrievable from 3 hosts, 1 more could go; repair would take about 2 h',
    unrecoverable: 0,
    degraded: 2500,
    hosts: 3,
    repairBytes: 2 * 2500 * 4e6,
    // Two shards are read and two are sent, of 2500 stripes, by three hosts.
    repairSeconds: Math.ceil((4 * 2500 * 4e6) / (3 * REPAIR_BYTES_PER_SECOND)),
  })
  const provider = told.find(({ lose }) => lose === 'provider two')
  assert.match(provider?.outcome ?? '', /; repair would take about 3 h and needs 1 host more$/)
  const slow = { stripes, hosts, owner: 'a', names: NAMES, repairBytesPerSecond: 10_000 }
  const days = whatIf(slow).find(({ lose }) => lose === 'site site-2')
  assert.match(days?.outcome ?? '', /repair would take about 16 days$/)
})

test('the only site takes everything, and the owner its own', () => {
  const hosts = ['a', 'b', 'c'].map((id) => host(id, 'osaka'))
  const code = { k: 1, m: 1 }
  const found = Array.from('bc', (id, index) => ({ index, host: id }))
  const all = outcomes([{ code, shardLength: 1, found }], hosts)
  assert.deepEqual([...all.keys()], ['host host-b', 'host host-c', 'site osaka'])
  assert.equal(all.get('site osaka'), '1 of 1 stripes could not be retrieved')
})

const facts = fc.record({
  site: fc.constantFrom('p', 'q', 'r'),
  provider: fc.constantFrom('self', 's', 't'),
  org: fc.constantFrom('x', 'y'),
})

test('the figures are those of the loss', () => {
  fc.assert(
    fc.property(
      fc.array(facts, { minLength: 2, maxLength: 9 }),
      fc.array(fc.array(fc.tuple(fc.integer({ min: 0, max: 4 }), fc.nat())), { maxLength: 6 }),
      (drawn, shards) => {
        const hosts = drawn.map((one, i) => ({ ...host(`${i}`, ''), ...one }))
        const stripes = shards.map((one): StripeFacts => {
          const found = one.map(([index, n]) => ({
            index,
            host: `${1 + (n % (drawn.length - 1))}`,
          }))
          return { code: { k: 2, m: 3 }, shardLength: 100, found }
        })
        for (const told of whatIf({ stripes, hosts, owner: '0', names: new Map() })) {
          const [kind, name] = told.lose.split(' ')
          const gone = hosts.filter((one) =>
            kind === 'host'
              ? one.id === name
              : (kind === 'organisation' ? one.org : one[kind as 'site' | 'provider']) === name,
          )
          const lost = new Set(gone.map(({ id }) => id))
          const left = stripes.map(({ found }) => found.filter((one) => !lost.has(one.host)))
          const count = (one: readonly { index: number }[]): number =>
            new Set(one.map(({ index }) => index)).size
          assert.equal(told.unrecoverable, left.filter((one) => count(one) < 2).length)
          assert.equal(told.hosts, new Set(left.flat().map((one) => one.host)).size)
          const degraded = left.filter(
            (one, i) => count(one) >= 2 && count(one) < count(stripes[i]?.found ?? []),
          )
          assert.equal(told.degraded, degraded.length)
          assert.ok(told.repairBytes <= 100 * 3 * degraded.length)
          assert.equal(told.repairBytes > 0, told.repairSeconds > 0)
        }
      },
    ),
    { numRuns: 500 },
  )
})
