/**
 * How late the event loops of all daemons are while the owner stores and retrieves at full speed.
 *
 * `node bench/event-loop.ts FOLDER [--folder DIR]`: an owner and six holders on loopback. Prints
 * per step the median, the 99th percentile and the maximum of the owner's and of the slowest
 * holder's delay, in ms. Linux and macOS. Ends with 1 when the owner's 99th percentile is above
 * 50 ms while it stores.
 */

import { existsSync, readFileSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import { Cluster, type ClusterHost } from '@moyai/cli/cluster'

import type { LoopDelay } from './event-loop-probe.ts'
import { OWNER_AND_SIX_HOLDERS, wholeRetrieve, wholeStore } from './pool.ts'

const P99_MS_MAX = 50
const REPORT_DEADLINE_MS = 10_000
const POLL_MS = 20

const { values, positionals } = parseArgs({
  options: { folder: { type: 'string' } },
  allowPositionals: true,
})
const [given] = positionals
if (given === undefined) throw new Error('which folder is to be stored?')
const source = resolve(given)
process.env['NODE_OPTIONS'] = `--import=${new URL('event-loop-probe.ts', import.meta.url).href}`

/** What the daemon's probe saw since it was last asked. */
async function delayOf(host: ClusterHost): Promise<LoopDelay> {
  const path = join(host.home, 'event-loop.json')
  rmSync(path, { force: true })
  process.kill(host.pid ?? 0, 'SIGUSR2')
  const giveUp = performance.now() + REPORT_DEADLINE_MS
  while (!existsSync(path)) {
    if (performance.now() > giveUp) throw new Error(`${host.name} does not say how late it is`)
    await sleep(POLL_MS)
  }
  return JSON.parse(readFileSync(path, 'utf8')) as LoopDelay
}

function shown({ p50, p99, max }: LoopDelay): string {
  return [p50, p99, max].map((ms) => ms.toFixed(1).padStart(7)).join(' ')
}

async function measure(
  hosts: readonly ClusterHost[],
  step: { name: string; run: () => Promise<unknown> },
): Promise<LoopDelay> {
  await Promise.all(hosts.map(delayOf))
  const began = performance.now()
  await step.run()
  const seconds = (performance.now() - began) / 1000
  const [owner, ...holders] = await Promise.all(hosts.map(delayOf))
  const slowest = holders.toSorted((a, b) => b.p99 - a.p99)[0]
  if (owner === undefined || slowest === undefined) throw new Error('no hosts')
  const line = `${step.name.padEnd(16)} ${seconds.toFixed(1).padStart(6)} s  owner ${shown(owner)}`
  process.stdout.write(`${line}   holder ${shown(slowest)}\n`)
  return owner
}

const folder = await mkdtemp(join(values.folder ?? tmpdir(), 'moyai-event-loop-'))
const cluster = new Cluster(join(folder, 'hosts'), OWNER_AND_SIX_HOLDERS)
try {
  await cluster.start('event-loop')
  const [owner] = cluster.hosts
  if (owner === undefined) throw new Error('no owner')
  const { client } = owner
  const store = (): Promise<unknown> => client.call('store', wholeStore(source))
  const retrieve = (): Promise<unknown> =>
    client.call('retrieve', wholeRetrieve('latest', join(folder, 'copy')))
  process.stdout.write('delays in ms: median, 99th percentile, maximum\n')
  const first = await measure(cluster.hosts, { name: 'first store', run: store })
  const second = await measure(cluster.hosts, { name: 'unchanged store', run: store })
  await measure(cluster.hosts, { name: 'retrieve', run: retrieve })
  if (Math.max(first.p99, second.p99) > P99_MS_MAX) process.exitCode = 1
} finally {
  await cluster.remove()
  await rm(folder, { recursive: true, force: true })
}
