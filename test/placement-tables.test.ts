// Goal: the figures that docs/placement.md gives people are those of the planner, and true. Method:
// the tables computed anew; each of their pools placed, and whole domains and hosts taken away.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import { domainOf, type HostFacts, placeShards, planCode, survives } from '@moyai/protocol'
import {
  DOMAIN_COUNTS,
  PAGE,
  POOL_SIZES,
  TABLE_OWNER,
  tablePool,
  withTables,
} from './helpers/placement-tables.ts'

const STRIPES = 8

test('the page has the tables that the planner gives', () => {
  const page = readFileSync(PAGE, 'utf8')
  assert.equal(page, withTables(page), 'run: node test/helpers/placement-tables.ts')
})

test('every pool of the tables survives what they say', () => {
  for (const hosts of POOL_SIZES) {
    for (const sites of DOMAIN_COUNTS) {
      for (const providers of [0, ...DOMAIN_COUNTS]) tryPool(tablePool({ hosts, sites, providers }))
    }
  }
})

function tryPool(hosts: readonly HostFacts[]): void {
  const plan = planCode({ hosts, owner: TABLE_OWNER, class: 'data' })
  const { code } = plan
  for (let stripe = 0; stripe < STRIPES; stripe++) {
    const { assignment } = placeShards({
      hosts,
      owner: TABLE_OWNER,
      code,
      stripe: Uint8Array.of(stripe),
    })
    const shards = assignment.map((id, index) => ({ index, host: id ?? assert.fail('not placed') }))
    const now = survives({ shards, hosts, code })
    assert.equal(now.host, plan.survives.host)
    for (const kind of ['site', 'provider'] as const) {
      assert.ok(now[kind] >= plan.survives[kind], `${plan.explain}: ${kind}`)
      if (plan.survives[kind] === 0) continue
      for (const lost of new Set(hosts.map((host) => domainOf(host, kind)))) {
        const gone = new Set(
          hosts.filter((host) => domainOf(host, kind) === lost).map(({ id }) => id),
        )
        const left = shards.filter(({ host }) => !gone.has(host))
        const after = survives({ shards: left, hosts, code })
        assert.ok(after.host >= plan.margin, `${plan.explain}: ${after.host} after ${lost}`)
      }
    }
  }
}
