/**
 * The table of peers: dialing for ever, waiting politely, and knowing members longer than libp2p
 * does.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compareBytes, fromHex, MoyaiError } from '@moyai/protocol'
import * as fc from 'fast-check'
import { ManualClock } from '../clock.ts'
import { SeededRandom } from '../random.ts'
import {
  CONNECTION_STABLE_MS,
  DIAL_DEFERENCE_MS,
  DIALS_PARALLEL_MAX,
  RECONNECT_MS_MAX,
  RECONNECT_MS_MIN,
  UPGRADE_MS_MAX,
  UPGRADE_MS_MIN,
} from './limits.ts'
import type { Link } from './links.ts'
import { PeerTable, reconnectDelayMs, type Member } from './peers.ts'

const LOW = '11'.repeat(32)
const HIGH = '22'.repeat(32)
const DAY_MS = 24 * 3600 * 1000

/** A table whose dials and connections the test decides. */
function setUp(self: string): {
  table: PeerTable
  clock: ManualClock
  dialed: { host: string; at: number }[]
  connected: Set<string>
  events: string[]
  upgraded: number[]
  link: Link
  answer: { dial: (host: string) => Promise<void> }
} {
  const clock = new ManualClock()
  const dialed: { host: string; at: number }[] = []
  const connected = new Set<string>()
  const events: string[] = []
  const upgraded: number[] = []
  const link: Link = { via: 'direct', outbound: true, rttMs: 3 }
  const answer = {
    dial: async (): Promise<void> => {
      throw new MoyaiError('HOST_UNREACHABLE', 'off')
    },
  }
  const links = {
    connected: (host: string) => (connected.has(host) ? { ...link } : undefined),
    upgrade: async (): Promise<void> => {
      upgraded.push(clock.monotonic())
      throw new MoyaiError('HOST_UNREACHABLE', 'behind a router')
    },
    dial: async ({ host }: Member): Promise<void> => {
      dialed.push({ host, at: clock.monotonic() })
      await answer.dial()
    },
    changed: (host: string, up: boolean) => {
      events.push(`${up ? 'up' : 'down'} ${host.slice(0, 2)}`)
    },
  }
  const table = new PeerTable({ self, links }, { clock, random: new SeededRandom(1) })
  return { table, clock, dialed, connected, events, upgraded, link, answer }
}

const member = (host: string): Member => ({ host, addresses: ['/ip4/192.0.2.1/tcp/1'] })

test('goal (trap 12): a host that is off for a month is dialed to the end, at least once a minute', async () => {
  const { table, clock, dialed } = setUp(LOW)
  // Method: ticks of ten seconds over a day, then hourly jumps over a month.
  for (let at = 0; at < DAY_MS; at += 10_000) {
    table.refresh([member(HIGH)])
    await Promise.resolve()
    await clock.advance(10_000)
  }
  assert.ok(dialed.length >= DAY_MS / (RECONNECT_MS_MAX + 10_000), `${dialed.length} dials a day`)
  const gaps = dialed.slice(1).map(({ at }, i) => at - (dialed[i] as { at: number }).at)
  assert.ok(Math.max(...gaps) <= RECONNECT_MS_MAX + 10_000)
  const before = dialed.length
  for (let day = 0; day < 30; day++) {
    await clock.advance(DAY_MS)
    table.refresh([member(HIGH)])
    await clock.advance(0)
  }
  assert.equal(dialed.length, before + 30)
})

test('goal (trap 13): a member stays in the table however long it is away, and only membership removes it', async () => {
  const { table, clock, connected, events } = setUp(LOW)
  connected.add(HIGH)
  table.refresh([member(HIGH)])
  const seen = clock.now()
  connected.delete(HIGH)
  table.refresh([member(HIGH)])
  await clock.advance(400 * DAY_MS)
  table.refresh([member(HIGH)])
  const [{ problem, ...state } = { host: '', connected: true }, ...others] = table.list()
  assert.deepEqual(state, { host: HIGH, connected: false, lastSeen: seen, rttMs: 3 })
  assert.equal(problem?.message, 'off', 'why it is not connected')
  assert.deepEqual(others, [])
  table.refresh([])
  assert.deepEqual(table.list(), [])
  assert.deepEqual(events, ['up 22', 'down 22'])
})

