// Goal: each thing that can be wrong with a host is named in words, with what to do; and what is
// well is not made a fuss of.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { diagnose, type DoctorFacts, type DoctorHost } from './diagnose.ts'

const HOUR = 3_600_000

function host(name: string, more: Partial<DoctorHost> = {}): DoctorHost {
  return {
    name,
    site: 'kobe',
    class: 'always-on',
    via: 'direct',
    relay: null,
    rttMs: 12,
    clockMs: 3,
    problem: null,
    ...more,
  }
}

const WELL: DoctorFacts = {
  name: 'front-desk',
  site: 'osaka',
  listening: ['/ip4/192.168.1.4/tcp/4001'],
  announced: [],
  pool: { name: 'offices' },
  standing: 'member',
  hosts: [host('kobe-1'), host('kobe-2')],
  dialedBack: [{ name: 'kobe-1', site: 'kobe', address: '/ip4/192.0.2.1/tcp/4001' }],
  disk: { freeBytes: 50e9, reserveBytes: 1e9, unwritable: null },
  permissions: [],
  clones: [],
}

function problems(more: Partial<DoctorFacts>): string[] {
  return diagnose({ ...WELL, ...more })
    .filter(({ result }) => result === 'problem')
    .map(({ check, text }) => `${check}: ${text}`)
}

function notes(more: Partial<DoctorFacts>): string[] {
  return diagnose({ ...WELL, ...more })
    .filter(({ result }) => result === 'note')
    .map(({ check, text }) => `${check}: ${text}`)
}

test('goal: a host that is well has neither problems nor notes', () => {
  assert.deepEqual(problems({}), [])
  assert.deepEqual(notes({}), [])
})

test('goal: whatever needs a person is a problem with a hint', () => {
  const cases: [string, Partial<DoctorFacts>, RegExp][] = [
    ['no pool', { pool: null }, /in no pool/],
    ['revoked', { standing: 'revoked' }, /does not admit this host any more/],
    ['alone', { hosts: [] }, /alone in its pool/],
    ['full', { disk: { ...WELL.disk, freeBytes: 1e6 } }, /the disk is full/],
    ['read-only', { disk: { ...WELL.disk, unwritable: 'read-only file system' } }, /read-only/],
    ['keys', { permissions: ['other users can read identity.key'] }, /identity\.key/],
    ['clone', { clones: ['the identity of this host is used elsewhere'] }, /used elsewhere/],
    ['off', { hosts: [host('kobe-1', { via: null, problem: 'no answer' })] }, /no answer/],
    ['clock', { hosts: [host('kobe-1', { clockMs: 26 * HOUR })] }, /kobe-1 is 26 h ahead/],
  ]
  for (const [name, facts, expected] of cases) {
    const found = diagnose({ ...WELL, ...facts }).filter(({ result }) => result === 'problem')
    assert.equal(found.length, 1, name)
    assert.match(found[0]?.text ?? '', expected, name)
    assert.ok((found[0]?.hint ?? '').length > 0, `${name} has a hint`)
  }
})

test('goal: what may be as it should be is a note, not a problem', () => {
  const relayed = host('kobe-1', { via: 'relayed', relay: 'cloud-1', rttMs: 80 })
  const cases: [Partial<DoctorFacts>, RegExp][] = [
    [{ hosts: [relayed] }, /through cloud-1, 80 ms/],
    [{ hosts: [host('desk', { via: null, class: 'desktop' })] }, /host desk: not connected/],
    [{ listening: [] }, /listens on no address/],
    [{ dialedBack: [{ name: 'kobe-1', site: 'kobe', address: null }] }, /router lets nothing in/],
    [{ hosts: [host('kobe-1', { clockMs: -2 * 60_000 })] }, /2 min behind/],
  ]
  for (const [facts, expected] of cases) {
    assert.deepEqual(problems(facts), [])
    assert.match(notes(facts).join('\n'), expected)
  }
})

test('goal: when most clocks differ from ours, ours is the wrong one, and is named once', () => {
  const hosts = ['a', 'b', 'c'].map((name) => host(name, { clockMs: -24 * HOUR }))
  const found = problems({ hosts: [...hosts, host('d')] })
  assert.deepEqual(found, [
    'clock: the clock of this machine is wrong: it is 24 h ahead of the others',
  ])
})

test('goal: a whole site that is silent is a line, not machines', () => {
  const hosts = [host('a', { via: null }), host('b', { via: null }), host('c', { site: 'tokyo' })]
  const hints = diagnose({ ...WELL, hosts }).map(({ hint }) => hint ?? '')
  assert.equal(hints.filter((hint) => /no host at kobe answers/.test(hint)).length, 2)
})
