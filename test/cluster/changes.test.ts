// Goal: a small change of a big file costs a few chunks, and resumed or repeated retrieves fetch
// only what is not there.
import assert from 'node:assert/strict'
import { mkdir, open, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { compareFolders } from '@moyai/cli/compare'
import type { RetrieveParams } from '@moyai/protocol'

import { startCluster } from '../helpers/cluster.ts'
import { noise } from '../helpers/fixture-tree.ts'

const MIB = 1024 * 1024
const STORE = { tags: [], excludes: [], dryRun: false, wait: true }

test('one changed megabyte in a file of 48', async (t) => {
  const { cluster, folder } = await startCluster(t, [
    { name: 'a', site: 'x', provider: 'p' },
    { name: 'b', site: 'y', provider: 'q' },
    { name: 'c', site: 'z', provider: 'r' },
    { name: 'd', site: 'z', provider: 'r' },
  ])
  const owner = cluster.host('a')
  const source = join(folder, 'source')
  await mkdir(source)
  await writeFile(join(source, 'image'), noise(48 * MIB, 5))
  await writeFile(join(source, 'neighbour'), 'untouched')
  const first = await owner.client.call('store', { paths: [source], ...STORE })
  assert.ok(first.data_added >= 48 * MIB)

  const image = await open(join(source, 'image'), 'r+')
  await image.write(noise(MIB, 6), 0, MIB, 20 * MIB)
  await image.close()
  const second = await owner.client.call('store', { paths: [source], ...STORE })
  assert.equal(second.files_changed, 1)
  assert.equal(second.files_unmodified, 1)
  // The changed megabyte, and at most the chunk around each end of it: chunks are 4 MiB at most.
  assert.ok(second.data_added < 9 * MIB, `${second.data_added} bytes of new chunks`)

  const params: RetrieveParams = {
    snapshot: 'latest',
    to: join(folder, 'copy'),
    includes: [],
    excludes: [],
    overwrite: 'always',
    verify: false,
    dryRun: false,
  }
  const retrieved = await owner.client.call('retrieve', params)
  assert.ok(retrieved.bytes_fetched >= 48 * MIB)
  assert.deepEqual((await compareFolders(source, params.to)).differences, [])

  await t.test('the older snapshot is still what it was', async () => {
    const older = { ...params, snapshot: first.snapshot_id ?? '', to: join(folder, 'older') }
    await owner.client.call('retrieve', older)
    const copy = await open(join(older.to, 'image'))
    const piece = Buffer.alloc(MIB)
    await copy.read(piece, 0, MIB, 20 * MIB)
    await copy.close()
    assert.ok(piece.equals(noise(48 * MIB, 5).subarray(20 * MIB, 21 * MIB)))
  })

  await t.test('what is already there is not fetched again', async () => {
    await rm(join(params.to, 'neighbour'))
    const again = await owner.client.call('retrieve', params)
    assert.ok(again.bytes_fetched < MIB, `${again.bytes_fetched} bytes fetched`)
    assert.equal(again.files_skipped, 1)
    assert.deepEqual((await compareFolders(source, params.to)).differences, [])
  })

  await t.test('never overwrites nothing, and a path within the snapshot works', async () => {
    await writeFile(join(params.to, 'neighbour'), 'mine')
    await owner.client.call('retrieve', { ...params, overwrite: 'never' })
    const kept = await compareFolders(source, params.to)
    assert.deepEqual([...new Set(kept.differences.map(({ path }) => path))], ['neighbour'])
    const one = { ...params, snapshot: 'latest:neighbour', to: join(folder, 'one') }
    const result = await owner.client.call('retrieve', one)
    assert.equal(result.files_restored, 1)
  })
})
