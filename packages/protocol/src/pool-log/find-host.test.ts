import assert from 'node:assert/strict'
import { test } from 'node:test'

import { evaluatePool, findHosts, type HostCertificate, type PoolState } from './index.ts'

/** A pool of hosts by the first digits of their ids, `name@site`. */
function poolOf(hosts: Record<string, string>): PoolState {
  const state = evaluatePool([], new Uint8Array(32))
  for (const [prefix, text] of Object.entries(hosts)) {
    const [name, site] = text.split('@')
    // Of a certificate nothing else is looked at here.
    state.hosts.set(prefix.padEnd(64, '0'), { name, site } as HostCertificate)
  }
  return state
}

function found(state: PoolState, text: string): string[] {
  return findHosts(state, text).map((id) => state.hosts.get(id)?.name ?? id)
}

const POOL = poolOf({
  aaaa: 'desk@Osaka',
  bbbb: 'server@osaka',
  cccc: 'kobe@kobe',
  dddd: 'tokyo@tokyo',
  eeee: 'other@tokyo',
})

test('a host by its name or id, a site by its name', () => {
  assert.deepEqual(found(POOL, 'desk'), ['desk'])
  assert.deepEqual(found(POOL, 'bbbb'), ['server'])
  assert.deepEqual(found(POOL, 'osaka'), ['desk', 'server'])
  assert.deepEqual(found(POOL, 'site=OSAKA'), ['desk', 'server'])
})

test('a site of one host that has its name is that host', () => {
  assert.deepEqual(found(POOL, 'kobe'), ['kobe'])
})

test('a host with the name of a site of several has to be told apart', () => {
  assert.throws(() => found(POOL, 'tokyo'), { code: 'HOST_AMBIGUOUS' })
  assert.deepEqual(found(POOL, 'site=tokyo'), ['tokyo', 'other'])
  assert.deepEqual(found(POOL, 'dddd'), ['tokyo'])
})

test('nothing of that name', () => {
  assert.throws(() => found(POOL, 'nara'), { code: 'HOST_UNKNOWN' })
  assert.throws(() => found(POOL, 'site=nara'), { code: 'HOST_UNKNOWN' })
})
