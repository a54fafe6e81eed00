/** The lanes that this host has opened: to each peer and protocol one, or two under load, kept until they are idle. */

import { MoyaiError } from '@moyai/protocol'
import type { Exchange } from './exchange.ts'
import type { Lane } from './lane.ts'
import { LANE_REQUESTS_BEFORE_NEXT } from './limits.ts'

export type LaneRequest = Parameters<Lane['request']>[0]

export type LanePoolOptions = {
  /** Opens a lane to a connected peer; HOST_UNREACHABLE when that fails. */
  open: (peer: string, protocol: string) => Promise<Lane>
  lanesMax: (protocol: string) => number
}

type Slot = { lane: Promise<Lane>; open: Lane | undefined }

export class LanePool {
  readonly #options: LanePoolOptions
  readonly #slots = new Map<string, Slot[]>()

  constructor(options: LanePoolOptions) {
    this.#options = options
  }

  /** Sends a request over the least busy lane. Rejects as `Lane.request` does, or with HOST_UNREACHABLE. */
  async request(peer: string, protocol: string, request: LaneRequest): Promise<Exchange> {
    const lane = await this.#lane(peer, protocol)
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

  async #lane(peer: string, protocol: string): Promise<Lane> {
    const key = `${peer} ${protocol}`
    const slots = this.#slots.get(key) ?? []
    this.#slots.set(key, slots)
    // A lane that has just ended leaves the list a moment later.
    const alive = slots.filter((slot) => slot.open?.isOpen ?? true)
    const opening = alive.some((slot) => slot.open === undefined)
    const busy = alive.every((slot) => (slot.open?.load ?? 0) >= LANE_REQUESTS_BEFORE_NEXT)
    if (!opening && busy && slots.length < this.#options.lanesMax(protocol)) {
      const added = this.#add(key, slots, peer, protocol)
      if (alive.length === 0) return added.lane
    }
    let best: Lane | undefined
    for (const { open } of alive) {
      if (open !== undefined && (best === undefined || open.load < best.load)) best = open
    }
    if (best !== undefined) return best
    const first = alive[0]
    if (first === undefined) throw new MoyaiError('BUSY', 'lanes to this host are being replaced')
    return first.lane
  }

  #add(key: string, slots: Slot[], peer: string, protocol: string): Slot {
    const slot: Slot = { lane: this.#options.open(peer, protocol), open: undefined }
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
