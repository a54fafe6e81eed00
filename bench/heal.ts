/**
 * A pool heals while the owner is away: the disks of some hosts are wiped, and the others make
 * every stripe whole again.
 *
 * `node bench/heal.ts [--hosts 12] [--wiped 2] [--bytes 2000000000] [--folder DIR] [--copy]`. The
 * first host stores a made-up tree of `--bytes` and is stopped; the disks of the last `--wiped`
 * hosts are taken away and empty ones put in. Then:
 *
 * 1. until every shard of every stripe is somewhere again, counted in the shard files themselves:
 *    time, bytes on the wire, and the least that can be (`Tally`);
 * 2. the owner returns, learns where its shards are, and reads all of them back;
 * 3. the old disks come back: their shards are taken up again, what is there twice goes, and the
 *    snapshot is retrieved and compared.
 *
 * `--copy` also measures the bare connection in the same run and compares CPU time per byte. Linux
 * only. Ends with 1 when anything is not whole in the end.
 */

import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import { Cluster, type ClusterHost, type HostSpec } from '@moyai/cli/cluster'
import { compareFolders } from '@moyai/cli/compare'

import { copyRow } from './heal/copy.ts'
import { type Stripes, stripesOf, tally } from './heal/stripes.ts'
import { wholeRetrieve, wholeStore } from './pool.ts'
import { countersOf, loopbackBytes } from './processes.ts'
import { keyStream } from './seeded.ts'

const MIB = 2 ** 20
const FILE_BYTES = 8 * MIB
const DEADLINE_SECONDS = 1800

