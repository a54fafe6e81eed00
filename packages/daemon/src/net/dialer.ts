/**
 * Reaching a host: at its own addresses and, when that takes long or fails, through hosts that both
 * sides reach.
 *
 * Any member that is directly connected may relay: it says itself whether it has the other one. So
 * no relay address has to be known, published or kept fresh.
 */

import type { Connection } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { MoyaiError, type Clock, type Random } from '@moyai/protocol'
import { addressOf, withoutPeerId } from './addresses.ts'
import { peerIdOfHex } from './identity.ts'
import * as limits from './limits.ts'
import type { Links } from './links.ts'
import type { Member } from './peers.ts'
import type { Node, Transports } from './transport.ts'

export type DialerOptions = {
  node: Node
  transports: Transports
  links: Links
  /** Connected members (hex), of whom the directly connected may relay. */
  connected: () => readonly string[]
}

function unreachable(text: string, cause?: unknown): MoyaiError {
  return new MoyaiError('HOST_UNREACHABLE', text, cause === undefined ? {} : { cause })
}

/** The first of several attempts that failed: it was at the host's own addresses. */
function firstOf(error: unknown): unknown {
  return error instanceof AggregateError ? (error.errors as unknown[])[0] : error
}

export class Dialer {
  readonly #o: DialerOptions
  readonly #clock: Clock
  readonly #random: Random
  /** The relay that was last good for a host, both in hex; members only, so it stays small. */
  readonly #lastRelay = new Map<string, string>()

  constructor(o: DialerOptions, components: { clock: Clock; random: Random }) {
    this.#o = o
    this.#clock = components.clock
    this.#random = components.random
  }

  /** At the member's own addresses. HOST_UNREACHABLE, IDENTITY_MISMATCH. */
  direct(member: Member, signal: AbortSignal): Promise<Connection> {
    return this.#dial(member, { signal, force: false })
  }

  /**
   * Opens a direct connection beside the one there is, to see whether that works; gives the
   * address, without the peer id. HOST_UNREACHABLE, IDENTITY_MISMATCH.
   */
  async again(member: Member, signal: AbortSignal): Promise<string> {
    const connection = await this.#dial(member, { signal, force: true })
    const address = withoutPeerId(connection.remoteAddr.toString())
    // Where only a relay led before, it is kept.
    if (this.#o.links.all(member.host).filter(({ direct }) => direct).length > 1) {
      await connection.close({ signal: AbortSignal.timeout(limits.FAREWELL_MS) })
    }
    return address
  }

  async #dial(member: Member, o: { signal: AbortSignal; force: boolean }): Promise<Connection> {
    const peer = peerIdOfHex(member.host)
    const addresses = member.addresses
      .map((text) => addressOf(text, peer))
      .filter((address) => address !== undefined)
    if (addresses.length === 0) throw unreachable('no usable address is known of this host')
    try {
      const timeout = AbortSignal.timeout(limits.DIAL_TIMEOUT_MS)
      const signal = AbortSignal.any([o.signal, timeout])
      return await this.#o.node.dial(addresses, { signal, force: o.force })
    } catch (cause) {
      if (cause instanceof Error && cause.name === 'UnexpectedPeerError') {
        throw new MoyaiError('IDENTITY_MISMATCH', 'another host answers at this address', { cause })
      }
      throw unreachable('the host does not answer at its addresses', cause)
    }
  }

  /**
   * Directly or through a relay, whichever is first. The attempt at its own addresses goes on after
   * a relay was faster. HOST_UNREACHABLE, IDENTITY_MISMATCH: as the host's own addresses failed.
   */
  async reach(member: Member, signal: AbortSignal): Promise<Connection> {
    const direct = this.direct(member, signal)
    const reached = new AbortController()
    const either = AbortSignal.any([signal, reached.signal])
    direct.then(
      () => reached.abort(),
      () => undefined,
    )
    try {
      return await Promise.any([direct, this.#relayed(member.host, direct, either)])
    } catch (error) {
      throw firstOf(error)
    }
  }

  /** Whether `host`, just connected, is a relay when there were few before. */
  isNewRelay(host: string): boolean {
    const dialed = (one: string): boolean => this.#o.links.direct(one)?.direction === 'outbound'
    return dialed(host) && this.#o.connected().filter(dialed).length <= limits.RELAYS_TRIED_MAX
  }

  /** Through one relay after the other, after the direct dial failed or had its head start. */
  async #relayed(host: string, direct: Promise<unknown>, signal: AbortSignal): Promise<Connection> {
    const failed = new Promise<void>((resolve) => {
      direct.catch(() => resolve())
    })
    await Promise.race([failed, this.#clock.sleep(limits.RELAY_HEAD_START_MS, signal)])
    for (const { relay, address } of this.#relays(host)) {
      signal.throwIfAborted()
      try {
        const timeout = AbortSignal.timeout(limits.DIAL_TIMEOUT_MS)
        const either = AbortSignal.any([signal, timeout])
        // Not `node.dial`: that joins the dial to the same host which is under way.
        const connection = await this.#o.transports.dial(address, { signal: either })
        this.#lastRelay.set(host, relay)
        return connection
      } catch {
        // It has no connection to the host, or does not relay: the next one may.
      }
    }
    throw unreachable('no host of the pool relays to this one')
  }

  /**
   * Who is asked to relay: the last that did; then those that this host dialed, because they are
   * reachable for others, too; in random order, so that over some attempts all are asked.
   */
  #relays(host: string): { relay: string; address: Multiaddr }[] {
    const last = this.#lastRelay.get(host)
    const candidates = this.#o.connected().flatMap((relay) => {
      const connection = relay === host ? undefined : this.#o.links.direct(relay)
      if (connection === undefined) return []
      const order = relay === last ? 0 : connection.direction === 'outbound' ? 1 : 2
      const chance = this.#random.bytes(1)[0] as number
      return [{ relay, connection, order, chance }]
    })
    return candidates
      .sort((a, b) => a.order - b.order || a.chance - b.chance)
      .slice(0, limits.RELAYS_TRIED_MAX)
      .map(({ relay, connection }) => ({
        relay,
        address: connection.remoteAddr.encapsulate(
          `/p2p-circuit/p2p/${peerIdOfHex(host).toString()}`,
        ),
      }))
  }
}
