/** Checking real stripes on in-memory hosts: every fault is named with pack, index and host. */

import assert from 'node:assert/strict'
import { after, test } from 'node:test'

import { toHex } from '@moyai/protocol'
import type { CheckProblem, CheckSummary, HostFacts } from '@moyai/protocol'

import { systemClock } from '../clock.ts'
import type { Fault } from '../retrieve/testing/fake-pool.ts'
import { FakeVault, seededRandom } from '../retrieve/testing/fake-vault.ts'
import { CheckService } from './check-service.ts'

const random = seededRandom('check')
const open: FakeVault[] = []
after(async () => {
  await Promise.all(open.map((vault) => vault.service.close()))
})

async function newVault(): Promise<FakeVault> {
  const vault = new FakeVault({ k: 3, m: 2 })
  open.push(vault)
  await vault.commit(
    vault.tree('', {
      docs: { a: random.bytes(1_200_000), b: random.bytes(10) },
      c: random.bytes(400_000),
    }),
  )
  return vault
}

function check(vault: FakeVault, readData: boolean): Promise<CheckSummary> {
  const facts = (): HostFacts[] =>
    vault.pool.all.map(({ id, fault }, i) => ({
      id,
      org: 'one',
      site: `site${i}`,
      provider: 'self',
      online: fault !== 'away',
      freeBytes: 1e12,
    }))
  const { index, pool, bundle } = vault
  const reading = vault.service.reading
  const service = new CheckService(
    { bundle },
    { index, hosts: pool, log: vault, clock: systemClock, reading, facts },
  )
  return service.check({ readData }, { signal: new AbortController().signal })
}

function kinds(problems: readonly CheckProblem[]): string[] {
  return [...new Set(problems.map(({ kind }) => kind))].sort()
}

test('a sound vault has no problem, and every shard is read back', async () => {
  // Goal: no false alarm, and the figures are those of the code.
  const vault = await newVault()
  const structure = await check(vault, false)
  assert.equal(structure.num_problems, 0)
  assert.equal(structure.stripes.full, vault.packs.length)
  assert.equal(structure.stripes.total, vault.packs.length)
  assert.equal(structure.snapshots, 1)
  assert.deepEqual(structure.survives, { host: 2, site: 2, provider: 2, org: 0 })
  const data = await check(vault, true)
  assert.equal(data.num_problems, 0)
  assert.equal(data.shards_read, vault.packs.length * 5)
  assert.ok(data.bytes_read >= vault.packs.length * 5 * 65_536)
})

test('each fault of one host is named shard by shard', async () => {
  // Goal: absent, damaged, cut short and out of reach are told apart, with the host.
  const expected: [Fault, string][] = [
    ['lie', 'damaged'],
    ['truncate', 'truncated'],
    ['swap', 'damaged'],
    ['missing', 'missing'],
    ['away', 'unreachable'],
  ]
  for (const [fault, kind] of expected) {
    const vault = await newVault()
    const host = vault.pool.all[1]
    assert.ok(host)
    host.fault = fault
    const summary = await check(vault, true)
    assert.deepEqual(kinds(summary.problems), [kind], String(fault))
    assert.ok(summary.problems.every((problem) => problem.host === host.id))
    assert.equal(summary.stripes.unrecoverable, 0)
    assert.equal(summary.stripes['missing1'], vault.packs.length)
    assert.equal(summary.survives.host, 1)
    assert.deepEqual(summary.affected, [])
    if (fault !== 'away') assert.equal(summary.num_problems, vault.packs.length)
  }
})

test('damage that only reading shows is not seen by the structure check', async () => {
  // Goal: the structure check claims no more than it looked at.
  const vault = await newVault()
  const host = vault.pool.all[0]
  assert.ok(host)
  host.fault = 'lie'
  const summary = await check(vault, false)
  assert.equal(summary.num_problems, 0)
  assert.equal(summary.read_data, false)
  assert.equal(summary.shards_read, 0)
})

test('a lost stripe is listed with the files it takes', async () => {
  // Goal: what cannot be restored is named as files, not only as packs.
  const vault = await newVault()
  const [first] = vault.packs
  assert.ok(first)
  for (const host of vault.pool.all.slice(0, 3)) {
    for (let i = 0; i < 5; i++) host.shards.delete(`${toHex(first)}/${i}`)
  }
  const summary = await check(vault, false)
  assert.deepEqual(summary.unrecoverable_packs, [toHex(first)])
  assert.equal(summary.stripes.unrecoverable, 1)
  assert.equal(summary.survives.host, -1)
  const id = (await vault.service.snapshots())[0]?.short_id ?? ''
  assert.deepEqual(summary.affected, [`${id}:docs/a`])
})

test('chunks and packs that the index does not know are found', async () => {
  // Goal: a tree that names what is nowhere is not called sound.
  const vault = await newVault()
  const lost = new Uint8Array(32).fill(3)
  const tree = vault.tree('', {})
  const entry = {
    name: Uint8Array.of(0x78),
    type: 'file' as const,
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: 0n,
    size: 5,
    chunks: lost,
  }
  await vault.commit(vault.directory(tree, [entry]))
  const summary = await check(vault, false)
  assert.deepEqual(kinds(summary.problems), ['index'])
  assert.equal(summary.affected.length, 1)
})

test('a log whose chain is broken or forged is reported', async () => {
  // Goal: a missing or foreign entry of the log is a problem, not an exception.
  const vault = await newVault()
  await vault.commit(vault.tree('', { second: random.bytes(10) }))
  const [first] = vault.envelopes.splice(0, 1)
  assert.ok(first)
  assert.deepEqual(kinds((await check(vault, false)).problems), ['log'])
  const forged = Uint8Array.from(first)
  forged[3] = (forged[3] ?? 0) ^ 1
  vault.envelopes.unshift(forged)
  assert.deepEqual(kinds((await check(vault, false)).problems), ['log'])
})

test('a host whose inventory never ends or is out of order is dropped, not believed', async () => {
  // Goal: a hostile holder costs neither memory nor the check of the others.
  const vault = await newVault()
  const host = vault.pool.all[2]
  assert.ok(host)
  host.inventory = () => Promise.resolve({ items: [], next: new Uint8Array(1) })
  assert.deepEqual(kinds((await check(vault, false)).problems), ['refused'])
  const item = { pack: new Uint8Array(32), index: 1, length: 100_000 }
  host.inventory = () => Promise.resolve({ items: [item, item], next: new Uint8Array(1) })
  assert.deepEqual(kinds((await check(vault, false)).problems), ['refused'])
})
