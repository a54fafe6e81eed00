/**
 * SIGKILL of the storing daemon at random moments of a store, restart, store again, check.
 *
 * `node bench/kill-loop.ts [--rounds 20] [--mib 64] [--seed N] [--folder DIR]`: each round adds
 * `--mib` MiB of files that no chunk is known of, kills the storing daemon at a random time within
 * the length of the first, undisturbed store, starts it again and stores again, which must end
 * protected. At the end `check --read-data` must be clean, no shard may belong to no stripe or be
 * kept twice, and the retrieved copy must be identical. Ends with 1 otherwise.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { createCipheriv } from 'node:crypto'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { Cluster, type ClusterHost } from '@moyai/cli/cluster'
import { compareFolders } from '@moyai/cli/compare'
import type { StoreSummary } from '@moyai/protocol'

import { SIX_HOSTS, wholeRetrieve, wholeStore } from './pool.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    mib: { type: 'string', default: '64' },
    seed: { type: 'string', default: '1' },
    folder: { type: 'string' },
  },
})
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
  return owner.client.call('store', wholeStore(source))
}

/** Files of all sizes, of bytes that no round before had. */
function addFiles(round: number, bytes: number): void {
  const folder = join(source, `round-${round}`)
  mkdirSync(folder, { recursive: true })
  const key = Buffer.alloc(16, round + 1)
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16))
  for (let left = bytes, file = 0; left > 0; file++) {
    const length = Math.min(left, 1 + Math.floor(random() ** 4 * 12 * 1024 * 1024))
    writeFileSync(join(folder, `file-${file}`), cipher.update(Buffer.alloc(length)))
    left -= length
  }
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
const source = join(folder, 'source')
const bytes = Number(values.mib) * 1024 * 1024
const cluster = new Cluster(join(folder, 'hosts'), SIX_HOSTS)
let failed = false
try {
  await cluster.start('kill')
  const owner = cluster.hosts[0] as ClusterHost
  addFiles(0, bytes)
  const calm = await store(owner)
  say(`undisturbed: ${calm.total_duration.toFixed(1)} s, ${calm.shards_sent} shards sent`)
  for (let round = 1; round <= rounds; round++) {
    addFiles(round, bytes)
    const afterMs = random() * calm.total_duration * 1000
    const timer = setTimeout(() => void owner.kill(), afterMs)
    const outcome = await store(owner).then(
      () => 'completed before the kill',
      () => 'killed',
    )
    clearTimeout(timer)
    await owner.kill()
    const before = kept(cluster).files
    await owner.start()
    await cluster.connected()
    const again = await store(owner)
    const { packs, files } = kept(cluster)
    if (again.state !== 'protected') failed = true
    say(
      `round ${round}: ${outcome} after ${(afterMs / 1000).toFixed(2)} s with ${before} shards kept; ` +
        `then ${again.shards_sent} sent, ${again.state}; ${packs} packs, ${files} shards`,
    )
  }
  const check = await owner.client.call('check', { readData: true })
  const { packs, files } = kept(cluster)
  const copy = join(folder, 'copy')
  await owner.client.call('retrieve', wholeRetrieve('latest', copy))
  const { differences } = await compareFolders(source, copy)
  const orphans = packs - check.stripes.total
  say(`check: ${check.num_problems} problems, ${check.stripes.total} stripes, all read back`)
  say(`holders: ${packs} packs, ${files} shards; packs that the vault does not know: ${orphans}`)
  say(`copy: ${differences.length} differences`)
  if (check.num_problems > 0 || differences.length > 0 || orphans !== 0) failed = true
} finally {
  await cluster.remove()
  await rm(folder, { recursive: true, force: true })
}
process.exitCode = failed ? 1 : 0
