/**
 * Who should be connected, who is, and when to try again.
 *
 * libp2p forgets addresses after an hour, peers after six, and stops reconnecting after five tries.
 * A backup daemon runs for years beside machines that are off every night, so this table is our
 * own: it follows the membership, dials for ever with a capped, jittered wait, and lets the host
 * with the lower id dial first, so that two hosts seldom open two connections.
 *
 * Absent on purpose: timers and sockets. The network calls `refresh`; dialing is a callback.
 */

import {
  compareBytes,
  fromHex,
  toMoyaiError,
  type Clock,
  type MoyaiError,
  type Random,
} from '@moyai/protocol'
import {
  CONNECTION_STABLE_MS,
  DIAL_DEFERENCE_MS,
  DIALS_PARALLEL_MAX,
  PEER_ADDRESSES_MAX,
  RECONNECT_MS_MAX,
  RECONNECT_MS_MIN,
  RETURN_MS_MAX,
  UPGRADE_MS_MAX,
  UPGRADE_MS_MIN,
} from './limits.ts'
import type { Link } from './links.ts'

/**
 * Another host of the pool as membership knows it. `addresses` are multiaddrs; more than 16 are not
 * tried.
 */
export type Member = { host: string; addresses: readonly string[] }

/**
 * A peer's state. `lastSeen` in ms since the epoch, absent when never seen by this process; `rttMs`
 * of the present or the last connection; `link` while connected; `problem`: why the last attempt to
 * reach it (directly, when it is relayed) failed.
 */
export type PeerState = {
  host: string
  connected: boolean
  lastSeen?: number
  rttMs?: number
  link?: Link
  problem?: MoyaiError
}

/** What the table needs of the connections. */
export type PeerLinks = {
  /** How the host is reached; undefined when it is not connected. */
  connected: (host: string) => Link | undefined
  /** Opens a connection; rejects when no address answers and nobody relays. */
  dial: (member: Member, signal: AbortSignal) => Promise<void>
  /** Opens a direct connection beside the relayed one; rejects when no address answers. */
  upgrade: (member: Member, signal: AbortSignal) => Promise<void>
  changed: (host: string, connected: boolean) => void
}

type Entry = {
  member: Member
  connectedSince: number | undefined
  lastSeen: number | undefined
  rttMs: number | undefined
  /** When its last connection was lost. */
  lostAt: number | undefined
  failures: number
  dialAt: number
  dialing: boolean
  link: Link | undefined
  problem: MoyaiError | undefined
  /** Failed attempts to do without the relay, and when the next one is due. */
  upgrades: number
  upgradeAt: number
}

/**
 * Wait before the next dial after `failures` failed ones; `chance` from 0 to 1 spreads it over its
 * upper half.
 */
export function reconnectDelayMs(failures: number, chance: number): number {
  const full = Math.min(RECONNECT_MS_MAX, RECONNECT_MS_MIN * 2 ** Math.min(failures, 16))
  return full * (0.5 + 0.5 * chance)
}

/** The same for attempts to do without a relay. */
export function upgradeDelayMs(failures: number, chance: number): number {
  const full = Math.min(UPGRADE_MS_MAX, UPGRADE_MS_MIN * 2 ** Math.min(failures, 16))
  return full * (0.5 + 0.5 * chance)
}

export class PeerTable {
  readonly #self: string
  readonly #links: PeerLinks
  readonly #clock: Clock
  readonly #random: Random
  readonly #entries = new Map<string, Entry>()
  readonly #stop = new AbortController()
  #dials = 0

  constructor(
    options: { self: string; links: PeerLinks },
    components: { clock: Clock; random: Random },
  ) {
    this.#self = options.self
    this.#links = options.links
    this.#clock = components.clock
    this.#random = components.random
  }

