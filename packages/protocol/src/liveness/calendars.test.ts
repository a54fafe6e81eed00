/** Liveness against calendars: what offices, holidays, routers and clocks do to it. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'

import type { HostFacts } from '../placement/hosts.ts'
import {
  classify,
  HOLD_DOMAIN,
  HOLD_SHARE,
  HOLDS,
  HOST_STATES,
  HOUR_MS,
  hostDown,
  hostUp,
  livenessTable,
  skipHours,
  tickHour,
  type LivenessTable,
} from './index.ts'

/** A Monday, midnight. */
const START = Date.UTC(2026, 0, 5)
const DAY = 24
const WEEK = 7 * DAY

type Kind = { site?: string; provider?: string; alwaysOn?: boolean }
/** Whether the host is on in the hour (0: the first of the first Monday). */
type Calendar = (hour: number) => boolean
type Machine = Kind & { name: string; on: Calendar }

const always: Calendar = () => true
const never: Calendar = () => false
const office: Calendar = (hour) => {
  const day = Math.floor(hour / DAY) % 7
  return day < 5 && hour % DAY >= 8 && hour % DAY < 18
}
const until =
  (end: number, on: Calendar): Calendar =>
  (hour) =>
    hour < end && on(hour)
const except =
  (from: number, to: number, on: Calendar): Calendar =>
  (hour) =>
    (hour < from || hour >= to) && on(hour)

function factsOf(machines: readonly Machine[]): HostFacts[] {
  return machines.map(({ name, site, provider, alwaysOn }) => ({
    id: name,
    org: 'o',
    site: site ?? name,
    provider: provider ?? 'self',
    alwaysOn: alwaysOn === true,
    online: true,
    freeBytes: 1,
  }))
}

/** An observer named `0` and the machines around it, hour by hour. */
class World {
  readonly machines: readonly Machine[]
  readonly table: LivenessTable
  /** Whether the observer is connected to anything. */
  isOnline: Calendar = always
  hour = 0
  /** What has been seen of each machine, hour by hour, without repetitions. */
  readonly history = new Map<string, string[]>()

  constructor(machines: readonly Machine[]) {
    this.machines = machines
    const self = factsOf([{ name: '0', on: always, site: 'here' }])
    const hosts = [...self, ...factsOf(machines)]
    this.table = livenessTable({ self: '0', hosts, now: START })
  }

  get now(): number {
    return START + this.hour * HOUR_MS
  }

  run(hours: number): void {
    for (const end = this.hour + hours; this.hour < end;) {
      for (const { name, on } of this.machines) {
        const slot = this.slot(name)
        const isUp = on(this.hour) && this.isOnline(this.hour)
        if (isUp && this.table.connected[slot] === 0) hostUp(this.table, slot, this.now)
        if (!isUp) hostDown(this.table, slot, this.now)
        // Who went in the first moment of the hour was not there in it.
        if (!isUp) this.table.seenInHour[slot] = 0
      }
      this.hour++
      tickHour(this.table, this.now - HOUR_MS, this.now)
      this.judge()
    }
  }

  judge(): void {
    classify(this.table, this.now)
    for (const { name } of this.machines) {
      const seen = this.history.get(name) ?? []
      if (seen.at(-1) !== this.state(name)) seen.push(this.state(name))
      this.history.set(name, seen)
    }
  }

  slot(name: string): number {
    return this.table.slots.get(name) as number
  }

  state(name: string): string {
    return HOST_STATES[this.table.state[this.slot(name)] as number] as string
  }

  hold(name: string): string {
    return HOLDS[this.table.hold[this.slot(name)] as number] as string
  }

  /** Machines that were ever presumed lost. */
  everLost(): string[] {
    return [...this.history].flatMap(([name, seen]) => (seen.includes('presumed-lost') ? name : []))
  }

