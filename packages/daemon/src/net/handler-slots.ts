/** How many requests are being served at once, for one peer and for all. */

import { MoyaiError } from '@moyai/protocol'
import { HANDLERS_MAX, HANDLERS_PER_PEER_MAX } from './limits.ts'

/**
 * Handlers outlive their lanes while a disk holds them up; a peer that reconnects must not pile
 * them up.
 */
export class HandlerSlots {
  readonly #byPeer = new Map<string, number>()
  #count = 0

  /** Runs `act` for `peer` (hex); BUSY when too many run already. */
  async run(peer: string, act: () => Promise<void>): Promise<void> {
    const own = this.#byPeer.get(peer) ?? 0
    if (own >= HANDLERS_PER_PEER_MAX || this.#count >= HANDLERS_MAX) {
      throw new MoyaiError('BUSY', 'too many requests are being served', {
        hint: 'try again later',
      })
    }
    this.#byPeer.set(peer, own + 1)
    this.#count += 1
    try {
      await act()
    } finally {
      this.#count -= 1
      const left = (this.#byPeer.get(peer) ?? 1) - 1
      if (left === 0) this.#byPeer.delete(peer)
      else this.#byPeer.set(peer, left)
    }
  }
}
