/**
 * Which code: spec/placement.md §2.
 *
 * The figure that decides is the margin: machines that may still be lost after the worst site has
 * gone. Each step of it is worth three to ten times in yearly risk. Caps per site and provider come
 * first, then the margin, then the largest k that has it, which is the least overhead.
 */

import type { Code } from '../codec/codec.ts'
import { assert, defined } from '../assert.ts'
import { MoyaiError } from '../errors.ts'
import { DEFAULT_POLICY, domainOf } from './hosts.ts'
import type { HostFacts, Policy } from './hosts.ts'
import { placeableOf } from './spread.ts'
import type { Caps } from './spread.ts'
import type { StripeClass } from '../stripe/index.ts'

/**
 * Above eight data shards a repair moves nine shards to rebuild one, and more hosts must be awake
 * to read.
 */
export const PLAN_K_MAX = 8
/**
 * Above fourteen shards a stripe needs more hosts at once than a business of this size has awake.
 */
export const PLAN_SHARDS_MAX = 14
/** Up to this many holders, copies are few and may cost more. */
const SMALL_POOL_HOLDERS = 5
const OVERHEAD_MAX = 3
const OVERHEAD_MAX_SMALL_POOL = 4
/** Below this, one site of three takes more than m shards. */
const OVERHEAD_MIN = 1.75

export type CodePlan = {
  code: Code
  /**
   * Machines that may still be lost after the worst site has gone (of a single site: beyond one
   * machine).
   */
  margin: number
  /** True when this pool, with this code, can survive all that the policy asks for. */
  met: boolean
  /** What is not met, one sentence each; empty when `met`. */
  gaps: string[]
  /** One sentence for people. */
  explain: string
}

export type PlanOptions = {
  /**
   * Every certified host of the pool, online or not: a code must not depend on who is away tonight.
   */
  hosts: readonly HostFacts[]
  /** Id of the owner's host, which is never a holder of its own stripes. */
  owner: string
  class: StripeClass
  policy?: Policy
  /** The code of data stripes where a person has set it; what it does not survive is in `gaps`. */
  fixed?: Code | undefined
}

/** The possible holders: every host but the owner's own. */
export function holdersOf(hosts: readonly HostFacts[], owner: string): HostFacts[] {
  assert(new Set(hosts.map((host) => host.id)).size === hosts.length, 'each host once')
  return hosts.filter((host) => host.id !== owner)
}

/**
 * Chooses the code for new stripes. TOO_FEW_HOSTS when the owner is alone, or the pool has fewer
 * holders than the fixed code has shards.
 */
export function planCode(options: PlanOptions): CodePlan {
  const policy = options.policy ?? DEFAULT_POLICY
  const holders = holdersOf(options.hosts, options.owner)
  const count = holders.length
  if (count === 0) {
    throw new MoyaiError('TOO_FEW_HOSTS', 'no other host is in the pool', {
      hint: 'invite another machine with `moyai pool invite`',
    })
  }
  const placeable = placeableOf(holders, PLAN_SHARDS_MAX)
  const pool: Pool = { count, policy, placeable }
  const data = dataCode(pool, options.fixed)
  const code = options.class === 'data' ? data : oneMoreParity(data, pool)
  const plan = describe(code, { holders, pool })
  return options.fixed === undefined ? plan : { ...plan, explain: `set by hand: ${plan.explain}` }
}

function dataCode(pool: Pool, fixed: Code | undefined): Code {
  if (fixed === undefined) {
    return pool.count < 3 ? { k: 1, m: pool.count - 1 } : pickForPolicy(pool)
  }
  const { k, m } = fixed
  const missing = k + m - pool.count
  if (missing <= 0) return fixed
  throw new MoyaiError(
    'TOO_FEW_HOSTS',
    `the code ${k}+${m} is set by hand and needs ${k + m} other hosts; the pool has ${pool.count}`,
    { hint: `add ${missing} to the pool, or take \`code\` out of [store] in config.toml` },
  )
}

type Pool = { count: number; policy: Policy; placeable: (caps: Caps) => number }

/**
 * The caps under which a code survives what the policy asks for; no cap where it asks for nothing.
 */
export function policyCaps({ k, m }: Code, policy: Policy): Caps {
  return {
    site: policy.site === 0 ? k + m : Math.floor(m / policy.site),
    provider: policy.provider === 0 ? k + m : Math.floor(m / policy.provider),
  }
}

/** The best code under the whole policy, or under as much of it as this pool can have. */
function pickForPolicy(pool: Pool): Code {
  const { policy } = pool
  const wishes: Policy[] = [
    policy,
    { ...policy, host: 2 },
    { ...policy, host: 2, provider: 0 },
    { ...policy, host: 2, site: 0 },
    { ...policy, host: 2, site: 0, provider: 0 },
  ]
  for (const wish of wishes) {
    const code = pickForMargin({ ...pool, policy: wish })
    if (code !== undefined) return code
  }
  // Three holders always take 1+2 when nothing is asked of sites and providers.
  throw new MoyaiError('INTERNAL', `no code for ${pool.count} holders`)
}

/**
 * The largest k that reaches the target margin, with the smallest m; the target sinks only when
 * none does.
 */
