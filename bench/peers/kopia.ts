/** Kopia with a local repository: https://kopia.io */

import { mkdir } from 'node:fs/promises'
import { basename, join } from 'node:path'

import type { Contender, Sample, Session, SessionOptions } from '../contenders.ts'
import { folderSize } from '../folders.ts'
import type { Finished, Runner } from '../processes.ts'
import { peerSample, versionOf } from './peer.ts'

/** Without a compression it keeps everything as it is; the others compress by default. */
const COMPRESSION = 'zstd-fastest'

/** The Kopia at `program`; undefined when there is none that runs. */
export async function kopia(runner: Runner, program: string): Promise<Contender | undefined> {
  const version = await versionOf(runner, [program, '--version'], /^v?(\d+(?:\.\d+)+)/)
  if (version === undefined) return undefined
  return {
    id: `kopia-${version}`,
    label: `Kopia ${version}`,
    settings: `local repository, compression ${COMPRESSION}, sparse files for images`,
    open: async (o) => {
      const session = new KopiaSession(program, o)
      await session.init()
      return session
    },
  }
}

class KopiaSession implements Session {
  readonly #program: string
  readonly #o: SessionOptions
  readonly #repository: string
  #root = ''

  constructor(program: string, o: SessionOptions) {
    this.#program = program
    this.#o = o
    this.#repository = join(o.folder, 'repository')
  }

  async init(): Promise<void> {
    await mkdir(this.#repository)
    await this.#run(['repository', 'create', 'filesystem', '--path', this.#repository])
    await this.#run(['policy', 'set', '--global', `--compression=${COMPRESSION}`])
  }

  async store(): Promise<Sample> {
    const finished = await this.#run(['snapshot', 'create', '--json', this.#o.source])
    const line = finished.stdout.trim().split('\n').at(-1) ?? ''
    this.#root = (JSON.parse(line) as { rootEntry: { obj: string } }).rootEntry.obj
    return await this.#sample(finished)
  }

  async restore(to: string): Promise<{ sample: Sample; root: string }> {
    const sparse = this.#o.sparse ? ['--write-sparse-files'] : []
    const finished = await this.#run(['restore', ...sparse, this.#root, to])
    return { sample: await this.#sample(finished), root: to }
  }

  async restoreOne(file: string, to: string): Promise<{ sample: Sample; root: string }> {
    await mkdir(to, { recursive: true })
    const root = join(to, basename(file))
    const finished = await this.#run(['restore', `${this.#root}/${file}`, root])
    return { sample: await this.#sample(finished), root }
  }

  warmed(): readonly string[] {
    return [this.#repository]
  }

  async close(): Promise<void> {}

  async #sample({ usage }: Finished): Promise<Sample> {
    return peerSample(usage, (await folderSize(this.#repository)).bytes)
  }

  async #run(args: readonly string[]): Promise<Finished> {
    const { runner, boundMs, folder } = this.#o
    const env = {
      KOPIA_PASSWORD: 'bench',
      KOPIA_CONFIG_PATH: join(folder, 'kopia.config'),
      KOPIA_CACHE_DIRECTORY: join(folder, 'cache'),
      KOPIA_LOG_DIR: join(folder, 'log'),
      KOPIA_CHECK_FOR_UPDATES: 'false',
      KOPIA_USE_KEYRING: 'false',
    }
    return await runner.must([this.#program, '--no-progress', ...args], { env, boundMs })
  }
}
