/**
 * Goal: a holder that does not keep what it says is found out by audits, its shards are made again
 * elsewhere, and nothing is lost for it.
 */

import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import type { ClusterHost, HostSpec } from '@moyai/cli/cluster'
import { compareFolders } from '@moyai/cli/compare'

import { startCluster, until } from '../helpers/cluster.ts'
import { makeTree } from '../helpers/fixture-tree.ts'
import { shardFiles } from '../helpers/shard-files.ts'

const PROGRAM = fileURLToPath(new URL('../helpers/test-daemon.ts', import.meta.url))

/** An owner and six holders, of which a stripe of 2+2 needs four. */
const SEVEN_HOSTS: readonly HostSpec[] = ['owner', 'a', 'b', 'c', 'd', 'e', 'f'].map((name, i) => ({
  name,
  site: `site-${i % 3}`,
  provider: `provider-${i % 3}`,
}))

async function restart(host: ClusterHost, store: string): Promise<void> {
  await host.stop()
  await host.start({ program: PROGRAM, env: { TEST_STORE: store } })
}

async function fixCode(host: ClusterHost): Promise<void> {
  const path = join(host.home, 'config.toml')
  const text = await readFile(path, 'utf8')
  await writeFile(path, text.replace(/^# code = .*$/m, 'code = "2+2"'))
}

for (const lie of ['leaf-zero', 'garbage'] as const) {
  void test(`a holder that is ${lie} is found out and does no harm`, async (t) => {
    const { cluster, folder } = await startCluster(t, SEVEN_HOSTS)
    const [owner, ...holders] = cluster.hosts as [ClusterHost, ...ClusterHost[]]
    await fixCode(owner)
    for (const host of cluster.hosts) await restart(host, 'honest')
    await cluster.connected()
    const source = join(folder, 'source')
    await makeTree(source)
    const stored = await owner.moyai(['store', '--json', source])
    assert.equal(stored.code, 0, stored.stderr)
    const most = (a: ClusterHost, b: ClusterHost): number =>
      shardFiles(b.home).length - shardFiles(a.home).length
    const [liar] = holders.toSorted(most) as [ClusterHost]
    const lies = shardFiles(liar.home)
    assert.ok(lies.length > 0, 'the liar was given shards')
    await restart(liar, lie)
    const honest = cluster.hosts.filter((host) => host !== liar)
    await until(
      'every shard that was lied about is at an honest host, too',
      async () => {
        const kept = new Set(
          honest.flatMap(({ home }) =>
            shardFiles(home).map(({ pack, index }) => `${pack} ${index}`),
          ),
        )
        return lies.every(({ pack, index }) => kept.has(`${pack} ${index}`))
      },
      240_000,
    )
    await until('the owner counts on them', async () => {
      const { protection } = await owner.client.call('status', {})
      return protection.state === 'protected'
    })
    await liar.kill()
    const copy = join(folder, 'copy')
    const back = await owner.moyai(['retrieve', 'latest', '--to', copy])
    assert.equal(back.code, 0, back.stderr)
    assert.deepEqual((await compareFolders(source, copy)).differences, [])
  })
}
