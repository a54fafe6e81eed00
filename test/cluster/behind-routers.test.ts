// Goal: offices behind ordinary routers form one pool through the one host that is reachable, keep
// data, and lose nothing when a site or a line fails.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'

import { Cluster, type ClusterHost, type HostSpec } from '@moyai/cli/cluster'
import { compareFolders } from '@moyai/cli/compare'
import type { DoctorResult, HostStatus, RetrieveSummary, StoreSummary } from '@moyai/protocol'

import { lastMessage } from '../helpers/cluster.ts'
import { noise, prose } from '../helpers/fixture-tree.ts'
import { Internet, missing, type Site } from '../helpers/netns.ts'

const reason = missing()
const skip = reason === undefined ? false : `NOT TESTED HERE, offices behind routers: ${reason}`
if (skip !== false) process.stderr.write(`\n!!! ${skip}\n\n`)

const LISTEN = '/ip4/0.0.0.0/tcp/4001'
/** A line of 40 ms there and back. */
const LINE_MS = 20

type Office = { cluster: Cluster; folder: string; sites: Record<string, Site> }

/** Three sites of two hosts, each behind its router; the port of cloud-1 is forwarded. */
async function startOffices(t: TestContext): Promise<Office> {
  const folder = await mkdtemp(join(tmpdir(), 'moyai-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const internet = new Internet(t)
  const sites: Record<string, Site> = {}
  const specs: HostSpec[] = []
  for (const site of ['cloud', 'osaka', 'kobe']) {
    const office = internet.site(site)
    sites[site] = office
    for (const name of [`${site}-1`, `${site}-2`]) {
      specs.push({ name, site, provider: site, listen: LISTEN, wrapper: office.host(name) })
    }
  }
  const cluster = new Cluster(join(folder, 'hosts'), specs)
  t.after(() => cluster.remove())
  sites['cloud']?.rules({ forwardTo: 'cloud-1' })
  await mkdir(cluster.folder, { recursive: true })
  await Promise.all(cluster.hosts.map((host) => host.init()))
  // What a person writes there; osaka's router does not forward yet.
  for (const site of ['cloud', 'osaka']) {
    const config = join(cluster.host(`${site}-1`).home, 'config.toml')
    const text = await readFile(config, 'utf8')
    const announce = `announce = ["${sites[site]?.announced}"]`
    await writeFile(config, text.replace('# announce = []', announce))
  }
  return { cluster, folder, sites }
}

async function hostsSeenBy(host: ClusterHost): Promise<Map<string, HostStatus>> {
  const { hosts } = await host.client.call('pool.hosts', {})
  return new Map(hosts.map((one) => [one.name, one]))
}

/** Waits until `host` reaches `other` as `wanted` says. */
async function untilVia(host: ClusterHost, other: string, wanted: (via: string) => boolean) {
  const giveUp = performance.now() + 60_000
  for (;;) {
    const via = (await hostsSeenBy(host)).get(other)?.via ?? 'none'
    if (wanted(via)) return via
    if (performance.now() > giveUp) throw new Error(`${host.name} reaches ${other}: ${via}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** Files in the shard store of a host. */
async function shardsOf(host: ClusterHost): Promise<number> {
  const all = await readdir(join(host.home, 'shards'), { recursive: true, withFileTypes: true })
  return all.filter((one) => one.isFile()).length
}

/** A folder of `bytes` of noise and as much text. */
async function makeFolder(path: string, bytes: number, seed: number): Promise<void> {
  await mkdir(path, { recursive: true })
  for (let i = 0; i < 4; i++) {
    await writeFile(join(path, `photo-${i}`), noise(bytes / 4, seed + i))
    await writeFile(join(path, `mail-${i}`), prose(bytes / 4, seed + i))
  }
}

async function timed<T>(work: Promise<T>): Promise<{ value: T; seconds: number }> {
  const began = performance.now()
  return { value: await work, seconds: (performance.now() - began) / 1000 }
}

const rate = (bytes: number, seconds: number): string =>
  `${(bytes / 1e6).toFixed(1)} MB in ${seconds.toFixed(1)} s, ${(bytes / 1e6 / seconds).toFixed(1)} MB/s`

test('three sites, two of them behind closed routers', { skip }, async (t) => {
  const { cluster, folder, sites } = await startOffices(t)
  const relay = cluster.host('cloud-1')
  // Its port is never forwarded: what it stores goes through the relay to the end.
  const owner = cluster.host('osaka-2')
  const forwarded = cluster.host('osaka-1')
  const kobe = cluster.host('kobe-1')

  await t.test('all hosts connect, those of different sites through the relay', async () => {
    await Promise.all(cluster.hosts.map((host) => host.start()))
    const began = performance.now()
    await relay.client.call('pool.create', { name: 'offices' })
    const invite = { uses: cluster.hosts.length, expiresSeconds: 3600 }
    const { token } = await relay.client.call('pool.invite', invite)
    for (const host of cluster.hosts) {
      if (host !== relay) await host.client.call('pool.join', { token })
    }
    await cluster.connected()
    t.diagnostic(`all connected ${((performance.now() - began) / 1000).toFixed(1)} s after create`)
    const seen = await hostsSeenBy(kobe)
    assert.equal(seen.get('kobe-2')?.via, 'direct', 'on the same LAN')
    assert.equal(seen.get('cloud-1')?.via, 'direct', 'by its forwarded port')
    for (const name of ['osaka-1', 'osaka-2', 'cloud-2']) {
      assert.equal(seen.get(name)?.via, 'relayed', name)
      assert.equal(seen.get(name)?.relay, 'cloud-1', name)
      assert.ok((seen.get(name)?.rttMs ?? -1) >= 0, `${name} has a round trip`)
    }
  })

  await untilVia(kobe, 'osaka-1', (via) => via === 'relayed')
  sites['osaka']?.rules({ forwardTo: 'osaka-1' })
  const began = performance.now()
  const source = join(folder, 'office')
  await makeFolder(source, 16_000_000, 1)
  await t.test('a store and a retrieve through the relay', async () => {
    const stored = await timed(owner.moyai(['store', source, '--json']))
    assert.equal(stored.value.code, 0, stored.value.stdout.slice(-2000) + stored.value.stderr)
    const { state, bytes_sent } = lastMessage<StoreSummary>(stored.value.stdout, 'summary')
    assert.equal(state, 'protected')
    t.diagnostic(`relayed store: ${rate(bytes_sent, stored.seconds)}`)
    const copy = join(folder, 'copy')
    const back = await timed(owner.moyai(['retrieve', 'latest', '--to', copy, '--json']))
    assert.equal(back.value.code, 0, back.value.stdout.slice(-2000) + back.value.stderr)
    const { bytes_fetched } = lastMessage<RetrieveSummary>(back.value.stdout, 'summary')
    t.diagnostic(`relayed retrieve: ${rate(bytes_fetched, back.seconds)}`)
    assert.deepEqual((await compareFolders(source, copy)).differences, [])
  })

  await t.test('a port is forwarded: the relayed connections become direct', async () => {
    for (const name of ['kobe-1', 'kobe-2', 'cloud-2']) {
      await untilVia(cluster.host(name), 'osaka-1', (via) => via === 'hole-punched')
      await untilVia(forwarded, name, (via) => via === 'hole-punched')
    }
    t.diagnostic(`upgraded ${((performance.now() - began) / 1000).toFixed(1)} s after forwarding`)
    assert.equal((await hostsSeenBy(kobe)).get('osaka-2')?.via, 'relayed', 'its port is closed')
  })

  await t.test('doctor: what a closed router means, and that nothing is wrong', async () => {
    const { code, stdout } = await cluster.host('kobe-2').moyai(['doctor', '--json'])
    const { checks } = lastMessage<DoctorResult & { message_type: string }>(stdout, 'summary')
    assert.equal(code, 0, stdout)
    const said = (check: string): string | undefined =>
      checks.find((one) => one.check === check)?.text
    assert.match(said('reachable') ?? '', /could not reach this host directly/)
    assert.match(said('host osaka-2') ?? '', /reached through cloud-1, \d+ ms/)
    assert.match(said('host osaka-1') ?? '', /reached directly, \d+ ms/)
  })

  await t.test('a whole site is cut off in the middle of a store', async () => {
    await makeFolder(join(source, 'more'), 32_000_000, 77)
    const before = await shardsOf(kobe)
    const storing = timed(owner.moyai(['store', source, '--json']))
    while ((await shardsOf(kobe)) < before + 3)
      await new Promise((resolve) => setTimeout(resolve, 5))
    sites['kobe']?.connect(false)
    const stored = await storing
    const { code, stdout, stderr } = stored.value
    assert.ok(code === 0 || code === 21, stdout.slice(-2000) + stderr)
    t.diagnostic(
      `the store with kobe cut off ended with ${code} after ${stored.seconds.toFixed(1)} s`,
    )
    const copy = join(folder, 'copy without kobe')
    const back = await owner.moyai(['retrieve', 'latest', '--to', copy])
    assert.equal(back.code, 0, back.stderr)
    assert.deepEqual((await compareFolders(source, copy)).differences, [])
    sites['kobe']?.connect(true)
    const { seconds } = await timed(cluster.connected())
    t.diagnostic(`all connected again ${seconds.toFixed(1)} s after the site came back`)
  })

  await t.test('40 ms, stalls and cut connections: everything still completes', async () => {
    const lines = [
      await sites['cloud']?.badLine('cloud-1', LINE_MS),
      await sites['osaka']?.badLine('osaka-1', LINE_MS),
    ]
    const healed = await timed(cluster.connected())
    t.diagnostic(`all connected ${healed.seconds.toFixed(1)} s after the lines were changed`)
    const trouble = setInterval(() => {
      for (const line of lines) line?.stall(700)
    }, 2_000)
    const cuts = [1_500, 4_000].map((ms) =>
      setTimeout(() => {
        for (const line of lines) line?.cut()
      }, ms),
    )
    const sick = join(folder, 'sick')
    await makeFolder(sick, 8_000_000, 500)
    try {
      const stored = await timed(owner.moyai(['store', sick, '--json']))
      assert.ok(stored.value.code === 0 || stored.value.code === 21, stored.value.stderr)
      const { bytes_sent } = lastMessage<StoreSummary>(stored.value.stdout, 'summary')
      t.diagnostic(`store over bad lines: ${rate(bytes_sent, stored.seconds)}`)
      const copy = join(folder, 'copy of sick')
      const back = await timed(owner.moyai(['retrieve', 'latest', '--to', copy, '--json']))
      assert.equal(back.value.code, 0, back.value.stdout.slice(-2000) + back.value.stderr)
      const { bytes_fetched } = lastMessage<RetrieveSummary>(back.value.stdout, 'summary')
      t.diagnostic(`retrieve over bad lines: ${rate(bytes_fetched, back.seconds)}`)
      assert.deepEqual((await compareFolders(sick, copy)).differences, [])
    } finally {
      clearInterval(trouble)
      for (const cut of cuts) clearTimeout(cut)
    }
    await cluster.connected()
    const rtts = [...(await hostsSeenBy(kobe))].map(([name, one]) => `${name} ${one.rttMs}`)
    t.diagnostic(`round trips of kobe-1 in ms: ${rtts.join(', ')}`)
  })
})
