// Goal: the picker gives the codes whose yearly risk was simulated. Method: the table of the
// reliability research, §B8: machines dealt out evenly over D domains, the owner's aside.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { GROUP_KINDS, overheadOf, planCode } from './index.ts'
import type { HostFacts } from './index.ts'

/** Machines, domains, k, m, cap. */
const TABLE: readonly [number, number, number, number, number][] = [
  [4, 2, 1, 2, 2],
  [4, 3, 1, 2, 1],
  [5, 2, 1, 3, 2],
  [5, 3, 1, 2, 1],
  [5, 4, 2, 2, 1],
  [6, 2, 1, 3, 2],
  [6, 3, 2, 3, 2],
  [6, 4, 2, 2, 1],
  [6, 5, 2, 3, 1],
  [9, 2, 3, 5, 4],
  [9, 3, 3, 5, 3],
  [9, 4, 4, 4, 2],
  [9, 6, 4, 4, 2],
  [9, 8, 4, 3, 1],
  [12, 2, 4, 6, 5],
  [12, 3, 5, 6, 4],
  [12, 4, 6, 5, 3],
  [12, 6, 6, 5, 2],
  [12, 8, 6, 5, 2],
  [20, 2, 5, 9, 7],
  [20, 3, 6, 8, 5],
  [20, 4, 7, 7, 4],
  [20, 6, 8, 6, 3],
  [20, 8, 8, 6, 2],
  [40, 2, 5, 9, 7],
  [40, 3, 6, 8, 5],
  [40, 4, 7, 7, 4],
  [40, 6, 8, 6, 3],
  [40, 8, 8, 6, 2],
]

/** What "D = 1" takes for losses of machines; red all the same. */
const ONE_DOMAIN: readonly [number, number, number][] = [
  [4, 1, 2],
  [5, 2, 2],
  [9, 4, 3],
  [12, 6, 5],
  [20, 8, 6],
]

const KINDS: Record<(typeof GROUP_KINDS)[number], (domain: number) => Partial<HostFacts>> = {
  site: (domain) => ({ site: `d${domain}` }),
  provider: (domain) => ({ provider: `d${domain}` }),
  org: (domain) => ({ org: `d${domain}` }),
}

function pool(machines: number, domainOf: (i: number) => Partial<HostFacts>): HostFacts[] {
  return Array.from({ length: machines }, (_, i) => {
    const facts = { id: `${100 + i}`, org: 'x', site: `s${i}`, provider: 'self' }
    return { ...facts, online: true, freeBytes: 1, ...(i === 0 ? {} : domainOf(i)) }
  })
}

for (const kind of GROUP_KINDS) {
  test(`the recommended codes, where the domains are of the kind ${kind}`, () => {
    for (const [machines, domains, k, m, cap] of TABLE) {
      const hosts = pool(machines, (i) => KINDS[kind](i % domains))
      const plan = planCode({ hosts, owner: '100', class: 'data' })
      const row = `${machines} machines, ${domains} domains`
      assert.deepEqual(plan.code, { k, m }, row)
      assert.equal(plan.caps[kind], cap, row)
      assert.equal(plan.margin, m - cap, row)
      assert.equal(cap, Math.ceil((k + m) / domains), row)
      assert.equal(plan.met, true, row)
      assert.ok(overheadOf(plan.code) <= (machines <= 6 ? 4 : 3), row)
    }
  })
}

test('the recommended codes of a single domain, which do not survive it', () => {
  for (const [machines, k, m] of ONE_DOMAIN) {
    const hosts = pool(machines, () => ({ site: 'one' }))
    const plan = planCode({ hosts, owner: '100', class: 'data' })
    assert.deepEqual(plan.code, { k, m }, `${machines} machines`)
    assert.deepEqual([plan.survives.site, plan.met], [0, false])
  }
})
