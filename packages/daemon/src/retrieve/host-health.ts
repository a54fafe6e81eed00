/**
 * Which hosts and shards not to ask first: a memory of what failed a moment ago.
 *
 * Without it every range would wait for the same dead host again. Nothing is excluded for good:
 * what is avoided is asked when nothing else helps, and is forgiven after AVOID_MS.
 */

import { isMoyaiError, toHex } from '@moyai/protocol'
import type { Clock } from '@moyai/protocol'

const AVOID_MS = 30_000
/** Shards remembered; beyond it the oldest are forgotten. */
const SHARDS_MAX = 16_384

/** See the head of this file. */
export class HostHealth {
  readonly #clock: Clock
  readonly #hosts = new Map<string, number>()
  readonly #shards = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Notes why `host` did not give a shard: its own fault, or that of this one shard. */
  failed(host: string, pack: Uint8Array, index: number, error: unknown): void {
    const until = this.#clock.monotonic() + AVOID_MS
    if (isMoyaiError(error, 'HASH_MISMATCH', 'SHARD_DAMAGED', 'NOT_FOUND', 'TRUNCATED')) {
      this.#shards.set(shardKey(host, pack, index), until)
      if (this.#shards.size > SHARDS_MAX) {
        const [oldest] = this.#shards.keys()
        if (oldest !== undefined) this.#shards.delete(oldest)
      }
      return
    }
    this.#hosts.set(host, until)
  }

  worked(host: string): void {
    this.#hosts.delete(host)
  }

  avoidsHost(host: string): boolean {
    return (this.#hosts.get(host) ?? 0) > this.#clock.monotonic()
  }

  avoids(host: string, pack: Uint8Array, index: number): boolean {
    if (this.avoidsHost(host)) return true
    return (this.#shards.get(shardKey(host, pack, index)) ?? 0) > this.#clock.monotonic()
  }
}

function shardKey(host: string, pack: Uint8Array, index: number): string {
  return `${host}/${toHex(pack)}/${index}`
}