const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: '12' },
    wiped: { type: 'string', default: '2' },
    bytes: { type: 'string', default: '2000000000' },
    folder: { type: 'string', default: tmpdir() },
    copy: { type: 'boolean', default: false },
  },
})

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`
}

function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

async function makeTree(folder: string, bytes: number): Promise<void> {
  await mkdir(folder, { recursive: true })
  const stream = keyStream('heal')
  for (let at = 0, i = 0; at < bytes; at += FILE_BYTES, i++) {
    const length = Math.min(FILE_BYTES, bytes - at)
    await writeFile(join(folder, `${String(i).padStart(5, '0')}.bin`), stream(length))
  }
}

/** Surplus copies go in this run, not after a month. */
async function hurrySurplus(host: ClusterHost): Promise<void> {
  const path = join(host.home, 'config.toml')
  const text = await readFile(path, 'utf8')
  await writeFile(path, text.replace(/^# surplus-after = .*$/m, 'surplus-after = "1s"'))
}

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const giveUp = performance.now() + 1000 * DEADLINE_SECONDS
  while (!(await check())) {
    if (performance.now() > giveUp) throw new Error(`not within ${DEADLINE_SECONDS} s: ${what}`)
    await sleep(500)
  }
}

/** Takes the disk of a stopped host away, and puts in `other` if there is one. */
async function swapDisk(host: ClusterHost, o: { aside: string; other?: string }): Promise<void> {
  for (const name of ['shards', 'shards.id']) {
    await rename(join(host.home, name), join(host.home, `${name}.${o.aside}`))
    if (o.other === undefined) continue
    await rename(join(host.home, `${name}.${o.other}`), join(host.home, name))
  }
}

function cpuSeconds(hosts: readonly ClusterHost[]): number {
  return hosts.reduce((sum, { pid }) => sum + (countersOf(pid ?? 0)?.cpuSeconds ?? 0), 0)
}

async function readBack(owner: ClusterHost): Promise<boolean> {
  const { code, stdout } = await owner.moyai(['check', '--read-data', '--json'])
  print(`  read back: exit ${code}, ${stdout.trim().split('\n').at(-1)?.slice(0, 300)}`)
  return code === 0
}

async function untilProtected(owner: ClusterHost): Promise<void> {
  await until('the owner is protected', async () => {
    const { protection } = await owner.client.call('status', {})
    return protection.state === 'protected'
  })
}

/** Step 1; what all stripes are. */
async function heal(cluster: Cluster, wiped: readonly ClusterHost[]): Promise<Stripes> {
  const [owner, ...holders] = cluster.hosts as [ClusterHost, ...ClusterHost[]]
  const homes = holders.map(({ home }) => home)
  const all = await stripesOf(homes)
  await owner.stop()
  for (const host of wiped) {
    await host.stop()
    await swapDisk(host, { aside: 'old' })
  }
  const lost = tally(await stripesOf(homes), all)
  print(`${lost.stripes} stripes, ${lost.missing} shards lost with ${wiped.length} disks`)
  const wireBefore = loopbackBytes()
  const began = performance.now()
  for (const host of wiped) await host.start()
  const cpuBefore = cpuSeconds(holders)
  await until('every stripe is whole', async () => {
    const now = tally(await stripesOf(homes), all)
    return now.whole === now.stripes
  })
  const wire = loopbackBytes() - wireBefore
  const cpu = cpuSeconds(holders) - cpuBefore
  print(`whole again without the owner after ${seconds(began)}`)
  const ratio = (of: number): string => (wire / of).toFixed(3)
  print(`  wire ${mb(wire)}: ${ratio(lost.nominalBytes)} of k + lost (${mb(lost.nominalBytes)}),`)
  print(`  ${ratio(lost.leastBytes)} of the least, with one shard at hand (${mb(lost.leastBytes)})`)
  const perGib = (cpu / wire) * 2 ** 30
  print(`  CPU of all holders ${cpu.toFixed(1)} s, ${perGib.toFixed(2)} s per GiB on the wire`)
  if (values.copy) {
    const { bare, put } = await copyRow()
    print(`  a bare copy takes ${bare} s per GiB: ${(perGib / bare).toFixed(2)} times that`)
    print(`  a copy by put takes ${put} s per GiB: ${(perGib / put).toFixed(2)} times that`)
  }
  return all
}

const folder = await mkdtemp(join(values.folder, 'moyai-heal-'))
const count = Number(values.hosts)
const specs = Array.from({ length: count }, (_, i): HostSpec => {
  const group = i % (count < 8 ? 3 : 4)
  return { name: `host-${i + 1}`, site: `site-${group}`, provider: `provider-${group}` }
})
const cluster = new Cluster(join(folder, 'hosts'), specs)
try {
  const source = join(folder, 'source')
  await makeTree(source, Number(values.bytes))
  await cluster.start('heal')
  const [owner, ...holders] = cluster.hosts as [ClusterHost, ...ClusterHost[]]
  for (const host of cluster.hosts) {
    await host.stop()
    await hurrySurplus(host)
    await host.start()
  }
  await cluster.connected()
  let began = performance.now()
  const stored = await owner.client.call('store', wholeStore(source))
  print(`stored ${mb(Number(values.bytes))} at ${count - 1} holders in ${seconds(began)}`)
  await untilProtected(owner)
  const wiped = holders.slice(-Number(values.wiped))
  const all = await heal(cluster, wiped)

  began = performance.now()
  await owner.start()
  await untilProtected(owner)
  print(`the owner is back and protected after ${seconds(began)}`)
  let isWhole = await readBack(owner)

  for (const host of wiped) {
    await host.stop()
    await swapDisk(host, { aside: 'new', other: 'old' })
  }
  began = performance.now()
  for (const host of wiped) await host.start()
  const homes = holders.map(({ home }) => home)
  await until('nothing is there twice', async () => {
    const now = tally(await stripesOf(homes), all)
    return now.whole === now.stripes && now.surplus === 0
  })
  print(`the old disks are back: whole, and nothing twice, after ${seconds(began)}`)
  await untilProtected(owner)
  isWhole = (await readBack(owner)) && isWhole
  const copy = join(folder, 'copy')
  await owner.client.call('retrieve', wholeRetrieve(stored.snapshot_id ?? '', copy))
  const { differences, files } = await compareFolders(source, copy)
  print(`retrieved ${files} files: ${differences.length} differences`)
  process.exitCode = isWhole && differences.length === 0 ? 0 : 1
} finally {
  await cluster.remove()
  await rm(folder, { recursive: true, force: true })
}