  /**
   * Takes over the present members, notices who came and went, and begins the dials that are due.
   */
  refresh(members: Iterable<Member>): void {
    const now = this.#clock.monotonic()
    const present = new Set<string>()
    for (const member of members) {
      if (member.host === this.#self) continue
      present.add(member.host)
      this.#update(member, now)
    }
    for (const [host, entry] of this.#entries) {
      if (present.has(host)) continue
      this.#entries.delete(host)
      if (entry.connectedSince !== undefined) this.#links.changed(host, false)
    }
    for (const entry of this.#entries.values()) this.#notice(entry, now)
    for (const entry of this.#entries.values()) {
      if (this.#dials >= DIALS_PARALLEL_MAX) break
      if (this.#isDue(entry, now)) void this.#dial(entry)
      else if (this.#isUpgradeDue(entry, now)) void this.#upgrade(entry)
    }
  }

  /**
   * Makes everybody who is not connected be dialed soon, whatever they waited for: the
   * circumstances have changed.
   */
  hurry(): void {
    const now = this.#clock.monotonic()
    for (const entry of this.#entries.values()) {
      if (entry.connectedSince !== undefined) entry.upgradeAt = now
      else entry.dialAt = Math.min(entry.dialAt, now + this.#deferenceMs(entry.member.host))
    }
  }

  /** Whether a host that was lost a moment ago may be back in another. */
  isReturning(): boolean {
    const since = this.#clock.monotonic() - RETURN_MS_MAX
    return [...this.#entries.values()].some(({ connectedSince, lostAt }) => {
      return connectedSince === undefined && lostAt !== undefined && lostAt >= since
    })
  }

  isConnected(host: string): boolean {
    return this.#entries.get(host)?.connectedSince !== undefined
  }

  list(): PeerState[] {
    return [...this.#entries.values()].map((entry) => ({
      host: entry.member.host,
      connected: entry.connectedSince !== undefined,
      ...(entry.lastSeen === undefined ? {} : { lastSeen: entry.lastSeen }),
      ...(entry.rttMs === undefined ? {} : { rttMs: entry.rttMs }),
      ...(entry.link === undefined ? {} : { link: entry.link }),
      ...(entry.problem === undefined ? {} : { problem: entry.problem }),
    }))
  }

  /** Ends the dials under way. */
  stop(): void {
    this.#stop.abort()
  }

  #update(member: Member, now: number): void {
    const entry = this.#entries.get(member.host)
    if (entry === undefined) {
      this.#entries.set(member.host, {
        member,
        connectedSince: undefined,
        lastSeen: undefined,
        rttMs: undefined,
        lostAt: undefined,
        failures: 0,
        dialAt: now + this.#deferenceMs(member.host),
        dialing: false,
        link: undefined,
        problem: undefined,
        upgrades: 0,
        upgradeAt: now,
      })
      return
    }
    // A new address is news: the wait of the old ones does not count.
    const known = new Set(entry.member.addresses)
    if (member.addresses.some((address) => !known.has(address))) {
      entry.failures = 0
      entry.dialAt = Math.min(entry.dialAt, now + this.#deferenceMs(member.host))
      entry.upgrades = 0
      entry.upgradeAt = now
    }
    entry.member = member
  }

  /** The lower id dials at once, the higher one only when that did not help. */
  #deferenceMs(host: string): number {
    return compareBytes(fromHex(this.#self), fromHex(host)) < 0 ? 0 : DIAL_DEFERENCE_MS
  }

  #notice(entry: Entry, now: number): void {
    const link = this.#links.connected(entry.member.host)
    const { host } = entry.member
    entry.link = link
    if (link !== undefined) {
      entry.lastSeen = this.#clock.now()
      entry.rttMs = link.rttMs
      if (link.via !== 'relayed') entry.problem = undefined
      if (entry.connectedSince !== undefined) {
        if (now - entry.connectedSince >= CONNECTION_STABLE_MS) entry.failures = 0
        return
      }
      entry.connectedSince = now
      entry.upgrades = 0
      entry.upgradeAt = now
      this.#links.changed(host, true)
      return
    }
    if (entry.connectedSince === undefined) return
    const lastedMs = now - entry.connectedSince
    entry.connectedSince = undefined
    entry.lostAt = now
    // One that was cut at once keeps the wait that its dial began with.
    if (lastedMs >= CONNECTION_STABLE_MS) entry.dialAt = now + this.#deferenceMs(host)
    this.#links.changed(host, false)
  }

  #isDue(entry: Entry, now: number): boolean {
    const idle = entry.connectedSince === undefined && !entry.dialing
    return idle && now >= entry.dialAt
  }

  #isUpgradeDue(entry: Entry, now: number): boolean {
    const relayed = entry.link?.via === 'relayed' && !entry.dialing
    return relayed && entry.member.addresses.length > 0 && now >= entry.upgradeAt
  }

  #dial(entry: Entry): Promise<void> {
    const dial = (member: Member): Promise<void> => this.#links.dial(member, this.#stop.signal)
    return this.#attempt(entry, dial, (now) => {
      // Also after a success: a host that denies us lets the dial succeed, and cuts the connection.
      entry.dialAt = now + reconnectDelayMs(entry.failures, this.#chance())
      entry.failures += 1
    })
  }

  #upgrade(entry: Entry): Promise<void> {
    const dial = (member: Member): Promise<void> => this.#links.upgrade(member, this.#stop.signal)
    return this.#attempt(entry, dial, (now) => {
      entry.upgradeAt = now + upgradeDelayMs(entry.upgrades, this.#chance())
      entry.upgrades += 1
    })
  }

  async #attempt(
    entry: Entry,
    dial: (member: Member) => Promise<void>,
    postpone: (now: number) => void,
  ): Promise<void> {
    entry.dialing = true
    this.#dials += 1
    const { host, addresses } = entry.member
    try {
      await dial({ host, addresses: addresses.slice(0, PEER_ADDRESSES_MAX) })
    } catch (error) {
      // A machine that is off is no event; the state shows who is not connected, and why.
      entry.problem = toMoyaiError(error)
    } finally {
      postpone(this.#clock.monotonic())
      entry.dialing = false
      this.#dials -= 1
    }
  }

  #chance(): number {
    return (this.#random.bytes(1)[0] as number) / 255
  }
}