  /** Hours from now until the machine is in that state, at most `most`. */
  hoursUntil(name: string, state: string, most: number): number {
    const from = this.hour
    while (this.hour - from < most && this.state(name) !== state) this.run(1)
    return this.state(name) === state ? this.hour - from : Number.POSITIVE_INFINITY
  }
}

const desks = (count: number, on: Calendar = office): Machine[] =>
  Array.from({ length: count }, (_, i) => ({ name: `desk${i}`, on }))
const servers = (count: number): Machine[] =>
  Array.from({ length: count }, (_, i) => ({ name: `server${i}`, alwaysOn: true, on: always }))

test('nights and weekends: nobody is ever missed', () => {
  const world = new World([...desks(4), ...servers(2)])
  world.run(20 * WEEK)
  for (const [name, seen] of world.history) {
    assert.deepEqual(new Set(seen).size > 2, false, `${name}: ${seen.join()}`)
  }
})

test('an office machine that dies: suspect after a week, lost after twelve working days', () => {
  const world = new World([...desks(4), { name: 'dead', on: until(6 * WEEK, office) }])
  world.run(6 * WEEK)
  const suspect = world.hoursUntil('dead', 'suspect', 4 * WEEK)
  const lost = suspect + world.hoursUntil('dead', 'presumed-lost', 8 * WEEK)
  // Four days of ten hours, then twelve, two weekends among them.
  assert.equal(suspect, 3 * DAY + 18)
  assert.equal(lost, 2 * WEEK + DAY + 18)
})

test('a server that dies: suspect after a day, lost after three', () => {
  const world = new World([
    ...servers(4),
    { name: 'dead', alwaysOn: true, on: until(4 * WEEK, always) },
  ])
  world.run(4 * WEEK)
  assert.equal(world.hoursUntil('dead', 'suspect', WEEK), 24)
  assert.equal(world.hoursUntil('dead', 'presumed-lost', WEEK), 48)
})

test('a host that never came is lost too, in the end', () => {
  const world = new World([...desks(4), { name: 'dead', on: never }])
  assert.ok(world.hoursUntil('dead', 'presumed-lost', 4 * WEEK) <= 4 * WEEK)
})

test('a holiday week freezes the clock', () => {
  const closed = except(8 * WEEK, 10 * WEEK, office)
  const world = new World([...desks(6, closed), ...servers(2)])
  world.run(8 * WEEK)
  world.run(2 * WEEK)
  // The first hours of the first day are counted by nobody either.
  for (let i = 0; i < 6; i++) assert.equal(world.table.absentHours[world.slot(`desk${i}`)], 0)
  world.run(4 * WEEK)
  assert.deepEqual(world.everLost(), [])
})

test('the laptop on a trip of ten days is suspect, not lost', () => {
  const trip = except(8 * WEEK, 9 * WEEK + 3 * DAY, office)
  const world = new World([...desks(4), { name: 'laptop', on: trip }])
  world.run(9 * WEEK + 3 * DAY)
  assert.equal(world.state('laptop'), 'suspect')
  world.run(WEEK)
  assert.deepEqual(world.everLost(), [])
  assert.ok((world.table.expectedHours[world.slot('laptop')] as number) >= 50, 'its week is known')
})

test('a trip that was announced stops the clock', () => {
  const trip = except(8 * WEEK, 14 * WEEK, office)
  const world = new World([...desks(4), { name: 'laptop', on: trip }])
  world.run(8 * WEEK)
  world.table.awayUntil[world.slot('laptop')] = world.now + 6 * WEEK * HOUR_MS
  world.run(6 * WEEK)
  assert.equal(world.state('laptop'), 'away')
  assert.equal(world.table.absentHours[world.slot('laptop')], 0)
  assert.equal(world.table.expectedHours[world.slot('laptop')], 50)
})

test('an announced absence ends, and then the clock runs', () => {
  const world = new World([...desks(4), { name: 'dead', on: until(8 * WEEK, office) }])
  world.run(8 * WEEK)
  world.table.awayUntil[world.slot('dead')] = world.now + 2 * WEEK * HOUR_MS
  world.run(2 * WEEK)
  assert.equal(world.hoursUntil('dead', 'presumed-lost', 8 * WEEK), 2 * WEEK + DAY + 18)
})

