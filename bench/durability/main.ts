/**
 * `pnpm durability`: how often a pool loses backups, by simulated years, and how long a restore has
 * to wait, with the protocol's own planner.
 *
 * `node bench/durability/main.ts [--effort 1] [--workers 1] [--seed 1] [--out FILE] [--no-docs]`:
 * the whole study; some 25 minutes with one worker and effort 1. Results go to FILE
 * (bench/out/durability.json) and into docs/durability.md; `--render` only writes the page.
 *
 * `--machines 9 --sites 3 [--code 4+4] [--years 1000000] [--double-up]`: one pool, under your own
 * assumptions (`--double-up`: what if a host could stand in for another of the same stripe):
 * `--loss`, `--churn`, `--site-loss`, `--provider-loss`, `--rot` (each per year, 0.05 is 5 %),
 * `--gigabytes` per owner, `--megabits` per site, `--presumed-lost`, `--replaced` and
 * `--site-replaced` in days.
 */

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'

import type { Code } from '@moyai/protocol'

import { lineOf, PAGE, type Results, withTables } from './report.ts'
import { type Job, type Row, SCENARIOS, studyJobs } from './study.ts'
import { type World, WORLDS } from './world.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

const { values } = parseArgs({
  options: {
    effort: { type: 'string', default: '1' },
    workers: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    out: { type: 'string', default: join(ROOT, 'bench', 'out', 'durability.json') },
    docs: { type: 'boolean', default: true },
    render: { type: 'boolean', default: false },
    machines: { type: 'string' },
    sites: { type: 'string', default: '3' },
    code: { type: 'string' },
    'double-up': { type: 'boolean', default: false },
    years: { type: 'string', default: '200000' },
    loss: { type: 'string' },
    churn: { type: 'string' },
    'site-loss': { type: 'string' },
    'provider-loss': { type: 'string' },
    rot: { type: 'string' },
    gigabytes: { type: 'string' },
    megabits: { type: 'string' },
    'presumed-lost': { type: 'string' },
    replaced: { type: 'string' },
    'site-replaced': { type: 'string' },
  },
  allowNegative: true,
})

/** Options that change an assumption. */
const ASSUMPTIONS = {
  loss: 'machineLossPerYear',
  churn: 'churnPerYear',
  'site-loss': 'siteLossPerYear',
  'provider-loss': 'providerLossPerYear',
  rot: 'rotPerYear',
  gigabytes: 'gigabytesPerOwner',
  megabits: 'megabitsPerSite',
  'presumed-lost': 'presumedLostDays',
  replaced: 'replacedDays',
  'site-replaced': 'siteReplacedDays',
} as const satisfies Record<string, keyof World>

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

function numberOf(name: string, text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !(value >= 0)) throw new Error(`--${name} takes a number from 0 on`)
  return value
}

function codeOf(text: string): Code {
  const match = /^(\d{1,2})\+(\d{1,2})$/.exec(text)
  if (match === null || Number(match[1]) === 0) throw new Error('--code is written as 4+2')
  return { k: Number(match[1]), m: Number(match[2]) }
}

function worldOf(base: World): World {
  const world = { ...base }
  for (const [option, key] of Object.entries(ASSUMPTIONS)) {
    const text = values[option as keyof typeof ASSUMPTIONS]
    if (text !== undefined) world[key] = numberOf(option, text)
  }
  return world
}

function jobsOfOnePool(machines: string): Job[] {
  return SCENARIOS.map((scenario) => ({
    machines: numberOf('machines', machines),
    places: numberOf('sites', values.sites),
    scenario,
    world: worldOf(WORLDS[scenario]),
    seed: numberOf('seed', values.seed),
    yearsMax: numberOf('years', values.years),
    lossesMax: Number.POSITIVE_INFINITY,
    scheduleYears: 20,
    doublesUp: values['double-up'],
    ...(values.code === undefined ? {} : { code: codeOf(values.code) }),
  }))
}

/** Does all jobs, in order as far as workers are free; the rows come in the order of the jobs. */
async function runAll(jobs: readonly Job[], onRow: (row: Row) => void): Promise<Row[]> {
  const rows: Row[] = []
  let next = 0
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL('worker.ts', import.meta.url))
    try {
      for (let i = next++; i < jobs.length; i = next++) {
        rows[i] = await new Promise<Row>((settle, fail) => {
          worker.removeAllListeners()
          worker.once('message', settle).once('error', fail)
          worker.postMessage(jobs[i])
        })
        onRow(rows[i] as Row)
      }
    } finally {
      await worker.terminate()
    }
  }
  const workers = Math.max(1, numberOf('workers', values.workers))
  await Promise.all(Array.from({ length: workers }, work))
  return rows
}

async function writePage(results: Results): Promise<void> {
  await writeFile(PAGE, withTables(await readFile(PAGE, 'utf8'), results))
}

const out = resolve(values.out)
if (values.render) {
  await writePage(JSON.parse(await readFile(out, 'utf8')) as Results)
} else if (values.machines !== undefined) {
  await runAll(jobsOfOnePool(values.machines), (row) => say(lineOf(row)))
} else {
  const effort = numberOf('effort', values.effort)
  const seed = numberOf('seed', values.seed)
  const rows = await runAll(studyJobs({ seed, effort }), (row) => say(lineOf(row)))
  const results: Results = { date: new Date().toISOString().slice(0, 10), seed, effort, rows }
  await mkdir(dirname(out), { recursive: true })
  await writeFile(out, `${JSON.stringify(results)}\n`)
  if (values.docs) await writePage(results)
}
