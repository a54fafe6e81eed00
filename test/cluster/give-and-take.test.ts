// Goal: nobody takes much more of a pool than it gives, the refusal says whose space is used up,
// and transfers keep to the limit that a person sets, from the moment it is set.
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { compareFolders } from '@moyai/cli/compare'
import type { LimitResult, PoolHostsResult } from '@moyai/protocol'

import { lastMessage, startCluster, until } from '../helpers/cluster.ts'
import { noise } from '../helpers/fixture-tree.ts'

const MIB = 1024 * 1024

test('an owner that offers little', async (t) => {
  const { cluster, folder } = await startCluster(t, [
    { name: 'taker', site: 'x', provider: 'p', offer: '10MB' },
    { name: 'b', site: 'y', provider: 'q', offer: '1GB' },
    { name: 'c', site: 'z', provider: 'r', offer: '1GB' },
    { name: 'd', site: 'w', provider: 's', offer: '1GB' },
  ])
  const owner = cluster.host('taker')
  const folders = ['first', 'second'].map((name) => join(folder, name))
  for (const [i, path] of folders.entries()) {
    await mkdir(path)
    await writeFile(join(path, 'noise'), noise(40 * MIB, i))
  }
  const [first, second] = folders as [string, string]

  await t.test('stores up to its share of each host, and sees it', async () => {
    const stored = await owner.moyai(['store', first])
    assert.equal(stored.code, 0, stored.stderr)
    // what hosts say of their space is asked for again when it is some seconds old
    await until('what b keeps for the owner', async () => {
      const { stdout } = await owner.moyai(['pool', 'hosts', '--json'])
      const { hosts } = lastMessage<PoolHostsResult>(stdout, 'summary')
      const b = hosts.find((host) => host.name === 'b')
      assert.ok(b?.quota === 64 * MIB && b.kept === 0)
      return (b.used ?? 0) > 40 * MIB && (b.free ?? 0) < 1e9 - 40 * MIB
    })
    const { stdout: text } = await owner.moyai(['pool', 'hosts'])
    assert.match(text, /keeps for us +at most +we keep for it/)
  })

  await t.test('beyond it nothing is committed, and the exit code says why', async () => {
    const refused = await owner.moyai(['store', second])
    assert.equal(refused.code, 24, refused.stderr)
    assert.match(refused.stderr, /\bb, c, d\b/)
    const copy = join(folder, 'copy')
    const retrieved = await owner.moyai(['retrieve', 'latest', '--to', copy])
    assert.equal(retrieved.code, 0, retrieved.stderr)
    assert.deepEqual((await compareFolders(first, copy)).differences, [])
  })
})

test('a limit that is set and lifted while a store runs', async (t) => {
  const { cluster, folder } = await startCluster(t, [
    { name: 'a', site: 'x', provider: 'p' },
    { name: 'b', site: 'y', provider: 'q' },
    { name: 'c', site: 'z', provider: 'r' },
    { name: 'd', site: 'w', provider: 's' },
  ])
  const owner = cluster.host('a')
  const limit = async (...args: string[]): Promise<LimitResult> => {
    const result = await owner.moyai(['limit', ...args, '--json'])
    assert.equal(result.code, 0, result.stderr)
    return lastMessage<LimitResult>(result.stdout, 'summary')
  }
  const source = join(folder, 'source')
  await mkdir(source)
  await writeFile(join(source, 'noise'), noise(8 * MIB, 7))
  const set = await limit('--up', '64 kB/s')
  assert.deepEqual(set.upload, { text: '64 kB/s', now: 64_000 })
  assert.match(await readFile(join(owner.home, 'config.toml'), 'utf8'), /^upload = "64 kB\/s"$/m)
  let sent = 0
  const began = performance.now()
  const reached = Promise.withResolvers<void>()
  const store = owner.client.call(
    'store',
    { paths: [source], tags: [], excludes: [], dryRun: false, wait: true },
    {
      onEvent: (event) => {
        if (event.message_type !== 'status') return
        sent = event.bytes_sent
        if (performance.now() - began > 2000) reached.resolve()
      },
    },
  )
  await reached.promise
  // three copies of 8 MiB take more than six minutes at this rate
  const seconds = (performance.now() - began) / 1000
  assert.ok(sent <= 64_000 * (seconds + 2) + 3 * 16 * 1024, `${sent} bytes in ${seconds} s`)
  const lifted = await limit('--up', 'unlimited')
  assert.equal(lifted.upload.now, null)
  const summary = await store
  assert.equal(summary.state, 'protected')
  const wrong = await owner.moyai(['limit', '--up', 'quickly'])
  assert.equal(wrong.code, 2)
  assert.match(wrong.stderr, /hint: write it like "2MB\/s Mon-Fri 08:00-19:00/)
})
