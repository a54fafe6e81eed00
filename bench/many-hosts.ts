/**
 * Many daemons in one pool on this machine: what they take while nothing happens, and how soon all
 * know a new one.
 *
 * `node bench/many-hosts.ts [--hosts 40] [--idle 60] [--folder DIR]`. Prints the time from the last
 * join until every host lists the new one as online, the CPU time of each daemon over `--idle`
 * seconds and its memory: resident, and its own, of which each page that several processes share
 * counts by its part (Pss): the program of Node alone is 60 MiB that all of them have together.
 * Linux only. Ends with 1 above 30 s, 1 % of a core or 120 MiB of its own.
 */

import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import { Cluster, type ClusterHost } from '@moyai/cli/cluster'

import { countersOf } from './processes.ts'

const KNOWN_SECONDS_MAX = 30
const CPU_SHARE_MAX = 0.01
const MEMORY_MIB_MAX = 120
/** Connections, address records and receipts of the joins are done by then. */
const SETTLE_SECONDS = 30

const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: '40' },
    idle: { type: 'string', default: '60' },
    folder: { type: 'string', default: tmpdir() },
  },
})
const count = Number(values.hosts)
const idleSeconds = Number(values.idle)

function memoryMiB(host: ClusterHost): { resident: number; own: number } {
  const text = readFileSync(`/proc/${host.pid}/smaps_rollup`, 'utf8')
  const of = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) / 1024
  return { resident: of('Rss'), own: of('Pss') }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN
}

const folder = await mkdtemp(join(values.folder, 'moyai-many-'))
const specs = Array.from({ length: count }, (_, i) => ({
  name: `host-${i + 1}`,
  site: `site-${i % 4}`,
  provider: `provider-${i % 3}`,
  offer: '1GB',
}))
const cluster = new Cluster(join(folder, 'hosts'), specs)
try {
  const { hosts } = cluster
  const last = hosts.at(-1) as ClusterHost
  const before = new Cluster(join(folder, 'hosts'), specs.slice(0, -1))
  Object.assign(before, { hosts: hosts.slice(0, -1) })
  await before.start('many')
  await last.init()
  await last.start()
  const [first] = hosts as [ClusterHost]
  const { token } = await first.client.call('pool.invite', { uses: 1, expiresSeconds: 3600 })
  const began = performance.now()
  await last.client.call('pool.join', { token })
  await cluster.connected()
  const known = (performance.now() - began) / 1000
  print(`a new host is online for all ${count} after ${known.toFixed(1)} s`)
  await sleep(1000 * SETTLE_SECONDS)
  const cpu = hosts.map((host) => countersOf(host.pid ?? 0)?.cpuSeconds ?? Number.NaN)
  await sleep(1000 * idleSeconds)
  const shares = hosts.map(
    (host, i) =>
      ((countersOf(host.pid ?? 0)?.cpuSeconds ?? Number.NaN) - (cpu[i] ?? 0)) / idleSeconds,
  )
  const memory = hosts.map(memoryMiB)
  const percent = (share: number): string => `${(100 * share).toFixed(2)} %`
  print(`idle: ${percent(median(shares))} of a core each, ${percent(Math.max(...shares))} at most`)
  const most = Math.max(...memory.map(({ own }) => own))
  for (const kind of ['resident', 'own'] as const) {
    const all = memory.map((one) => one[kind])
    const highest = Math.max(...all).toFixed(0)
    print(`${kind}: ${median(all).toFixed(0)} MiB each, ${highest} MiB at most`)
  }
  const isFine =
    known <= KNOWN_SECONDS_MAX && Math.max(...shares) <= CPU_SHARE_MAX && most <= MEMORY_MIB_MAX
  process.exitCode = isFine ? 0 : 1
} finally {
  await cluster.remove()
  await rm(folder, { recursive: true, force: true })
}
