/** One seed: faults for years, then calm, until all that can heal has healed. */

import type { MakeServices } from './host.ts'
import { startFaults } from './faults.ts'
import { Invariants, surplusCopies, unhealed } from './invariants.ts'
import { Violation } from './journal.ts'
import { storeAtOnce } from './owner.ts'
import { DAY_MS, HOUR_MS, YEAR_MS } from './time.ts'
import { shortKey } from './truth.ts'
import { World, type Mutation } from './world.ts'

export type RunOptions = {
  seed: string
  hosts: number
  years: number
  beyondBudget?: boolean
  mutation?: Mutation | undefined
  /** Classes of faults that are on; drawn when absent. */
  only?: ReadonlySet<string> | undefined
  trace?: ((line: string) => void) | undefined
  makeServices: MakeServices
}

export type RunResult = {
  seed: string
  hash: string
  hosts: number
  /** Hosts times years that they were simulated. */
  hostYears: number
  stripes: number
  /** Classes of faults that were on. */
  faults: string[]
  /** What happened how often. */
  counts: Record<string, number>
  lostShards: number
  healedShards: number
  lostStripes: number
  worstHealHours: number
  /** From the end of faults until everything was whole. */
  calmHours: number
  surplusLeft: number
  movedBytes: number
  cpuMs: number
  instants: number
  violation?: { invariant: string; time: number; text: string; tail: string[] }
}

/**
 * How long everything may take to be whole once faults stopped: a host that is gone counts as lost
 * after 120 hours in which it was expected, which is 17 days of an office and more with holidays;
 * whole sites are waited for 7 days more, and no more than a quarter of the holders is given up in
 * a week; damage is found within the 30 days of a scrub.
 */
const HEAL_MS: number = 75 * DAY_MS
/** Copies too many are gone so long after that: the wait of 30 days, and checks around it. */
const TRIM_MS: number = 60 * DAY_MS
const STRIPES_PER_OWNER: readonly [number, number] = [2, 5]

export async function runSeed(o: RunOptions): Promise<RunResult> {
  const began = process.cpuUsage()
  const world = new World({ ...o, beyondBudget: o.beyondBudget ?? false })
  const invariants = new Invariants(world)
  world.invariants = invariants
  const faults: string[] = []
  let calmHours = 0
  try {
    for (const host of world.hosts) {
      if (host.vault !== undefined) storeAtOnce(world, host, world.dice.int(...STRIPES_PER_OWNER))
    }
    // The day on which everybody was there, and told the others what it has.
    for (const host of world.hosts) host.switchOn()
    await advance(world, DAY_MS / 2)
    world.startHabits()
    faults.push(...startFaults(world, o.only))
    world.journal.note('faults', faults.join(' '))
    await advance(world, o.years * YEAR_MS)
    calmHours = await becomeWhole(world)
    await world.end()
    if (world.journal.violation !== undefined) throw world.journal.violation
  } catch (error) {
    if (!(error instanceof Violation)) {
      world.journal.violate('no-crash', error instanceof Error ? `${error.stack}` : 'not an error')
    }
  }
  const { user, system } = process.cpuUsage(began)
  return resultOf(world, { faults, calmHours, cpuMs: (user + system) / 1000, years: o.years })
}

/** Lets time pass hour by hour, and looks at all invariants between. */
async function advance(world: World, milliseconds: number): Promise<void> {
  const end = world.time.now + milliseconds
  while (world.time.now < end) {
    await world.time.run(Math.min(end, world.time.now + HOUR_MS))
    world.invariants?.check()
    if (world.journal.violation !== undefined) throw world.journal.violation
  }
}

/** Faults stop: gives the hours until everything was whole. */
async function becomeWhole(world: World): Promise<number> {
  world.becomeCalm()
  world.journal.note('calm', `${unhealed(world).length} stripes to heal`)
  const began = world.time.now
  while (unhealed(world).length > 0) {
    if (world.time.now - began > HEAL_MS) {
      const left = unhealed(world)
      const names = left
        .slice(0, 5)
        .map((stripe) => `${shortKey(stripe)} ${describe(world, stripe)}`)
      world.journal.violate('heals', `${left.length} stripes are not whole: ${names.join('; ')}`)
      break
    }
    await advance(world, 6 * HOUR_MS)
  }
  const hours = (world.time.now - began) / HOUR_MS
  if (world.o.trims === true) await advance(world, TRIM_MS)
  return hours
}

function describe(world: World, stripe: ReturnType<typeof unhealed>[number]): string {
  const places = stripe.intact.map((holders) =>
    [...holders].map((id) => world.byId.get(id)?.name).join('/'),
  )
  return `${stripe.code.k}+${stripe.code.m} [${places.join(' ')}]`
}

function resultOf(
  world: World,
  o: { faults: string[]; calmHours: number; cpuMs: number; years: number },
): RunResult {
  const { figures } = world.truth
  const { violation } = world.journal
  return {
    seed: world.seed,
    hash: world.journal.digest(),
    hosts: world.hosts.length,
    hostYears: (world.hosts.length * world.time.now) / YEAR_MS,
    stripes: world.truth.stripes.size,
    faults: o.faults,
    counts: Object.fromEntries([...world.journal.counts].sort(([a], [b]) => (a < b ? -1 : 1))),
    lostShards: figures.lostShards,
    healedShards: figures.healedShards,
    lostStripes: figures.lostStripes,
    worstHealHours: figures.worstHealMs / HOUR_MS,
    calmHours: o.calmHours,
    surplusLeft: surplusCopies(world),
    movedBytes: world.traffic.get + world.traffic.put,
    cpuMs: o.cpuMs,
    instants: world.time.instants,
    ...(violation === undefined
      ? {}
      : {
          violation: {
            invariant: violation.invariant,
            time: violation.time,
            text: violation.message,
            tail: world.journal.tail(),
          },
        }),
  }
}
