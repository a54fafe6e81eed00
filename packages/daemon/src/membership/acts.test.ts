import assert from 'node:assert/strict'
import { test } from 'node:test'

import { guardSigner, signRevocationOrder, toHex, type PoolState } from '@moyai/protocol'

import { ManualClock } from '../clock.ts'
import { SeededRandom } from '../random.ts'
import { eventually } from '../testing/eventually.ts'
import { MemoryWorld } from './testing/memory-network.ts'
import { TestHost } from './testing/memory-pool.ts'

/** Three hosts of one business, the first the oldest, and one of another. */
async function withBusinesses(
  run: (o: {
    hosts: [TestHost, TestHost, TestHost, TestHost]
    world: MemoryWorld
  }) => Promise<void>,
): Promise<void> {
  const world = new MemoryWorld()
  const clock = new ManualClock()
  const hosts: TestHost[] = []
  for (const [name, org] of Object.entries({ a: 'one', b: 'one', c: 'one', d: 'other' })) {
    hosts.push(new TestHost({ name, world, clock, org }))
    await clock.advance(1000)
  }
  try {
    for (const host of hosts) await host.open()
    const [founder, ...others] = hosts as [TestHost, ...TestHost[]]
    await founder.membership.createPool('test pool')
    for (const host of others) await host.joinThrough(founder)
    await eventually('all are connected', () => hosts.every((host) => connections(host) === 3))
    await run({ hosts: hosts as [TestHost, TestHost, TestHost, TestHost], world })
  } finally {
    for (const host of hosts) await host.close()
  }
}

function connections(host: TestHost): number {
  return host.network.peers().filter(({ connected }) => connected).length
}

function stateOf(host: TestHost): PoolState {
  return host.membership.requireState()
}

/** What people see of a pool. */
function essence(host: TestHost): unknown {
  const { rejected: _, ...rest } = stateOf(host)
  return rest
}

async function agree(hosts: readonly TestHost[]): Promise<void> {
  const [first, ...others] = hosts as [TestHost, ...TestHost[]]
  await eventually('all have the same state', () =>
    others.every((other) => isSame(essence(other), essence(first))),
  )
}

function isSame(a: unknown, b: unknown): boolean {
  try {
    assert.deepEqual(a, b)
    return true
  } catch {
    return false
  }
}

test('goal: admins who act at once in two halves of a pool come to the same state', async () => {
  await withBusinesses(async ({ hosts, world }) => {
    const [a, b, c, d] = hosts
    // a | b c | d: nobody hears of the others.
    for (const host of hosts) world.setOnline(host.id, false)
    await a.membership.acts.label(c.id, { site: 'annex', class: 'always-on' })
    await a.membership.acts.retire(b.id, true)
    await a.membership.acts.setPolicy({ host: 3, site: 1, provider: 1, org: 0 })
    await b.membership.acts.label(c.id, { site: 'barn', provider: 'cloud' })
    await b.membership.acts.retire(b.id, true)
    await b.membership.acts.retire(b.id, false)
    await b.membership.acts.setPolicy({ host: 1, site: 0, provider: 0, org: 0 })
    await d.membership.acts.label(d.id, { name: 'delta' })
    await d.membership.acts.setPolicy({ host: 2, site: 2, provider: 0, org: 0 })
    for (const host of hosts) world.setOnline(host.id, true)
    await agree(hosts)
    const state = stateOf(d)
    const seen = state.hosts.get(c.id)
    assert.deepEqual([seen?.class, seen?.provider], ['always-on', 'cloud'])
    assert.ok(seen?.site === 'annex' || seen?.site === 'barn')
    assert.equal(state.hosts.get(d.id)?.name, 'delta')

    await c.membership.acts.setPolicy({ host: 4, site: 0, provider: 0, org: 0 })
    await c.membership.acts.retire(b.id, false)
    await agree(hosts)
    assert.equal(stateOf(a).policy?.host, 4)
    assert.equal(stateOf(a).hosts.get(b.id)?.retiredAt, undefined)
  })
})

