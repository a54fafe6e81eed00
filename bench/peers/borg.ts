/** BorgBackup with a local repository: https://www.borgbackup.org */

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import type { Contender, Sample, Session, SessionOptions } from '../contenders.ts'
import { folderSize } from '../folders.ts'
import type { Runner } from '../processes.ts'
import { peerSample, versionOf } from './peer.ts'

/** Its faster keyed hash, and what its manual uses in examples. */
const ENCRYPTIONS = ['repokey-blake2', 'repokey'] as const

/** One contender for each kind of encryption; none when there is no borg. */
export async function borg(runner: Runner, program: string): Promise<Contender[]> {
  const version = await versionOf(runner, [program, '--version'], /^borg (\d+(?:\.\d+)+)/)
  if (version === undefined) return []
  return ENCRYPTIONS.map((encryption) => ({
    id: `borg-${version}-${encryption}`,
    label: `Borg ${version} ${encryption}`,
    settings: `local repository, ${encryption}, lz4 as by default, --sparse for images`,
    open: async (o) => {
      const session = new BorgSession(program, o)
      await session.init(encryption)
      return session
    },
  }))
}

class BorgSession implements Session {
  readonly #program: string
  readonly #o: SessionOptions
  readonly #repository: string
  #archives = 0

  constructor(program: string, o: SessionOptions) {
    this.#program = program
    this.#o = o
    this.#repository = join(o.folder, 'repository')
  }

  async init(encryption: string): Promise<void> {
    await this.#run(['init', '-e', encryption, this.#repository])
  }

  store(): Promise<Sample> {
    this.#archives++
    return this.#run(['create', this.#archive(), this.#o.source])
  }

  async restore(to: string): Promise<{ sample: Sample; root: string }> {
    const sparse = this.#o.sparse ? ['--sparse'] : []
    const sample = await this.#extract(to, [...sparse, this.#archive()])
    return { sample, root: join(to, this.#o.source) }
  }

  async restoreOne(file: string, to: string): Promise<{ sample: Sample; root: string }> {
    const path = join(this.#o.source, file)
    const sample = await this.#extract(to, [this.#archive(), path.replace(/^\/+/, '')])
    return { sample, root: join(to, path) }
  }

  warmed(): readonly string[] {
    return [this.#repository]
  }

  async close(): Promise<void> {}

  #archive(): string {
    return `${this.#repository}::${this.#archives}`
  }

  async #extract(to: string, args: readonly string[]): Promise<Sample> {
    await mkdir(to, { recursive: true })
    return await this.#run(['extract', ...args], to)
  }

  async #run(args: readonly string[], cwd?: string): Promise<Sample> {
    const { runner, boundMs, folder } = this.#o
    const env = { BORG_PASSPHRASE: 'bench', BORG_BASE_DIR: join(folder, 'base') }
    const where = cwd === undefined ? {} : { cwd }
    const { usage } = await runner.must([this.#program, ...args], { env, boundMs, ...where })
    return peerSample(usage, (await folderSize(this.#repository)).bytes)
  }
}
