/** What a run leaves: samples per corpus, contender, step and round, and rows of other programs. */

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

import type { Absent, Sample, Step } from './contenders.ts'
import type { CorpusName } from './corpora/index.ts'
import type { FolderSize } from './folders.ts'
import type { Machine } from './machine.ts'
import type { MicroRow } from './micro-rows.ts'

export type Verified = {
  label: string
  step: Step
  files: number
  differences: number
  /** The first difference, for people. */
  example?: string
}

export type ContenderResult = {
  id: string
  label: string
  settings: string
  /** One entry per round; null where the step failed or is none of this contender's. */
  steps: Partial<Record<Step, (Sample | null)[]>>
  failures: string[]
}

export type CorpusResult = {
  name: CorpusName
  title: string
  about: string
  size: FolderSize
  rounds: number
  date: string
  commit: string
  contenders: ContenderResult[]
  absent: Absent[]
  verified: Verified[]
}

export type Results = {
  machine: Machine
  corpora: Partial<Record<CorpusName, CorpusResult>>
  micro: { date: string; commit: string; rows: MicroRow[] } | null
}

/** The results of earlier runs; undefined when there are none. */
export async function readResults(path: string): Promise<Results | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  return text === undefined ? undefined : (JSON.parse(text) as Results)
}

export async function writeResults(path: string, results: Results): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, `${JSON.stringify(results, null, 1)}\n`)
}

/** The middle of the values; of an even number of them the mean of the two in the middle. */
export function median(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined
  const sorted = values.toSorted((a, b) => a - b)
  const high = sorted[Math.floor(sorted.length / 2)] ?? 0
  const low = sorted[Math.ceil(sorted.length / 2) - 1] ?? 0
  return (low + high) / 2
}

export type Field = keyof Sample

/** The median over the rounds; undefined when no round has it. */
export function valueOf(contender: ContenderResult, step: Step, field: Field): number | undefined {
  const samples = (contender.steps[step] ?? []).filter((sample) => sample !== null)
  return median(samples.map((sample) => sample[field]))
}

/** The highest of all rounds; 0 when no round has it. */
export function maximumOf(contender: ContenderResult, step: Step, field: Field): number {
  const samples = contender.steps[step] ?? []
  return Math.max(0, ...samples.map((sample) => sample?.[field] ?? 0))
}

/** The median of the rounds' own ratios: what slows a whole round slows both sides of each. */
export function ratioOf(
  above: { contender: ContenderResult; step: Step; field: Field },
  below: { contender: ContenderResult; step: Step; field: Field },
): number | undefined {
  const left = above.contender.steps[above.step] ?? []
  const right = below.contender.steps[below.step] ?? []
  const ratios: number[] = []
  for (const [round, sample] of left.entries()) {
    const other = right[round]?.[below.field]
    if (sample !== null && other !== undefined && other > 0) {
      ratios.push(sample[above.field] / other)
    }
  }
  return median(ratios)
}