test('goal: an absence is announced by its own, a loss is declared by anybody', async () => {
  await withBusinesses(async ({ hosts, world }) => {
    const [a, b, , d] = hosts
    const until = Date.UTC(2026, 11, 1)
    await assert.rejects(d.membership.acts.away(b.id, until), { code: 'NOT_ALLOWED' })
    await a.membership.acts.away(b.id, until)
    world.setOnline(b.id, false)
    await d.membership.acts.lost([b.id], true)
    await agree([a, d])
    assert.equal(stateOf(d).hosts.get(b.id)?.awayUntil, until)
    assert.ok(stateOf(a).hosts.get(b.id)?.lost)
    world.setOnline(b.id, true)
    await a.membership.acts.lost([b.id], false)
    await a.membership.acts.away(b.id, 0)
    await agree(hosts)
    assert.equal(stateOf(d).hosts.get(b.id)?.awayUntil, undefined)
    assert.equal(stateOf(d).hosts.get(b.id)?.lost, undefined)
    const nobody = 'ab'.repeat(32)
    await assert.rejects(a.membership.acts.lost([nobody], true), { code: 'HOST_UNKNOWN' })
  })
})

test('goal: a revoked host is cut off everywhere, and what it goes on saying counts nowhere', async () => {
  await withBusinesses(async ({ hosts, world }) => {
    const [a, b, c, d] = hosts
    // The thief has taken c away, and goes on acting with its keys.
    world.setOnline(c.id, false)
    await a.membership.acts.revoke(c.id)
    await c.membership.acts.setPolicy({ host: 0, site: 0, provider: 0, org: 0 })
    await c.membership.acts.label(a.id, { site: 'stolen' })
    await agree([a, b, d])
    world.setOnline(c.id, true)
    await agree([a, b, d])
    for (const host of [a, b, d]) {
      assert.equal(host.membership.isMember(c.id), false)
      assert.ok(host.membership.isRevoked(c.id))
      assert.equal(connections(host), 2)
      assert.equal(stateOf(host).policy, undefined)
      assert.equal(stateOf(host).hosts.get(a.id)?.site, 'here')
      // Its backups are its owner's still.
      assert.ok(host.membership.isVault(toHex(stateOf(c).hosts.get(c.id)?.vault as Uint8Array)))
    }
    assert.equal(connections(c), 0)
    await assert.rejects(b.membership.acts.label(c.id, { site: 'x' }), { code: 'HOST_UNKNOWN' })
    await b.close()
    await b.open()
    assert.ok(b.membership.isRevoked(c.id), 'after a restart, too')
  })
})

test('who may say what is said before anything is', async () => {
  await withBusinesses(async ({ hosts }) => {
    const [a, b, c, d] = hosts
    const refused = { code: 'NOT_ALLOWED' }
    await assert.rejects(d.membership.acts.label(a.id, { site: 'x' }), refused)
    await assert.rejects(a.membership.acts.retire(d.id, true), refused)
    await assert.rejects(a.membership.acts.revoke(d.id), { ...refused, hint: /--phrase-file/ })
    await assert.rejects(b.membership.acts.revoke(a.id), { ...refused, hint: /older/ })
    await assert.rejects(a.membership.acts.label(b.id, { name: 'C' }), { code: 'NAME_TAKEN' })
    await assert.rejects(a.membership.acts.label(b.id, { name: 'x:y' }), { code: 'USAGE' })
    await assert.rejects(a.membership.acts.retire('00', true), { code: 'HOST_UNKNOWN' })

    // With the 24 words any host may: here another business's passes them on.
    const guard = guardSigner(new SeededRandom('org one').bytes(32))
    const plan = d.membership.acts.revocation(a.id)
    const orders = plan.keep.map((keep) => signRevocationOrder({ ...plan, keep }, guard))
    const wrong = orders.map((order) => ({ ...order, signature: new Uint8Array(64) }))
    await assert.rejects(d.membership.acts.revokeByOrder(plan, wrong), { code: 'HOST_REFUSED' })
    await d.membership.acts.revokeByOrder(plan, orders)
    await agree([b, c, d])
    assert.ok(b.membership.isRevoked(a.id))
    assert.equal(stateOf(b).organisations.size, 2, 'those it let in stay in')
    assert.equal(stateOf(b).hosts.size, 3)
  })
})

test('a host that learns that it was revoked says so', async () => {
  await withBusinesses(async ({ hosts }) => {
    const [, , c] = hosts
    await c.membership.acts.revoke(c.id)
    const out = { code: 'HOST_REVOKED' }
    await assert.rejects(
      c.membership.acts.setPolicy({ host: 1, site: 0, provider: 0, org: 0 }),
      out,
    )
    await assert.rejects(c.membership.invite({ uses: 1, expiresSeconds: 60 }), out)
  })
})
