/** Who gives much gets much, and nobody gets what the pool does not have. */

import assert from 'node:assert/strict'
import { test } from 'node:test'

import * as fc from 'fast-check'

import { QUOTA_BYTES_MIN, QUOTA_SLACK } from '../limits.ts'
import { quotaBytes } from './quota.ts'
import type { Offer } from './quota.ts'

const GB = 1e9
const host = (id: string, org: string, offered: number): Offer => ({ id, org, offered })

test('goal: a share of each other host, in proportion to what both offer', () => {
  const hosts = [host('a', 'A', 100 * GB), host('b', 'B', 300 * GB), host('c', 'C', 100 * GB)]
  const at = (holder: string, org: string): number | undefined => quotaBytes({ hosts, holder, org })
  assert.equal(at('b', 'A'), QUOTA_SLACK * 75 * GB)
  assert.equal(at('c', 'A'), QUOTA_SLACK * 25 * GB)
  assert.equal(at('a', 'A'), undefined, 'no bound within an organisation')
})

test('goal: further machines of an organisation give and take together', () => {
  const hosts = [host('nas', 'A', 400 * GB), host('laptop', 'A', 0), host('b', 'B', 200 * GB)]
  assert.equal(quotaBytes({ hosts, holder: 'nas', org: 'A' }), undefined)
  assert.equal(quotaBytes({ hosts, holder: 'b', org: 'A' }), QUOTA_SLACK * 400 * GB)
  assert.equal(quotaBytes({ hosts, holder: 'laptop', org: 'B' }), QUOTA_BYTES_MIN)
})

const pools = fc.array(
  fc.record({
    org: fc.constantFrom('A', 'B', 'C', 'D'),
    offered: fc.integer({ min: 0, max: 1e13 }),
  }),
  { minLength: 1, maxLength: 40 },
)

test('goal: all quotas of an organisation add up to the slack times what it gives', () => {
  fc.assert(
    fc.property(pools, (list) => {
      const hosts = list.map(({ org, offered }, i) => host(String(i), org, offered))
      for (const org of ['A', 'B']) {
        const quotas = hosts.flatMap(({ id }) => quotaBytes({ hosts, holder: id, org }) ?? [])
        const given = hosts
          .filter((one) => one.org === org)
          .reduce((sum, one) => sum + one.offered, 0)
        const sum = quotas.reduce((all, one) => all + one, 0)
        assert.ok(sum <= QUOTA_SLACK * given + quotas.length * QUOTA_BYTES_MIN)
        assert.ok(quotas.every((one) => one >= QUOTA_BYTES_MIN && Number.isSafeInteger(one)))
      }
    }),
  )
})

test('goal: who offers more never gets less', () => {
  fc.assert(
    fc.property(pools, fc.nat(1e12), (list, more) => {
      const hosts = list.map(({ org, offered }, i) => host(String(i), org, offered))
      const raised = hosts.map((one, i) =>
        i === 0 ? { ...one, offered: one.offered + more } : one,
      )
      const org = hosts[0]?.org as string
      for (const { id } of hosts) {
        const before = quotaBytes({ hosts, holder: id, org })
        const after = quotaBytes({ hosts: raised, holder: id, org })
        if (before === undefined || after === undefined) assert.equal(before, after)
        else assert.ok(after >= before)
      }
    }),
  )
})
