/** The stripes that need something, most urgent first. */

import { compareUrgency } from '@moyai/protocol'
import type { Code, RepairNeed, StripeClass } from '@moyai/protocol'

/**
 * Stripes kept in order; the others are found again when everything is looked at. 4096 stripes of
 * eight 4 MiB shards take half a day at 20 Mbit/s.
 */
const QUEUE_MAX = 4096
/** More are taken before the least urgent go: sorting is paid for by so many. */
const SLACK = 1024

export type QueueEntry = {
  key: string
  /** 32 bytes each. */
  vault: Uint8Array
  pack: Uint8Array
  code: Code
  class: StripeClass
  /** Bytes. */
  shardLength: number
  created: number
  need: RepairNeed
  /** Hosts (hex) that may have a shard. */
  holders: readonly string[]
  /** When the need was first seen, ms. */
  since: number
  /** Not tried before, ms; after a failure. */
  notBefore: number
  /** When it failed for want of hosts, ms: one that connects after is a reason to try again. */
  wantsHostsAt: number | undefined
  attempts: number
  /** Others were told that this host repairs it. */
  claimed: boolean
  /** Who repairs it, best first, as of `ranksAt`: see RepairService. */
  ranks: readonly string[]
  ranksAt: number
}

type Found = Omit<
  QueueEntry,
  'since' | 'notBefore' | 'wantsHostsAt' | 'attempts' | 'claimed' | 'ranks' | 'ranksAt'
>

export class RepairQueue {
  readonly #entries = new Map<string, QueueEntry>()
  /** Sorted; may have entries that were deleted since. Undefined when it is to be made again. */
  #order: QueueEntry[] | undefined

  get size(): number {
    return this.#entries.size
  }

  keys(): Iterable<string> {
    return this.#entries.keys()
  }

  get(key: string): QueueEntry | undefined {
    return this.#entries.get(key)
  }

  /** Adds the stripe, or brings what is known of it up to date. */
  put(found: Found, now: number): void {
    const before = this.#entries.get(found.key)
    if (before === undefined) {
      const fresh = {
        since: now,
        notBefore: now,
        wantsHostsAt: undefined,
        attempts: 0,
        claimed: false,
      }
      this.#entries.set(found.key, { ...found, ...fresh, ranks: [], ranksAt: -1 })
      this.#order = undefined
    } else {
      if (compareUrgency(before, found) !== 0) this.#order = undefined
      Object.assign(before, found, { ranksAt: -1 })
    }
    if (this.#entries.size > QUEUE_MAX + SLACK) this.#sort()
  }

  delete(key: string): void {
    this.#entries.delete(key)
  }

  /** Most urgent first. */
  *ordered(): Generator<QueueEntry> {
    for (const entry of this.#order ?? this.#sort()) {
      if (this.#entries.get(entry.key) === entry) yield entry
    }
  }

  /** Sorts, and leaves the least urgent out. */
  #sort(): QueueEntry[] {
    const sorted = [...this.#entries.values()].sort(compareUrgency)
    for (const { key } of sorted.splice(QUEUE_MAX)) this.#entries.delete(key)
    this.#order = sorted
    return sorted
  }
}
