/**
 * moyai as a contender: an owner and six holders, each a daemon in a process of its own with a
 * state directory of its own, and the command that a person would type.
 */

import { openSync, closeSync, readSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { Cluster, type ClusterHost } from '@moyai/cli/cluster'
import { decodeShardHeader, SHARD_HEADER_BYTES_MAX, VERSION } from '@moyai/protocol'

import type { Contender, Sample, Session, SessionOptions } from './contenders.ts'
import { measureWithDaemons } from './daemons.ts'
import { OWNER_AND_SIX_HOLDERS } from './pool.ts'

const MAIN = fileURLToPath(import.meta.resolve('@moyai/cli'))
/** A shard file's name begins with its pack's id. */
const PACK_DIGITS = 64
/** Committed, and committed with less than the policy asks for. */
const STORED_CODES = [0, 21]

export function moyai(code: string): Contender {
  return {
    id: 'moyai',
    label: `moyai ${VERSION}`,
    settings: `owner and six holders on loopback, code ${code}, fsync before every acknowledgement`,
    open: (o) => MoyaiSession.open(code, o),
  }
}

class MoyaiSession implements Session {
  readonly #cluster: Cluster
  readonly #owner: ClusterHost
  readonly #o: SessionOptions
  /** Shard files that were opened before, by path. */
  readonly #shards = new Map<string, Shard>()

  private constructor(cluster: Cluster, o: SessionOptions) {
    this.#cluster = cluster
    this.#owner = cluster.hosts[0] as ClusterHost
    this.#o = o
  }

  static async open(code: string, o: SessionOptions): Promise<MoyaiSession> {
    const cluster = new Cluster(join(o.folder, 'hosts'), OWNER_AND_SIX_HOLDERS)
    try {
      await cluster.start('bench')
      const owner = cluster.hosts[0] as ClusterHost
      await owner.stop()
      await setCode(join(owner.home, 'config.toml'), code)
      await owner.start()
      await cluster.connected()
      return new MoyaiSession(cluster, o)
    } catch (error) {
      await cluster.remove()
      throw error
    }
  }

  async store(): Promise<Sample> {
    return await this.#measure(['store', this.#o.source], STORED_CODES)
  }

  async restore(to: string): Promise<{ sample: Sample; root: string }> {
    const sample = await this.#measure(['retrieve', 'latest', '--to', to], [0])
    return { sample, root: to }
  }

  async restoreOne(file: string, to: string): Promise<{ sample: Sample; root: string }> {
    const snapshot = `latest:${join(this.#o.source, file)}`
    const sample = await this.#measure(['retrieve', snapshot, '--to', to], [0])
    return { sample, root: join(to, basename(file)) }
  }

  async loseTwoHosts(): Promise<void> {
    const holders = this.#cluster.hosts.slice(1)
    const first = this.#o.round % holders.length
    const second = (first + 1 + (this.#o.round % 2)) % holders.length
    const victims = holders.filter((_, i) => i === first || i === second)
    await Promise.all(victims.map((host) => host.kill()))
  }

  warmed(): readonly string[] {
    return this.#running().map((host) => join(host.home, 'shards'))
  }

  async close(): Promise<void> {
    await this.#cluster.remove()
  }

  #running(): ClusterHost[] {
    return this.#cluster.hosts.filter((host) => host.running)
  }

  async #measure(args: readonly string[], codes: readonly number[]): Promise<Sample> {
    const { runner, boundMs } = this.#o
    const others = this.#running().filter((host) => host !== this.#owner)
    const pids = { owner: this.#owner.pid ?? 0, others: others.map((host) => host.pid ?? 0) }
    const argv = [process.execPath, MAIN, ...args, '--json']
    const env = { MOYAI_HOME: this.#owner.home, NO_COLOR: '1' }
    const { finished, sample } = await measureWithDaemons(runner, pids, { argv, env, boundMs })
    const { code, stdout, stderr } = finished
    if (code === null || !codes.includes(code)) {
      const said = `${stderr}\n${stdout}`.trim().slice(-1000)
      throw new Error(`moyai ${args[0]} ended with ${code}: ${said}`)
    }
    return { ...sample, ...(await this.#stored()) }
  }

  /** Adds up the shards of all holders; each is opened once to learn its code. */
  async #stored(): Promise<{ diskBytes: number; payloadBytes: number }> {
    let diskBytes = 0
    const packs = new Map<string, number>()
    for (const host of this.#cluster.hosts) {
      const root = join(host.home, 'shards')
      const names = await readdir(root, { recursive: true, encoding: 'utf8' }).catch(() => [])
      for (const name of names.filter((one) => one.endsWith('.shard'))) {
        const path = join(root, name)
        const shard = this.#shards.get(path) ?? shardOf(path)
        this.#shards.set(path, shard)
        diskBytes += shard.fileLength
        packs.set(basename(name).slice(0, PACK_DIGITS), shard.packBytes)
      }
    }
    return { diskBytes, payloadBytes: [...packs.values()].reduce((sum, one) => sum + one, 0) }
  }
}

/** The length of the file, and of the whole pack without parity. */
type Shard = { fileLength: number; packBytes: number }

function shardOf(path: string): Shard {
  const head = Buffer.alloc(SHARD_HEADER_BYTES_MAX)
  const file = openSync(path, 'r')
  try {
    const length = readSync(file, head)
    const { descriptor, fileLength } = decodeShardHeader(head.subarray(0, length))
    return { fileLength, packBytes: descriptor.k * descriptor.shardLength }
  } finally {
    closeSync(file)
  }
}

/** The planner would choose a safer code for six holders than the one that is compared. */
async function setCode(path: string, code: string): Promise<void> {
  const text = await readFile(path, 'utf8')
  const changed = text.replace('# code = "auto"', `code = "${code}"`)
  if (changed === text) throw new Error('config.toml has no place for the code')
  await writeFile(path, changed)
}
