/**
 * Tahoe-LAFS on loopback: an introducer, six storage nodes and a client with 4-of-6 coding:
 * https://tahoe-lafs.org. It keeps files, not trees, so it takes part where the corpus is one file.
 */

import { mkdir, readdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import type { Contender, Sample, Session, SessionOptions } from '../contenders.ts'
import { type Daemons, measureWithDaemons } from '../daemons.ts'
import { folderSize } from '../folders.ts'
import type { Background, Finished, Runner } from '../processes.ts'
import { versionOf } from './peer.ts'

const STORAGE_NODES = 6
const NEEDED = 4
/** Nodes announce themselves to one another within seconds; a grid that needs longer is stuck. */
const READY_DEADLINE_MS = 60_000
const READY_INTERVAL_MS = 500
const COMMAND_BOUND_MS = 60_000

/** The Tahoe-LAFS at `program`; undefined when there is none that runs. */
export async function tahoe(runner: Runner, program: string): Promise<Contender | undefined> {
  const version = await versionOf(runner, [program, '--version'], /^tahoe-lafs\/(\S+)/)
  if (version === undefined) return undefined
  return {
    id: `tahoe-${version}`,
    label: `Tahoe-LAFS ${version}`,
    settings: `introducer, ${STORAGE_NODES} storage nodes and a client on loopback, ${NEEDED} of ${STORAGE_NODES}`,
    open: (o) => TahoeSession.open(program, o),
  }
}

type Node = { folder: string; process: Background }

class TahoeSession implements Session {
  readonly #program: string
  readonly #o: SessionOptions
  readonly #storage: Node[] = []
  #introducer: Node | undefined
  #client: Node | undefined
  #cap = ''

  private constructor(program: string, o: SessionOptions) {
    this.#program = program
    this.#o = o
  }

  static async open(program: string, o: SessionOptions): Promise<TahoeSession> {
    const session = new TahoeSession(program, o)
    try {
      await session.#start()
      return session
    } catch (error) {
      await session.close()
      throw error
    }
  }

  async store(): Promise<Sample> {
    const { finished, sample } = await this.#measure(['put', await this.#file()])
    this.#cap = finished.stdout.trim().split('\n').at(-1) ?? ''
    return await this.#withSizes(sample)
  }

  async restore(to: string): Promise<{ sample: Sample; root: string }> {
    const file = await this.#file()
    await mkdir(to, { recursive: true })
    const copy = join(to, file.slice(file.lastIndexOf('/') + 1))
    const { sample } = await this.#measure(['get', this.#cap, copy])
    return { sample: await this.#withSizes(sample), root: to }
  }

  async loseTwoHosts(): Promise<void> {
    await Promise.all(this.#storage.splice(0, 2).map((node) => node.process.stop('SIGKILL')))
  }

  warmed(): readonly string[] {
    return this.#storage.map((node) => join(node.folder, 'storage'))
  }

  async close(): Promise<void> {
    const nodes = [this.#client, ...this.#storage, this.#introducer]
    const running = nodes.filter((node) => node !== undefined)
    await Promise.all(running.map((node) => node.process.stop()))
  }

  async #start(): Promise<void> {
    const introducer = join(this.#o.folder, 'introducer')
    await this.#create('create-introducer', introducer, [])
    this.#introducer = this.#run(introducer)
    const furlFile = join(introducer, 'private', 'introducer.furl')
    const furl = await this.#until('an introducer', () => readFile(furlFile, 'utf8'))
    const common = ['--introducer', furl.trim()]
    for (let i = 0; i < STORAGE_NODES; i++) {
      const folder = join(this.#o.folder, `storage-${i}`)
      await this.#create('create-node', folder, [...common, '--webport', 'none'])
      this.#storage.push(this.#run(folder))
    }
    const client = join(this.#o.folder, 'client')
    const web = `tcp:${await freePort()}:interface=127.0.0.1`
    const shares = { needed: NEEDED, happy: STORAGE_NODES, total: STORAGE_NODES }
    const code = Object.entries(shares).flatMap(([name, n]) => [`--shares-${name}`, String(n)])
    const rest = ['--no-storage', '--webport', web, ...code]
    await this.#create('create-node', client, [...common, ...rest])
    this.#client = this.#run(client)
    const url = await this.#until('a client', () => readFile(join(client, 'node.url'), 'utf8'))
    await this.#until('its storage nodes', () => connectedTo(url.trim(), STORAGE_NODES))
  }

  async #create(kind: string, folder: string, args: readonly string[]): Promise<void> {
    const port = await freePort()
    const endpoint = ['--port', `tcp:${port}:interface=127.0.0.1`]
    const location = ['--location', `tcp:127.0.0.1:${port}`]
    const address = ['--listen', 'tcp', ...endpoint, ...location]
    const argv = [this.#program, '-q', kind, ...address, ...args, folder]
    await this.#o.runner.must(argv, { boundMs: COMMAND_BOUND_MS })
  }

  #run(folder: string): Node {
    const argv = [this.#program, 'run', '--allow-stdin-close', folder]
    return { folder, process: this.#o.runner.background(argv, {}) }
  }

  async #until<T>(what: string, ready: () => Promise<T>): Promise<T> {
    const giveUp = performance.now() + READY_DEADLINE_MS
    for (;;) {
      this.#o.runner.signal.throwIfAborted()
      const value = await ready().catch(() => undefined)
      if (value !== undefined) return value
      if (performance.now() > giveUp) throw new Error(`Tahoe-LAFS did not get ${what}`)
      await sleep(READY_INTERVAL_MS)
    }
  }

  /** The one file of the corpus. */
  async #file(): Promise<string> {
    const [name, ...others] = await readdir(this.#o.source)
    if (name === undefined || others.length > 0) throw new Error('Tahoe-LAFS takes one file')
    return join(this.#o.source, name)
  }

  async #measure(args: readonly string[]): Promise<{ finished: Finished; sample: Unsized }> {
    const client = this.#client as Node
    const others = [...this.#storage, this.#introducer as Node].map((node) => node.process.pid)
    const daemons: Daemons = { owner: client.process.pid, others }
    const { runner, boundMs } = this.#o
    const argv = [this.#program, '-d', client.folder, ...args]
    const measured = await measureWithDaemons(runner, daemons, { argv, boundMs })
    const { code, stderr } = measured.finished
    if (code !== 0) throw new Error(`tahoe ${args[0]} ended with ${code}: ${stderr.slice(-1000)}`)
    return measured
  }

  async #withSizes(sample: Unsized): Promise<Sample> {
    let diskBytes = 0
    for (let i = 0; i < STORAGE_NODES; i++) {
      const shares = join(this.#o.folder, `storage-${i}`, 'storage', 'shares')
      diskBytes += (await folderSize(shares)).bytes
    }
    return { ...sample, diskBytes, payloadBytes: (diskBytes * NEEDED) / STORAGE_NODES }
  }
}

type Unsized = Omit<Sample, 'diskBytes' | 'payloadBytes'>

/** Resolves when the client's welcome page counts `count` connected servers. */
async function connectedTo(url: string, count: number): Promise<true> {
  const page = (await (await fetch(`${url}?t=json`)).json()) as {
    servers: { connection_status: string }[]
  }
  const connected = page.servers.filter(({ connection_status: text }) =>
    text.toLowerCase().startsWith('connected'),
  )
  if (connected.length < count) throw new Error(`${connected.length} of ${count} are connected`)
  return true
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}
