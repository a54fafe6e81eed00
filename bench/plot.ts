/** Bars of moyai's ratios to the newest restic, with the targets, as an SVG. */

import { type Step, STEP_TITLES } from './contenders.ts'
import { type CorpusResult, type Field, ratioOf, type Results } from './results.ts'
import { corporaOf } from './report.ts'
import { type Judged, judgeCorpus, moyaiOf, yardstick } from './targets.ts'

const WIDTH = 860
const LEFT = 250
const RIGHT = 70
const BAR = 11
const GAP = 2
const ROW = 2 * BAR + GAP + 9
const HEAD = 34
const TOP = 74
const BOTTOM = 34
/** Longer bars are cut, with their figure at the end. */
const RATIO_MAX = 1.5
const STEPS: readonly Step[] = ['first', 'second', 'change', 'restore', 'one', 'gone']
const BARS: readonly { field: Field; colour: string; name: string }[] = [
  { field: 'wallSeconds', colour: '#2f6f9f', name: 'wall time' },
  { field: 'cpuSeconds', colour: '#d9822b', name: 'CPU time of all processes' },
]

type Bar = { ratio: number; target: number | undefined; colour: string }
type Row = { title: string; bars: Bar[] }
type Group = { title: string; rows: Row[] }

/** The picture; undefined when no corpus was compared with restic. */
export function plot(results: Results): string | undefined {
  const corpora = corporaOf(results)
  const groups = corpora.map(groupOf).filter(({ rows }) => rows.length > 0)
  const label = corpora.map((corpus) => yardstick(corpus)?.label).find((one) => one !== undefined)
  if (groups.length === 0 || label === undefined) return undefined
  const height = TOP + BOTTOM + groups.reduce((sum, { rows }) => sum + HEAD + rows.length * ROW, 0)
  const parts = [...frame(height, label)]
  let y = TOP
  for (const group of groups) {
    parts.push(text({ x: 16, y: y + HEAD - 12, weight: 'bold' }, group.title))
    y += HEAD
    for (const row of group.rows) {
      parts.push(text({ x: LEFT - 10, y: y + BAR + 4, anchor: 'end' }, row.title))
      for (const [i, bar] of row.bars.entries()) parts.push(barOf(bar, y + i * (BAR + GAP)))
      y += ROW
    }
  }
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="13">`
  return `${[svg, ...parts, '</svg>'].join('\n')}\n`
}

function groupOf(corpus: CorpusResult): Group {
  const contender = moyaiOf(corpus)
  const restic = yardstick(corpus)
  if (contender === undefined || restic === undefined) return { title: corpus.title, rows: [] }
  const judged = judgeCorpus(corpus)
  const rows = STEPS.flatMap((step) => {
    // A peer has no hosts that could go: what is compared is its only restore.
    const theirs = step === 'gone' ? 'restore' : step
    const bars = BARS.flatMap(({ field, colour }) => {
      const ratio = ratioOf({ contender, step, field }, { contender: restic, step: theirs, field })
      return ratio === undefined ? [] : [{ ratio, colour, target: targetOf(judged, step, field) }]
    })
    return bars.length === 0 ? [] : [{ title: STEP_TITLES[step], bars }]
  })
  return { title: corpus.title, rows }
}

function targetOf(judged: readonly Judged[], step: Step, field: Field): number | undefined {
  // The target of a restore without two hosts is relative to moyai's own.
  if (step === 'gone') return undefined
  return judged.find((one) => one.step === step && one.field === field)?.bound
}

function xOf(ratio: number): number {
  return LEFT + (Math.min(ratio, RATIO_MAX) / RATIO_MAX) * (WIDTH - LEFT - RIGHT)
}

function frame(height: number, label: string): string[] {
  const parts = [`<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`]
  parts.push(text({ x: 16, y: 26, weight: 'bold', size: 16 }, `moyai relative to ${label}`))
  let x = 16
  for (const { colour, name } of BARS) {
    parts.push(`<rect x="${x}" y="41" width="14" height="${BAR}" fill="${colour}"/>`)
    parts.push(text({ x: x + 20, y: 51 }, name))
    x += 40 + name.length * 7.2
  }
  parts.push(`<rect x="${x}" y="39" width="3" height="15" fill="#b3261e"/>`)
  parts.push(text({ x: x + 10, y: 51 }, 'target; shorter bars are better'))
  for (let tick = 0; tick <= RATIO_MAX; tick += 0.25) {
    const at = xOf(tick)
    const one = tick === 1
    parts.push(
      `<line x1="${at}" y1="${TOP - 6}" x2="${at}" y2="${height - BOTTOM}" stroke="${one ? '#444444' : '#dddddd'}" stroke-width="${one ? 1.5 : 1}"/>`,
      text({ x: at, y: height - BOTTOM + 18, anchor: 'middle' }, String(tick)),
    )
  }
  return parts
}

function barOf({ ratio, target, colour }: Bar, y: number): string {
  const end = xOf(ratio)
  const shown = ratio < 0.1 ? ratio.toFixed(3) : ratio.toFixed(2)
  const parts = [
    `<rect x="${LEFT}" y="${y}" width="${Math.max(1, end - LEFT).toFixed(1)}" height="${BAR}" fill="${colour}"/>`,
    text({ x: end + 5, y: y + BAR - 1, size: 11 }, ratio > RATIO_MAX ? `${shown} →` : shown),
  ]
  if (target !== undefined) {
    const x = xOf(target) - 1.5
    parts.push(
      `<rect x="${x.toFixed(1)}" y="${y - 2}" width="3" height="${BAR + 4}" fill="#b3261e"/>`,
    )
  }
  return parts.join('')
}

type TextStyle = { x: number; y: number; anchor?: string; weight?: string; size?: number }

function text({ x, y, anchor, weight, size }: TextStyle, words: string): string {
  const escaped = words.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  const more = [
    anchor === undefined ? '' : ` text-anchor="${anchor}"`,
    weight === undefined ? '' : ` font-weight="${weight}"`,
    size === undefined ? '' : ` font-size="${size}"`,
  ]
  return `<text x="${x.toFixed(1)}" y="${y}" fill="#222222"${more.join('')}>${escaped}</text>`
}
