/**
 * The open connections to each host: which of them is used, and how the host is reached over it.
 *
 * A direct connection is always better than one through a relay. Between two direct ones both sides
 * keep the same: that which the lower id dialed, then the oldest.
 */

import type { Connection } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { isPrivate } from '@libp2p/utils'
import { toMoyaiError } from '@moyai/protocol'
import { hexOfPeerId, peerIdOfHex } from './identity.ts'
import type { Node } from './transport.ts'

/**
 * How a host is reached. `hole-punched`: directly over the Internet, after a relay had brought the
 * two together.
 * `relay`: the host (hex) that carries the bytes, when `via` is `relayed`.
 */
export type Link = {
  via: 'direct' | 'hole-punched' | 'relayed'
  relay?: string
  /** Whether this host opened the connection. */
  outbound: boolean
  /** Ms, absent before it was measured. */
  rttMs?: number
}

/** The host (hex) that relays this connection; undefined for a direct one. */
export function relayOf(connection: Connection): string | undefined {
  if (connection.direct) return undefined
  const first = connection.remoteAddr.getComponents().find(({ name }) => name === 'p2p')?.value
  return first === undefined ? undefined : hexOfPeerId(peerIdFromString(first))
}

export type LinksOptions = {
  /** This host in hex. */
  self: string
  node: Node
  /** Whether streams of this protocol are lanes, which keep a connection. */
  isLane: (protocol: string) => boolean
}

export class Links {
  readonly #o: LinksOptions
  /** Direct connections that took the place of a relayed one. */
  readonly #punched = new WeakSet<Connection>()

  constructor(o: LinksOptions) {
    this.#o = o
  }

  /** A connection was made. */
  opened(connection: Connection): void {
    // Within one office nothing was punched.
    if (!connection.direct || isPrivate(connection.remoteAddr)) return
    const others = this.#o.node.getConnections(connection.remotePeer)
    if (others.some((other) => !other.direct && other.status === 'open')) {
      this.#punched.add(connection)
    }
  }

  /** Open connections to `host`, the one to be used first. */
  all(host: string): Connection[] {
    const lowerDials = this.#o.self < host ? 'outbound' : 'inbound'
    const rank = ({ direct, direction }: Connection): number =>
      (direct ? 0 : 2) + (direction === lowerDials ? 0 : 1)
    return this.#o.node
      .getConnections(peerIdOfHex(host))
      .filter((connection) => connection.status === 'open')
      .sort((a, b) => rank(a) - rank(b) || a.timeline.open - b.timeline.open)
  }

  best(host: string): Connection | undefined {
    return this.all(host)[0]
  }

  direct(host: string): Connection | undefined {
    const best = this.best(host)
    return best?.direct === true ? best : undefined
  }

  /** How `host` is reached now; undefined when it is not connected. */
  link(host: string): Link | undefined {
    const connection = this.best(host)
    if (connection === undefined) return undefined
    const relay = relayOf(connection)
    const direct = this.#punched.has(connection) ? 'hole-punched' : 'direct'
    return {
      via: connection.direct ? direct : 'relayed',
      ...(relay === undefined ? {} : { relay }),
      outbound: connection.direction === 'outbound',
      ...(connection.rtt === undefined ? {} : { rttMs: connection.rtt }),
    }
  }

  /** Closes the connections that neither side keeps and no lane uses. */
  closeSurplus(host: string): void {
    for (const surplus of this.all(host).slice(1)) {
      // A stream without a protocol is being negotiated: it may become a lane.
      const used = surplus.streams.some(
        ({ protocol }) => protocol === '' || this.#o.isLane(protocol),
      )
      if (!used) surplus.close().catch((error: unknown) => surplus.abort(toMoyaiError(error)))
    }
  }
}
