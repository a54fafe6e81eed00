// Goal: what is wrong with a host (its clock, its disk, its place in the pool, a copy of its home)
// is named in words, with what to do, by doctor there and by the status of whoever can see it.
import assert from 'node:assert/strict'
import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { test, type TestContext } from 'node:test'

import { ClusterHost, type Finished } from '@moyai/cli/cluster'
import type { DoctorResult, StatusResult } from '@moyai/protocol'

import { lastMessage, startCluster, until } from '../helpers/cluster.ts'

const HOSTS = [
  { name: 'a', site: 'x', provider: 'p' },
  { name: 'b', site: 'y', provider: 'q' },
  { name: 'c', site: 'z', provider: 'r' },
]
/** Moves the clock of a daemon that starts with it one day ahead. */
const TOMORROW = `data:text/javascript,${encodeURIComponent(
  'const now = Date.now; Date.now = () => now() + 86400000',
)}`

async function problemsOf(host: ClusterHost): Promise<{ found: string; code: Finished['code'] }> {
  const { stdout, code } = await host.moyai(['doctor', '--json'])
  const { checks } = lastMessage<DoctorResult>(stdout, 'summary')
  const problems = checks.filter(({ result }) => result === 'problem')
  assert.ok(
    problems.every(({ hint }) => hint !== null && hint !== ''),
    'each has a hint',
  )
  return { found: problems.map(({ check, text }) => `${check}: ${text}`).join('\n'), code }
}

async function alarmsOf(host: ClusterHost): Promise<string> {
  const { alarms }: StatusResult = await host.client.call('status', {})
  return alarms.map(({ code, text }) => `${code}: ${text}`).join('\n')
}

test('a clock that is a day ahead', async (t) => {
  const { cluster } = await startCluster(t, HOSTS)
  const [a, b] = [cluster.host('a'), cluster.host('b')]
  await b.stop()
  await b.start({ env: { NODE_OPTIONS: `--import=${TOMORROW}` } })
  await until('a notices', async () => /CLOCK_DISAGREES: .* b /.test(await alarmsOf(a)))
  assert.match((await problemsOf(a)).found, /clock: .*b .*24 h ahead/)
  const own = await problemsOf(b)
  assert.match(own.found, /clock: the clock of this machine is wrong: it is 24 h ahead/)
  assert.equal(own.code, 1)
})

test('a host that is well, asked by many at once', async (t) => {
  const { cluster } = await startCluster(t, HOSTS)
  const host = cluster.host('a')
  const asked = Array.from({ length: 12 }, () => alarmsOf(host))
  assert.deepEqual(new Set(await Promise.all(asked)), new Set(['']))
})

/** Starts `host` with a file system of its own at its shards; false, aloud, where that needs more rights. */
async function startOn(t: TestContext, host: ClusterHost, mount: string): Promise<boolean> {
  const isRoot = process.platform === 'linux' && process.geteuid?.() === 0
  if (!isRoot || spawnSync('unshare', ['-m', 'true']).status !== 0) {
    t.skip('NOT TESTED: a file system of its own needs root and unshare')
    return false
  }
  await host.stop()
  const shards = join(host.home, 'shards')
  const script = `${mount.replaceAll('SHARDS', `'${shards}'`)} && exec "$@"`
  await host.start({ wrapper: ['unshare', '-m', 'sh', '-c', script, 'sh'] })
  return true
}

test('a full disk, and one that can only be read', async (t) => {
  const { cluster } = await startCluster(t, HOSTS)
  const host = cluster.host('b')
  await t.test('full', async (t2) => {
    const tmpfs =
      'cp -a SHARDS /tmp/$$.s && mount -t tmpfs -o size=8m none SHARDS && cp -a /tmp/$$.s/. SHARDS && rm -r /tmp/$$.s'
    if (!(await startOn(t2, host, tmpfs))) return
    const { found, code } = await problemsOf(host)
    assert.match(found, /disk: the disk is full/)
    assert.equal(code, 1)
    assert.match(await alarmsOf(host), /DISK: the disk is full/)
    await until('the others see it', async () =>
      /HOST_FULL: b has no room/.test(await alarmsOf(cluster.host('a'))),
    )
  })
  await t.test('read-only', async (t2) => {
    const readOnly =
      'mkdir -p SHARDS/tmp && mount --bind SHARDS SHARDS && mount -o remount,bind,ro SHARDS'
    if (!(await startOn(t2, host, readOnly))) return
    assert.match((await problemsOf(host)).found, /disk: nothing can be written here: .*read-only/i)
    assert.match(await alarmsOf(host), /DISK: nothing can be written/)
  })
})

test('a home that was copied to another machine', async (t) => {
  const { cluster, folder } = await startCluster(t, HOSTS)
  const original = cluster.host('b')
  await original.stop()
  const copied = join(folder, 'hosts', 'copy')
  await cp(original.home, copied, { recursive: true })
  await rm(join(copied, 'control.sock'), { force: true })
  const copy = new ClusterHost(original.spec, copied)
  t.after(() => copy.stop())
  await original.start()
  await copy.start()
  // each asks the others for news every half minute
  const said = async (): Promise<string> =>
    [await alarmsOf(original), await alarmsOf(copy)].join('\n')
  const noticed = async (): Promise<boolean> =>
    /HOME_CLONED: another machine uses the identity/.test(await said())
  await until('one of the two notices', noticed, 120_000)
  const found = [(await problemsOf(original)).found, (await problemsOf(copy)).found].join('\n')
  assert.match(found, /clone: another machine uses the identity of this host/)
})

test('a certificate that was revoked', async (t) => {
  const { cluster } = await startCluster(t, HOSTS)
  const [a, b] = [cluster.host('a'), cluster.host('b')]
  const revoked = await a.moyai(['pool', 'revoke', 'b', '--phrase-file', `${b.home}.phrase`])
  assert.equal(revoked.code, 0, revoked.stderr)
  await until('b is out', async () => {
    const { hosts } = await a.client.call('pool.hosts', {})
    return hosts.some(({ name, standing }) => name === 'b' && standing === 'revoked')
  })
  const { stdout } = await a.moyai(['status'])
  assert.match(stdout, /revoked/)
})
