// Goal: six real processes keep a real folder through the loss of any two of them, and say the
// truth about it.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { compareFolders } from '@moyai/cli/compare'
import type { RetrieveSummary, StatusResult, StoreSummary } from '@moyai/protocol'

import { lastMessage, startCluster, untilProtected } from '../helpers/cluster.ts'
import { makeTree, noise } from '../helpers/fixture-tree.ts'

test('six hosts: store, lose two, retrieve exactly; lose too many, and be told so', async (t) => {
  const { cluster, folder } = await startCluster(t)
  const owner = cluster.host('osaka-1')
  const source = join(folder, 'office')
  await makeTree(source)

  const stored = await owner.moyai(['store', source, '--json'])
  assert.equal(stored.code, 0, stored.stdout + stored.stderr)
  const summary = lastMessage<StoreSummary>(stored.stdout, 'summary')
  assert.equal(summary.state, 'protected')
  assert.equal(summary.error_count, 0)
  assert.ok(summary.snapshot_id !== null)

  const healthy = lastMessage<StatusResult>(
    (await owner.moyai(['status', '--json'])).stdout,
    'summary',
  )
  assert.equal(healthy.protection.state, 'protected')
  assert.ok(healthy.protection.survives.host >= 2, 'any two hosts may go')
  assert.ok(healthy.protection.survives.site >= 1, 'any site may go')
  assert.ok(healthy.protection.survives.provider >= 1, 'any provider may go')

  await t.test('an unchanged second store reads no content and sends nothing', async () => {
    const before = await bytesRead(owner.pid)
    const again = await owner.moyai(['store', source, '--json'])
    assert.equal(again.code, 0, again.stderr)
    const second = lastMessage<StoreSummary>(again.stdout, 'summary')
    assert.equal(second.files_new + second.files_changed, 0)
    assert.equal(second.bytes_sent, 0)
    assert.equal(second.shards_sent, 0)
    const read = (await bytesRead(owner.pid)) - before
    assert.ok(read < 5_000_000, `${read} bytes were read of a tree of 30 MB`)
  })

  await cluster.host('kobe-2').kill()
  await cluster.host('tokyo-1').kill()

  await t.test('two hosts gone: everything comes back, in content and metadata', async () => {
    const copy = join(folder, 'copy')
    const retrieved = await owner.moyai(['retrieve', 'latest', '--to', copy, '--json'])
    assert.equal(retrieved.code, 0, retrieved.stdout.slice(-2000) + retrieved.stderr)
    const compared = await compareFolders(source, copy)
    assert.deepEqual(compared.differences, [])
    assert.ok(compared.files > 250)
  })

  await t.test('status tells that two are missing, from evidence', async () => {
    const { stdout } = await owner.moyai(['status', '--json'])
    const status = lastMessage<StatusResult>(stdout, 'summary')
    assert.notEqual(status.protection.state, 'protected')
    const offline = status.hosts.filter((host) => host.state === 'offline').map(({ name }) => name)
    assert.deepEqual(offline.sort(), ['kobe-2', 'tokyo-1'])
  })

  await t.test('a store with two hosts gone commits, and says it is not complete', async () => {
    await writeFile(join(source, 'strange', 'new today'), noise(100_000, 99))
    const { code, stdout } = await owner.moyai(['store', join(source, 'strange'), '--json'])
    assert.equal(code, 21, stdout)
    const settling = lastMessage<StoreSummary>(stdout, 'summary')
    assert.ok(settling.missing_shards > 0)
    const copy = join(folder, 'strange copy')
    const back = await owner.moyai(['retrieve', 'latest', '--to', copy])
    assert.equal(back.code, 0, back.stderr)
    assert.deepEqual((await compareFolders(join(source, 'strange'), copy)).differences, [])
  })

  for (const name of ['osaka-2', 'kobe-1', 'tokyo-2']) await cluster.host(name).kill()
  // packs that were rebuilt just now are still at the owner, and gone with its daemon
  await owner.stop()
  await owner.start()

  await t.test('with nobody left, retrieve ends with 22 and lists what is affected', async () => {
    const copy = join(folder, 'nothing')
    const { code, stdout } = await owner.moyai([
      'retrieve',
      summary.snapshot_id ?? '',
      '--to',
      copy,
      '--json',
    ])
    assert.equal(code, 22, stdout.slice(-2000))
    const listed = /"unrecoverable":\[(?<list>[^\]]*)\]/.exec(stdout)?.groups?.['list'] ?? ''
    const named = listed !== '' || stdout.includes('exit_error')
    assert.ok(named, 'what is affected is named')
  })

  await t.test('with nobody left, store commits nothing and ends with 20', async () => {
    const { code, stdout } = await owner.moyai(['store', source, '--json', '--name', 'other'])
    assert.equal(code, 20, stdout.slice(-2000))
    const { snapshots } = await owner.client.call('snapshots', {})
    assert.equal(snapshots.filter((one) => one.source === 'other').length, 0)
  })
})

test('two hosts die in the middle of a store and two in the middle of a retrieve', async (t) => {
  const { cluster, folder } = await startCluster(t)
  const owner = cluster.host('osaka-1')
  const source = join(folder, 'office')
  await makeTree(source)

  const victims = [cluster.host('osaka-2'), cluster.host('tokyo-2')]
  let killed: Promise<unknown> | undefined
  const summary = await owner.client.call(
    'store',
    { paths: [source], tags: [], excludes: [], dryRun: false, wait: true },
    {
      onEvent: (event) => {
        if (event.message_type !== 'status' || event.bytes_sent === 0) return
        killed ??= Promise.all(victims.map((victim) => victim.kill()))
      },
    },
  )
  await killed
  if (killed === undefined) await Promise.all(victims.map((victim) => victim.kill()))
  assert.ok(summary.snapshot_id !== null)

  const copy = join(folder, 'copy')
  const retrieved: RetrieveSummary = await owner.client.call('retrieve', {
    snapshot: 'latest',
    to: copy,
    includes: [],
    excludes: [],
    overwrite: 'always',
    verify: true,
    dryRun: false,
  })
  assert.equal(retrieved.unrecoverable.length, 0)
  assert.deepEqual((await compareFolders(source, copy)).differences, [])

  await t.test('the two come back, and what was missing settles by itself', async () => {
    for (const victim of victims) await victim.start()
    await cluster.connected()
    await untilProtected(owner)
  })

  await t.test('two others die in the middle of a retrieve', async () => {
    const others = [cluster.host('kobe-1'), cluster.host('kobe-2')]
    let dying: Promise<unknown> | undefined
    const second = join(folder, 'second copy')
    const result = await owner.client.call(
      'retrieve',
      {
        snapshot: 'latest',
        to: second,
        includes: [],
        excludes: [],
        overwrite: 'always',
        verify: false,
        dryRun: false,
      },
      {
        onEvent: (event) => {
          if (event.message_type === 'status' && event.bytes_restored > 0) {
            dying ??= Promise.all(others.map((other) => other.kill()))
          }
        },
      },
    )
    await dying
    assert.deepEqual(result.unrecoverable, [])
    assert.equal(result.error_count, 0)
    assert.deepEqual((await compareFolders(source, second)).differences, [])
  })
})

/** All bytes that a process has read through system calls (Linux). */
async function bytesRead(pid: number | undefined): Promise<number> {
  const text = await readFile(`/proc/${pid}/io`, 'utf8').catch(() => 'rchar: 0')
  return Number(/rchar: (\d+)/.exec(text)?.[1] ?? 0)
}
