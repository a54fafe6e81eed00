/**
 * Whether a stripe is repaired now, which of its shards, and what comes first: spec/repair.md §2.
 *
 * Eager: one shard that is lost is made again at once, except where the code has plenty of margin.
 * Hosts that are only missed are waited for, except where the stripe could not afford it.
 */

import type { Code } from '../codec/codec.ts'
import { compareBytes } from '../bytes.ts'
import type { StripeClass } from '../stripe/index.ts'
import type { StripeHealth } from './assess.ts'

/**
 * From this margin on a single missing shard waits for a second one: half the traffic, and the
 * stripe still has more margin than most (reliability §B8).
 */
export const LAZY_MARGIN_MIN = 4

/** What a stripe needs. */
export type RepairNeed = {
  /** `repair`: made again from others. `move`: has to be elsewhere. `lost`: nothing can be done. */
  kind: 'repair' | 'move' | 'lost'
  /** Indexes that need a place, ascending; of a lost stripe those that are missing. */
  wanted: readonly number[]
  /** Host by index: the places that stay as they are. */
  stays: ReadonlyMap<number, string>
  /**
   * Shards that may still go before the stripe is lost; 0: the next one is the end of it; negative:
   * fewer are there than are needed. Where it is endangered, without the doubtful ones.
   */
  distance: number
  /** No margin is left: repaired whatever it costs. */
  endangered: boolean
}

/** What `planRepair` decides by. */
export type PlanRepairOptions = {
  code: Code
  health: StripeHealth
  /** `placementMargin` of this code in this pool. */
  margin: number
}

/**
 * What the stripe needs now; undefined when it is well, or can wait. Losing another shard never
 * turns a need into none, and never makes it less urgent.
 */
export function planRepair(o: PlanRepairOptions): RepairNeed | undefined {
  const { code, health } = o
  const endangered = isEndangered(code, health.sure)
  const distance = (endangered ? health.sure : health.healthy) - code.k
  const gone = endangered ? [...health.missing, ...health.doubtful.keys()] : [...health.missing]
  const stays = endangered ? health.stays : new Map([...health.stays, ...health.doubtful])
  const about = { stays, distance, endangered }
  if (health.readable < code.k) {
    return { kind: 'lost', wanted: health.missing, ...about }
  }
  const wanted = [...gone, ...health.leaving].sort((a, b) => a - b)
  if (wanted.length === 0) return undefined
  const lazy = !endangered && o.margin >= LAZY_MARGIN_MIN
  if (lazy && wanted.length === 1 && gone.length === 1) return undefined
  return { kind: gone.length > 0 ? 'repair' : 'move', wanted, ...about }
}

/**
 * Whether so few shards are beyond doubt that a stripe of this code is repaired without waiting for
 * anybody (DESIGN §8, endangered override).
 */
export function isEndangered({ k, m }: Code, sure: number): boolean {
  return sure <= (m >= 3 ? k + 1 : k)
}

/** What decides between two stripes. */
export type Urgency = {
  need: Pick<RepairNeed, 'kind' | 'distance'>
  class: StripeClass
  /** ms since 1970. */
  created: number
  /** 32 bytes each: the last word, so that any two stripes have an order. */
  vault: Uint8Array
  pack: Uint8Array
}

const CLASS_ORDER: Record<StripeClass, number> = { critical: 0, meta: 1, data: 2 }
const KIND_ORDER: Record<RepairNeed['kind'], number> = { repair: 0, move: 1, lost: 2 }

/**
 * Negative when `a` comes first: what is nearest to loss, then what others are found by, then the
 * oldest. What only has to move comes after repairs of the same distance; what is lost, last.
 */
export function compareUrgency(a: Urgency, b: Urgency): number {
  return (
    Number(a.need.kind === 'lost') - Number(b.need.kind === 'lost') ||
    a.need.distance - b.need.distance ||
    KIND_ORDER[a.need.kind] - KIND_ORDER[b.need.kind] ||
    CLASS_ORDER[a.class] - CLASS_ORDER[b.class] ||
    a.created - b.created ||
    compareBytes(a.vault, b.vault) ||
    compareBytes(a.pack, b.pack)
  )
}

/**
 * Whether a host that this one presumes lost is taken for lost: another observer says so, or there
 * is nobody but one other to ask. `presumedLost`: what connected hosts say.
 */
export function isLossAgreed(o: {
  host: string
  /** Connected hosts, the one in question not counted. */
  connected: number
  presumedLost: Iterable<ReadonlySet<string>>
}): boolean {
  if (o.connected <= 1) return true
  for (const said of o.presumedLost) if (said.has(o.host)) return true
  return false
}
