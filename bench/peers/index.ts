/** Finds the programs to compare with on this machine. */

import { accessSync, constants, realpathSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'

import type { Absent, Contender } from '../contenders.ts'
import type { Runner } from '../processes.ts'
import { borg } from './borg.ts'
import { kopia } from './kopia.ts'
import { restic } from './restic.ts'
import { tahoe } from './tahoe.ts'

export type PeerPaths = {
  restic: readonly string[]
  borg: readonly string[]
  kopia: readonly string[]
  tahoe: readonly string[]
}

const byVersion = (a: Contender, b: Contender): number =>
  b.label.localeCompare(a.label, 'en', { numeric: true })

/** All peers: the newest restic first. Those that are not here say so. */
export async function findPeers(runner: Runner, given: PeerPaths): Promise<(Contender | Absent)[]> {
  const restics: Contender[] = []
  for (const program of programs('restic', given.restic)) {
    const found = await restic(runner, program)
    if (found !== undefined && !restics.some(({ id }) => id === found.id)) restics.push(found)
  }
  const borgs: Contender[] = []
  for (const program of programs('borg', given.borg)) borgs.push(...(await borg(runner, program)))
  const tahoes: Contender[] = []
  for (const program of programs('tahoe', given.tahoe)) {
    const found = await tahoe(runner, program)
    if (found !== undefined) tahoes.push(found)
  }
  const or = (found: Contender[], label: string): (Contender | Absent)[] =>
    found.length > 0 ? found : [{ label, why: 'not installed' }]
  const kopias: Contender[] = []
  for (const program of programs('kopia', given.kopia)) {
    const found = await kopia(runner, program)
    if (found !== undefined) kopias.push(found)
  }
  return [
    ...or(restics.sort(byVersion), 'restic'),
    ...or(borgs, 'Borg'),
    ...or(kopias, 'Kopia'),
    ...or(tahoes, 'Tahoe-LAFS'),
  ]
}

/** `name` wherever PATH has it, and the given paths; each program once. */
function programs(name: string, given: readonly string[]): string[] {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '')
  const paths = [...given.map((path) => resolve(path)), ...folders.map((one) => join(one, name))]
  const found = new Set<string>()
  const real = new Set<string>()
  for (const path of paths) {
    try {
      accessSync(path, constants.X_OK)
    } catch {
      continue
    }
    const target = realpathSync(path)
    if (!real.has(target)) found.add(path)
    real.add(target)
  }
  return [...found]
}
