/**
 * A throw-away pool on loopback: real daemons in processes and state directories of their own.
 * `moyai demo` and the tests that need several hosts stand on it.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { MoyaiError } from '@moyai/protocol/command'

import { ControlClient } from '../control-client.ts'
import { controlSocket } from '../environment.ts'

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url))
/** A daemon starts within a second; a machine that needs longer than this is stuck, not slow. */
const READY_DEADLINE_MS = 60_000
/** A clean stop closes connections and the database; beyond this it hangs. */
const STOP_DEADLINE_MS = 20_000
const OUTPUT_KEPT_CHARACTERS = 20_000

export type HostSpec = {
  name: string
  site: string
  provider: string
  class?: 'always-on' | 'desktop' | 'laptop'
  offer?: string
  /** Where it listens; a free port of loopback unless given. */
  listen?: string
  /** In front of the daemon's command line, such as `ip netns exec NAME`. */
  wrapper?: readonly string[]
}

export type Finished = { code: number | null; stdout: string; stderr: string }

/** Runs the command with `MOYAI_HOME` = `home`; resolves when it ended, whatever its exit code. */
export function runMoyai(
  home: string,
  args: readonly string[],
  o: { cwd?: string; signal?: AbortSignal; env?: Record<string, string> } = {},
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, ...args], {
      env: { ...process.env, NO_COLOR: '1', ...o.env, MOYAI_HOME: home },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(o.cwd === undefined ? {} : { cwd: o.cwd }),
      ...(o.signal === undefined ? {} : { signal: o.signal }),
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** One host of the cluster: its state directory and, while it runs, its daemon process. */
export class ClusterHost {
  readonly spec: HostSpec
  readonly home: string
  #process: ChildProcess | undefined
  #exited: Promise<void> = Promise.resolve()

  constructor(spec: HostSpec, home: string) {
    this.spec = spec
    this.home = home
  }

  get name(): string {
    return this.spec.name
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  get running(): boolean {
    return this.#process !== undefined
  }

  get client(): ControlClient {
    return new ControlClient(controlSocket(this.home))
  }

  /** `moyai ARGS` against this host. */
  moyai(args: readonly string[], o: Parameters<typeof runMoyai>[2] = {}): Promise<Finished> {
    return runMoyai(this.home, args, o)
  }

  async init(): Promise<void> {
    const { name, site, provider } = this.spec
    const options = {
      name,
      site,
      provider,
      class: this.spec.class ?? 'desktop',
      offer: this.spec.offer ?? '100GB',
      listen: this.spec.listen ?? '/ip4/127.0.0.1/tcp/0',
      'phrase-file': `${this.home}.phrase`,
    }
    const words = Object.entries(options).flatMap(([key, value]) => [`--${key}`, value])
    const { code, stderr } = await this.moyai(['init', ...words])
    if (code !== 0)
      throw new MoyaiError('INTERNAL', `init of ${name} ended with ${code}: ${stderr}`)
  }

  /** Starts the daemon, or `program` in its place, and waits until it says `ready`. */
  async start(
    o: { wrapper?: readonly string[]; env?: Record<string, string>; program?: string } = {},
  ): Promise<void> {
    const wrapper = o.wrapper ?? this.spec.wrapper ?? []
    const [program, ...before] = [...wrapper, process.execPath]
    const run = o.program === undefined ? [MAIN, 'daemon'] : [o.program]
    const child = spawn(program ?? process.execPath, [...before, ...run], {
      env: { ...process.env, NO_COLOR: '1', ...o.env, MOYAI_HOME: this.home },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#process = child
    this.#exited = new Promise((resolve) => {
      child.once('exit', () => {
        if (this.#process === child) this.#process = undefined
        resolve()
      })
    })
    const errors = createWriteStream(`${this.home}.stderr`, { flags: 'a' })
    child.stderr?.pipe(errors)
    await this.#ready(child)
  }

  #ready(child: ChildProcess): Promise<void> {
    return new Promise((resolve, reject) => {
      let text = ''
      let problems = ''
      const fail = (reason: string): void => {
        child.kill('SIGKILL')
        reject(new MoyaiError('INTERNAL', `the daemon ${this.name} ${reason}: ${problems || text}`))
      }
      const deadline = setTimeout(() => fail('did not get ready'), READY_DEADLINE_MS)
      child.stderr?.on('data', (data: Buffer) => {
        problems = `${problems}${data.toString()}`.slice(-OUTPUT_KEPT_CHARACTERS)
      })
      child.stdout?.on('data', (data: Buffer) => {
        text = `${text}${data.toString()}`.slice(-OUTPUT_KEPT_CHARACTERS)
        if (!/^ready$/m.test(text)) return
        clearTimeout(deadline)
        resolve()
      })
      child.once('error', () => fail('could not be started'))
      child.once('exit', (code) => {
        clearTimeout(deadline)
        reject(
          new MoyaiError('INTERNAL', `the daemon ${this.name} ended with ${code}: ${problems}`),
        )
      })
    })
  }

  /** SIGKILL: the daemon gets no chance to tidy up. Resolves when the process is gone. */
  async kill(): Promise<void> {
    this.#process?.kill('SIGKILL')
    await this.#exited
  }

  /** SIGTERM, and SIGKILL if it does not end; resolves with whether it ended by itself. */
  async stop(): Promise<boolean> {
    const child = this.#process
    if (child === undefined) return true
    let clean = true
    const deadline = setTimeout(() => {
      clean = false
      child.kill('SIGKILL')
    }, STOP_DEADLINE_MS)
    child.kill('SIGTERM')
    await this.#exited
    clearTimeout(deadline)
    return clean
  }
}

/** Hosts under one folder; the first is the one that makes the pool. */
export class Cluster {
  readonly folder: string
  readonly hosts: readonly ClusterHost[]

  constructor(folder: string, specs: readonly HostSpec[]) {
    this.folder = folder
    this.hosts = specs.map((spec) => new ClusterHost(spec, join(folder, spec.name)))
  }

  /** The host called `name`. */
  host(name: string): ClusterHost {
    const found = this.hosts.find((host) => host.name === name)
    if (found === undefined) throw new MoyaiError('INTERNAL', `the cluster has no host ${name}`)
    return found
  }

  /** init, daemon, pool create, and one invite and join for each further host. */
  async start(poolName: string): Promise<void> {
    await mkdir(this.folder, { recursive: true })
    const [first, ...others] = this.hosts
    if (first === undefined) return
    await pairwise(this.hosts, (host) => host.init())
    await pairwise(this.hosts, (host) => host.start())
    await first.client.call('pool.create', { name: poolName })
    for (const host of others) {
      const { token } = await first.client.call('pool.invite', { uses: 1, expiresSeconds: 3600 })
      await host.client.call('pool.join', { token })
    }
    await this.connected()
  }

  /** Waits until every running host sees every other running one as online. */
  async connected(deadlineMs: number = READY_DEADLINE_MS): Promise<void> {
    const running = this.hosts.filter((host) => host.running)
    const names = new Set(running.map((host) => host.name))
    const giveUp = performance.now() + deadlineMs
    for (const host of running) {
      for (;;) {
        const { hosts } = await host.client.call('pool.hosts', {})
        const online = hosts.filter(
          ({ name, state }) => names.has(name) && (state === 'online' || state === 'self'),
        )
        if (online.length === running.length) break
        if (performance.now() > giveUp) {
          throw new MoyaiError(
            'INTERNAL',
            `${host.name} sees only ${online.map(({ name }) => name).join(', ')}`,
          )
        }
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
  }

  /** Stops every daemon and removes the folder. */
  async remove(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.stop()))
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** At most two at a time: starting processes is the machine's work, not ours. */
async function pairwise<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let i = 0; i < items.length; i += 2) await Promise.all(items.slice(i, i + 2).map(work))
}
