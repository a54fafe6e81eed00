// Goal: each mistake that a person makes costs one clear sentence, a hint and the right exit code,
// and nothing else.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { runMoyai } from '@moyai/cli/cluster'

import { startCluster, temporaryFolder } from '../helpers/cluster.ts'

type Case = { args: string[]; code: number; says: RegExp }

function assertClear(
  result: { code: number | null; stdout: string; stderr: string },
  o: Case,
): void {
  const shown = `${o.args.join(' ')}: ${result.stdout}${result.stderr}`
  assert.equal(result.code, o.code, shown)
  assert.match(result.stderr, o.says, shown)
  assert.match(result.stderr, /^moyai: \S/, shown)
  assert.doesNotMatch(result.stderr, /\n\s+at /, `no stack trace: ${shown}`)
}

test('before there is a state directory or a daemon', async (t) => {
  const folder = await temporaryFolder(t)
  const home = join(folder, 'home')
  const cases: Case[] = [
    { args: ['stroe', '.'], code: 2, says: /no command "stroe"/ },
    { args: ['store'], code: 2, says: /at least one PATH/ },
    { args: ['store', '.', '--no-such'], code: 2, says: /no-such/ },
    { args: ['store', '.'], code: 26, says: /no moyai daemon is running/ },
    { args: ['status'], code: 26, says: /hint: start it with: moyai daemon/ },
    { args: ['daemon'], code: 10, says: /hint: .*moyai init/s },
    { args: ['init', '--offer', 'lots'], code: 2, says: /"lots" is not a size/ },
    { args: ['init', '--class', 'toaster'], code: 2, says: /always-on, desktop, laptop/ },
    { args: ['pool', 'destroy'], code: 2, says: /pool takes/ },
    { args: ['retrieve', 'latest'], code: 2, says: /needs --to/ },
  ]
  for (const one of cases) assertClear(await runMoyai(home, one.args), one)
})

test('with a host', async (t) => {
  const { cluster, folder } = await startCluster(t, [
    { name: 'a', site: 'x', provider: 'p' },
    { name: 'b', site: 'y', provider: 'q' },
  ])
  const [a, b] = cluster.hosts
  assert.ok(a !== undefined && b !== undefined)
  const source = join(folder, 'source')
  await mkdir(source)
  await writeFile(join(source, 'file'), 'content')

  const cases: Case[] = [
    { args: ['init'], code: 1, says: /another moyai daemon/ },
    { args: ['daemon'], code: 1, says: /another moyai daemon/ },
    { args: ['pool', 'create', 'second'], code: 1, says: /already/ },
    { args: ['pool', 'join', 'moyai1-nonsense'], code: 2, says: /invite/ },
    { args: ['store', join(folder, 'no such folder')], code: 1, says: /no such folder/ },
    { args: ['retrieve', 'latest', '--to', join(folder, 'x')], code: 1, says: /snapshot/ },
    { args: ['retrieve', 'ffff', '--to', join(folder, 'x')], code: 1, says: /snapshot/ },
    { args: ['ls', 'latest:nowhere'], code: 1, says: /snapshot/ },
  ]
  for (const one of cases) assertClear(await a.moyai(one.args), one)

  await t.test('an invite works once, and a tampered one never', async () => {
    const { stdout } = await a.moyai(['pool', 'invite'])
    const token = stdout.trim().split('\n').at(-1) ?? ''
    assert.match(token, /^moyai1-/)
    const tampered = `${token.slice(0, -6)}${token.at(-6) === 'A' ? 'B' : 'A'}${token.slice(-5)}`
    assertClear(await b.moyai(['pool', 'join', tampered]), {
      args: ['pool', 'join', 'tampered'],
      code: 2,
      says: /invite/,
    })
  })

  await t.test('SIGTERM ends a daemon cleanly, and it starts again', async () => {
    assert.ok(await b.stop())
    await b.start()
    await cluster.connected()
  })
})
