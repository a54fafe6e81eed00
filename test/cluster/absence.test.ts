// Goal: people say that a host is away or lost by commands; all hosts hear it, and the host that
// comes back is there again.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { ClusterHost } from '@moyai/cli/cluster'
import type { HostStatus, PoolLostResult, StatusResult } from '@moyai/protocol'

import { lastMessage, startCluster, until } from '../helpers/cluster.ts'

const CODES = new Set(['HOST_SILENT', 'HOST_LOST', 'SITE_SILENT'])

async function seenBy(host: ClusterHost, name: string): Promise<HostStatus | undefined> {
  return (await host.client.call('pool.hosts', {})).hosts.find((one) => one.name === name)
}

async function alarmsOf(host: ClusterHost): Promise<string[]> {
  const status: StatusResult = await host.client.call('status', {})
  return status.alarms.flatMap(({ code, text }) => (CODES.has(code) ? `${code} ${text}` : []))
}

test('away, lost and back through the command', async (t) => {
  const sites = { a: 'tokyo', b: 'osaka', c: 'osaka', d: 'nara' }
  const specs = Object.entries(sites).map(([name, site]) => ({ name, site, provider: 'self' }))
  const { cluster } = await startCluster(t, specs)
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => cluster.host(name)) as [
    ClusterHost,
    ClusterHost,
    ClusterHost,
    ClusterHost,
  ]

  await t.test('an absence is announced by its own organisation, and ends', async () => {
    const foreign = await a.moyai(['pool', 'away', 'd', '--until', '14d'])
    assert.equal(foreign.code, 1)
    assert.match(foreign.stderr, /belongs to another organisation/)
    assert.equal((await d.moyai(['pool', 'away', 'd', '--until', 'soon'])).code, 2)
    assert.equal((await d.moyai(['pool', 'away', 'd', '--until', '400d'])).code, 2)
    const announced = await d.moyai(['pool', 'away', 'd', '--until', '14d'])
    assert.equal(announced.code, 0, announced.stderr)
    await until('the absence', async () => (await seenBy(a, 'd'))?.awayUntil !== undefined)
    assert.equal((await seenBy(a, 'd'))?.state, 'online')
    await d.stop()
    await until('d is away', async () => (await seenBy(a, 'd'))?.state === 'away')
    await d.start()
    await cluster.connected()
    assert.equal((await d.moyai(['pool', 'away', 'd', '--until', 'now'])).code, 0)
    await until('d is back', async () => (await seenBy(a, 'd'))?.awayUntil === undefined)
  })

  await t.test('who is connected is not lost', async () => {
    const refused = await a.moyai(['pool', 'lost', 'osaka'])
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /connected, so not lost/)
  })

  await t.test('a site is declared lost by another organisation, until it is seen', async () => {
    await b.stop()
    await c.stop()
    await until('b and c are gone', async () => {
      const states = [await seenBy(a, 'b'), await seenBy(a, 'c'), await seenBy(d, 'b')]
      return states.every((one) => one?.state === 'offline')
    })
    assert.deepEqual(await alarmsOf(a), [])
    const said = await a.moyai(['pool', 'lost', 'osaka', '--json'])
    assert.equal(said.code, 0, said.stderr)
    const { hosts, present } = lastMessage<PoolLostResult>(said.stdout, 'summary')
    assert.deepEqual([hosts.map(({ name }) => name), present], [['b', 'c'], []])
    for (const host of [a, d]) {
      await until('both are presumed lost', async () => {
        const states = [await seenBy(host, 'b'), await seenBy(host, 'c')]
        return states.every((one) => one?.state === 'presumed-lost')
      })
    }
    const alarms = await alarmsOf(d)
    const told = new Set(alarms.map((text) => text.split(',')[0]))
    const expected = ['b', 'c'].map((name) => `HOST_LOST ${name} was declared lost`)
    assert.deepEqual(told, new Set(expected))
    await b.start()
    await until('b is there', async () => (await seenBy(d, 'b'))?.state === 'online')
    await b.stop()
    await until('b is only off', async () => (await seenBy(d, 'b'))?.state === 'offline')
    assert.equal((await seenBy(d, 'c'))?.state, 'presumed-lost')
    assert.equal((await a.moyai(['pool', 'back', 'c'])).code, 0)
    await until('c is only off', async () => (await seenBy(d, 'c'))?.state === 'offline')
  })
})
