/** The targets of the comparison, and how a run did. */

import type { ContenderResult, CorpusResult, Field, Results } from './results.ts'
import { maximumOf, ratioOf, valueOf } from './results.ts'
import type { Step } from './contenders.ts'
import { targetsOf } from './micro-rows.ts'

const MIB = 1024 ** 2
/** Peak memory of a storing daemon, for a tree of any size. */
const PEAK_MIB_MAX = 400
const MILLION_SECONDS_MAX = 20

export type Judged = {
  /** Title of the corpus, or of the group of rows. */
  where: string
  what: string
  /** Measured values as text: moyai's and that which it is compared with. */
  moyai: string
  peer: string
  /** What is compared with the bound: a ratio, or the value itself. */
  measured: number
  bound: number
  atMost: boolean
  met: boolean
  /** For the plot: which ratio of which step. */
  step?: Step
  field?: Field
}

type Ratio = { what: string; step: Step; field: Field; bound: number }

const STORE: readonly Ratio[] = [
  { what: 'first store, CPU of the owner', step: 'first', field: 'ownerCpuSeconds', bound: 0.6 },
  { what: 'first store, CPU of all', step: 'first', field: 'cpuSeconds', bound: 0.9 },
  { what: 'first store, wall', step: 'first', field: 'wallSeconds', bound: 0.8 },
]
const UNCHANGED: readonly Ratio[] = [
  { what: 'unchanged store, CPU of all', step: 'second', field: 'cpuSeconds', bound: 0.2 },
  { what: 'unchanged store, wall', step: 'second', field: 'wallSeconds', bound: 0.2 },
]
const RESTORE: readonly Ratio[] = [
  { what: 'full restore, wall', step: 'restore', field: 'wallSeconds', bound: 1 },
  { what: 'full restore, CPU of all', step: 'restore', field: 'cpuSeconds', bound: 1.2 },
]
const STORED: readonly Ratio[] = [
  { what: 'bytes stored before parity', step: 'first', field: 'payloadBytes', bound: 1.01 },
]
const TINY: readonly Ratio[] = [
  { what: 'first store, wall', step: 'first', field: 'wallSeconds', bound: 0.8 },
  { what: 'full restore, wall', step: 'restore', field: 'wallSeconds', bound: 0.8 },
]
const GONE_BOUND = 1.15

/** The ratios to the newest restic that a corpus is judged by. */
function ratiosOf(corpus: CorpusResult): readonly Ratio[] {
  if (corpus.name === 'million') return []
  if (corpus.name === 'tiny') return [...TINY, ...UNCHANGED, ...STORED]
  return [...STORE, ...UNCHANGED, ...RESTORE, ...STORED]
}

/** The peer that the targets name: the newest restic. */
export function yardstick(corpus: CorpusResult): ContenderResult | undefined {
  return corpus.contenders.find(({ id }) => id.startsWith('restic-'))
}

export function moyaiOf(corpus: CorpusResult): ContenderResult | undefined {
  return corpus.contenders.find(({ id }) => id === 'moyai')
}

/** Figures as people read them, with their unit. */
export function shown(field: Field, value: number | undefined): string {
  if (value === undefined) return '–'
  if (field.endsWith('Bytes')) return `${(value / MIB).toFixed(value < 100 * MIB ? 1 : 0)} MiB`
  return `${value.toFixed(2)} s`
}

export function judgeCorpus(corpus: CorpusResult): Judged[] {
  const contender = moyaiOf(corpus)
  if (contender === undefined) return []
  const where = corpus.title
  const judged: Judged[] = []
  const restic = yardstick(corpus)
  for (const { what, step, field, bound } of ratiosOf(corpus)) {
    if (restic === undefined) break
    const measured = ratioOf({ contender, step, field }, { contender: restic, step, field })
    if (measured === undefined) continue
    const moyai = shown(field, valueOf(contender, step, field))
    const peer = `${shown(field, valueOf(restic, step, field))} (${restic.label})`
    judged.push({ where, what, moyai, peer, ...atMost(measured, bound), step, field })
  }
  const field = 'wallSeconds'
  const gone = ratioOf({ contender, step: 'gone', field }, { contender, step: 'restore', field })
  if (gone !== undefined) {
    const moyai = shown(field, valueOf(contender, 'gone', field))
    const peer = `${shown(field, valueOf(contender, 'restore', field))} (all hosts there)`
    const what = 'restore with two hosts gone, wall'
    judged.push({ where, what, moyai, peer, ...atMost(gone, GONE_BOUND), step: 'gone', field })
  }
  return [...judged, ...judgeAlone(corpus, contender)]
}

/** What is bounded by itself: memory, and the time of a million unchanged files. */
function judgeAlone(corpus: CorpusResult, contender: ContenderResult): Judged[] {
  const where = corpus.title
  const judged: Judged[] = []
  const peaks = (['first', 'second', 'change'] as const).flatMap((step) =>
    (['peakBytes', 'holderPeakBytes'] as const).map((field) => maximumOf(contender, step, field)),
  )
  const peak = Math.max(...peaks) / MIB
  const memory = { where, moyai: `${peak.toFixed(0)} MiB`, peer: '' }
  judged.push({
    ...memory,
    what: 'peak memory of the largest daemon while storing',
    ...atMost(peak, PEAK_MIB_MAX),
  })
  const seconds = valueOf(contender, 'second', 'wallSeconds')
  if (corpus.name === 'million' && seconds !== undefined) {
    const moyai = shown('wallSeconds', seconds)
    const what = 'unchanged store, wall'
    judged.push({ where, what, moyai, peer: '', ...atMost(seconds, MILLION_SECONDS_MAX) })
  }
  return judged
}

function atMost(
  measured: number,
  bound: number,
): { measured: number; bound: number; atMost: true; met: boolean } {
  return { measured, bound, atMost: true, met: measured <= bound }
}

export function judgeMicro(results: Results): Judged[] {
  return (results.micro?.rows ?? []).flatMap((row) =>
    targetsOf(row).flatMap(({ peer, bound, atMost: most }) => {
      const measured = row.ratios[peer]
      if (measured === undefined) return []
      const met = most ? measured <= bound : measured >= bound
      const moyai = `${row.moyai} ${row.metric}`
      const against = `${row.peers[peer] ?? '–'} (${peer})`
      const what = row.row
      return [{ where: 'parts', what, moyai, peer: against, measured, bound, atMost: most, met }]
    }),
  )
}
