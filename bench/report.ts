/** Results as Markdown: what is printed, and what docs/performance.md has between its markers. */

import { type Step, STEP_TITLES, STEPS } from './contenders.ts'
import { CORPUS_NAMES } from './corpora/index.ts'
import type { MicroRow } from './micro-rows.ts'
import { targetsOf } from './micro-rows.ts'
import {
  type ContenderResult,
  type CorpusResult,
  type Field,
  maximumOf,
  ratioOf,
  type Results,
  valueOf,
} from './results.ts'
import { type Judged, judgeCorpus, judgeMicro, moyaiOf } from './targets.ts'

const MIB = 1024 ** 2
export const BEGIN = '<!-- bench:begin, written by `pnpm bench` -->'
export const END = '<!-- bench:end -->'

export function corporaOf(results: Results): CorpusResult[] {
  return CORPUS_NAMES.map((name) => results.corpora[name]).filter((one) => one !== undefined)
}

/** All of a run. `plot`: path of the picture relative to the page; none when undefined. */
export function markdown(results: Results, plot?: string): string {
  const judged = [...corporaOf(results).flatMap(judgeCorpus), ...judgeMicro(results)]
  const met = judged.filter((one) => one.met).length
  const parts = [
    machineText(results),
    '## Targets',
    `${met} of ${judged.length} are met. Ratios are moyai's figure by the other's, the median of the rounds' own ratios.`,
    targetTable(judged),
    ...(plot === undefined ? [] : [`![ratios of moyai to the newest restic](${plot})`]),
    ...corporaOf(results).map(corpusText),
    ...(results.micro === null ? [] : [microText(results.micro)]),
  ]
  return parts.join('\n\n')
}

/** The page with `text` between its markers; an error when it has none. */
export function intoPage(page: string, text: string): string {
  const begin = page.indexOf(BEGIN)
  const end = page.indexOf(END)
  if (begin < 0 || end < begin) throw new Error('the page has no markers for the results')
  return `${page.slice(0, begin)}${BEGIN}\n\n${text}\n\n${page.slice(end)}`
}

function machineText({ machine }: Results): string {
  const { cpu, cores, flags, memoryGib, kernel, node } = machine
  return `Machine: ${cpu}, ${cores} cores (${flags.join(', ')}), ${memoryGib} GiB, ${kernel}, Node ${node}.`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const rule = head.map((_, i) => (i === 0 ? '---' : '---:'))
  return [head, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

function number(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(value < 1 ? 3 : 2)
}

function targetTable(judged: readonly Judged[]): string {
  const rows = judged.map(({ where, what, moyai, peer, measured, bound, atMost, met }) => {
    const alone = peer === ''
    const target = `${atMost ? '≤' : '≥'} ${bound}${alone ? '' : ' ×'}`
    const shown = alone ? moyai : `${number(measured)} ×`
    return [where, what, moyai, peer, shown, target, met ? 'met' : '**missed**']
  })
  return table(['corpus', 'work', 'moyai', 'compared with', 'measured', 'target', ''], rows)
}

function corpusText(corpus: CorpusResult): string {
  const { title, about, size, rounds, date, commit } = corpus
  const gib = (size.bytes / 1024 ** 3).toFixed(2)
  const files = size.files.toLocaleString('en').replaceAll(',', ' ')
  const intro = `${files} files, ${gib} GiB: ${about}. ${rounds} rounds at ${commit}, ${date}; medians.`
  return [`## ${title[0]?.toUpperCase()}${title.slice(1)}`, intro, stepTable(corpus), notes(corpus)]
    .filter((part) => part !== '')
    .join('\n\n')
}

const FIGURES: readonly { head: string; field: Field; unit: number }[] = [
  { head: 'wall s', field: 'wallSeconds', unit: 1 },
  { head: 'CPU s', field: 'cpuSeconds', unit: 1 },
  { head: 'of it owner', field: 'ownerCpuSeconds', unit: 1 },
  { head: 'peak MiB', field: 'peakBytes', unit: MIB },
  { head: 'holder', field: 'holderPeakBytes', unit: MIB },
  { head: 'read MiB', field: 'readBytes', unit: MIB },
  { head: 'from disk', field: 'diskReadBytes', unit: MIB },
  { head: 'wire MiB', field: 'wireBytes', unit: MIB },
  { head: 'stored MiB', field: 'diskBytes', unit: MIB },
  { head: 'before parity', field: 'payloadBytes', unit: MIB },
]

function stepTable(corpus: CorpusResult): string {
  const moyai = moyaiOf(corpus)
  const rows = STEPS.flatMap((step) =>
    corpus.contenders.flatMap((contender) => {
      if (valueOf(contender, step, 'wallSeconds') === undefined) return []
      const figures = FIGURES.map(({ field, unit }) => figure(contender, step, { field, unit }))
      const ratios = (['wallSeconds', 'cpuSeconds'] as const).map((field) => {
        if (moyai === undefined || contender === moyai) return ''
        const ratio = ratioOf({ contender: moyai, step, field }, { contender, step, field })
        return ratio === undefined ? '–' : number(ratio)
      })
      return [[STEP_TITLES[step], contender.label, ...figures, ...ratios]]
    }),
  )
  const heads = FIGURES.map(({ head }) => head)
  return table(['step', 'program', ...heads, 'moyai ×, wall', 'CPU'], rows)
}

function figure(
  contender: ContenderResult,
  step: Step,
  { field, unit }: { field: Field; unit: number },
): string {
  const isPeak = field === 'peakBytes' || field === 'holderPeakBytes'
  const value = isPeak ? maximumOf(contender, step, field) : valueOf(contender, step, field)
  if (value === undefined || (value === 0 && unit === MIB)) return ''
  const scaled = value / unit
  return scaled.toFixed(unit === 1 ? 2 : scaled < 10 ? 1 : 0)
}

/** How the programs were set, what was not there, what failed, and whether copies were equal. */
function notes(corpus: CorpusResult): string {
  const lines = corpus.contenders.map(({ label, settings }) => `- ${label}: ${settings}.`)
  for (const { label, why } of corpus.absent) lines.push(`- ${label}: ${why}.`)
  for (const { label, failures } of corpus.contenders) {
    for (const failure of failures) lines.push(`- ${label} **failed**: ${failure.split('\n')[0]}`)
  }
  const equal = corpus.verified.filter(({ differences }) => differences === 0)
  if (equal.length > 0) {
    lines.push(`- ${equal.length} copies were compared with the corpus and are identical to it.`)
  }
  for (const { label, step, differences, example } of corpus.verified) {
    if (differences === 0) continue
    lines.push(
      `- ${label}, ${STEP_TITLES[step]}: ${differences} differences, first: ${example ?? ''}`,
    )
  }
  return lines.join('\n')
}

function microText({ rows, date, commit }: NonNullable<Results['micro']>): string {
  const lines = rows.flatMap((row) =>
    Object.entries(row.peers).map(([peer, value]) => microLine(row, peer, value)),
  )
  const head = ['part', 'metric', 'moyai', 'compared with', 'its figure', 'ratio', 'target']
  return ['## Parts', `At ${commit}, ${date}.`, table(head, lines)].join('\n\n')
}

function microLine(row: MicroRow, peer: string, value: number | string): string[] {
  const target = targetsOf(row).find((one) => one.peer === peer)
  const bound = target === undefined ? '' : `${target.atMost ? '≤' : '≥'} ${target.bound}`
  const ratio = row.ratios[peer]
  const shown = ratio === undefined ? '' : number(ratio)
  return [row.row, row.metric, String(row.moyai), peer, String(value), shown, bound]
}
