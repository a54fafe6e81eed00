// Goal: whatever happens to the shards on up to m hosts, retrieve is exact and `check --read-data`
// names each wound.
import assert from 'node:assert/strict'
import { copyFile, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import type { ClusterHost } from '@moyai/cli/cluster'
import { compareFolders } from '@moyai/cli/compare'
import type { CheckSummary } from '@moyai/protocol'

import { lastMessage, startCluster } from '../helpers/cluster.ts'
import { makeTree } from '../helpers/fixture-tree.ts'
import {
  cutInHalf,
  emptyShards,
  flipBit,
  type ShardFile,
  shardFiles,
  swap,
} from '../helpers/shard-files.ts'

const PROGRAM = fileURLToPath(new URL('../helpers/test-daemon.ts', import.meta.url))

/** Starts them anew as daemons that leave damage as it is, and know of none. */
async function restart(hosts: readonly ClusterHost[]): Promise<void> {
  for (const host of hosts) {
    await host.stop()
    await host.start({ program: PROGRAM, env: { TEST_HEALS: 'no' } })
  }
}

test('damaged, cut, missing, swapped and emptied shards', async (t) => {
  const { cluster, folder } = await startCluster(t)
  await restart(cluster.hosts)
  await cluster.connected()
  const owner = cluster.host('osaka-1')
  const source = join(folder, 'office')
  await makeTree(source)
  assert.equal((await owner.moyai(['store', source])).code, 0)

  let copies = 0
  const retrieveExactly = async (): Promise<void> => {
    copies++
    const copy = join(folder, `copy-${copies}`)
    const { code, stderr } = await owner.moyai(['retrieve', 'latest', '--to', copy])
    assert.equal(code, 0, stderr)
    assert.deepEqual((await compareFolders(source, copy)).differences, [])
    await rm(copy, { recursive: true, force: true })
  }
  const check = async (): Promise<{ code: number | null; summary: CheckSummary }> => {
    const { code, stdout } = await owner.moyai(['check', '--read-data', '--json'])
    return { code, summary: lastMessage<CheckSummary>(stdout, 'summary') }
  }
  const names = (summary: CheckSummary, host: ClusterHost, shard: ShardFile): boolean =>
    summary.problems.some(
      (problem) =>
        problem.pack === shard.pack && problem.index === shard.index && problem.host === host.name,
    )

  const clean = await check()
  assert.equal(clean.code, 0, JSON.stringify(clean.summary.problems.slice(0, 5)))
  assert.ok(clean.summary.shards_read > 0)
  assert.equal(clean.summary.stripes.full, clean.summary.stripes.total)

  const holders = ['osaka-2', 'kobe-1', 'tokyo-1'].map((name) => cluster.host(name))
  const wounds: [string, (shards: ShardFile[]) => Promise<ShardFile[]>][] = [
    [
      'a flipped bit',
      async ([first]) => {
        assert.ok(first !== undefined)
        await flipBit(first.path)
        return [first]
      },
    ],
    [
      'a shard cut in half',
      async ([, second]) => {
        assert.ok(second !== undefined)
        await cutInHalf(second.path)
        return [second]
      },
    ],
    [
      'a missing shard',
      async ([first]) => {
        assert.ok(first !== undefined)
        await rm(first.path)
        return [first]
      },
    ],
    [
      'two shards swapped',
      async ([first, second]) => {
        assert.ok(first !== undefined && second !== undefined)
        await swap(first.path, second.path)
        return [first, second]
      },
    ],
    [
      'an emptied shard directory',
      async (shards) => {
        for (const { path } of shards) await rm(path)
        return shards
      },
    ],
  ]
  for (const [name, wound] of wounds) {
    await t.test(`${name} on one host, then on three`, async () => {
      const hurt: { host: ClusterHost; shards: ShardFile[] }[] = []
      const safe = join(folder, 'safe')
      await mkdir(safe, { recursive: true })
      const saved: { from: string; to: string }[] = []
      for (const host of holders) {
        const shards = shardFiles(host.home)
        for (const [number, { path }] of shards.entries()) {
          const from = join(safe, `${host.name}-${number}`)
          await copyFile(path, from)
          saved.push({ from, to: path })
        }
        hurt.push({ host, shards: await wound(shards) })
        if (hurt.length === 2) continue
        await retrieveExactly()
        const { code, summary } = await check()
        assert.equal(code, 1)
        for (const one of hurt) {
          for (const shard of one.shards) {
            assert.ok(
              names(summary, one.host, shard),
              `${one.host.name} ${shard.pack.slice(0, 8)}.${shard.index} in ${JSON.stringify(summary.problems)}`,
            )
          }
        }
        assert.equal(summary.stripes.unrecoverable, 0)
      }
      for (const { from, to } of saved) await copyFile(from, to)
      await restart(holders)
      await cluster.connected()
      assert.equal((await check()).code, 0, 'healed by putting the files back')
    })
  }

  await t.test('one more than m: named as unrecoverable, exit code 22', async () => {
    for (const host of cluster.hosts) if (host !== owner) await emptyShards(host.home)
    const { code, summary } = await check()
    assert.equal(code, 22)
    assert.ok(summary.unrecoverable_packs.length > 0)
    const { code: lost, stderr } = await owner.moyai([
      'retrieve',
      'latest',
      '--to',
      join(folder, 'lost'),
    ])
    assert.equal(lost, 22, stderr)
  })
})
