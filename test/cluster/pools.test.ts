// Goal: real pools survive what docs/placement.md promises of their size, and one loss more is what
// the status had foreseen. Method: real daemons; a whole site, a whole provider and the promised
// number of hosts killed in turn and everything retrieved; then one host more.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'

import { compareFolders } from '@moyai/cli/compare'
import type { Cluster, ClusterHost } from '@moyai/cli/cluster'
import { type HostFacts, planCode, type StatusResult } from '@moyai/protocol'

import { startCluster } from '../helpers/cluster.ts'
import { noise } from '../helpers/fixture-tree.ts'
import { TABLE_OWNER, tablePool } from '../helpers/placement-tables.ts'

// Larger ones, which take minutes: MOYAI_TEST_POOLS=20/4/3,40/4/4 (hosts/sites/providers).
const GIVEN = process.env['MOYAI_TEST_POOLS']?.split(',').map((shape) => {
  const [hosts = 3, sites = 1, providers = 0] = shape.split('/').map(Number)
  return { hosts, sites, providers }
})
const POOLS = GIVEN ?? [
  { hosts: 3, sites: 3, providers: 0 },
  { hosts: 4, sites: 3, providers: 0 },
  { hosts: 5, sites: 2, providers: 2 },
  { hosts: 6, sites: 3, providers: 3 },
  { hosts: 9, sites: 3, providers: 2 },
  { hosts: 12, sites: 4, providers: 0 },
]
const NOTICED_MS_MAX = 60_000

type Pool = {
  cluster: Cluster
  owner: ClusterHost
  source: string
  /** Retrieves the newest snapshot into a new folder; the exit code, and how it differs. */
  retrieve: () => Promise<{ code: number | null; differences: readonly unknown[] }>
}

for (const shape of POOLS) {
  const { hosts, sites, providers } = shape
  const name = `${hosts} hosts, ${sites} sites, ${providers || 'no'} providers`
  test(`${name}: what is promised is kept, what is not is foreseen`, async (t) => {
    const facts = tablePool(shape)
    const plan = planCode({ hosts: facts, owner: TABLE_OWNER, class: 'data' })
    const pool = await startPool(t, facts, plan.met ? 0 : 21)
    const { policy, protection } = await pool.owner.client.call('status', {})
    assert.equal(policy.code, `${plan.code.k}+${plan.code.m}`)
    assert.equal(protection.survives.host, plan.survives.host)
    for (const kind of ['site', 'provider'] as const) {
      assert.ok(protection.survives[kind] >= plan.survives[kind], kind)
      if (kind === 'provider' && providers === 0) continue
      await t.test(`the loss of a whole ${kind}`, () => lose(pool, fullest(facts, kind)))
    }
    const others = facts.slice(1).map(({ id }) => id)
    await t.test(`the loss of ${plan.code.m} hosts`, () =>
      lose(pool, others.slice(0, plan.survives.host)),
    )
    await t.test('one loss more than can be had is foreseen', () => loseTooMuch(pool))
  })
}

/** A pool with one snapshot; `exit`: 0, or 21 where the pool is too small for the policy. */
async function startPool(t: TestContext, facts: readonly HostFacts[], exit: number): Promise<Pool> {
  const specs = facts.map(({ id, site, provider }) => ({ name: id, site, provider }))
  const { cluster, folder } = await startCluster(t, specs)
  const owner = cluster.host(TABLE_OWNER)
  const source = join(folder, 'source')
  await mkdir(source)
  for (let i = 0; i < 6; i++) await writeFile(join(source, `file ${i}`), noise(400_000, i))
  const stored = await owner.moyai(['store', source, '--json'])
  assert.equal(stored.code, exit, stored.stdout + stored.stderr)
  let copies = 0
  const retrieve = async (): ReturnType<Pool['retrieve']> => {
    const copy = join(folder, `copy ${copies++}`)
    const { code } = await owner.moyai(['retrieve', 'latest', '--to', copy])
    return { code, differences: code === 0 ? (await compareFolders(source, copy)).differences : [] }
  }
  return { cluster, owner, source, retrieve }
}

/** The hosts, but for the owner, of the domain that has most. */
function fullest(facts: readonly HostFacts[], kind: 'site' | 'provider'): string[] {
  const domains = Map.groupBy(facts.slice(1), (host) => host[kind])
  const [most] = [...domains.values()].sort((a, b) => b.length - a.length)
  return (most ?? []).map(({ id }) => id)
}

/** Kills these hosts, finds everything retrievable, and brings them back. */
async function lose({ cluster, owner, retrieve }: Pool, names: readonly string[]): Promise<void> {
  await Promise.all(names.map((name) => cluster.host(name).kill()))
  await noticed(owner, names.length)
  assert.deepEqual(await retrieve(), { code: 0, differences: [] })
  await Promise.all(names.map((name) => cluster.host(name).start()))
  await cluster.connected()
}

/** Kills one host after another, until the status says which one will be too many. */
async function loseTooMuch({ cluster, owner, retrieve }: Pool): Promise<void> {
  for (let lost = 0; ; lost++) {
    const { protection, hosts } = await noticed(owner, lost)
    const online = hosts.filter((host) => host.state === 'online').map(({ name }) => name)
    const fatal = online.find((name) =>
      protection.whatIf.some((one) => one.lose === `host ${name}` && one.unrecoverable > 0),
    )
    const victim = fatal ?? online[0]
    assert.ok(victim !== undefined, 'somebody is the last one')
    if (fatal !== undefined) assert.equal(protection.state, 'at-risk', protection.text)
    await cluster.host(victim).kill()
    if (fatal === undefined) continue
    await noticed(owner, lost + 1)
    // What was retrieved before is in the owner's memory, and gone with its daemon.
    await owner.stop()
    await owner.start()
    assert.equal((await retrieve()).code, 22)
    return
  }
}

/** The status, as soon as it knows of so many hosts that are away. */
async function noticed(owner: ClusterHost, away: number): Promise<StatusResult> {
  const giveUp = performance.now() + NOTICED_MS_MAX
  for (;;) {
    const status = await owner.client.call('status', {})
    if (status.hosts.filter((host) => host.state === 'offline').length === away) return status
    assert.ok(performance.now() < giveUp, `${away} hosts are away, and nobody notices`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