test('where clocks are put forward, nobody is missed', () => {
  const shifted: Calendar = (hour) => office(hour >= 12 * WEEK ? hour + 1 : hour)
  const world = new World([...desks(5, shifted), ...servers(2)])
  world.run(12 * WEEK)
  world.run(4 * WEEK)
  for (const [name, seen] of world.history) assert.ok(!seen.includes('suspect'), name)
  const slot = world.slot('desk0')
  assert.equal(world.table.expectedHours[slot], 50)
})

test('the router of a site is broken: none of its hosts is lost for a week', () => {
  const cut = except(8 * WEEK, 9 * WEEK - 1, always)
  const annex = Array.from({ length: 3 }, (_, i): Machine => {
    return { name: `annex${i}`, site: 'annex', alwaysOn: true, on: cut }
  })
  const world = new World([...servers(6), ...annex])
  world.run(8 * WEEK)
  world.run(4 * DAY)
  assert.equal(world.state('annex0'), 'suspect')
  assert.equal(world.hold('annex0'), HOLDS[HOLD_DOMAIN])
  assert.equal(world.table.overdue[world.slot('annex0')], 1)
  world.run(WEEK)
  assert.deepEqual(world.everLost(), [])
})

test('a site that burnt down is lost after a week, a quarter of the pool at a time', () => {
  const annex = Array.from({ length: 3 }, (_, i): Machine => {
    return { name: `annex${i}`, site: 'annex', alwaysOn: true, on: until(8 * WEEK, always) }
  })
  const world = new World([...servers(5), ...annex])
  world.run(8 * WEEK)
  assert.equal(world.hoursUntil('annex0', 'presumed-lost', 4 * WEEK), WEEK)
  // Nine hosts in all: two a week.
  assert.deepEqual(world.everLost(), ['annex0', 'annex1'])
  assert.equal(world.hold('annex2'), HOLDS[HOLD_SHARE])
  world.run(WEEK)
  assert.deepEqual(world.everLost(), ['annex0', 'annex1', 'annex2'])
})

test('a person who declares a site lost is believed at once, until a host of it is seen', () => {
  const annex = Array.from({ length: 3 }, (_, i): Machine => {
    const on = i === 0 ? except(8 * WEEK, 8 * WEEK + 20, always) : until(8 * WEEK, always)
    return { name: `annex${i}`, site: 'annex', alwaysOn: true, on }
  })
  const world = new World([...servers(5), ...annex])
  world.run(8 * WEEK + 2)
  for (const { name } of annex) world.table.declaredLost[world.slot(name)] = 1
  world.judge()
  assert.deepEqual(world.everLost(), ['annex0', 'annex1', 'annex2'])
  world.run(DAY)
  assert.equal(world.state('annex0'), 'online')
  assert.equal(world.state('annex1'), 'presumed-lost')
})

test('one company has an outage: its hosts at two sites are held back', () => {
  const clouds = [0, 1].map((i): Machine => {
    return { name: `cloud${i}`, provider: 'cloud', alwaysOn: true, on: until(8 * WEEK, always) }
  })
  const world = new World([...servers(6), ...clouds])
  world.run(8 * WEEK + 4 * DAY)
  assert.equal(world.hold('cloud1'), HOLDS[HOLD_DOMAIN])
  assert.deepEqual(world.everLost(), [])
})

test('our own outage: nobody is missed for it', () => {
  const world = new World([...servers(5), ...desks(5)])
  world.isOnline = except(8 * WEEK, 12 * WEEK, always)
  world.run(13 * WEEK)
  for (const [name, seen] of world.history) assert.ok(!seen.includes('suspect'), name)
})

