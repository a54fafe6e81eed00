/** restic with a local repository: https://restic.net */

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import type { Contender, Sample, Session, SessionOptions } from '../contenders.ts'
import { folderSize } from '../folders.ts'
import type { Runner } from '../processes.ts'
import { peerSample, versionOf } from './peer.ts'

/** Since 0.15, `restore --sparse` makes holes again. */
const SPARSE_SINCE = [0, 15]

/** The restic at `program`; undefined when there is none that runs. */
export async function restic(runner: Runner, program: string): Promise<Contender | undefined> {
  const version = await versionOf(runner, [program, 'version'], /^restic (\d+(?:\.\d+)+)/)
  if (version === undefined) return undefined
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [sinceMajor = 0, sinceMinor = 0] = SPARSE_SINCE
  const canSparse = major > sinceMajor || (major === sinceMajor && minor >= sinceMinor)
  return {
    id: `restic-${version}`,
    label: `restic ${version}`,
    settings: `local repository, default settings${canSparse ? ', --sparse for images' : ''}`,
    open: async (o) => {
      const session = new ResticSession(program, { ...o, sparse: o.sparse && canSparse })
      await session.init()
      return session
    },
  }
}

class ResticSession implements Session {
  readonly #program: string
  readonly #o: SessionOptions
  readonly #repository: string

  constructor(program: string, o: SessionOptions) {
    this.#program = program
    this.#o = o
    this.#repository = join(o.folder, 'repository')
  }

  async init(): Promise<void> {
    await mkdir(this.#repository)
    await this.#run(['init'])
  }

  store(): Promise<Sample> {
    return this.#run(['backup', this.#o.source])
  }

  async restore(to: string): Promise<{ sample: Sample; root: string }> {
    const sparse = this.#o.sparse ? ['--sparse'] : []
    const sample = await this.#run(['restore', 'latest', '--target', to, ...sparse])
    return { sample, root: join(to, this.#o.source) }
  }

  async restoreOne(file: string, to: string): Promise<{ sample: Sample; root: string }> {
    const path = join(this.#o.source, file)
    const sample = await this.#run(['restore', 'latest', '--target', to, '--include', path])
    return { sample, root: join(to, path) }
  }

  warmed(): readonly string[] {
    return [this.#repository]
  }

  async close(): Promise<void> {}

  async #run(args: readonly string[]): Promise<Sample> {
    const { runner, boundMs, folder } = this.#o
    const env = {
      RESTIC_PASSWORD: 'bench',
      RESTIC_REPOSITORY: this.#repository,
      RESTIC_CACHE_DIR: join(folder, 'cache'),
    }
    const { usage } = await runner.must([this.#program, '-q', ...args], { env, boundMs })
    return peerSample(usage, (await folderSize(this.#repository)).bytes)
  }
}
