/**
 * What goes wrong. Whole classes of faults are on or off for a seed, at rates of its own (swarm
 * testing). Faults that destroy something ask the budget first: while every stripe keeps more
 * intact shards than it needs, in truth, a loss is the fault of the software.
 */

import type { Dice } from './dice.ts'
import type { SimHost } from './host.ts'
import type { Lie } from './store.ts'
import { DAY_MS, HOUR_MS, MINUTE_MS } from './time.ts'
import type { World } from './world.ts'

/** Intact shards beyond k that a stripe keeps after any fault. */
const RESERVE = 1

type Fault = {
  name: string
  /** How often, per host and year or, with `pool`, per pool and year; drawn between these. */
  rate: readonly [number, number]
  pool?: boolean
  strike: (world: World, dice: Dice) => void
}

/** What would be lost is less than every stripe can do without. */
export function isAffordable(world: World, hosts: ReadonlySet<string>): boolean {
  if (world.o.beyondBudget) return true
  for (const stripe of world.truth.stripes.values()) {
    if (!stripe.acknowledged || stripe.lost) continue
    let left = 0
    for (const holders of stripe.intact) {
      for (const holder of holders) {
        if (hosts.has(holder)) continue
        left += 1
        break
      }
    }
    if (left < stripe.code.k + RESERVE && left < stripe.distinct) return false
  }
  return true
}

/** One shard can be done without. */
function canLoseShard(world: World, host: SimHost): boolean {
  return isAffordable(world, new Set([host.id]))
}

function anyHost(world: World, dice: Dice): SimHost | undefined {
  const living = world.living()
  return living.length === 0 ? undefined : dice.pick(living)
}

function after(world: World, milliseconds: number, act: () => void): void {
  world.time.after(milliseconds, () => {
    if (!world.calm) act()
  })
}

// ---- machines -----------------------------------------------------------------------------------

function crash(world: World, dice: Dice): void {
  const host = anyHost(world, dice)
  if (host === undefined || !host.on) return
  host.switchOff(true)
  after(world, dice.int(1, 600) * MINUTE_MS, () => {
    if (world.time.now >= host.awayUntil && host.habits.kind === 'always-on') host.switchOn()
  })
}

function loseDisk(world: World, dice: Dice): void {
  const host = anyHost(world, dice)
  if (host === undefined || !isAffordable(world, new Set([host.id]))) return
  world.journal.note('fault disk-loss', `${host.name} (${host.store.count} shards)`)
  host.switchOff(true)
  host.wipe('a lost disk')
  host.awayUntil = world.time.now + dice.int(0, 10) * DAY_MS
}

/** The machine is gone with all that is on it; a new one comes in its place, as a new host. */
function loseMachine(world: World, dice: Dice, host: SimHost): void {
  world.bury(host, 'a lost machine')
  after(world, dice.int(1, 20) * DAY_MS, () => {
    const heir = world.addHost(world.hosts.length, host.labels)
    world.journal.note('join', `${heir.name} in place of ${host.name}`)
    world.follow(heir)
  })
}

function loseOneMachine(world: World, dice: Dice): void {
  const host = anyHost(world, dice)
  if (host === undefined || !isAffordable(world, new Set([host.id]))) return
  world.journal.note('fault machine-loss', host.name)
  loseMachine(world, dice, host)
}

function loseDomain(world: World, dice: Dice, kind: 'site' | 'provider'): void {
  const living = world.living()
  const domains = new Set(
    living.map(({ labels }) => labels[kind]).filter((name) => name !== 'self'),
  )
  if (domains.size === 0) return
  const domain = dice.pick([...domains].sort())
  const struck = living.filter(({ labels }) => labels[kind] === domain)
  // A pool that has lost its only place, or most of itself, has nothing left to heal with.
  if (struck.length * 2 > living.length && !world.o.beyondBudget) return
  if (!isAffordable(world, new Set(struck.map(({ id }) => id)))) return
  world.journal.note(`fault ${kind}-loss`, `${domain} (${struck.length} hosts)`)
  for (const host of struck) loseMachine(world, dice, host)
}

