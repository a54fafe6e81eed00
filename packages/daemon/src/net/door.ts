/**
 * Who may connect: certified hosts; whoever this host itself is asking to be let in; and, while an
 * invite is open, a few strangers for half a minute.
 */

import type { Connection, ConnectionGater, PeerId } from '@libp2p/interface'
import type { Clock } from '@moyai/protocol'
import { hexOfPeerId } from './identity.ts'
import { STRANGER_MS, STRANGERS_MAX } from './limits.ts'
import type { Membership } from './types.ts'

/** What a peer is to this host. */
export type Standing = 'member' | 'expected' | 'unknown'

export class Door {
  readonly #self: string
  readonly #membership: Membership
  readonly #clock: Clock
  /** Connections of hosts that are no members, with the time of their opening. */
  readonly #guests = new Map<Connection, number>()
  /** Hosts that are being asked before they are members, and how often at once. */
  readonly #expected = new Map<string, number>()

  constructor(self: string, components: { membership: Membership; clock: Clock }) {
    this.#self = self
    this.#membership = components.membership
    this.#clock = components.clock
  }

  /** Connections of hosts that are no members. */
  get guestCount(): number {
    return this.#guests.size
  }

  standing(peer: PeerId): Standing {
    const host = hexOfPeerId(peer)
    if (host === undefined || host === this.#self) return 'unknown'
    if (this.#membership.isMember(host)) return 'member'
    return this.#expected.has(host) ? 'expected' : 'unknown'
  }

  /** Whether a connection to or from `peer` may be made at all. */
  admits(peer: PeerId, inbound: boolean): boolean {
    if (this.standing(peer) !== 'unknown') return true
    const host = hexOfPeerId(peer)
    if (!inbound || host === undefined || host === this.#self) return false
    if (this.#membership.isRevoked?.(host) === true) return false
    return this.#membership.strangersWelcome() && this.#guests.size < STRANGERS_MAX
  }

  /** The same for libp2p, which asks at every step of a connection. */
  gater(): ConnectionGater {
    const isMember = (peer: PeerId): boolean => this.standing(peer) === 'member'
    return {
      denyDialPeer: (peer) => !this.admits(peer, false),
      denyOutboundEncryptedConnection: (peer) => !this.admits(peer, false),
      denyInboundEncryptedConnection: (peer) => !this.admits(peer, true),
      filterMultiaddrForPeer: (peer) => this.admits(peer, false),
      // A stranger is not brought by a relay, even while an invite is open.
      denyInboundRelayedConnection: (relay, remote) => !isMember(relay) || !isMember(remote),
    }
  }

  /**
   * A connection was made; false when it must be cut, because several can pass `admits` at once.
   */
  enter(connection: Connection): boolean {
    const standing = this.standing(connection.remotePeer)
    if (standing === 'member') return true
    if (standing === 'unknown' && this.#guests.size >= STRANGERS_MAX) return false
    this.#guests.set(connection, this.#clock.monotonic())
    return true
  }

  leave(connection: Connection): void {
    this.#guests.delete(connection)
  }

  /** Whether an open connection has lost its right to be: its host is neither member nor guest. */
  hasLostStanding(connection: Connection): boolean {
    return this.standing(connection.remotePeer) === 'unknown' && !this.#guests.has(connection)
  }

  /** Connections of guests that stayed too long; those that became members are guests no more. */
  overdue(): Connection[] {
    const now = this.#clock.monotonic()
    const late: Connection[] = []
    for (const [connection, since] of this.#guests) {
      if (this.standing(connection.remotePeer) === 'member') this.#guests.delete(connection)
      else if (now - since > STRANGER_MS) late.push(connection)
    }
    return late
  }

  /** While `act` runs, `host` may be dialed although it is no member. */
  async expecting<T>(host: string, act: () => Promise<T>): Promise<T> {
    this.#expected.set(host, (this.#expected.get(host) ?? 0) + 1)
    try {
      return await act()
    } finally {
      const left = (this.#expected.get(host) ?? 1) - 1
      if (left === 0) this.#expected.delete(host)
      else this.#expected.set(host, left)
    }
  }
}
