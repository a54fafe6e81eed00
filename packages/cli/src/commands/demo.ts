/**
 * The demo: six real daemons on this machine, a real folder, two hosts killed, every byte back.
 * Nothing in it is a shortcut: it starts the same daemon and talks over the same control socket as
 * everything else.
 */

import { existsSync } from 'node:fs'
import { mkdtemp, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

import { EXIT, MoyaiError, type StatusResult } from '@moyai/protocol/command'

import { usage } from '../arguments.ts'
import type { Command, Context } from '../command.ts'
import { Cluster, type ClusterHost, type HostSpec } from '../demo/cluster.ts'
import { compareFolders } from '../demo/compare.ts'
import { count, formatBytes, formatSeconds, type Output, table } from '../output.ts'

const SPECS: readonly HostSpec[] = [
  { name: 'osaka-1', site: 'osaka', provider: 'kansai-it' },
  { name: 'osaka-2', site: 'osaka', provider: 'kansai-it' },
  { name: 'kobe-1', site: 'kobe', provider: 'kansai-it' },
  { name: 'kobe-2', site: 'kobe', provider: 'rented-cloud', class: 'always-on' },
  { name: 'tokyo-1', site: 'tokyo', provider: 'rented-cloud', class: 'always-on' },
  { name: 'tokyo-2', site: 'tokyo', provider: 'rented-cloud', class: 'always-on' },
]
const VICTIMS = ['tokyo-1', 'tokyo-2']
const WORKSPACE = fileURLToPath(new URL('../../../../', import.meta.url))
/** What of a checkout is not the project's own sources and documents. */
const NOT_SOURCES = ['node_modules', '.git', 'dist']

export const demoCommand: Command = {
  name: 'demo',
  summary: 'see it work: six daemons here, two killed, every byte back',
  usage: `[FOLDER] [--keep]

Starts six daemons on loopback, each with a state directory of its own, stores FOLDER (default: moyai's own
sources and documents), kills two of them, retrieves, compares byte by byte, and cleans up.

  --keep               leave the daemons' folders and the retrieved copy behind`,
  options: { keep: { type: 'boolean' } },
  async run(args, context) {
    if (args.positionals.length > 1) throw usage('demo takes one FOLDER at most')
    const given = args.positionals[0]
    const folder = given === undefined ? resolve(WORKSPACE) : resolve(context.cwd, given)
    const info = await stat(folder).catch(() => undefined)
    if (info?.isDirectory() !== true) throw usage(`${folder} is not a folder`)
    const own = given === undefined && existsSync(join(folder, 'pnpm-workspace.yaml'))
    const place = await mkdtemp(join(tmpdir(), 'moyai-demo-'))
    const cluster = new Cluster(place, SPECS)
    const interrupted = interruption(context.signal)
    try {
      const excludes = own ? NOT_SOURCES : []
      return await Promise.race([demonstrate({ cluster, folder, excludes, context }), interrupted])
    } finally {
      if (args.flag('keep')) {
        await Promise.all(cluster.hosts.map((host) => host.stop()))
        context.output.say(`Left behind: ${place}`)
      } else {
        await cluster.remove()
      }
    }
  },
}

function interruption(signal: AbortSignal): Promise<never> {
  const promise = new Promise<never>((_, reject) => {
    const stop = (): void => reject(new MoyaiError('ABORTED', 'interrupted'))
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })
  // The race may be over before the signal comes; then nobody is left to hear of it.
  promise.catch(() => undefined)
  return promise
}

type Demonstration = {
  cluster: Cluster
  folder: string
  excludes: string[]
  context: Context
}

async function demonstrate({ cluster, folder, excludes, context }: Demonstration): Promise<number> {
  const { output } = context
  const began = performance.now()
  const step = stepper(output)
  step(`Six daemons start on this machine and form a pool: three sites, two providers.`)
  await cluster.start('demo')
  const owner = cluster.hosts[0] as ClusterHost
  output.say(
    table(
      ['host', 'site', 'provider', 'process'],
      cluster.hosts.map((host) => [
        host.name,
        host.spec.site,
        host.spec.provider,
        String(host.pid),
      ]),
    ),
  )

  step(`${owner.name} stores ${folder}`)
  const stored = await storeFolder(owner, { folder, excludes, context })
  const status = await owner.client.call('status', {}, context)
  step('What is kept where:')
  output.say(whereTable(status))
  output.say(status.policy.explain)

  step(`SIGKILL for ${VICTIMS.join(' and ')}: the whole site is gone.`)
  await Promise.all(VICTIMS.map((name) => cluster.host(name).kill()))

  step(`${owner.name} retrieves the snapshot from whoever is left.`)
  const copy = join(cluster.folder, 'retrieved')
  const retrieved = await owner.client.call(
    'retrieve',
    {
      snapshot: stored.snapshotId,
      to: copy,
      includes: [],
      excludes: [],
      overwrite: 'always',
      verify: false,
      dryRun: false,
    },
    {
      signal: context.signal,
      onEvent: (event) => {
        if (event.message_type === 'error') output.warn(`${event.item}: ${event.error.message}`)
      },
    },
  )
  output.say(
    `  ${count(retrieved.files_restored, 'file')}, ${formatBytes(retrieved.bytes_restored)} in ${formatSeconds(retrieved.seconds_elapsed)}`,
  )

  step('Comparing with the original, byte by byte and field by field.')
  const skipped = new Set(excludes)
  const compared = await compareFolders(folder, copy, (path) =>
    path.split('/').some((part) => skipped.has(part)),
  )
  for (const { path, what } of compared.differences.slice(0, 20)) output.warn(`${path} ${what}`)
  const same =
    compared.differences.length === 0 &&
    retrieved.error_count === 0 &&
    retrieved.unrecoverable.length === 0
  const seconds = (performance.now() - began) / 1000
  output.line('')
  output.line(
    same
      ? output.bold(
          `Proved: ${count(compared.files, 'file')}, ${count(compared.directories, 'folder')} and ${count(compared.others, 'link')} (${formatBytes(compared.bytes)}) are identical`,
        )
      : `${count(compared.differences.length, 'difference')} found: this is a bug`,
  )
  if (same) {
    output.line(
      'in content, mode, owner and time to the nanosecond, with two of six hosts gone for good.',
    )
    output.say(
      `It took ${formatSeconds(seconds)}. Not shown here: what else could go wrong; see the README.`,
    )
  }
  output.message({
    message_type: 'summary',
    ok: same,
    folder,
    files: compared.files,
    directories: compared.directories,
    others: compared.others,
    bytes: compared.bytes,
    differences: compared.differences,
    killed: VICTIMS,
    snapshot_id: stored.snapshotId,
    seconds,
  })
  return same ? EXIT.done : EXIT.failed
}

function stepper(output: Output): (text: string) => void {
  let number = 0
  return (text) => {
    number++
    output.say(number === 1 ? `${number}. ${text}` : `\n${number}. ${text}`)
  }
}

async function storeFolder(
  owner: ClusterHost,
  o: { folder: string; excludes: string[]; context: Context },
): Promise<{ snapshotId: string }> {
  const { output, signal } = o.context
  const stored = await owner.client.call(
    'store',
    { paths: [o.folder], tags: ['demo'], excludes: o.excludes, dryRun: false, wait: true },
    {
      signal,
      onEvent: (event) => {
        if (event.message_type === 'error') output.warn(`${event.item}: ${event.error.message}`)
        else {
          output.progress(
            `${event.phase}: ${count(event.files_done, 'file')}, ${formatBytes(event.bytes_done)}`,
            Date.now(),
          )
        }
      },
    },
  )
  const id = stored.snapshot_id
  if (id === null) throw new MoyaiError('INTERNAL', 'store made no snapshot')
  output.say(
    `  snapshot ${id.slice(0, 8)}: ${count(stored.total_files_processed, 'file')}, ${formatBytes(stored.total_bytes_processed)}; ` +
      `${formatBytes(stored.data_added_packed)} packed, ${formatBytes(stored.bytes_sent)} sent as ${count(stored.shards_sent, 'shard')} ` +
      `(code ${stored.code}) in ${formatSeconds(stored.total_duration)}; ${stored.state}`,
  )
  return { snapshotId: id }
}

function whereTable(status: StatusResult): string {
  return table(
    ['host', 'site', 'provider', 'keeps of the backup'],
    status.hosts.map((host) => [
      host.name,
      host.site,
      host.provider,
      host.state === 'self' ? 'nothing (the owner)' : formatBytes(host.used ?? 0),
    ]),
  )
}
