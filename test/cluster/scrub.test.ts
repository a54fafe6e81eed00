// Goal: a flipped bit on a holder's disk is found and named before anybody needs the shard.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'

import type { ScrubSummary } from '@moyai/protocol'

import { lastMessage, startCluster } from '../helpers/cluster.ts'
import { makeTree } from '../helpers/fixture-tree.ts'
import { flipBit, shardFiles } from '../helpers/shard-files.ts'

test('scrub reads every shard, and names a damaged one', async (t) => {
  const { cluster, folder } = await startCluster(t)
  const owner = cluster.host('osaka-1')
  const holder = cluster.host('kobe-1')
  const source = join(folder, 'office')
  await makeTree(source)
  assert.equal((await owner.moyai(['store', source])).code, 0)

  const scrub = async (): Promise<{ code: number | null; summary: ScrubSummary }> => {
    const { code, stdout } = await holder.moyai(['scrub', '--json'])
    return { code, summary: lastMessage<ScrubSummary>(stdout, 'summary') }
  }
  const clean = await scrub()
  assert.equal(clean.code, 0)
  assert.ok(clean.summary.shards_read > 0)

  const [wounded = assert.fail()] = shardFiles(holder.home)
  await flipBit(wounded.path)
  const found = await scrub()
  assert.equal(found.code, 1)
  assert.equal(found.summary.num_damaged, 1)
  const [named] = found.summary.damaged
  assert.deepEqual([named?.pack, named?.index], [wounded.pack, wounded.index])

  const { proof } = await holder.client.call('status', {})
  assert.notEqual(proof.lastScrubAt, null)
})
