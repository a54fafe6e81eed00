/**
 * The lanes that this host has opened: to each peer and protocol one, or two under load, kept until
 * they are idle.
 */

import { defined } from '@moyai/protocol'
import type { Exchange } from './exchange.ts'
import type { Lane } from './lane.ts'
import { LANE_REQUESTS_BEFORE_NEXT } from './limits.ts'

export type LaneRequest = Parameters<Lane['request']>[0]

export type LanePoolOptions = {
  /** Opens a lane to a connected peer; HOST_UNREACHABLE when that fails. */
  open: (peer: string, protocol: string) => Promise<Lane>
  lanesMax: (protocol: string) => number
  /** Whether a lane lies on a connection that has been replaced by a better one. */
  isStale: (lane: Lane) => boolean
}

/** `claims`: requests that have chosen this lane and wait for it to open. */
type Slot = { lane: Promise<Lane>; open: Lane | undefined; claims: number }

function loadOf(slot: Slot): number {
  return slot.claims + (slot.open?.load ?? 0)
}

export class LanePool {
  readonly #options: LanePoolOptions
  readonly #slots = new Map<string, Slot[]>()

  constructor(options: LanePoolOptions) {
    this.#options = options
  }

  /**
   * Sends a request over the least busy lane. Rejects as `Lane.request` does, or with
   * HOST_UNREACHABLE.
   */
  async request(peer: string, protocol: string, request: LaneRequest): Promise<Exchange> {
    const slot = this.#choose(peer, protocol)
    slot.claims += 1
    let lane: Lane
    try {
      lane = await slot.lane
    } finally {
      slot.claims -= 1
    }
    return lane.request(request)
  }

  /** Ends every lane to `peer`, or all of them. */
  async close(peer?: string): Promise<void> {
    const ends: Promise<void>[] = []
    for (const [key, slots] of this.#slots) {
      if (peer !== undefined && !key.startsWith(`${peer} `)) continue
      for (const slot of slots) if (slot.open !== undefined) ends.push(slot.open.close())
    }
    await Promise.all(ends)
  }

  /** Ends lanes on connections that were replaced, once their last request is done. */
  sweep(): void {
    for (const slots of this.#slots.values()) {
      for (const slot of slots) {
        if (slot.open === undefined || loadOf(slot) > 0 || !slot.open.isOpen) continue
        if (this.#options.isStale(slot.open)) void slot.open.close()
      }
    }
  }

  #choose(peer: string, protocol: string): Slot {
    const key = `${peer} ${protocol}`
    const slots = this.#slots.get(key) ?? []
    this.#slots.set(key, slots)
    let best: Slot | undefined
    let alive = 0
    for (const slot of slots) {
      // A lane that has just ended leaves the list a moment later.
      if (slot.open?.isOpen === false) continue
      // One on a replaced connection goes on with what it has, and gets no more.
      if (slot.open !== undefined && this.#options.isStale(slot.open)) continue
      alive += 1
      if (best === undefined || loadOf(slot) < loadOf(best)) best = slot
    }
    const busy = best === undefined || loadOf(best) >= LANE_REQUESTS_BEFORE_NEXT
    if (busy && alive < this.#options.lanesMax(protocol))
      return this.#add(key, slots, peer, protocol)
    return defined(best, 'a lane, because at least one is allowed')
  }

  #add(key: string, slots: Slot[], peer: string, protocol: string): Slot {
    const slot: Slot = { lane: this.#options.open(peer, protocol), open: undefined, claims: 0 }
    slots.push(slot)
    void this.#follow(key, slots, slot)
    return slot
  }

  async #follow(key: string, slots: Slot[], slot: Slot): Promise<void> {
    try {
      const lane = await slot.lane
      slot.open = lane
      await lane.ended
    } catch {
      // It could not be opened: whoever asked for it is told by its own await.
    } finally {
      slots.splice(slots.indexOf(slot), 1)
      if (slots.length === 0 && this.#slots.get(key) === slots) this.#slots.delete(key)
    }
  }
}
