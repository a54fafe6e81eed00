// Goal: with its keys alone, a host finds its snapshots again in the pool and goes on as the same
// vault.
import assert from 'node:assert/strict'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { compareFolders } from '@moyai/cli/compare'

import { startCluster, untilProtected } from '../helpers/cluster.ts'
import { makeTree } from '../helpers/fixture-tree.ts'

const KEYS = new Set(['identity.key', 'vault.keys', 'org.delegation', 'config.toml'])

test('everything but the keys is deleted on the owner', async (t) => {
  const { cluster, folder } = await startCluster(t)
  const owner = cluster.host('osaka-1')
  const source = join(folder, 'office')
  await makeTree(source)
  assert.equal((await owner.moyai(['store', source])).code, 0)
  const before = await owner.client.call('snapshots', {})

  assert.ok(await owner.stop(), 'SIGTERM ends it cleanly')
  for (const name of await readdir(owner.home)) {
    if (!KEYS.has(name)) await rm(join(owner.home, name), { recursive: true })
  }
  await owner.start()
  const { token } = await cluster.host('kobe-1').client.call('pool.invite', {
    uses: 1,
    expiresSeconds: 600,
  })
  const joined = await owner.client.call('pool.join', { token })
  assert.equal(joined.name, 'osaka-1', 'it is the same host under the same name')
  await cluster.connected()

  const after = await owner.client.call('snapshots', {})
  assert.deepEqual(
    after.snapshots.map(({ id }) => id),
    before.snapshots.map(({ id }) => id),
  )
  const copy = join(folder, 'copy')
  const { code, stderr } = await owner.moyai(['retrieve', 'latest', '--to', copy])
  assert.equal(code, 0, stderr)
  assert.deepEqual((await compareFolders(source, copy)).differences, [])

  await t.test('the hosts give their receipts again, and the vault is protected', async () => {
    await untilProtected(owner)
  })

  await t.test('the next store continues the log and sends no content again', async () => {
    const summary = await owner.client.call('store', {
      paths: [source],
      tags: [],
      excludes: [],
      dryRun: false,
      wait: true,
    })
    assert.equal(summary.state, 'protected')
    assert.equal(summary.data_added, 0, 'every chunk was known')
    const { snapshots } = await owner.client.call('snapshots', {})
    assert.equal(snapshots.length, before.snapshots.length + 1)
  })
})
