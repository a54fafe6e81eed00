/** The tables of docs/durability.md. Frequencies, never nines: with their error, in pool-years. */

import { type Code, overheadOf } from '@moyai/protocol'

import { EARLIER } from './research.ts'
import { oneIn, rounded } from './statistics.ts'
import { COPIES, type Row, SHAPES, TAHOE } from './study.ts'
import type { Scenario } from './world.ts'

export const PAGE: URL = new URL('../../docs/durability.md', import.meta.url)
const BEGIN = '<!-- tables: written by `pnpm durability` -->'
const END = '<!-- end of tables -->'

export type Results = { date: string; seed: number; effort: number; rows: Row[] }

const TITLES: Record<Scenario, string> = {
  office: 'Office machines, on in working hours',
  always: 'Machines that run day and night',
}

/** One row, for a person who waits for it. */
export function lineOf({ job, code, margin, years, waiting, seconds }: Row): string {
  const pool = `${job.machines} machines, ${job.places} places, ${job.scenario}`
  const wait = `waits: ${percent(waiting.atNight)} at night, ${percent(waiting.atWork)} at work`
  return (
    `${pool}: ${codeText(code)}, margin ${margin}: ${oneIn(years)}; ` +
    `moves ${perYear(years)} × data a year; ${wait} (${seconds.toFixed(1)} s)`
  )
}

export function codeText(code: Code): string {
  return `${code.k}+${code.m}`
}

function perYear({ movedShare, years }: Row['years']): string {
  return (movedShare / years).toFixed(2)
}

function percent(share: number): string {
  if (share === 0) return 'never'
  return share < 0.001 ? 'under 0.1 %' : `${(100 * share).toFixed(1)} %`
}

/** What was simulated in a pool: the planner's own code, that with doubling, or another code. */
type Variant = Code | 'own' | 'doubled'

type Find = (machines: number, places: number, scenario: Scenario, variant?: Variant) => Row

function finder(rows: readonly Row[]): Find {
  const name = (variant: Variant): string =>
    typeof variant === 'string' ? variant : codeText(variant)
  const known = new Map(
    rows.map((row) => {
      const { machines, places, scenario, code, doublesUp } = row.job
      const variant = name(code ?? (doublesUp === true ? 'doubled' : 'own'))
      return [`${machines} ${places} ${scenario} ${variant}`, row]
    }),
  )
  return (machines, places, scenario, variant = 'own') => {
    const row = known.get(`${machines} ${places} ${scenario} ${name(variant)}`)
    if (row === undefined) throw new Error('the results are not those of a whole study')
    return row
  }
}

const shapes = SHAPES.flatMap(({ machines, places }) => places.map((count) => [machines, count]))

function tableOf(head: readonly string[], cells: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => '---'), ...cells]
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n')
}

function ownCells(row: Row): string[] {
  const { job, code, margin } = row
  const cost = `${codeText(code)}, ${overheadOf(code).toFixed(2)}×`
  return [`${job.machines}`, `${job.places}`, cost, margin < 0 ? 'none' : `${margin}`]
}

function losses(find: Find, scenario: Scenario): string {
  const head = [
    'machines',
    'places',
    'code, space',
    'margin',
    'a pool loses something in',
    'three copies, 3.00×',
    'Tahoe 3-of-10, 3.33×',
  ]
  const cells = shapes.map(([machines = 0, places = 0]) => {
    const own = find(machines, places, scenario)
    // Where moyai takes three copies itself, its own row has seen more years.
    const isCopies = codeText(own.code) === codeText(COPIES)
    const copies = isCopies ? own : find(machines, places, scenario, COPIES)
    const others = [copies, find(machines, places, scenario, TAHOE)]
    return [...ownCells(own), ...[own, ...others].map(({ years }) => oneIn(years))]
  })
  return tableOf(head, cells)
}

function running(find: Find): string {
  const head = [
    'machines',
    'places',
    'code, space',
    'moved per year, office',
    'waits at 3:00',
    'waits at 11:00',
    'moved per year, day and night',
    'waits at 3:00',
    'waits at 11:00',
  ]
  const cells = shapes.map(([machines = 0, places = 0]) => {
    const rows = (['office', 'always'] as const).map((one) => find(machines, places, one))
    const [first] = rows
    const figures = rows.flatMap(({ years, waiting }) => [
      `${perYear(years)} ×`,
      percent(waiting.atNight),
      percent(waiting.atWork),
    ])
    return [...(first === undefined ? [] : ownCells(first).slice(0, 3)), ...figures]
  })
  return tableOf(head, cells)
}

/** How many times as often as then; a dash where either has seen nothing. */
function ratio({ years }: Row, earlier: number, isBound: boolean): string {
  if (isBound || years.losses === 0) return '–'
  return `${(years.losses / years.years / earlier).toFixed(1)} ×`
}

/** Then no host is left for a shard that must be rebuilt. */
function usesAllHosts({ code, job }: Pick<Row, 'code'> & { job: { machines: number } }): boolean {
  return code.k + code.m === job.machines - 1
}

function comparison(find: Find): string {
  const cells = shapes.flatMap(([machines = 0, places = 0]) => {
    const earlier = EARLIER[`${machines}/${places}`]
    if (earlier === undefined) return []
    const isBound = earlier.bound === true
    const ratios = (['office', 'always'] as const).flatMap((scenario) => [
      `${isBound ? 'rarer than ' : ''}1 in ${rounded(1 / earlier[scenario])}`,
      ratio(find(machines, places, scenario), earlier[scenario], isBound),
      usesAllHosts(find(machines, places, scenario))
        ? ratio(find(machines, places, scenario, 'doubled'), earlier[scenario], isBound)
        : '',
    ])
    return [[`${machines}`, `${places}`, earlier.code, ...ratios]]
  })
  const head = ['then', 'now', 'now, doubling up']
  const office = head.map((one) => `office: ${one}`)
  const always = head.map((one) => `day and night: ${one}`)
  return tableOf(['machines', 'places', 'code', ...office, ...always], cells)
}

/** The part of the page between its marks. */
export function durabilityTables({ date, seed, effort, rows }: Results): string {
  const find = finder(rows)
  const years = rows.reduce((sum, row) => sum + row.years.years, 0)
  return [
    BEGIN,
    `${rounded(years)} pool-years were simulated on ${date} (seed ${seed}, effort ${effort}).`,
    ...(['office', 'always'] as const).flatMap((scenario) => [
      `### ${TITLES[scenario]}`,
      losses(find, scenario),
    ]),
    '### What repairs move, and when a restore has to wait',
    running(find),
    '### Beside an earlier simulation',
    comparison(find),
    END,
  ].join('\n\n')
}

/** The page with its tables replaced. */
export function withTables(page: string, results: Results): string {
  const begin = page.indexOf(BEGIN)
  const end = page.indexOf(END)
  if (begin < 0 || end < begin) throw new Error('docs/durability.md has lost its marks')
  return page.slice(0, begin) + durabilityTables(results) + page.slice(end + END.length)
}
