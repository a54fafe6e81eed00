/**
 * What one host knows of the presence of all others. Columns are typed arrays with one slot per
 * host: an hour passes for a thousand hosts in microseconds, and nothing is allocated.
 */

import { domainOf, type HostFacts } from '../placement/hosts.ts'
import { WEEK_HOURS, PRESENCE_EXPECTED } from './rules.ts'

/** How a host is seen (spec/liveness.md §1). */
export const HOST_STATES = ['online', 'away', 'suspect', 'presumed-lost'] as const
export const ONLINE = 0
export const AWAY = 1
export const SUSPECT = 2
export const PRESUMED_LOST = 3

/** Why a host that has been missed for long enough is not presumed lost. */
export const HOLDS = ['none', 'domain', 'share'] as const
export const HOLD_NONE = 0
/** All hosts of its site or provider are silent, for less than a week. */
export const HOLD_DOMAIN = 1
/** Too many hosts were presumed lost within a week. */
export const HOLD_SHARE = 2

/** Columns that outlive a restart. All times: ms since 1970 by the observer's clock. */
export type LivenessMemory = {
  /** Hour-major: presence of slot `i` in hour `h` is at `h * hosts.length + i`. */
  patterns: Uint8Array
  /** Since when the host is watched. */
  knownSince: Float64Array
  /** When it was last connected; 0: never. */
  seenAt: Float64Array
  /** The absence clock: expected hours since it was last seen. */
  absentHours: Float64Array
  /** 1: presumed lost, until it is seen. */
  verdict: Uint8Array
  /** When the last such verdict fell; 0: never. */
  lostAt: Float64Array
}

export type LivenessTable = LivenessMemory & {
  /** All certified hosts but the observer (hex), ascending; the order of the slots. */
  hosts: readonly string[]
  slots: ReadonlyMap<string, number>
  /** How many hours of its week each host is expected in. */
  expectedHours: Uint8Array
  alwaysOn: Uint8Array
  /** 1: connected now. */
  connected: Uint8Array
  /** 1: was connected at some time of the present hour. */
  seenInHour: Uint8Array
  /** Until when its absence was announced; 0: it was not. */
  awayUntil: Float64Array
  /** 1: a person declared it lost, and it has not been seen since. */
  declaredLost: Uint8Array
  /** Index into HOST_STATES. */
  state: Uint8Array
  /** Index into HOLDS. */
  hold: Uint8Array
  /** 1: missed for as long as it takes to presume it lost, held back or not. */
  overdue: Uint8Array
  /** Since when the observer has been watching, without having been off for a week. */
  watchingSince: number
  /** Hosts that fail as one; groups of fewer than two hosts are left out. */
  groups: readonly LivenessGroup[]
  /** Scratch of `tickHour`: the weight of the hour for each host. */
  weights: Float64Array
}

/** The hosts of one site, or of one provider. */
export type LivenessGroup = {
  kind: 'site' | 'provider'
  name: string
  slots: readonly number[]
  /** The observer is one of them, so they are never all silent. */
  hasSelf: boolean
}

function groupsOf(
  self: string,
  hosts: readonly HostFacts[],
  slots: ReadonlyMap<string, number>,
): LivenessGroup[] {
  const groups = new Map<string, LivenessGroup & { slots: number[] }>()
  for (const host of hosts) {
    for (const kind of ['site', 'provider'] as const) {
      // Who runs its own machines fails with its site, which is a group already.
      if (kind === 'provider' && host.provider === 'self') continue
      const name = domainOf(host, kind)
      const key = `${kind} ${name}`
      const group = groups.get(key) ?? { kind, name, slots: [], hasSelf: false }
      groups.set(key, group)
      const slot = slots.get(host.id)
      if (slot !== undefined) group.slots.push(slot)
      if (host.id === self) group.hasSelf = true
    }
  }
  const all = [...groups.values()].filter((one) => one.slots.length + Number(one.hasSelf) >= 2)
  // Sites first, whatever the order of the hosts.
  return all.toSorted((a, b) =>
    a.kind === b.kind ? Number(a.name > b.name) : a.kind === 'site' ? -1 : 1,
  )
}

/**
 * A table for `hosts` (the observer may be among them), with what `before` has of them; whoever is
 * new is watched from `now` on.
 */
export function livenessTable(o: {
  self: string
  hosts: readonly HostFacts[]
  now: number
  before?: LivenessTable
}): LivenessTable {
  const facts = o.hosts
    .filter((host) => host.id !== o.self)
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const hosts = facts.map((host) => host.id)
  const n = hosts.length
  const slots = new Map(hosts.map((host, slot) => [host, slot]))
  const table: LivenessTable = {
    hosts,
    slots,
    patterns: new Uint8Array(WEEK_HOURS * n),
    knownSince: new Float64Array(n).fill(o.now),
    seenAt: new Float64Array(n),
    absentHours: new Float64Array(n),
    verdict: new Uint8Array(n),
    lostAt: new Float64Array(n),
    expectedHours: new Uint8Array(n),
    alwaysOn: Uint8Array.from(facts, (host) => Number(host.alwaysOn === true)),
    connected: new Uint8Array(n),
    seenInHour: new Uint8Array(n),
    awayUntil: new Float64Array(n),
    declaredLost: new Uint8Array(n),
    state: new Uint8Array(n).fill(AWAY),
    hold: new Uint8Array(n),
    overdue: new Uint8Array(n),
    watchingSince: o.before?.watchingSince ?? o.now,
    groups: groupsOf(o.self, o.hosts, slots),
    weights: new Float64Array(n),
  }
  if (o.before !== undefined) copyHosts(o.before, table)
  return table
}

const COPIED = [
  'knownSince',
  'seenAt',
  'absentHours',
  'verdict',
  'lostAt',
  'expectedHours',
  'connected',
  'seenInHour',
  'awayUntil',
  'declaredLost',
  'state',
  'hold',
  'overdue',
] as const

function copyHosts(before: LivenessTable, table: LivenessTable): void {
  for (const [host, slot] of table.slots) {
    const old = before.slots.get(host)
    if (old === undefined) continue
    for (const column of COPIED) table[column][slot] = before[column][old] as number
    for (let hour = 0; hour < WEEK_HOURS; hour++) {
      table.patterns[hour * table.hosts.length + slot] = before.patterns[
        hour * before.hosts.length + old
      ] as number
    }
  }
}

/** Takes what was remembered of a host; `pattern` is by hour of the week. */
export function recallHost(
  table: LivenessTable,
  slot: number,
  memory: {
    pattern: Uint8Array
    knownSince: number
    seenAt: number
    absentHours: number
    presumedLost: boolean
    lostAt: number
  },
): void {
  let expected = 0
  for (let hour = 0; hour < WEEK_HOURS; hour++) {
    const presence = memory.pattern[hour] ?? 0
    table.patterns[hour * table.hosts.length + slot] = presence
    if (presence >= PRESENCE_EXPECTED) expected++
  }
  table.expectedHours[slot] = expected
  table.knownSince[slot] = memory.knownSince
  table.seenAt[slot] = memory.seenAt
  table.absentHours[slot] = memory.absentHours
  table.verdict[slot] = Number(memory.presumedLost)
  table.lostAt[slot] = memory.lostAt
}

/** What `recallHost` takes: the week of one host, by hour. */
export function patternOf(table: LivenessTable, slot: number): Uint8Array {
  return Uint8Array.from(
    { length: WEEK_HOURS },
    (_, hour) => table.patterns[hour * table.hosts.length + slot] as number,
  )
}
