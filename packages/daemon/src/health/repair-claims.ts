/** Who said that it repairs what, and who was seen at work. Nothing of it is believed for long. */

import { toHex } from '@moyai/protocol'

import type { RepairClaim } from './ports.ts'

/** Longest that one claim holds, whatever it says. */
const CLAIM_MS_MAX: number = 10 * 60 * 1000
/**
 * One host may hold one stripe by claims for so long: 4 MiB shards of 8 sources over 64 kB/s, the
 * slowest rate that can be set, take ten minutes. After that it is somebody else's turn.
 */
const CLAIM_TOTAL_MS: number = 60 * 60 * 1000
/** After this it may again: what a host that only claims can hold up is an hour of each day. */
const CLAIM_AGAIN_MS: number = 24 * 3600 * 1000
/** Claims remembered: a few of each host of a large pool. */
const CLAIMS_MAX = 4096

type Claim = { host: string; until: number; first: number }

/** Names a stripe: hex of vault and pack. */
export const stripeKey = (o: { vault: Uint8Array; pack: Uint8Array }): string =>
  `${toHex(o.vault)}/${toHex(o.pack)}`

export class RepairClaims {
  /** By stripe, then host; the oldest first. */
  readonly #claims = new Map<string, Claim[]>()
  readonly #workedAt = new Map<string, number>()

  /** `host` claims a stripe at `now`, ms. */
  add(host: string, claim: RepairClaim, now: number): void {
    this.#workedAt.set(host, now)
    const key = stripeKey(claim)
    const others = (this.#claims.get(key) ?? []).filter((one) => one.host !== host)
    const before = this.#claims.get(key)?.find((one) => one.host === host)
    const isKnown = before !== undefined && now - before.first < CLAIM_AGAIN_MS
    const first = isKnown ? before.first : now
    const until = Math.min(now + Math.min(claim.holdsMs, CLAIM_MS_MAX), first + CLAIM_TOTAL_MS)
    this.#claims.delete(key)
    this.#claims.set(key, [...others, { host, until, first }])
    for (const oldest of this.#claims.keys()) {
      if (this.#claims.size <= CLAIMS_MAX) break
      this.#claims.delete(oldest)
    }
  }

  /** It has given the stripe up, or is done with it. */
  remove(host: string, stripe: { vault: Uint8Array; pack: Uint8Array }, now: number): void {
    this.#workedAt.set(host, now)
    const key = stripeKey(stripe)
    // it stays, ended, so that claiming again does not begin a new hour
    for (const one of this.#claims.get(key) ?? []) if (one.host === host) one.until = now
  }

  /** Claims of others that hold at `now`. */
  of(key: string, now: number): readonly { host: string; until: number }[] {
    return (this.#claims.get(key) ?? []).filter(({ until }) => until > now)
  }

  /** When a host last claimed or finished something. */
  workedAt(host: string): number | undefined {
    return this.#workedAt.get(host)
  }
}
