/**
 * Many daemons in one pool on this machine: what they take while nothing happens, and how soon all
 * know a new one.
 *
 * `node bench/many-hosts.ts [--hosts 40] [--idle 60] [--folder DIR]`. Prints the time from the last
 * join until every host lists the new one as online, the CPU time and resident memory of each daemon
 * over `--idle` seconds. Linux only. Ends with 1 above 30 s, 1 % of a core or 120 MiB.
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

function residentMiB(host: ClusterHost): number {
  const status = readFileSync(`/proc/${host.pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024
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
  console.log(`a new host is online for all ${count} after ${known.toFixed(1)} s`)
  await sleep(1000 * SETTLE_SECONDS)
  const cpu = hosts.map((host) => countersOf(host.pid ?? 0)?.cpuSeconds ?? Number.NaN)
  await sleep(1000 * idleSeconds)
  const shares = hosts.map(
    (host, i) =>
      ((countersOf(host.pid ?? 0)?.cpuSeconds ?? Number.NaN) - (cpu[i] ?? 0)) / idleSeconds,
  )
  const memory = hosts.map(residentMiB)
  const percent = (share: number): string => `${(100 * share).toFixed(2)} %`
  console.log(
    `idle: ${percent(median(shares))} of a core each, ${percent(Math.max(...shares))} at most`,
  )
  const most = Math.max(...memory)
  console.log(`resident: ${median(memory).toFixed(0)} MiB each, ${most.toFixed(0)} MiB at most`)
  const isFine =
    known <= KNOWN_SECONDS_MAX && Math.max(...shares) <= CPU_SHARE_MAX && most <= MEMORY_MIB_MAX
  process.exitCode = isFine ? 0 : 1
} finally {
  await cluster.remove()
  await rm(folder, { recursive: true, force: true })
}
