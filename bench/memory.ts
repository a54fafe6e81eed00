/**
 * Peak resident memory of every daemon while one big file and many small files are stored and
 * retrieved.
 *
 * `node bench/memory.ts [--gib 4] [--files 200000] [--folder DIR]` makes both sources in a
 * temporary folder, runs a pool of six daemons on loopback, and prints the peak of the owner and of
 * the largest holder per step, with the wall time. Linux only (VmHWM of /proc, reset before each
 * step). Ends with 1 when a peak is above 512 MiB.
 */

import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createCipheriv } from 'node:crypto'

import { Cluster, type ClusterHost } from '@moyai/cli/cluster'
import { compareFolders } from '@moyai/cli/compare'

import { SIX_HOSTS, wholeRetrieve, wholeStore } from './pool.ts'

const PEAK_BYTES_MAX = 512 * 1024 * 1024

const { values } = parseArgs({
  options: {
    gib: { type: 'string', default: '4' },
    files: { type: 'string', default: '200000' },
    folder: { type: 'string' },
  },
})

/** A key stream: incompressible, fast to make, never twice the same block. */
function makeBigFile(path: string, bytes: number): void {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 1), Buffer.alloc(16))
  const zeros = Buffer.alloc(8 * 1024 * 1024)
  const file = openSync(path, 'w')
  for (let done = 0; done < bytes; done += zeros.length) writeSync(file, cipher.update(zeros))
  closeSync(file)
}

function makeSmallFiles(folder: string, count: number): void {
  for (let i = 0; i < count; i++) {
    const sub = join(folder, `d${Math.floor(i / 500)}`)
    if (i % 500 === 0) mkdirSync(sub, { recursive: true })
    writeFileSync(join(sub, `f${i}`), `file ${i} `.repeat(1 + ((i * 7) % 300)))
  }
}

async function resetPeak(host: ClusterHost): Promise<void> {
  await writeFile(`/proc/${host.pid}/clear_refs`, '5')
}

async function peakBytes(host: ClusterHost): Promise<number> {
  const status = await readFile(`/proc/${host.pid}/status`, 'utf8')
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
}

let failed = false

async function measure(
  cluster: Cluster,
  name: string,
  work: () => Promise<unknown>,
): Promise<void> {
  for (const host of cluster.hosts) await resetPeak(host)
  const began = performance.now()
  await work()
  const seconds = (performance.now() - began) / 1000
  const peaks: number[] = []
  for (const host of cluster.hosts) peaks.push(await peakBytes(host))
  const [owner = 0, ...holders] = peaks
  const holder = Math.max(...holders)
  if (Math.max(owner, holder) > PEAK_BYTES_MAX) failed = true
  const mib = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(0).padStart(4)} MiB`
  process.stdout.write(
    `${name.padEnd(32)} owner ${mib(owner)}  largest holder ${mib(holder)}  ${seconds.toFixed(1)} s\n`,
  )
}

async function storeAndRetrieve(cluster: Cluster, source: string, what: string): Promise<void> {
  const owner = cluster.hosts[0] as ClusterHost
  const store = (): Promise<unknown> => owner.client.call('store', wholeStore(source))
  await measure(cluster, `store ${what}`, store)
  await measure(cluster, `store ${what} unchanged`, store)
  const copy = `${source}.copy`
  await measure(cluster, `retrieve ${what}`, () =>
    owner.client.call('retrieve', wholeRetrieve('latest', copy)),
  )
  const { differences, files, bytes } = await compareFolders(source, copy)
  process.stdout.write(`  ${files} files, ${bytes} bytes, ${differences.length} differences\n`)
  if (differences.length > 0) failed = true
  await rm(copy, { recursive: true })
}

const folder = await mkdtemp(join(values.folder ?? tmpdir(), 'moyai-memory-'))
const cluster = new Cluster(join(folder, 'hosts'), SIX_HOSTS)
try {
  await cluster.start('memory')
  const gib = Number(values.gib)
  if (gib > 0) {
    const big = join(folder, 'big')
    mkdirSync(big)
    makeBigFile(join(big, 'image'), gib * 1024 ** 3)
    await storeAndRetrieve(cluster, big, `one file of ${gib} GiB`)
    await rm(big, { recursive: true })
  }
  const count = Number(values.files)
  if (count > 0) {
    const small = join(folder, 'small')
    mkdirSync(small)
    makeSmallFiles(small, count)
    await storeAndRetrieve(cluster, small, `${count} small files`)
  }
} finally {
  await cluster.remove()
  await rm(folder, { recursive: true, force: true })
}
process.exitCode = failed ? 1 : 0
