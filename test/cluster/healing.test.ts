/**
 * Goal: while the owner is away a wiped disk is made good by the other hosts, without any key; the
 * owner, back, reads everything; and the old disk, put in again, does no harm.
 */

import assert from 'node:assert/strict'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import type { ClusterHost } from '@moyai/cli/cluster'
import { compareFolders } from '@moyai/cli/compare'

import { startCluster, until, untilProtected } from '../helpers/cluster.ts'
import { makeTree } from '../helpers/fixture-tree.ts'
import { shardFiles } from '../helpers/shard-files.ts'

function shardsOf(hosts: readonly ClusterHost[]): Set<string> {
  const all = hosts.flatMap(({ home }) => shardFiles(home))
  return new Set(all.map(({ pack, index }) => `${pack} ${index}`))
}

async function swapDisk(host: ClusterHost, from: string, to: string): Promise<void> {
  await host.stop()
  for (const name of ['shards', 'shards.id']) {
    await rename(join(host.home, name), join(host.home, `${name}.${from}`))
    if (to !== '') await rename(join(host.home, `${name}.${to}`), join(host.home, name))
  }
  await host.start()
}

async function isReadBack(owner: ClusterHost): Promise<boolean> {
  return (await owner.moyai(['check', '--read-data'])).code === 0
}

void test('a disk is wiped while the owner is away, and comes back later', async (t) => {
  const { cluster, folder } = await startCluster(t)
  const [owner, ...holders] = cluster.hosts as [ClusterHost, ...ClusterHost[]]
  const source = join(folder, 'source')
  await makeTree(source)
  assert.equal((await owner.moyai(['store', source])).code, 0)
  await untilProtected(owner)
  const all = shardsOf(holders)
  await owner.stop()
  const wiped = holders.at(-1) as ClusterHost
  await swapDisk(wiped, 'old', '')
  const isWhole = async (): Promise<boolean> => {
    const now = shardsOf(holders)
    return [...all].every((shard) => now.has(shard))
  }
  assert.equal(await isWhole(), false, 'shards were lost with the disk')
  await until('every shard is somewhere again', isWhole, 240_000)
  await owner.start()
  await untilProtected(owner)
  await until('every shard is read back', () => isReadBack(owner))
  await swapDisk(wiped, 'new', 'old')
  await cluster.connected()
  await until('every shard is read back again', () => isReadBack(owner))
  const copy = join(folder, 'copy')
  assert.equal((await owner.moyai(['retrieve', 'latest', '--to', copy])).code, 0)
  assert.deepEqual((await compareFolders(source, copy)).differences, [])
})