test('goal: waits double up to a minute, spread over their upper half', () => {
  fc.assert(
    fc.property(fc.nat(5000), fc.float({ min: 0, max: 1, noNaN: true }), (failures, chance) => {
      const delay = reconnectDelayMs(failures, chance)
      assert.ok(delay >= RECONNECT_MS_MIN / 2 && delay <= RECONNECT_MS_MAX)
      if (failures > 6) assert.ok(delay >= RECONNECT_MS_MAX / 2)
    }),
  )
})

test('goal: the lower id dials at once, the higher only when that did not help', async () => {
  assert.ok(compareBytes(fromHex(LOW), fromHex(HIGH)) < 0)
  const low = setUp(LOW)
  low.table.refresh([member(HIGH), member(LOW)])
  assert.deepEqual(
    low.dialed.map(({ host }) => host),
    [HIGH],
    'and nobody dials itself',
  )
  const high = setUp(HIGH)
  high.table.refresh([member(LOW)])
  await high.clock.advance(DIAL_DEFERENCE_MS - 1)
  high.table.refresh([member(LOW)])
  assert.equal(high.dialed.length, 0)
  await high.clock.advance(1)
  high.table.refresh([member(LOW)])
  assert.equal(high.dialed.length, 1)
})

test('goal: a peer that takes connections and drops them is not redialed in a frenzy', async () => {
  const { table, clock, dialed, connected, answer } = setUp(LOW)
  answer.dial = async () => void connected.add(HIGH)
  for (let at = 0; at < 600_000; at += 100) {
    table.refresh([member(HIGH)])
    await clock.advance(100)
    // Cut by the other side right after the handshake, as a gater does.
    connected.delete(HIGH)
  }
  assert.ok(dialed.length < 30, `${dialed.length} dials in ten minutes`)
})

test('goal: a connection that lasted is followed by a quick redial; a new address ends a long wait', async () => {
  const { table, clock, dialed, connected } = setUp(LOW)
  connected.add(HIGH)
  table.refresh([member(HIGH)])
  await clock.advance(CONNECTION_STABLE_MS)
  table.refresh([member(HIGH)])
  connected.delete(HIGH)
  table.refresh([member(HIGH)])
  assert.equal(dialed.length, 1)
  for (let i = 0; i < 200; i++) {
    await clock.advance(RECONNECT_MS_MAX)
    table.refresh([member(HIGH)])
  }
  const before = dialed.length
  await clock.advance(1)
  table.refresh([{ host: HIGH, addresses: ['/ip4/192.0.2.99/tcp/1'] }])
  assert.equal(dialed.length, before + 1)
})

test('goal: a pool of hundreds that is all off is dialed ten at a time', () => {
  const { table, dialed, answer } = setUp(LOW)
  answer.dial = () => new Promise(() => {})
  const all = Array.from({ length: 300 }, (_, i) =>
    member((i + 0x3000).toString(16).padStart(64, 'f')),
  )
  table.refresh(all)
  table.refresh(all)
  assert.equal(dialed.length, DIALS_PARALLEL_MAX)
})

test('goal: a relayed host is dialed directly at once, then ever more seldom, and again when it has new addresses', async () => {
  const { table, clock, connected, upgraded, link, dialed } = setUp(LOW)
  connected.add(HIGH)
  Object.assign(link, { via: 'relayed', relay: '33'.repeat(32) })
  table.refresh([member(HIGH)])
  assert.equal(upgraded.length, 1)
  for (let at = 0; at < DAY_MS; at += 10_000) {
    table.refresh([member(HIGH)])
    await clock.advance(10_000)
  }
  const gaps = upgraded.slice(1).map((at, i) => at - (upgraded[i] as number))
  assert.ok((gaps[0] as number) <= UPGRADE_MS_MIN + 10_000)
  assert.ok(Math.max(...gaps) <= UPGRADE_MS_MAX + 10_000)
  assert.ok(upgraded.length <= DAY_MS / (UPGRADE_MS_MAX / 2) + 16, `${upgraded.length} a day`)
  const before = upgraded.length
  table.refresh([{ host: HIGH, addresses: ['/ip4/192.0.2.9/tcp/1'] }])
  assert.equal(upgraded.length, before + 1)
  assert.equal(dialed.length, 0, 'it is connected all the time')
  await clock.advance(0)
  link.via = 'hole-punched'
  await clock.advance(DAY_MS)
  table.refresh([member(HIGH)])
  assert.equal(upgraded.length, before + 1, 'a direct connection is not replaced')
})
