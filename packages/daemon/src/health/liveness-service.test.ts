import assert from 'node:assert/strict'
import { test } from 'node:test'

import { HOUR_MS, type HostFacts } from '@moyai/protocol'

import { ManualClock } from '../clock.ts'
import { openMemoryDatabase } from '../database/index.ts'
import { silentLogger } from '../logger.ts'
import { LivenessService } from './liveness-service.ts'
import type { HostState, SaidAbsence } from './ports.ts'

const SELF = hexOf(0)

function hexOf(i: number): string {
  return i.toString(16).padStart(64, '0')
}

function facts(i: number, site: string, alwaysOn = true): HostFacts {
  const free = { online: true, freeBytes: 1 }
  return { id: hexOf(i), org: 'o', site, provider: 'self', alwaysOn, ...free }
}

class FakeNetwork {
  readonly up = new Set<string>()
  readonly #listeners = { 'peer:up': new Set<Hear>(), 'peer:down': new Set<Hear>() }

  connected(): string[] {
    return [...this.up]
  }

  isConnected(host: string): boolean {
    return this.up.has(host)
  }

  on(event: 'peer:up' | 'peer:down', listener: Hear): () => void {
    this.#listeners[event].add(listener)
    return () => this.#listeners[event].delete(listener)
  }

  set(host: string, isUp: boolean): void {
    if (isUp) this.up.add(host)
    else this.up.delete(host)
    for (const hear of this.#listeners[isUp ? 'peer:up' : 'peer:down']) hear(host)
  }
}

type Hear = (host: string) => void

function world(o: { hosts?: HostFacts[] } = {}) {
  // A Monday, midnight.
  const clock = new ManualClock(Date.UTC(2026, 0, 5))
  const network = new FakeNetwork()
  const database = openMemoryDatabase()
  const said = { absences: new Map<string, SaidAbsence>() }
  const pool = {
    self: SELF,
    members: o.hosts ?? [0, 1, 2, 3, 4, 5].map((i) => facts(i, `s${i}`)),
    hosts: () => pool.members,
    absences: () => said.absences,
  }
  const make = () =>
    new LivenessService({}, { pool, network, clock, database, logger: silentLogger })
  return { clock, network, database, pool, said, make }
}

async function hours(clock: ManualClock, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await clock.advance(HOUR_MS)
}

test('liveness: an always-on host is missed after a day, and lost after three', async () => {
  const { clock, network, make } = world()
  const service = make()
  for (let i = 1; i <= 5; i++) network.set(hexOf(i), true)
  await service.start()
  const states: HostState[] = []
  service.onChange(() => states.push(service.stateOf(hexOf(1))))
  await hours(clock, 24)
  network.set(hexOf(1), false)
  await hours(clock, 100)
  assert.deepEqual(states, ['away', 'suspect', 'presumed-lost'])
  network.set(hexOf(1), true)
  assert.equal(service.stateOf(hexOf(1)), 'online')
  assert.equal(service.stateOf(SELF), 'online')
  await service.stop()
})

test('liveness: what was learned outlives a restart', async () => {
  const { clock, network, make } = world()
  const before = make()
  for (let i = 2; i <= 5; i++) network.set(hexOf(i), true)
  await before.start()
  await hours(clock, 80)
  assert.equal(before.stateOf(hexOf(1)), 'presumed-lost')
  await before.stop()
  const after = make()
  await after.start()
  assert.equal(after.stateOf(hexOf(1)), 'presumed-lost')
  assert.equal(after.presenceOf(hexOf(1))?.absentHours, before.presenceOf(hexOf(1))?.absentHours)
  await after.stop()
})

test('liveness: hours in which this host was off count for nothing', async () => {
  const { clock, network, make } = world()
  for (let i = 2; i <= 5; i++) network.set(hexOf(i), true)
  const before = make()
  await before.start()
  await hours(clock, 20)
  await before.stop()
  await hours(clock, 1000)
  const after = make()
  await after.start()
  await hours(clock, 3)
  assert.equal(after.stateOf(hexOf(1)), 'away')
  assert.equal(after.presenceOf(hexOf(1))?.absentHours, 23)
  await after.stop()
})

test('liveness: its own clock may be set, and nobody is lost for it', async () => {
  const { clock, network, make } = world()
  const service = make()
  for (let i = 1; i <= 5; i++) network.set(hexOf(i), true)
  await service.start()
  await hours(clock, 5)
  network.set(hexOf(1), false)
  for (const days of [400, -800, 3]) {
    clock.jump(days * 24 * HOUR_MS)
    await hours(clock, 3)
    assert.equal(service.stateOf(hexOf(1)), 'away')
  }
  assert.ok((service.presenceOf(hexOf(1))?.absentHours ?? 99) < 10)
  await service.stop()
})

test('liveness: a damaged record is forgotten', async () => {
  const { database, make } = world()
  const table = database.table('liveness', { cache: true })
  await table.put(new TextEncoder().encode('presence'), new Uint8Array([1, 2, 3]))
  const service = make()
  await service.start()
  assert.equal(service.stateOf(hexOf(1)), 'away')
  await service.stop()
})

test('liveness: hosts join and leave while it runs', async () => {
  const { clock, network, pool, make } = world()
  const service = make()
  network.set(hexOf(2), true)
  await service.start()
  await hours(clock, 2)
  pool.members = [...pool.members.filter(({ id }) => id !== hexOf(1)), facts(9, 's9')]
  network.set(hexOf(9), true)
  assert.equal(service.stateOf(hexOf(9)), 'online')
  assert.equal(service.stateOf(hexOf(2)), 'online')
  assert.equal(service.presenceOf(hexOf(1)), undefined)
  await service.stop()
})

test('liveness: announced absence, and a declared loss that the host itself refutes', async () => {
  const { clock, network, said, make } = world()
  const service = make()
  for (let i = 1; i <= 5; i++) network.set(hexOf(i), true)
  await service.start()
  network.set(hexOf(1), false)
  said.absences = new Map([[hexOf(1), { awayUntil: clock.now() + 200 * HOUR_MS }]])
  await hours(clock, 150)
  assert.equal(service.stateOf(hexOf(1)), 'away')
  said.absences = new Map([[hexOf(1), { lost: 'bb'.repeat(32) }]])
  await service.turn()
  assert.equal(service.stateOf(hexOf(1)), 'presumed-lost')
  network.set(hexOf(1), true)
  network.set(hexOf(1), false)
  await service.turn()
  assert.equal(service.stateOf(hexOf(1)), 'away')
  await service.stop()
  const again = make()
  await again.start()
  assert.equal(again.stateOf(hexOf(1)), 'away', 'that it was refuted is remembered')
  said.absences = new Map([[hexOf(1), { lost: 'cc'.repeat(32) }]])
  await again.turn()
  assert.equal(again.stateOf(hexOf(1)), 'presumed-lost', 'a new declaration counts')
  await again.stop()
})

test('liveness: a silent site holds its hosts back, and is told once', async () => {
  const hosts = [facts(0, 'here'), ...[1, 2].map((i) => facts(i, 'annex'))]
  const others = [3, 4, 5, 6].map((i) => facts(i, `s${i}`))
  const { clock, network, make } = world({ hosts: [...hosts, ...others] })
  const service = make()
  for (let i = 1; i <= 6; i++) network.set(hexOf(i), true)
  await service.start()
  await hours(clock, 2)
  for (const i of [1, 2]) network.set(hexOf(i), false)
  await hours(clock, 50)
  assert.deepEqual(service.silentDomains(), [])
  await hours(clock, 40)
  const annex = { kind: 'site', name: 'annex', hosts: [hexOf(1), hexOf(2)] }
  assert.deepEqual(service.silentDomains(), [annex])
  assert.equal(service.stateOf(hexOf(1)), 'suspect')
  assert.equal(service.presenceOf(hexOf(1))?.held, 'domain')
  assert.equal(service.wouldBeLost(hexOf(1)), true)
  network.set(hexOf(2), true)
  await hours(clock, 1)
  assert.deepEqual(service.silentDomains(), [])
  assert.equal(service.stateOf(hexOf(1)), 'presumed-lost')
  await service.stop()
})
