/** How much a retrieve fetches. */

import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, test } from 'node:test'

import { systemClock } from '../clock.ts'
import { RetrieveService } from './retrieve-service.ts'
import { FakeVault, seededRandom } from './testing/fake-vault.ts'

const scratch = fs.mkdtempSync(join(tmpdir(), 'moyai-fetched-'))
after(() => fs.rmSync(scratch, { recursive: true, force: true }))

async function fetched(vault: FakeVault, to: string, service = vault.service): Promise<number> {
  const filters = { includes: [], excludes: [], overwrite: 'always' as const }
  const params = { snapshot: 'latest', to: join(scratch, to), ...filters }
  const { signal } = new AbortController()
  const summary = await service.retrieve({ ...params, verify: false, dryRun: false }, { signal })
  assert.equal(summary.error_count, 0)
  return summary.bytes_fetched
}

test('with hosts away a full retrieve fetches no more than before', async () => {
  // Goal: packs are rebuilt whole and once; each lost range by itself would cost k times its bytes.
  const random = seededRandom('fetched')
  const vault = new FakeVault({ k: 3, m: 3 })
  const files = Array.from({ length: 40 }, (_, i) => [`file-${i}`, random.bytes(200_000)] as const)
  await vault.commit(vault.tree('', Object.fromEntries(files)))
  const healthy = await fetched(vault, 'healthy')
  for (const host of vault.pool.all.slice(0, 2)) host.fault = 'away'
  await fetched(vault, 'first')
  // the first time it was not known who is away
  const degraded = await fetched(vault, 'second')
  assert.ok(degraded <= healthy * 1.1, `${degraded} with two hosts away, ${healthy} before`)
  for (const [name, bytes] of files) {
    assert.deepEqual(new Uint8Array(fs.readFileSync(join(scratch, 'second', name))), bytes)
  }
  await vault.service.close()
})

test('rebuilt packs have no names in the folder that keeps them, and need not be kept', async () => {
  // Goal: nothing is left behind, and without a place to keep packs all comes back, at more cost.
  const random = seededRandom('kept')
  const vault = new FakeVault({ k: 2, m: 2 })
  const bytes = random.bytes(400_000)
  await vault.commit(vault.tree('', { file: bytes }))
  for (const host of vault.pool.all.slice(0, 2)) host.fault = 'away'
  const nowhere = join(scratch, 'a-file')
  fs.writeFileSync(nowhere, '')
  const { index, pool, bundle } = vault
  for (const cache of [join(scratch, 'cache'), nowhere]) {
    const components = { index, hosts: pool, log: vault, clock: systemClock, cache }
    const service = new RetrieveService({ bundle }, components)
    const to = basename(`to-${cache}`)
    // the first time it was not known who is away
    for (const name of [`${to}-1`, `${to}-2`]) {
      await fetched(vault, name, service)
      assert.deepEqual(new Uint8Array(fs.readFileSync(join(scratch, name, 'file'))), bytes)
    }
    await service.close()
  }
  assert.deepEqual(fs.readdirSync(join(scratch, 'cache')), [])
  await vault.service.close()
})

test('folders whose pages share a blob fetch it once', async () => {
  // Goal: a walk through many folders does not fetch the tree again and again.
  const random = seededRandom('folders')
  const vault = new FakeVault({ k: 2, m: 1 })
  const folder = (): Record<string, Uint8Array> => ({ 'a-file': random.bytes(1000) })
  const tree = Object.fromEntries(
    Array.from({ length: 6 }, (_, i) => [
      `folder-${i}`,
      Object.fromEntries(Array.from({ length: 4 }, (_unused, j) => [`below-${j}`, folder()])),
    ]),
  )
  await vault.commit(vault.tree('', tree))
  const stored = vault.pool.all.flatMap((host) => [...host.shards.values()])
  const bytes = stored.reduce((sum, shard) => sum + shard.bytes.length, 0)
  assert.ok((await fetched(vault, 'folders')) <= bytes)
  await vault.service.close()
})
