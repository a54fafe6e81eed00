// Goal: SIGKILL at any moment of a store costs nothing that was durable, and nothing durable is
// sent twice.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'

import { compareFolders } from '@moyai/cli/compare'
import { isMoyaiError, type StoreSummary } from '@moyai/protocol'

import { startCluster } from '../helpers/cluster.ts'
import { makeTree } from '../helpers/fixture-tree.ts'
import { shardFiles } from '../helpers/shard-files.ts'

test('the storing daemon is killed again and again, then finishes', async (t) => {
  const { cluster, folder } = await startCluster(t)
  const owner = cluster.host('osaka-1')
  const source = join(folder, 'office')
  await makeTree(source)
  const store = async (killAfterEvents: number): Promise<StoreSummary | undefined> => {
    let events = 0
    let killed: Promise<void> | undefined
    try {
      return await owner.client.call(
        'store',
        { paths: [source], tags: [], excludes: [], dryRun: false, wait: true },
        {
          onEvent: () => {
            events++
            if (events === killAfterEvents) killed = owner.kill()
          },
        },
      )
    } catch (error) {
      assert.ok(isMoyaiError(error, 'DAEMON_UNREACHABLE'), String(error))
      return undefined
    } finally {
      await killed
    }
  }

  // Progress comes a few times a second, so these moments spread over scan, send and commit.
  for (const moment of [1, 2, 3, 4, 6]) {
    await store(moment)
    if (!owner.running) await owner.start()
    await cluster.connected()
  }
  const summary = await store(Number.POSITIVE_INFINITY)
  assert.equal(summary?.state, 'protected')
  assert.ok(summary?.snapshot_id !== null)

  const check = await owner.client.call('check', { readData: true })
  assert.equal(check.num_problems, 0, JSON.stringify(check.problems.slice(0, 5)))

  await t.test('no shard is anywhere that belongs to no stripe of the vault', async () => {
    const packs = new Map<string, Set<number>>()
    let files = 0
    for (const host of cluster.hosts) {
      for (const { pack, index } of shardFiles(host.home)) {
        files++
        packs.set(pack, (packs.get(pack) ?? new Set()).add(index))
      }
    }
    const distinct = [...packs.values()].reduce((sum, indexes) => sum + indexes.size, 0)
    assert.equal(files, distinct, 'no shard is kept twice')
    assert.equal(
      packs.size,
      check.stripes.total,
      'every pack at a holder is one that the vault knows',
    )
  })

  await t.test('it comes back exactly', async () => {
    const copy = join(folder, 'copy')
    assert.equal((await owner.moyai(['retrieve', 'latest', '--to', copy])).code, 0)
    assert.deepEqual((await compareFolders(source, copy)).differences, [])
  })
})