function silenceDomain(world: World, dice: Dice, kind: 'site' | 'provider'): void {
  const domains = new Set(world.hosts.map(({ labels }) => labels[kind]))
  if (domains.size < 2) return
  const domain = dice.pick([...domains].sort())
  world.journal.note(`fault ${kind}-outage`, domain)
  // Within a site hosts see one another; those of a provider are each for themselves.
  world.fabric.partition((id) => {
    const host = world.byId.get(id)
    if (host?.labels[kind] !== domain) return 0
    return kind === 'site' ? 1 : host.node.number + 2
  })
  after(world, dice.int(1, 240) * HOUR_MS, () => world.fabric.partition(() => 0))
}

function partition(world: World, dice: Dice): void {
  const parts = new Map(world.hosts.map(({ id }) => [id, dice.int(0, 1)]))
  world.journal.note('fault partition', `${parts.size} hosts`)
  world.fabric.partition((id) => parts.get(id) ?? 0)
  after(world, dice.int(1, 336) * HOUR_MS, () => world.fabric.partition(() => 0))
}

function breakLink(world: World, dice: Dice): void {
  const [from, to] = dice.shuffle(world.living())
  if (from === undefined || to === undefined) return
  const unnoticed = dice.chance(0.3)
  world.journal.note('fault one-way', `${from.name} to ${to.name}${unnoticed ? ', mute' : ''}`)
  world.fabric.cut(from.id, to.id, unnoticed)
  const lasts = unnoticed ? dice.int(1, 60) * MINUTE_MS : dice.int(1, 72) * HOUR_MS
  after(world, lasts, () => world.fabric.mend(from.id, to.id))
}

// ---- disks --------------------------------------------------------------------------------------

function damage(world: World, dice: Dice, kind: 'rot' | 'drop'): void {
  const host = anyHost(world, dice)
  if (host === undefined || !canLoseShard(world, host)) return
  const shards = [...host.store.shards()].filter(({ intact }) => intact)
  if (shards.length === 0) return
  const { stripe, index } = dice.pick(shards)
  world.journal.note(`fault ${kind}`, `${host.name} shard ${index} of ${stripe.key.slice(65, 71)}`)
  if (kind === 'rot') host.store.rot(stripe, index, dice.int(0, 3))
  else host.store.drop(stripe, index, 'a lost file')
}

function lie(world: World, dice: Dice): void {
  const host = anyHost(world, dice)
  const liars = world.hosts.filter(({ store }) => store.lie !== undefined).length
  // Hosts that do not lie have to be enough to hold a stripe.
  if (host === undefined || liars * 10 >= world.hosts.length) return
  if (!isAffordable(world, new Set([host.id]))) return
  const kind = dice.pick<Lie>(['group0', 'garbage', 'claims'])
  world.journal.note('fault lie', `${host.name} ${kind}`)
  host.store.beginLie(kind)
}

function fillDisk(world: World, dice: Dice): void {
  const host = anyHost(world, dice)
  if (host === undefined) return
  world.journal.note('fault full', host.name)
  host.store.full = true
  world.factsVersion += 1
  after(world, dice.int(1, 60) * DAY_MS, () => {
    host.store.full = false
    world.factsVersion += 1
  })
}

function unmount(world: World, dice: Dice): void {
  const host = anyHost(world, dice)
  if (host === undefined) return
  world.journal.note('fault unmounted', host.name)
  host.store.offline = true
  after(world, dice.int(1, 100) * HOUR_MS, () => {
    host.store.offline = false
  })
}

// ---- clocks, lines, people ----------------------------------------------------------------------

function jumpClock(world: World, dice: Dice): void {
  const host = anyHost(world, dice)
  if (host === undefined) return
  const far = dice.pick([HOUR_MS, 10 * DAY_MS, 400 * DAY_MS])
  const by = Math.round((2 * dice.unit() - 1) * far)
  world.journal.note('fault clock', `${host.name} by ${Math.round(by / MINUTE_MS)} minutes`)
  host.clock.jump(by)
  after(world, dice.int(1, 48) * HOUR_MS, () => host.clock.correct())
}

