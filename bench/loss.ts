/**
 * Two of six hosts are killed: before a store, in the middle of one, after it, and in the middle of
 * a retrieve.
 *
 * `node bench/loss.ts FOLDER [--pairs 1] [--seed N] [--folder DIR]`: for each moment and each of
 * `--pairs` pairs of hosts (10 is all of them, the owner apart) a fresh pool stores FOLDER,
 * retrieves it, and every byte and metadata field is compared. Prints a line per round; ends with 1
 * when anything differs.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

import { Cluster, type ClusterHost } from '@moyai/cli/cluster'
import { compareFolders } from '@moyai/cli/compare'

import { SIX_HOSTS, wholeRetrieve, wholeStore } from './pool.ts'

const MOMENTS = ['before store', 'during store', 'after store', 'during retrieve'] as const
type Moment = (typeof MOMENTS)[number]

const { values, positionals } = parseArgs({
  options: {
    pairs: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    folder: { type: 'string' },
  },
  allowPositionals: true,
})
const source = resolve(positionals[0] ?? '.')

function pairsOf(hosts: readonly ClusterHost[]): [ClusterHost, ClusterHost][] {
  const pairs: [ClusterHost, ClusterHost][] = []
  for (const [i, one] of hosts.entries()) {
    for (const other of hosts.slice(i + 1)) pairs.push([one, other])
  }
  return pairs
}

/** Kills both once, when first asked. */
function killer(victims: readonly ClusterHost[]): {
  kill: () => void
  killed: () => Promise<void>
} {
  let running: Promise<unknown> | undefined
  const kill = (): void => {
    running ??= Promise.all(victims.map((victim) => victim.kill()))
  }
  return {
    kill,
    killed: async () => {
      kill()
      await running
    },
  }
}

async function round(moment: Moment, pair: number): Promise<boolean> {
  const folder = await mkdtemp(join(values.folder ?? tmpdir(), 'moyai-loss-'))
  const cluster = new Cluster(join(folder, 'hosts'), SIX_HOSTS)
  try {
    await cluster.start('loss')
    const [owner, ...others] = cluster.hosts
    const victims = pairsOf(others)[pair % 10]
    if (owner === undefined || victims === undefined) throw new Error('six hosts')
    const { kill, killed } = killer(victims)
    if (moment === 'before store') await killed()
    const stored = await owner.client.call('store', wholeStore(source), {
      onEvent: (event) => {
        const sending = event.message_type === 'status' && event.bytes_sent > 0
        if (moment === 'during store' && sending) kill()
      },
    })
    if (moment === 'during store' || moment === 'after store') await killed()
    const copy = join(folder, 'copy')
    const back = await owner.client.call(
      'retrieve',
      wholeRetrieve(stored.snapshot_id ?? '', copy),
      {
        onEvent: (event) => {
          const writing = event.message_type === 'status' && event.bytes_restored > 0
          if (moment === 'during retrieve' && writing) kill()
        },
      },
    )
    if (moment === 'during retrieve') await killed()
    const { differences, files, bytes } = await compareFolders(source, copy)
    const names = victims.map((victim) => victim.name).join('+')
    process.stdout.write(
      `${moment.padEnd(16)} ${names}: store ${stored.total_duration.toFixed(1)} s ${stored.state}, ` +
        `retrieve ${back.seconds_elapsed.toFixed(1)} s; ${files} files, ${bytes} bytes, ` +
        `${differences.length} differences, ${back.error_count} errors\n`,
    )
    return differences.length === 0 && back.error_count === 0
  } finally {
    await cluster.remove()
    await rm(folder, { recursive: true, force: true })
  }
}

let failed = false
for (let pair = 0; pair < Number(values.pairs); pair++) {
  for (const moment of MOMENTS) {
    if (!(await round(moment, pair + Number(values.seed) - 1))) failed = true
  }
}
process.exitCode = failed ? 1 : 0
