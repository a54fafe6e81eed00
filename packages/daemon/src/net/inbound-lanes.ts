/** The lanes that peers opened to this host, of which each may have so many. */

import type { Connection } from '@libp2p/interface'
import type { Lane } from './lane.ts'
import { INBOUND_LANES_PER_PEER_MAX } from './limits.ts'

type At = { connection: Connection; protocol: string }

export class InboundLanes {
  readonly #lanes = new Map<Lane, At>()

  add(lane: Lane, at: At): void {
    this.#lanes.set(lane, at)
  }

  delete(lane: Lane): void {
    this.#lanes.delete(lane)
  }

  /**
   * Whether `host` may open one more. A peer that lost its connection opens its lanes anew before
   * the old ones are noticed dead: those go first.
   */
  makeRoom(host: string, protocol: string, connection: Connection): boolean {
    const theirs = [...this.#lanes].filter(
      ([lane, at]) => lane.peer === host && at.protocol === protocol,
    )
    if (theirs.length < INBOUND_LANES_PER_PEER_MAX) return true
    const stale = theirs.find(([, at]) => at.connection !== connection)
    if (stale === undefined) return false
    void stale[0].close()
    this.#lanes.delete(stale[0])
    return true
  }

  async close(): Promise<void> {
    await Promise.all([...this.#lanes.keys()].map((lane) => lane.close()))
  }
}
