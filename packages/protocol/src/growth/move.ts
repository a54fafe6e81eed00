/**
 * Where one shard of a stripe had better be: spec/growth.md §3.
 *
 * A stripe that was placed in a small pool, or repaired in an emergency, is spread worse than the
 * pool now allows; and a host that fills up has to give. One shard is copied to a better host; the
 * old copy is surplus from then on, and its holder lets it go by its own rules.
 */

import type { Code } from '../codec/codec.ts'
import { DEFAULT_POLICY, DOMAIN_KINDS, placeShards, survives } from '../placement/index.ts'
import type { HostFacts, Policy } from '../placement/index.ts'

export type MoveOptions = {
  code: Code
  /** Id of the pack, 32 bytes. */
  pack: Uint8Array
  owner: string
  /** Host by index, of every shard: a stripe that lacks one is repaired first. */
  places: ReadonlyMap<number, string>
  /** Every certified host that stays. */
  hosts: readonly HostFacts[]
  policy?: Policy
  /** Bytes. */
  shardLength: number
  /** A host with less free space than this gives shards away, and takes none; bytes. */
  roomMin: number
}

/** Copy shard `index` from host `from` to host `to`. */
export type Move = { index: number; from: string; to: string }

/**
 * The move that gains most; undefined when none is worth its bytes. After it the stripe survives no
 * less of any kind, and either more of one, or as much with one shard less at a host that is nearly
 * full. Same arguments, same answer.
 */
export function planMove(o: MoveOptions): Move | undefined {
  const shards = o.code.k + o.code.m
  if (Array.from({ length: shards }, (_, i) => i).some((i) => !o.places.has(i))) return undefined
  const facts = new Map(o.hosts.map((host) => [host.id, host]))
  const policy = o.policy ?? DEFAULT_POLICY
  const present = figureOf(o, o.places)
  let best: { move: Move; gain: number } | undefined
  for (const [index, from] of [...o.places].sort(([a], [b]) => a - b)) {
    const to = targetOf(o, index)
    if (to === undefined || to === from) continue
    const after = figureOf(o, new Map(o.places).set(index, to))
    if (DOMAIN_KINDS.some((kind) => after[kind] < present[kind])) continue
    const more = DOMAIN_KINDS.reduce(
      (sum, kind) =>
        sum + Math.min(after[kind], policy[kind]) - Math.min(present[kind], policy[kind]),
      0,
    )
    const isFull = (facts.get(from)?.freeBytes ?? 0) < o.roomMin
    const gain = 2 * more + (isFull ? 1 : 0)
    if (gain > (best?.gain ?? 0)) best = { move: { index, from, to }, gain }
  }
  return best?.move
}

/** The host that the rules of placement name for one shard, when all others stay. */
function targetOf(o: MoveOptions, index: number): string | undefined {
  const already = new Map(o.places)
  const from = already.get(index)
  already.delete(index)
  const { code, hosts, owner, pack, shardLength, roomMin, policy } = o
  const avoid = new Set(from === undefined ? [] : [from])
  const room = Math.max(shardLength, roomMin)
  const { assignment } = placeShards({
    code,
    hosts,
    owner,
    stripe: pack,
    already,
    shardLength: room,
    avoid,
    ...(policy === undefined ? {} : { policy }),
  })
  return assignment[index]
}

function figureOf(o: MoveOptions, places: ReadonlyMap<number, string>): Policy {
  const shards = [...places].map(([index, host]) => ({ index, host }))
  return survives({ shards, hosts: o.hosts, code: o.code })
}