function slowDown(world: World, dice: Dice): void {
  const host = anyHost(world, dice)
  if (host === undefined) return
  world.journal.note('fault slow', host.name)
  host.node.bytesPerSecond = world.shape.bytesPerSecond / 50
  after(world, dice.int(1, 200) * HOUR_MS, () => {
    host.node.bytesPerSecond = world.shape.bytesPerSecond
  })
}

function goAway(world: World, dice: Dice): void {
  const host = anyHost(world, dice)
  if (host === undefined) return
  const days = dice.int(10, 200)
  world.journal.note('fault absence', `${host.name} ${days} days`)
  host.awayUntil = Math.max(host.awayUntil, world.time.now + days * DAY_MS)
}

function retire(world: World, dice: Dice): void {
  const host = anyHost(world, dice)
  if (host === undefined || world.living().length <= 4) return
  world.retire(host)
}

function join(world: World): void {
  if (world.hosts.length >= 2 * world.o.hosts) return
  const host = world.addHost(world.hosts.length)
  world.journal.note('join', host.name)
  world.follow(host)
}

const FAULTS: readonly Fault[] = [
  { name: 'crash', rate: [1, 12], strike: crash },
  { name: 'disk-loss', rate: [0.1, 0.6], strike: loseDisk },
  { name: 'machine-loss', rate: [0.05, 0.3], strike: loseOneMachine },
  { name: 'site-loss', rate: [0.5, 2], pool: true, strike: (w, d) => loseDomain(w, d, 'site') },
  {
    name: 'provider-loss',
    rate: [0.5, 2],
    pool: true,
    strike: (w, d) => loseDomain(w, d, 'provider'),
  },
  { name: 'site-outage', rate: [1, 6], pool: true, strike: (w, d) => silenceDomain(w, d, 'site') },
  {
    name: 'provider-outage',
    rate: [1, 6],
    pool: true,
    strike: (w, d) => silenceDomain(w, d, 'provider'),
  },
  { name: 'partition', rate: [1, 6], pool: true, strike: partition },
  { name: 'one-way', rate: [0.5, 3], strike: breakLink },
  { name: 'rot', rate: [0.2, 2], strike: (w, d) => damage(w, d, 'rot') },
  { name: 'drop', rate: [0.1, 1], strike: (w, d) => damage(w, d, 'drop') },
  { name: 'lie', rate: [0.5, 2], pool: true, strike: lie },
  { name: 'full', rate: [0.1, 0.5], strike: fillDisk },
  { name: 'unmounted', rate: [0.1, 0.5], strike: unmount },
  { name: 'clock', rate: [0.1, 1], strike: jumpClock },
  { name: 'slow', rate: [0.1, 1], strike: slowDown },
  { name: 'absence', rate: [0.05, 0.3], strike: goAway },
  { name: 'retire', rate: [0.5, 2], pool: true, strike: retire },
  { name: 'join', rate: [0.5, 3], pool: true, strike: join },
]

/** Names of all classes of faults, for `--only` and `--without`. */
export const FAULT_NAMES: readonly string[] = [...FAULTS.map(({ name }) => name), 'messages']

/** Lets faults strike from now on, until the world is calm. Gives the classes that are on. */
export function startFaults(world: World, only?: ReadonlySet<string>): string[] {
  const dice = world.dice.fork('faults')
  const chosen: string[] = []
  for (const fault of FAULTS) {
    const own = dice.fork(fault.name)
    const isOn = only === undefined ? own.chance(0.6) : only.has(fault.name)
    if (!isOn) continue
    chosen.push(fault.name)
    const [low, high] = fault.rate
    const rate = (low + (high - low) * own.unit()) * (fault.pool === true ? 1 : world.o.hosts)
    const next = (): void => {
      after(world, own.wait(rate), () => {
        fault.strike(world, own)
        next()
      })
    }
    next()
  }
  if (only === undefined ? dice.chance(0.5) : only.has('messages')) {
    chosen.push('messages')
    const loss = dice.pick([0, 0.02, 0.2])
    const duplicate = dice.pick([0, 0.02, 0.3])
    const late = dice.pick([0, 0.02, 0.2])
    world.fabric.chaos = { loss, duplicate, late, lateSeconds: dice.pick([5, 60, 600]) }
  }
  return chosen
}
