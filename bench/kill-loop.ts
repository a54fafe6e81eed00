/**
 * SIGKILL of the storing daemon at random moments of a store, restart, store again, check.
 *
 * `node bench/kill-loop.ts FOLDER [--rounds 20] [--seed N]`: each round kills once at a random time
 * within the length of an undisturbed store of FOLDER (measured first, in another pool), then the
 * last store must complete, `check --read-data` must be clean, no shard may belong to no stripe,
 * and the retrieved copy must be identical.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

import { Cluster, type ClusterHost } from '@moyai/cli/cluster'
import { compareFolders } from '@moyai/cli/compare'
import type { StoreSummary } from '@moyai/protocol'

const SPECS = ['a', 'b', 'c', 'd', 'e', 'f'].map((name, i) => ({
  name,
  site: `site-${Math.floor(i / 2)}`,
  provider: i < 3 ? 'one' : 'two',
}))

const { values, positionals } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    folder: { type: 'string' },
  },
  allowPositionals: true,
})
const source = resolve(positionals[0] ?? '.')
const rounds = Number(values.rounds)
let state = Number(values.seed) >>> 0 || 1

function random(): number {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return (state >>> 0) / 2 ** 32
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

function store(owner: ClusterHost): Promise<StoreSummary> {
  return owner.client.call('store', {
    paths: [source],
    tags: [],
    excludes: [],
    dryRun: false,
    wait: true,
  })
}

/** Distinct packs, and shard files, that the holders have. */
function kept(cluster: Cluster): { packs: number; files: number } {
  const packs = new Set<string>()
  let files = 0
  for (const host of cluster.hosts) {
    for (const name of readdirSync(join(host.home, 'shards'), {
      recursive: true,
      encoding: 'utf8',
    })) {
      const match = /([0-9a-f]{64})\.\d+\.shard$/.exec(name)
      if (match === null) continue
      packs.add(match[1] ?? '')
      files++
    }
  }
  return { packs: packs.size, files }
}

const folder = await mkdtemp(join(values.folder ?? tmpdir(), 'moyai-kill-'))
const calm = new Cluster(join(folder, 'calm'), SPECS)
const cluster = new Cluster(join(folder, 'hosts'), SPECS)
let failed = false
try {
  await calm.start('calm')
  const undisturbed = await store(calm.hosts[0] as ClusterHost)
  say(
    `undisturbed: ${undisturbed.total_duration.toFixed(1)} s, ${undisturbed.bytes_sent} bytes sent`,
  )
  await calm.remove()

  await cluster.start('kill')
  const owner = cluster.hosts[0] as ClusterHost
  for (let round = 1; round <= rounds; round++) {
    const afterMs = random() * undisturbed.total_duration * 1000
    const timer = setTimeout(() => void owner.kill(), afterMs)
    const outcome = await store(owner).then(
      () => 'completed before the kill',
      () => 'killed',
    )
    clearTimeout(timer)
    await owner.kill()
    await owner.start()
    await cluster.connected()
    const { packs, files } = kept(cluster)
    say(
      `round ${round}: ${outcome} after ${(afterMs / 1000).toFixed(2)} s; ${packs} packs, ${files} shards`,
    )
  }
  const last = await store(owner)
  const check = await owner.client.call('check', { readData: true })
  const { packs, files } = kept(cluster)
  const copy = join(folder, 'copy')
  await owner.client.call('retrieve', {
    snapshot: 'latest',
    to: copy,
    includes: [],
    excludes: [],
    overwrite: 'always',
    verify: false,
    dryRun: false,
  })
  const { differences } = await compareFolders(source, copy)
  say(`last store: ${last.state}, ${last.bytes_sent} bytes sent`)
  say(
    `check: ${check.num_problems} problems, ${check.stripes.total} stripes; holders: ${packs} packs, ${files} shards`,
  )
  say(`copy: ${differences.length} differences`)
  const orphans = packs - check.stripes.total
  say(`packs at holders that the vault does not know: ${orphans}`)
  failed =
    last.state !== 'protected' || check.num_problems > 0 || differences.length > 0 || orphans !== 0
} finally {
  await calm.remove()
  await cluster.remove()
  await rm(folder, { recursive: true, force: true })
}
process.exitCode = failed ? 1 : 0
