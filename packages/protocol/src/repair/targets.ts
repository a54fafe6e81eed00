/** Where the shards of a repair go: spec/repair.md §4, by the rules of every other placement. */

import { placeShards } from '../placement/index.ts'
import type { PlaceOptions, Placement } from '../placement/index.ts'

export type RepairTargetsOptions = Omit<PlaceOptions, 'already'> & {
  /** Host by index: the places that stay. */
  stays: ReadonlyMap<number, string>
  /** Indexes that need a place. */
  wanted: readonly number[]
  /** No margin is left: where the caps per domain leave no host, any with room will do. */
  endangered: boolean
}

/**
 * Host by index, of as many of `wanted` as there are hosts for. Never a host that has a shard of
 * the stripe, never one without room; the caps per domain give way only for a stripe that is
 * endangered, and only for shards that have no place under them.
 */
export function repairTargets(o: RepairTargetsOptions): Map<number, string> {
  const { stays, wanted, endangered, ...place } = o
  const assigned = pick(placeShards({ ...place, already: stays }), wanted)
  if (!endangered || assigned.size === wanted.length) return assigned
  const already = new Map([...stays, ...assigned])
  const policy = { host: o.policy?.host ?? 1, site: 0, provider: 0, org: 0 }
  return pick(placeShards({ ...place, already, policy }), wanted)
}

function pick({ assignment }: Placement, wanted: readonly number[]): Map<number, string> {
  return new Map(
    wanted.flatMap((index) => {
      const host = assignment[index]
      return host === undefined ? [] : [[index, host]]
    }),
  )
}
