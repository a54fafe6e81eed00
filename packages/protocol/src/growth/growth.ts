/**
 * When the code of a stored stripe does not fit its pool any more: spec/growth.md §1.
 *
 * A pool that has grown could give more margin than the code was made for. Parity rows of one `k` do
 * not depend on `m`, so more parity is added without touching what is there: the pack, its id, and
 * all shards stay. Another `k` is another stripe; it is only worth that when the pool has fewer
 * holders than the code has shards.
 */

import type { Code } from '../codec/codec.ts'
import { CODE_M_MAX } from '../limits.ts'
import {
  DOMAIN_KINDS,
  PLAN_SHARDS_MAX,
  codeFit,
  overheadLimit,
  overheadOf,
  planCode,
} from '../placement/index.ts'
import type { CodeFit, HostFacts, Policy } from '../placement/index.ts'
import type { StripeClass } from '../stripe/index.ts'

/** `extend`: the same k, more parity. `recode`: the pack has to be stored anew. */
export type Growth = { kind: 'extend'; code: Code } | { kind: 'recode'; code: Code }

export type GrowthOptions = {
  code: Code
  class: StripeClass
  /** Every certified host that stays: retiring ones are no holders of tomorrow. */
  hosts: readonly HostFacts[]
  owner: string
  policy?: Policy
  nights?: boolean
}

/**
 * What the stripe needs beyond repair; undefined when its code fits, or no better can be had. Same
 * arguments, same answer; the answer to its own answer is undefined, unless the pool changes.
 */
export function needsMore(o: GrowthOptions): Growth | undefined {
  const { code } = o
  const holders = o.hosts.filter((host) => host.id !== o.owner).length
  if (holders === 0) return undefined
  const plan = planCode(o)
  if (holders < code.k + code.m) {
    const isLarger = plan.code.k + plan.code.m >= code.k + code.m
    return isLarger ? undefined : { kind: 'recode', code: plan.code }
  }
  const present = codeFit(o)
  const wanted: CodeFit = codeFit({ ...o, code: plan.code })
  if (!isBetter(wanted, present)) return undefined
  let best: { code: Code; fit: CodeFit } = { code, fit: present }
  const shardsMax = Math.min(holders, Math.max(PLAN_SHARDS_MAX, code.k + code.m))
  for (let m = code.m + 1; m <= CODE_M_MAX && code.k + m <= shardsMax; m++) {
    const longer = { k: code.k, m }
    if (overheadOf(longer) > overheadLimit(holders)) break
    const fit = codeFit({ ...o, code: longer })
    if (isBetter(fit, best.fit)) best = { code: longer, fit }
    if (!isBetter(wanted, best.fit)) break
  }
  return best.code.m > code.m ? { kind: 'extend', code: best.code } : undefined
}

/**
 * Whether a fit is worth work: it keeps more of the policy, and nothing of it less, or as much with
 * more margin up to the target.
 */
function isBetter(one: CodeFit, other: CodeFit): boolean {
  if (DOMAIN_KINDS.some((kind) => one.kept[kind] < other.kept[kind])) return false
  if (DOMAIN_KINDS.some((kind) => one.kept[kind] > other.kept[kind])) return true
  return Math.min(one.margin, one.target) > Math.min(other.margin, other.target)
}
