/**
 * An owner with very many chunks: how long its daemon takes to start, and what the first new file
 * costs when the table of known chunks must be read.
 *
 * `node bench/index.ts [--chunks 1000000] [--folder DIR]`: as many small files, each a chunk of its
 * own, an owner and six holders on loopback. Prints wall seconds and peak memory (VmHWM) of the
 * owner per step. Linux only. Ends with 1 when the start takes longer than 2 s.
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { Cluster, type ClusterHost } from '@moyai/cli/cluster'
import type { StoreSummary } from '@moyai/protocol'

import { OWNER_AND_SIX_HOLDERS, wholeStore } from './pool.ts'
import { peakBytesOf, resetPeak } from './processes.ts'

const START_SECONDS_MAX = 2
const FILES_PER_FOLDER = 500
const MIB = 1024 ** 2

const { values } = parseArgs({
  options: { chunks: { type: 'string', default: '1000000' }, folder: { type: 'string' } },
})

function makeFiles(source: string, count: number): void {
  for (let i = 0; i < count; i++) {
    const folder = join(source, `d${Math.floor(i / FILES_PER_FOLDER)}`)
    if (i % FILES_PER_FOLDER === 0) mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, `f${i}`), `file ${i} of ${count}\n`)
  }
}

async function measure(
  owner: ClusterHost,
  step: { name: string; run: () => Promise<unknown> },
): Promise<number> {
  if (owner.pid !== undefined) resetPeak(owner.pid)
  const began = performance.now()
  await step.run()
  const seconds = (performance.now() - began) / 1000
  const peak = peakBytesOf(owner.pid ?? 0) / MIB
  const line = `${step.name.padEnd(28)} ${seconds.toFixed(2).padStart(8)} s  peak ${peak.toFixed(0)} MiB`
  process.stdout.write(`${line}\n`)
  return seconds
}

const folder = await mkdtemp(join(values.folder ?? tmpdir(), 'moyai-index-'))
const source = join(folder, 'source')
const cluster = new Cluster(join(folder, 'hosts'), OWNER_AND_SIX_HOLDERS)
try {
  makeFiles(source, Number(values.chunks))
  await cluster.start('index')
  const [owner] = cluster.hosts
  if (owner === undefined) throw new Error('no owner')
  const store = (): Promise<StoreSummary> => owner.client.call('store', wholeStore(source))
  await measure(owner, { name: 'first store', run: store })
  await owner.stop()
  const start = await measure(owner, { name: 'start', run: () => owner.start() })
  await cluster.connected()
  await measure(owner, { name: 'unchanged store', run: store })
  writeFileSync(join(source, 'new'), 'something new\n')
  await measure(owner, { name: 'store of one new file', run: store })
  if (start > START_SECONDS_MAX) process.exitCode = 1
} finally {
  await cluster.remove()
  await rm(folder, { recursive: true, force: true })
}
