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

type Find = (machines: number, places: number, scenario: Scenario, code?: Code) => Row

function finder(rows: readonly Row[]): Find {
  const key = (o: { machines: number; places: number; scenario: Scenario; code?: Code }): string =>
    `${o.machines} ${o.places} ${o.scenario} ${o.code === undefined ? '' : codeText(o.code)}`
  const known = new Map(rows.map((row) => [key(row.job), row]))
  return (machines, places, scenario, code) => {
    const row = known.get(key({ machines, places, scenario, ...(code && { code }) }))
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
    const others = [COPIES, TAHOE].map((code) => find(machines, places, scenario, code))
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

function ratio(row: Row, earlier: number, bound: boolean): string {
  const { losses: seen, years } = row.years
  if (bound || seen === 0)
    return `– (${oneIn(row.years)} now; ${bound ? 'under ' : ''}1 in ${rounded(1 / earlier)} then)`
  return `${(seen / years / earlier).toFixed(1)} ×`
}

function comparison(find: Find): string {
  const cells = shapes.flatMap(([machines = 0, places = 0]) => {
    const earlier = EARLIER[`${machines}/${places}`]
    if (earlier === undefined) return []
    const isBound = earlier.bound === true
    const row = find(machines, places, 'office')
    const ratios = (['office', 'always'] as const).map((scenario) =>
      ratio(find(machines, places, scenario), earlier[scenario], isBound),
    )
    return [[`${machines}`, `${places}`, codeText(row.code), ...ratios]]
  })
  return tableOf(['machines', 'places', 'code', 'office', 'day and night'], cells)
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
