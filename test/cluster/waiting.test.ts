// Goal: a laptop without its pool keeps what was to be stored, says so, and stores it by itself
// when the others are back, whatever happened to its daemon meanwhile.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { compareFolders } from '@moyai/cli/compare'

import { startCluster, until } from '../helpers/cluster.ts'
import { noise } from '../helpers/fixture-tree.ts'

test('a store without hosts waits for them', async (t) => {
  const { cluster, folder } = await startCluster(t, [
    { name: 'laptop', site: 'x', provider: 'p', class: 'laptop' },
    { name: 'b', site: 'y', provider: 'q' },
    { name: 'c', site: 'z', provider: 'r' },
    { name: 'd', site: 'w', provider: 's' },
  ])
  const laptop = cluster.host('laptop')
  const others = cluster.hosts.slice(1)
  const source = join(folder, 'source')
  await mkdir(source)
  await writeFile(join(source, 'letter'), noise(3 * 1024 * 1024, 1))
  await Promise.all(others.map((host) => host.kill()))
  await until('the laptop is alone', async () => {
    const { hosts } = await laptop.client.call('pool.hosts', {})
    return hosts.every(({ state }) => state !== 'online')
  })
  const alarms = async (): Promise<string[]> =>
    (await laptop.client.call('status', {})).alarms.map(({ code }) => code)

  const refused = await laptop.moyai(['store', source, '--outbox'])
  assert.equal(refused.code, 20, refused.stderr)
  assert.match(refused.stderr, /MiB wait in the outbox of this host/)
  assert.match(refused.stderr, /hint: leave the daemon running/)
  assert.deepEqual(await alarms(), ['STORE_WAITS'])

  await laptop.kill()
  await laptop.start()
  for (const host of others) await host.start()
  await until('it is stored', async () => {
    const { snapshots } = await laptop.client.call('snapshots', {})
    return snapshots.length === 1
  })
  await until('nothing waits', async () => !(await alarms()).includes('STORE_WAITS'))
  const copy = join(folder, 'copy')
  const retrieved = await laptop.moyai(['retrieve', 'latest', '--to', copy])
  assert.equal(retrieved.code, 0, retrieved.stderr)
  assert.deepEqual((await compareFolders(source, copy)).differences, [])
})
