// Goal: `moyai doctor` on real hosts names what is wrong, with its exit code, and is content with
// what is well.
import assert from 'node:assert/strict'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { type ClusterHost, runMoyai } from '@moyai/cli/cluster'
import type { DoctorCheck } from '@moyai/protocol'

import { lastMessage, startCluster } from '../helpers/cluster.ts'

type Doctored = { code: number | null; checks: DoctorCheck[] }

async function doctor(host: ClusterHost): Promise<Doctored> {
  const { code, stdout } = await host.moyai(['doctor', '--json'])
  const { checks } = lastMessage<{ message_type: string; checks: DoctorCheck[] }>(stdout, 'summary')
  return { code, checks }
}

function problems({ checks }: Doctored): string[] {
  return checks.filter(({ result }) => result === 'problem').map(({ check }) => check)
}

test('doctor: well, unreachable, unreadable, full, not running', async (t) => {
  const { cluster, folder } = await startCluster(t, [
    { name: 'osaka', site: 'osaka', provider: 'self', class: 'always-on' },
    { name: 'kobe', site: 'kobe', provider: 'self', class: 'always-on' },
    { name: 'tokyo', site: 'tokyo', provider: 'self' },
  ])
  const osaka = cluster.host('osaka')
  const kobe = cluster.host('kobe')

  const well = await doctor(osaka)
  assert.deepEqual(problems(well), [], JSON.stringify(well.checks))
  assert.equal(well.code, 0)
  const reachable = well.checks.find(({ check }) => check === 'reachable')
  assert.equal(reachable?.result, 'ok', JSON.stringify(well.checks))
  assert.match(reachable?.text ?? '', /reached this host at \/ip4\/127\.0\.0\.1\/tcp\/\d+/)
  const text = (await osaka.moyai(['doctor'])).stdout
  assert.match(text, /ok {6}host kobe: reached directly, \d+ ms/)
  assert.match(text, /All well/)

  await t.test('a key that others can read, and a host that should be on', async () => {
    await chmod(join(osaka.home, 'identity.key'), 0o644)
    await kobe.kill()
    await cluster.host('tokyo').kill()
    const sick = await doctor(osaka)
    assert.equal(sick.code, 1)
    assert.deepEqual(problems(sick), ['permissions', 'host kobe'], 'a desktop may be off')
    await chmod(join(osaka.home, 'identity.key'), 0o600)
  })

  await t.test('a disk with less than its reserve', async () => {
    const config = join(kobe.home, 'config.toml')
    const before = await readFile(config, 'utf8')
    await writeFile(config, before.replace('# reserve = "1GB"', 'reserve = "900TB"'))
    await kobe.start()
    await cluster.connected()
    assert.deepEqual(problems(await doctor(kobe)), ['disk'])
    await kobe.stop()
    await writeFile(config, before)
  })

  await t.test('all restart at once, on ports that the system chose', async () => {
    await Promise.all(cluster.hosts.map((host) => host.stop()))
    await Promise.all(cluster.hosts.map((host) => host.start()))
    await cluster.connected()
    assert.deepEqual(problems(await doctor(osaka)), [])
  })

  await t.test('no daemon, and no home', async () => {
    await kobe.stop()
    const stopped = await doctor(kobe)
    assert.equal(stopped.code, 1)
    assert.deepEqual(problems(stopped), ['daemon'])
    const none = await runMoyai(join(folder, 'nothing here'), ['doctor'])
    assert.equal(none.code, 1)
    assert.match(none.stdout, /there is no moyai host in/)
  })
})
