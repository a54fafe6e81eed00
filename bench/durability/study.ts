/** One row of the study, and which rows there are. */

import type { Code } from '@moyai/protocol'

import { type Waiting, waiting } from './hours.ts'
import { PoolYears, type Years } from './pool-years.ts'
import { Sfc32 } from './random.ts'
import { recommendedCode, shapeOf } from './shape.ts'
import { type Scenario, type World, WORLDS } from './world.ts'

/** Can be sent to a worker. */
export type Job = {
  machines: number
  places: number
  scenario: Scenario
  /** The planner's own when absent. */
  code?: Code
  world: World
  /** Hosts may have several shards of a stripe while others are gone; placement never does that. */
  doublesUp?: boolean
  seed: number
  /** Stops after so many pool-years, or once so many losses were seen. */
  yearsMax: number
  lossesMax: number
  scheduleYears: number
}

export type Row = {
  job: Job
  code: Code
  margin: number
  years: Years
  waiting: Waiting
  seconds: number
}

/** Years between two looks at whether enough losses were seen. */
const YEARS_AT_ONCE = 1_000

/** Codes of others, on the same machines: three copies, and what Tahoe-LAFS takes by default. */
export const COPIES: Code = { k: 1, m: 2 }
export const TAHOE: Code = { k: 3, m: 7 }

/** Machines of a pool (one the owner's own), and the numbers of places they are dealt out over. */
export const SHAPES: readonly { machines: number; places: readonly number[] }[] = [
  { machines: 4, places: [1, 2, 3] },
  { machines: 5, places: [1, 2, 3, 4] },
  { machines: 6, places: [1, 2, 3, 4, 5] },
  { machines: 9, places: [1, 2, 3, 4, 6, 8] },
  { machines: 12, places: [1, 2, 3, 4, 6, 8] },
  { machines: 20, places: [1, 2, 3, 4, 6, 8] },
  { machines: 40, places: [1, 2, 3, 4, 6, 8] },
]

export const SCENARIOS: readonly Scenario[] = ['office', 'always']

/** Same job, same row, whichever worker does it. */
export function simulateRow(job: Job): Row {
  const began = performance.now()
  const { machines, places, scenario, world, seed } = job
  const { code, doublesUp = false } = job
  const shape = shapeOf({ machines, placeCount: places, groups: world.groups, code, doublesUp })
  const pool = new PoolYears(shape, world, new Sfc32(seed, streamOf(job)))
  const years: Years = { years: 0, losses: 0, movedShare: 0 }
  while (years.years < job.yearsMax && years.losses < job.lossesMax) {
    const more = pool.run(Math.min(YEARS_AT_ONCE, job.yearsMax - years.years))
    years.years += more.years
    years.losses += more.losses
    years.movedShare += more.movedShare
  }
  const random = new Sfc32(seed, ~streamOf(job))
  const waits = waiting({ shape, world, scenario, random, years: job.scheduleYears })
  const seconds = (performance.now() - began) / 1000
  return { job, code: shape.code, margin: shape.margin, years, waiting: waits, seconds }
}

/** A number of its own for each row, so that no two rows live the same years. */
function streamOf({ machines, places, scenario, code, doublesUp }: Job): number {
  const ofCode = code === undefined ? Number(doublesUp === true) : 64 * code.k + code.m
  return ((machines * 64 + places) * 4096 + ofCode) * 2 + SCENARIOS.indexOf(scenario)
}

/**
 * All rows. `effort` 1 is some seconds for each that sees few losses: events per year grow with the
 * hosts, and so does the cost of each.
 */
export function studyJobs(o: { seed: number; effort: number }): Job[] {
  const jobs: Job[] = []
  for (const { machines, places: counts } of SHAPES) {
    const yearsMax = Math.ceil((o.effort * 1.2e7) / (machines - 1) ** 1.15)
    for (const places of counts) {
      for (const scenario of SCENARIOS) {
        const head = { machines, places, scenario, world: WORLDS[scenario], seed: o.seed }
        const limits = { lossesMax: 400, scheduleYears: 20 }
        jobs.push({ ...head, ...limits, yearsMax })
        const { k, m } = recommendedCode(machines, places)
        for (const code of [COPIES, TAHOE]) {
          if (code.k === k && code.m === m) continue
          jobs.push({ ...head, ...limits, yearsMax: Math.ceil(yearsMax / 2), code })
        }
        // What the earlier simulation let hosts do; it matters where all of them have a shard.
        if (places > 1 && k + m === machines - 1) {
          jobs.push({ ...head, ...limits, yearsMax: Math.ceil(yearsMax / 2), doublesUp: true })
        }
      }
    }
  }
  return jobs
}
