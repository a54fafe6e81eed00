// Goal: hosts on one LAN find each other again when all of them have new addresses and nobody else
// is there.
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { Cluster } from '@moyai/cli/cluster'

import { Internet, missing } from '../helpers/netns.ts'

const reason = missing()
const skip = reason === undefined ? false : `NOT TESTED HERE, hosts on a LAN: ${reason}`
if (skip !== false) process.stderr.write(`\n!!! ${skip}\n\n`)

test('a LAN whose hosts all moved at once', { skip }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'moyai-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const office = new Internet(t).site('osaka')
  const listen = '/ip4/0.0.0.0/tcp/4001'
  const specs = ['osaka-1', 'osaka-2'].map((name) => {
    return { name, site: 'osaka', provider: 'self', listen, wrapper: office.host(name) }
  })
  const cluster = new Cluster(join(folder, 'hosts'), specs)
  t.after(() => cluster.remove())
  await mkdir(cluster.folder, { recursive: true })
  await cluster.start('lan')
  for (const host of cluster.hosts) await host.stop()
  office.move('osaka-1', 77)
  office.move('osaka-2', 78)
  for (const host of cluster.hosts) await host.start()
  const began = performance.now()
  await cluster.connected()
  t.diagnostic(`found each other ${((performance.now() - began) / 1000).toFixed(1)} s after start`)
  const { hosts } = await cluster.host('osaka-1').client.call('pool.hosts', {})
  assert.equal(hosts.find(({ name }) => name === 'osaka-2')?.via, 'direct')
})
