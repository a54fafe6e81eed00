/** The stripes that need something, most urgent first. */

import { compareUrgency } from '@moyai/protocol'
import type { Code, RepairNeed, StripeClass } from '@moyai/protocol'

/**
 * Stripes kept in order; what is beyond is found again when these are done. 4096 stripes of 4 MiB
 * shards are two days of work at 20 Mbit/s.
 */
export const QUEUE_MAX = 4096
/** Sorting is paid for by so many new ones. */
const SLACK = 1024

export type QueueEntry = {
  key: string
  vault: Uint8Array
  pack: Uint8Array
  code: Code
  class: StripeClass
  shardLength: number
  created: number
  need: RepairNeed
  /** Hosts (hex) that may have a shard. */
  holders: readonly string[]
  /** When the need was first seen, ms. */
  since: number
  /** Not tried before, ms; after a failure. */
  notBefore: number
  /** When it failed for want of hosts, ms: any that connects after is a reason to try again. */
  wantsHostsAt: number | undefined
  attempts: number
}

export class RepairQueue {
  #entries = new Map<string, QueueEntry>()
  #order: QueueEntry[] | undefined
  #cut = false

  get size(): number {
    return this.#entries.size
  }

  /** True when stripes were left out since the last `clearCut`. */
  get wasCut(): boolean {
    return this.#cut
  }

  clearCut(): void {
    this.#cut = false
  }

  get(key: string): QueueEntry | undefined {
    return this.#entries.get(key)
  }

  /** Adds the stripe, or brings what is known of it up to date. */
  put(
    entry: Omit<QueueEntry, 'since' | 'notBefore' | 'wantsHostsAt' | 'attempts'>,
    now: number,
  ): void {
    const before = this.#entries.get(entry.key)
    if (before === undefined) {
      const fresh = { since: now, notBefore: now, wantsHostsAt: undefined, attempts: 0 }
      this.#entries.set(entry.key, { ...entry, ...fresh })
    } else Object.assign(before, entry)
    this.#order = undefined
    if (this.#entries.size > QUEUE_MAX + SLACK) this.#trim()
  }

  delete(key: string): void {
    if (this.#entries.delete(key)) this.#order = undefined
  }

  /** Most urgent first, QUEUE_MAX at most. */
  ordered(): readonly QueueEntry[] {
    if (this.#order === undefined) {
      this.#trim()
      this.#order = [...this.#entries.values()]
    }
    return this.#order
  }

  #trim(): void {
    const sorted = [...this.#entries.values()].sort(compareUrgency)
    if (sorted.length > QUEUE_MAX) {
      sorted.length = QUEUE_MAX
      this.#cut = true
    }
    this.#entries = new Map(sorted.map((entry) => [entry.key, entry]))
  }
}
