/** The machine that the figures were measured on, without anything that names it. */

import { readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'

import type { Runner } from './processes.ts'

const GIT_BOUND_MS = 20_000

export type Machine = {
  cpu: string
  cores: number
  /** Instructions that matter to hashing and coding. */
  flags: string[]
  memoryGib: number
  kernel: string
  node: string
}

const FLAGS = ['sha_ni', 'aes', 'avx2', 'avx512f', 'vaes', 'gfni', 'sha2', 'asimd', 'sve']

export function machine(): Machine {
  const info = readFileSync('/proc/cpuinfo', 'latin1')
  const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(info)?.[1]?.trim().split(/\s+/) ?? []
  const cores = cpus()
  return {
    cpu: cores[0]?.model.trim() ?? 'unknown',
    cores: cores.length,
    flags: FLAGS.filter((flag) => flags.includes(flag)),
    memoryGib: Math.round(totalmem() / 1024 ** 3),
    kernel: `Linux ${/^\d+\.\d+/.exec(release())?.[0] ?? ''}`,
    node: process.version.slice(1),
  }
}

/** The commit that is measured, and whether files differ from it. */
export async function commit(runner: Runner): Promise<string> {
  const git = async (...args: string[]): Promise<string> => {
    const { stdout } = await runner.measure(['git', ...args], { boundMs: GIT_BOUND_MS })
    return stdout.trim()
  }
  const head = await git('rev-parse', '--short', 'HEAD')
  const changed = await git('status', '--porcelain', '--untracked-files=no', '--', 'packages')
  return changed === '' ? head : `${head} with changes`
}