test('the observer was off for a month: it begins where it stopped', () => {
  const world = new World([
    ...servers(5),
    { name: 'dead', alwaysOn: true, on: until(WEEK, always) },
  ])
  world.run(WEEK + 20)
  const from = world.now
  world.hour += 4 * WEEK
  skipHours(world.table, from, world.now)
  world.judge()
  assert.equal(world.state('dead'), 'away')
  assert.equal(world.hoursUntil('dead', 'presumed-lost', WEEK), 52)
})

test('a host whose clock drifts changes nothing: only the observer has one', () => {
  // Its day is 23 hours long: at no hour of the week is it on by habit.
  const drifting: Calendar = (hour) => hour % 23 < 10
  const world = new World([...servers(5), { name: 'drifts', on: drifting }])
  world.run(30 * WEEK)
  assert.deepEqual(world.everLost(), [])
})

test('one that is presumed lost stays so while others are held back, and is back at once', () => {
  const world = new World([
    ...servers(3),
    { name: 'dead', site: 'annex', on: except(6 * WEEK, 12 * WEEK, always) },
    ...[1, 2].map((i): Machine => ({ name: `annex${i}`, site: 'annex', on: office })),
  ])
  world.run(12 * WEEK)
  assert.deepEqual(world.history.get('dead')?.slice(-2), ['suspect', 'presumed-lost'])
  world.run(1)
  assert.equal(world.state('dead'), 'online')
})

test('property: who is seen once a week is never lost', () => {
  const visits = fc.record({
    hour: fc.integer({ min: 0, max: WEEK - 1 }),
    hours: fc.integer({ min: 1, max: 20 }),
    other: fc.constantFrom(office, always),
  })
  fc.assert(
    fc.property(visits, ({ hour, hours, other }) => {
      const on: Calendar = (at) => (at + WEEK - hour) % WEEK < hours
      const world = new World([...desks(4, other), { name: 'rare', on }])
      world.run(16 * WEEK)
      assert.deepEqual(world.everLost(), [])
    }),
    { numRuns: 40 },
  )
})

test('property: who is gone for ever is lost in the end, if most others are there', () => {
  const life = fc.record({
    on: fc.array(fc.boolean(), { minLength: WEEK, maxLength: WEEK }),
    end: fc.integer({ min: 0, max: 10 * WEEK }),
    alwaysOn: fc.boolean(),
  })
  fc.assert(
    fc.property(life, ({ on, end, alwaysOn }) => {
      const calendar = until(end, (hour) => on[hour % WEEK] === true)
      const world = new World([...servers(3), { name: 'dead', alwaysOn, on: calendar }])
      world.run(end)
      assert.ok(world.hoursUntil('dead', 'presumed-lost', 14 * WEEK) < 14 * WEEK)
    }),
    { numRuns: 30 },
  )
})

test('property: names and their order do not matter, and a quarter is the most in a week', () => {
  const machine = fc.record({
    site: fc.constantFrom('a', 'b', 'c'),
    alwaysOn: fc.boolean(),
    end: fc.integer({ min: 1, max: 6 * WEEK }),
  })
  fc.assert(
    fc.property(fc.array(machine, { minLength: 1, maxLength: 9 }), (specs) => {
      const machines = specs.map(({ site, alwaysOn, end }, i): Machine => {
        return { name: `m${i}`, site, alwaysOn, on: until(end, always) }
      })
      const one = new World([...servers(6), ...machines])
      const other = new World([...machines.toReversed(), ...servers(6).toReversed()])
      let before = 0
      const losses: number[] = []
      for (let hour = 0; hour < 9 * WEEK; hour++) {
        one.run(1)
        other.run(1)
        const lost = one.everLost().length
        losses.push(lost - before)
        before = lost
        const week = losses.slice(-WEEK).reduce((sum, count) => sum + count, 0)
        assert.ok(week <= Math.max(1, Math.floor((specs.length + 7) / 4)))
      }
      assert.deepEqual([...one.table.state], [...other.table.state])
      assert.deepEqual([...one.table.lostAt], [...other.table.lostAt])
    }),
    { numRuns: 20 },
  )
})
