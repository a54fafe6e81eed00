// Goal: the words of the status follow from what was found, and never from what was intended.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'

import { DEFAULT_POLICY, type HostFacts } from '../placement/hosts.ts'
import { type AssessFacts, ProtectionAssessor, type StripeEvidence } from './assess.ts'

const HOSTS: HostFacts[] = ['a', 'b', 'c', 'd', 'e', 'f'].map((id, i) => ({
  id,
  org: id,
  site: `site-${Math.floor(i / 2)}`,
  provider: i < 3 ? 'one' : 'two',
  online: true,
  freeBytes: 1,
}))
const NAMES = new Map(HOSTS.map(({ id }) => [id, `host-${id}`]))
const NOW = 1_000_000_000_000
const FACTS: AssessFacts = {
  snapshots: 1,
  logKnown: true,
  reachable: 5,
  confirmed: 5,
  nowMs: NOW,
  checkedAt: '2026-11-22T00:00:00Z',
}

function stripe(hosts: string, change: Partial<StripeEvidence> = {}): StripeEvidence {
  const all = ['b', 'c', 'd', 'e', 'f']
  const found = all
    .map((host, index) => ({ index, host }))
    .filter(({ host }) => hosts.includes(host))
  return {
    code: { k: 2, m: 3 },
    shardLength: 1e6,
    found,
    away: [],
    provedAt: NOW,
    pending: 0,
    ...change,
  }
}

function judge(stripes: StripeEvidence[], facts: Partial<AssessFacts> = {}) {
  const assessor = new ProtectionAssessor(
    { hosts: HOSTS, owner: 'a', policy: DEFAULT_POLICY },
    NAMES,
  )
  for (const one of stripes) assessor.add(one)
  return assessor.result({ ...FACTS, ...facts })
}

test('each word has its condition', () => {
  assert.equal(judge([], { snapshots: 0 }).state, 'empty')
  assert.equal(judge([], { snapshots: 0, logKnown: false }).state, 'unverified')
  assert.equal(judge([stripe('bcdef')]).state, 'protected')
  assert.equal(judge([stripe('bcdef'), stripe('bcde')]).state, 'degraded')
  assert.equal(judge([stripe('bcd', { pending: 2 })]).state, 'settling')
  assert.equal(judge([stripe('bcdef')], { confirmed: 2 }).state, 'settling')
  assert.equal(judge([stripe('bc')]).state, 'at-risk')
  assert.equal(judge([stripe('bcdef', { provedAt: 0 })]).state, 'unverified')
  const away = [{ index: 1, host: 'c' }]
  assert.equal(judge([stripe('b', { away })], { reachable: 1 }).state, 'at-risk')
  assert.equal(judge([stripe('b')]).state, 'lost')
})

test('the figures are the worst of all stripes', () => {
  const { survives, stripes } = judge([stripe('bcdef'), stripe('bcd')])
  assert.equal(survives.host, 1)
  assert.deepEqual(stripes, { total: 2, full: 1, missing1: 0, missing2: 1, unrecoverable: 0 })
})

test('no evidence is ever green: protected needs every shard found', () => {
  const subset = fc.subarray(['b', 'c', 'd', 'e', 'f'])
  fc.assert(
    fc.property(fc.array(subset, { minLength: 1, maxLength: 5 }), (found) => {
      const { state } = judge(found.map((hosts) => stripe(hosts.join(''))))
      if (found.some((hosts) => hosts.length < 5)) assert.notEqual(state, 'protected')
    }),
  )
})
