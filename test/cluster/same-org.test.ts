// Goal: a further machine of the same business is set up with one line, and no second phrase.
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { ClusterHost, runMoyai, type Finished } from '@moyai/cli/cluster'
import type { PoolHostsResult } from '@moyai/protocol'

import { lastMessage, startCluster } from '../helpers/cluster.ts'

async function filesBelow(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true })
  const paths = names.map((name) => join(folder, name))
  const kinds = await Promise.all(paths.map((path) => stat(path)))
  return paths.filter((_, index) => kinds[index]?.isFile() === true)
}

test('init --join with a same-org invite is all that is typed', async (t) => {
  const { cluster, folder } = await startCluster(t, [
    { name: 'office', site: 's', provider: 'self' },
    { name: 'friend', site: 't', provider: 'self' },
  ])
  const office = cluster.host('office')
  const phraseFile = `${office.home}.phrase`
  const invite = (file: string): Promise<Finished> =>
    office.moyai(['pool', 'invite', '--same-org', '--phrase-file', file])
  const init = (name: string, token: string): Promise<Finished> =>
    runMoyai(
      join(folder, name),
      ['init', '--name', name, '--listen', '/ip4/127.0.0.1/tcp/0', '--join', token].concat(
        '--json',
      ),
    )

  const wrong = await invite(`${cluster.host('friend').home}.phrase`)
  assert.equal(wrong.code, 12, wrong.stderr)
  assert.equal((await office.moyai(['pool', 'invite', '--same-org'])).code, 2)

  const { code, stdout, stderr } = await invite(phraseFile)
  assert.equal(code, 0, stderr)
  const token = stdout.trim().split('\n').at(-1) ?? ''
  assert.ok(token.length < 200)

  // The token is that host's: another one, with an organisation of its own, gets nowhere with it.
  const stranger = new ClusterHost(
    { name: 'stranger', site: 's', provider: 'self' },
    join(folder, 'stranger'),
  )
  await stranger.init()
  await stranger.start()
  t.after(() => stranger.stop())
  const refused = await stranger.moyai(['pool', 'join', token, '--json'])
  assert.equal(refused.code, 1)
  assert.match(refused.stdout, /INVITE_UNKNOWN/)

  const made = await init('desk', token)
  assert.equal(made.code, 0, made.stderr)
  assert.doesNotMatch(made.stdout, /phrase/)
  const again = await init('desk-2', token)
  assert.equal(again.code, 1)
  assert.match(again.stdout, /INVITE_USED/)

  const desk = new ClusterHost({ name: 'desk', site: 's', provider: 'self' }, join(folder, 'desk'))
  await desk.start()
  t.after(() => desk.stop())
  const hosts = async (host: ClusterHost): Promise<PoolHostsResult> => {
    const result = await host.moyai(['pool', 'hosts', '--json'])
    return lastMessage<PoolHostsResult>(result.stdout, 'summary')
  }
  const orgOf = (result: PoolHostsResult, name: string): string | undefined =>
    result.hosts.find((host) => host.name === name)?.org
  const seen = await hosts(office)
  assert.equal(orgOf(seen, 'desk'), orgOf(seen, 'office'))
  assert.notEqual(orgOf(seen, 'desk'), orgOf(seen, 'friend'))

  await t.test('neither side has the secrets of the other, or the phrase', async () => {
    const words = (await readFile(phraseFile, 'utf8')).trim()
    const secrets = [Buffer.from(words), Buffer.from(token)]
    const ofDesk = (await readFile(join(desk.home, 'identity.key'))).subarray(0, 32)
    const ofOffice = (await readFile(join(office.home, 'identity.key'))).subarray(0, 32)
    for (const [home, other] of [
      [office.home, ofDesk],
      [desk.home, ofOffice],
    ] as const) {
      for (const path of await filesBelow(home)) {
        const bytes = await readFile(path).catch(() => Buffer.alloc(0))
        for (const secret of [...secrets, other]) {
          assert.equal(bytes.includes(secret), false, path)
        }
        assert.equal(bytes.includes(other.toString('hex')), false, path)
      }
    }
  })

  await t.test('the two are one organisation, the older one the senior', async () => {
    const named = await desk.moyai(['pool', 'label', 'office', 'site=main'])
    assert.equal(named.code, 0, named.stderr)
    const junior = await desk.moyai(['pool', 'revoke', 'office'])
    assert.equal(junior.code, 1)
    assert.match(junior.stderr, /older host/)
    const source = join(folder, 'source')
    await mkdir(source)
    await writeFile(join(source, 'file'), 'x')
    await cluster.connected()
    const stored = await desk.moyai(['store', source, '--json'])
    assert.ok(stored.code === 0 || stored.code === 21, stored.stderr)
    const senior = await office.moyai(['pool', 'revoke', 'desk'])
    assert.equal(senior.code, 0, senior.stderr)
    assert.equal(
      (await hosts(office)).hosts.find(({ name }) => name === 'desk')?.standing,
      'revoked',
    )
  })
})
