/**
 * Notices connections that lead nowhere any more: a peer that was killed, a cable that was cut.
 *
 * libp2p's own monitor opens and negotiates a stream for each ping, which in a pool of forty is most
 * of what an idle daemon does. The muxer's ping is one frame of twelve bytes each way.
 */

import type { Connection } from '@libp2p/interface'
import type { Clock } from '@moyai/protocol'
import { HEARTBEAT_MS, HEARTBEAT_PATIENCE_MS, HEARTBEAT_TICK_MS } from './limits.ts'

type Pingable = { ping(): Promise<number> }

export type HeartbeatComponents = {
  connectionManager: { getConnections(): Connection[] }
}

/** The muxer of a connection; undefined where it has no ping. */
export function pingableOf(connection: Connection): Pingable | undefined {
  const { muxer } = connection as { muxer?: Partial<Pingable> }
  return typeof muxer?.ping === 'function' ? (muxer as Pingable) : undefined
}

/** A service of libp2p: it starts and stops it. */
export class Heartbeat {
  readonly #connections: () => Connection[]
  readonly #clock: Clock
  /** When each connection is pinged next, by the steady clock. */
  readonly #due = new WeakMap<Connection, number>()
  /** Since when an answer is waited for: one that closes meanwhile is never answered. */
  readonly #waiting = new WeakMap<Connection, number>()
  #stop = new AbortController()

  constructor({ connectionManager }: HeartbeatComponents, clock: Clock) {
    this.#connections = () => connectionManager.getConnections()
    this.#clock = clock
  }

  start(): void {
    this.#stop = new AbortController()
    void this.#beat(this.#stop.signal)
  }

  stop(): void {
    this.#stop.abort()
  }

  async #beat(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#clock.sleep(HEARTBEAT_TICK_MS, signal)
      } catch {
        return // it was stopped
      }
      const now = this.#clock.monotonic()
      for (const connection of this.#connections()) {
        if (connection.status === 'open') this.#look(connection, now)
      }
    }
  }

  #look(connection: Connection, now: number): void {
    const since = this.#waiting.get(connection)
    if (since !== undefined) {
      if (now - since < HEARTBEAT_PATIENCE_MS) return
      this.#waiting.delete(connection)
      connection.abort(new Error('no answer to a ping'))
      return
    }
    const due = this.#due.get(connection)
    if (due === undefined || now < due) {
      this.#due.set(connection, due ?? now + HEARTBEAT_MS)
      return
    }
    this.#due.set(connection, now + HEARTBEAT_MS)
    const muxer = pingableOf(connection)
    if (muxer === undefined) return
    this.#waiting.set(connection, now)
    muxer
      .ping()
      // a connection that closes meanwhile needs no answer any more
      .catch(() => undefined)
      .finally(() => this.#waiting.delete(connection))
  }
}
