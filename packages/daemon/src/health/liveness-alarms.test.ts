import assert from 'node:assert/strict'
import { test } from 'node:test'

import { livenessAlarms } from './liveness-alarms.ts'
import type { Presence, SilentDomain } from './liveness-service.ts'

const NOW = Date.UTC(2026, 0, 12)
const DAY = 24 * 3_600_000

const FINE: Presence = {
  state: 'away',
  seenAt: NOW - 3 * DAY,
  absentHours: 45.3,
  awayUntil: undefined,
  declaredLost: false,
  held: undefined,
}

function alarms(presences: Record<string, Partial<Presence>>, domains: SilentDomain[] = []) {
  const found = livenessAlarms({
    hosts: Object.keys(presences),
    liveness: {
      presenceOf: (host) => ({ ...FINE, ...presences[host] }),
      silentDomains: () => domains,
    },
    nameOf: (host) => `host-${host}`,
    nowMs: NOW,
  })
  return found.map(({ code, since, text }) => [code, since.slice(0, 10), text] as const)
}

test('liveness alarms: nobody is missed', () => {
  assert.deepEqual(alarms({ a: {}, b: { state: 'online' } }), [])
})

test('liveness alarms: a missed host, a lost one, one that a person gave up', () => {
  const [silent, lost, declared, held] = alarms({
    a: { state: 'suspect' },
    b: { state: 'presumed-lost', seenAt: NOW - 20 * DAY },
    c: { state: 'presumed-lost', declaredLost: true, seenAt: undefined },
    d: { state: 'suspect', held: 'share' },
  })
  assert.deepEqual(silent?.slice(0, 2), ['HOST_SILENT', '2026-01-09'])
  assert.match(silent?.[2] ?? '', /^host-a is missed: last seen 3 days ago, .* for 45 hours/)
  assert.equal(lost?.[0], 'HOST_LOST')
  assert.match(lost?.[2] ?? '', /^host-b is presumed lost, .*: last seen 20 days ago$/)
  assert.match(declared?.[2] ?? '', /^host-c was declared lost, .*: it was never seen from here$/)
  assert.equal(held?.[0], 'HOST_SILENT')
  assert.match(held?.[2] ?? '', /too many hosts .* moyai pool lost host-d$/)
})

test('liveness alarms: one for a silent site, none for each of its hosts', () => {
  const found = alarms(
    { a: { state: 'suspect', held: 'domain' }, b: { state: 'suspect', held: 'domain' } },
    [{ kind: 'site', name: 'osaka', hosts: ['a', 'b'] }],
  )
  assert.equal(found.length, 1)
  assert.equal(found[0]?.[0], 'SITE_SILENT')
  assert.match(found[0]?.[2] ?? '', /^all hosts at osaka are silent \(host-a, host-b\)/)
})
