/**
 * Who repairs a stripe, and when somebody else does: spec/repair.md §3.
 *
 * All that decide know the same ranks, roughly; where they do not, two hosts work on one stripe,
 * and the claims they send decide. A third that neither hears does the work once more: no harm,
 * since nothing is ever removed by a repair.
 */

import { blake3 } from '../blake3/index.ts'
import { compareBytes, concatBytes, utf8 } from '../bytes.ts'

/**
 * How long the hosts of higher rank that are at work may hold the others up. After that their word
 * is not enough: they may be at work and never come to this stripe.
 */
export const REPAIR_PATIENCE_MS: number = 12 * 3600 * 1000

/**
 * The hosts that can repair a stripe, first the one that should: the owner's when it is among them,
 * the others in rendezvous order. `live`: hosts with a shard, and the owner, that are connected.
 */
export function repairRanks(o: {
  pack: Uint8Array
  live: Iterable<string>
  owner: string | undefined
}): string[] {
  const drawn = [...new Set(o.live)].map((host) => ({
    host,
    first: host === o.owner,
    draw: blake3(concatBytes(utf8('repair'), o.pack, utf8(host))),
  }))
  drawn.sort((a, b) => Number(b.first) - Number(a.first) || compareBytes(b.draw, a.draw))
  return drawn.map(({ host }) => host)
}

/**
 * When it is this host's turn, ms: the first at once, each next one `stallMs` later, counted from
 * when the need was seen or, unless the stripe is endangered, from the last sign that a host before
 * it was at work on anything. -1 when this host has no rank.
 */
export function repairDueAt(o: {
  ranks: readonly string[]
  self: string
  /** When the need was first seen. */
  since: number
  stallMs: number
  endangered: boolean
  /** When a host last showed that it is repairing. */
  workedAt: (host: string) => number | undefined
}): number {
  const rank = o.ranks.indexOf(o.self)
  if (rank < 0) return -1
  const plain = o.since + rank * o.stallMs
  if (o.endangered) return plain
  let due = plain
  for (const [at, host] of o.ranks.slice(0, rank).entries()) {
    const worked = o.workedAt(host)
    if (worked !== undefined) due = Math.max(due, worked + (rank - at) * o.stallMs)
  }
  return Math.min(due, plain + REPAIR_PATIENCE_MS)
}

/** Of two claims to one stripe the one of higher rank holds; a host without rank never wins. */
export function claimYields(o: { ranks: readonly string[]; self: string; other: string }): boolean {
  const mine = o.ranks.indexOf(o.self)
  const theirs = o.ranks.indexOf(o.other)
  return theirs >= 0 && (mine < 0 || theirs < mine)
}
