// Goal: a host is described, emptied, taken back and put out by commands, while the others go on
// protecting what it kept.
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import type { ClusterHost } from '@moyai/cli/cluster'
import type { HostStatus, PoolHostsResult, PoolPolicyResult } from '@moyai/protocol'

import { lastMessage, startCluster, until, untilProtected } from '../helpers/cluster.ts'
import { noise } from '../helpers/fixture-tree.ts'

const MIB = 1024 * 1024
const STORE = { tags: [], excludes: [], dryRun: false, wait: true }

async function hostsOf(host: ClusterHost): Promise<HostStatus[]> {
  return (await host.client.call('pool.hosts', {})).hosts
}

test('labels, policy, retirement and revocation through the command', async (t) => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
  const specs = names.map((name) => ({ name, site: `site-${name}`, provider: 'self' }))
  const { cluster, folder } = await startCluster(t, specs)
  const owner = cluster.host('a')
  const source = join(folder, 'source')
  await mkdir(source)
  await writeFile(join(source, 'file'), noise(24 * MIB, 3))
  const run = async (host: ClusterHost, ...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await host.moyai([...args, '--json'])
    assert.equal(code, 0, stderr)
    return stdout
  }

  await t.test('a label, by its own host, is seen everywhere', async () => {
    await run(cluster.host('b'), 'pool', 'label', 'b', 'site=annex', 'offered=1TB')
    await until('the label', async () => {
      const seen = (await hostsOf(owner)).find(({ name }) => name === 'b')
      return seen?.site === 'annex' && seen.offered === 1e12
    })
    const refused = await owner.moyai(['pool', 'label', 'b', 'site=x', '--json'])
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /belongs to another organisation/)
    const unknown = await owner.moyai(['pool', 'label', 'nobody', 'site=x'])
    assert.match(unknown.stderr, /no host "nobody"/)
    assert.equal((await owner.moyai(['pool', 'label', 'a', 'colour=red'])).code, 2)
  })

  await t.test('a policy, set anywhere, is that of all', async () => {
    const set = await run(cluster.host('c'), 'pool', 'policy', 'host=1', 'site=1')
    const policy = 'host=1 site=1 provider=1 org=1'
    assert.equal(lastMessage<PoolPolicyResult>(set, 'summary').policy, policy)
    await until('the policy', async () => {
      const { stdout } = await owner.moyai(['pool', 'policy', '--explain', '-q'])
      return stdout.startsWith(`${policy}\n`) && /possible holders/.test(stdout)
    })
    assert.equal((await owner.moyai(['pool', 'policy', 'host=many'])).code, 2)
    await run(owner, 'pool', 'policy', 'host=2')
    assert.match((await owner.moyai(['status'])).stdout, /Policy host=2 site=1/)
  })

  // Fewer shards than hosts: the pool may lose a member and still have a place for each.
  await owner.stop()
  const config = join(owner.home, 'config.toml')
  const text = await readFile(config, 'utf8')
  await writeFile(config, text.replace(/^#? ?code = .*$/m, 'code = "2+2"'))
  await owner.start()
  await cluster.connected()
  const stored = await owner.client.call('store', { paths: [source], ...STORE })
  assert.equal(stored.state, 'protected')

  await t.test('a retiring host is emptied while the daemon is killed in between', async () => {
    const [leaving] = (await hostsOf(owner)).filter(({ name }) => name === 'g')
    assert.equal(leaving?.standing, 'member')
    await run(cluster.host('g'), 'pool', 'retire', 'g')
    await until('the retirement', async () => {
      const seen = (await hostsOf(owner)).find(({ name }) => name === 'g')
      return seen?.standing === 'retiring'
    })
    await owner.kill()
    await owner.start()
    const waited = await cluster.host('b').moyai(['pool', 'hosts'])
    assert.match(waited.stdout, /g is retiring/)
    const drained = await cluster.host('g').moyai(['pool', 'retire', 'g', '--wait', '--json'])
    assert.equal(drained.code, 0, drained.stderr)
    const { drain } = lastMessage<{ drain: { shards: number; unknown: string[] } }>(
      drained.stdout,
      'summary',
    )
    assert.deepEqual([drain.shards, drain.unknown], [0, []])
    await cluster.host('g').stop()
    await untilProtected(owner)
    const again = await owner.client.call('store', { paths: [source], ...STORE })
    assert.equal(again.state, 'protected')
    await cluster.host('g').start()
    await run(cluster.host('g'), 'pool', 'retire', 'g', '--cancel')
    await until('the end of the retirement', async () => {
      const { hosts, drains } = await owner.client.call('pool.hosts', {})
      const seen = hosts.find(({ name }) => name === 'g')
      return seen?.standing === 'member' && drains.length === 0
    })
  })

  await t.test('a revoked host is refused, and what it kept is placed anew', async () => {
    const thief = cluster.host('f')
    await untilProtected(owner)
    const without = await owner.moyai(['pool', 'revoke', 'f'])
    assert.equal(without.code, 1)
    assert.match(without.stderr, /--phrase-file/)
    const wrong = await owner.moyai([
      'pool',
      'revoke',
      'f',
      '--phrase-file',
      `${cluster.host('b').home}.phrase`,
    ])
    assert.equal(wrong.code, 12, wrong.stderr)
    await run(owner, 'pool', 'revoke', 'f', '--phrase-file', `${thief.home}.phrase`)
    await until('nobody is connected to it', async () =>
      (await hostsOf(thief)).every(({ state }) => state !== 'online'),
    )
    const listed = (await cluster.host('c').moyai(['pool', 'hosts'])).stdout
    assert.match(listed, /^f .*revoked/m)
    assert.match(listed, /6 hosts/)
    // It finds nobody who would listen, after a restart either.
    await thief.stop()
    await thief.start()
    await untilProtected(owner)
    const result: PoolHostsResult = await owner.client.call('pool.hosts', {})
    const gone = result.hosts.find(({ name }) => name === 'f')
    assert.deepEqual([gone?.standing, gone?.state], ['revoked', 'offline'])
    assert.ok((await hostsOf(thief)).every(({ state }) => state !== 'online'))
    const { token } = await owner.client.call('pool.invite', { uses: 1, expiresSeconds: 3600 })
    const back = await thief.moyai(['pool', 'join', token])
    assert.equal(back.code, 1)
  })
})