function pickForMargin(pool: Pool): Code | undefined {
  const small = pool.count <= SMALL_POOL_HOLDERS
  const highest = pool.count >= 16 ? 3 : 2
  for (let target = highest; target >= 0; target--) {
    // In a small pool the second step of margin is taken only where it is cheap.
    const cheap = small && target === 2
    const overheadMax = cheap ? 2.5 : small ? OVERHEAD_MAX_SMALL_POOL : OVERHEAD_MAX
    const shardsMax = Math.min(pool.count, PLAN_SHARDS_MAX)
    for (let k = PLAN_K_MAX; k >= 1; k--) {
      for (let m = Math.max(2, pool.policy.host); k + m <= shardsMax; m++) {
        const overhead = (k + m) / k
        if (overhead < OVERHEAD_MIN || overhead > overheadMax) continue
        const margin = marginOf({ k, m }, pool)
        if (margin !== undefined && margin >= target) return { k, m }
      }
    }
  }
  return undefined
}

/** The margin of a code in a pool; undefined when it cannot be placed under the policy's caps. */
function marginOf(code: Code, { policy, placeable }: Pool): number | undefined {
  const shards = code.k + code.m
  const caps = policyCaps(code, policy)
  if (placeable(caps) < shards) return undefined
  if (policy.site === 0) return code.m - 1
  let site = 1
  while (placeable({ site, provider: caps.provider }) < shards) site++
  return code.m - policy.site * site
}

/** Metadata survives one more loss than data, where there are hosts enough. */
function oneMoreParity(data: Code, pool: Pool): Code {
  const m = data.m + 1
  for (const k of [data.k, data.k - 1]) {
    if (k < 1 || k + m > Math.min(pool.count, PLAN_SHARDS_MAX)) continue
    const placeable = marginOf({ k, m }, pool) !== undefined
    // Where the policy cannot be met anyhow, one more parity is still one more.
    if (placeable || marginOf(data, pool) === undefined) return { k, m }
  }
  return data
}

function needed(kind: string, times: number): string {
  return `does not survive the loss of ${times} ${kind}${times === 1 ? '' : 's'}`
}

function describe(
  code: Code,
  { holders, pool }: { holders: readonly HostFacts[]; pool: Pool },
): CodePlan {
  const { policy, placeable } = pool
  const shards = code.k + code.m
  const gaps: string[] = []
  if (code.m < policy.host) gaps.push(needed('host', policy.host))
  const caps = policyCaps(code, policy)
  const sites = { site: caps.site, provider: shards }
  const providers = { site: shards, provider: caps.provider }
  if (placeable(sites) < shards) gaps.push(needed('site', policy.site))
  else if (placeable(providers) < shards) gaps.push(needed('provider', policy.provider))
  else if (placeable(caps) < shards) {
    gaps.push('survives the loss of a site or of a provider, but no placement survives both')
  }
  if (placeable(sites) < shards && placeable(providers) < shards) {
    gaps.push(needed('provider', policy.provider))
  }
  if (!organisationsSuffice(code, { holders, policy })) {
    gaps.push(needed('organisation', policy.org))
  }
  const met = gaps.length === 0
  const margin = marginOf(code, pool) ?? Math.min(0, code.m - 1)
  const plural = holders.length === 1 ? '' : 's'
  const head = `${code.k}+${code.m} on ${holders.length} possible holder${plural}`
  const explain = met
    ? `${head}: survives ${code.m} hosts, or a whole site and ${margin} more`
    : `${head}: ${gaps.join('; ')}`
  return { code, margin, met, gaps, explain }
}

/**
 * True when a stripe can lie so that `policy.org` organisations may vanish; of one organisation it
 * is not asked.
 */
function organisationsSuffice(
  code: Code,
  { holders, policy }: { holders: readonly HostFacts[]; policy: Policy },
): boolean {
  const sizes = new Map<string, number>()
  for (const host of holders) {
    const org = domainOf(host, 'org')
    sizes.set(org, (sizes.get(org) ?? 0) + 1)
  }
  if (policy.org === 0 || sizes.size < 2) return true
  const cap = Math.floor(code.m / policy.org)
  let places = 0
  for (const size of sizes.values()) places += Math.min(size, cap)
  return places >= code.k + code.m
}

/**
 * The caps that a placement keeps: those of the policy, or, where this pool's hosts (online or not)
 * cannot keep them, the lowest that they can: first the provider's is raised, then the site's.
 */
export function placementCaps(o: {
  hosts: readonly HostFacts[]
  owner: string
  code: Code
  policy?: Policy
}): Caps {
  const shards = o.code.k + o.code.m
  const holders = holdersOf(o.hosts, o.owner)
  const placeable = placeableOf(holders, shards)
  // With fewer hosts than shards, as many as possible are placed: the caps must allow that many.
  const wanted = Math.min(shards, holders.length)
  const lowest = (caps: readonly Caps[]): Caps | undefined =>
    caps.find((cap) => placeable(cap) >= wanted)
  const asked = policyCaps(o.code, o.policy ?? DEFAULT_POLICY)
  const from = (cap: number): number[] =>
    Array.from({ length: shards + 1 }, (_, i) => i).filter((value) => value >= cap)
  return defined(
    lowest(from(asked.provider).map((provider) => ({ site: asked.site, provider }))) ??
      lowest(from(asked.site).map((site) => ({ site, provider: asked.provider }))) ??
      lowest(from(0).map((site) => ({ site, provider: shards }))),
    'caps that allow everything',
  )
}
