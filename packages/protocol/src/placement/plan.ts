/**
 * Which code: spec/placement.md §2.
 *
 * The figure that decides is the margin: hosts that may still be lost after the worst site,
 * provider or organisation has gone. Each step of it is worth three to ten times in yearly risk.
 * What the policy asks for comes first, then the margin, then the largest k that has it.
 */

import type { Code } from '../codec/codec.ts'
import { defined } from '../assert.ts'
import { MoyaiError } from '../errors.ts'
import { DEFAULT_POLICY, GROUP_KINDS, nightsByDefault } from './hosts.ts'
import type { GroupKind, HostFacts, Policy } from './hosts.ts'
import { hasMargin, mostOf, poolOf, reachOf } from './reach.ts'
import type { Pool } from './reach.ts'
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
/** In a small pool the second step of margin is taken only where it is cheap. */
const OVERHEAD_MAX_SECOND_STEP = 2.5
/** Below this, one site of three takes more than m shards. */
const OVERHEAD_MIN = 1.75
/** From this many holders on, so much is lost at once that a third step of margin is worth it. */
const LARGE_POOL_HOLDERS = 16

export type CodePlan = {
  code: Code
  /** Hosts that may still be lost after the worst domain has gone; −1: not even one host. */
  margin: number
  /** Shards of one stripe at most in one domain of each kind. */
  caps: Caps
  /** How many whole domains of each kind may vanish, whichever they are, once all is placed. */
  survives: Policy
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
  /**
   * Whether restores must be possible while only the always-on hosts run: then fewer than these are
   * needed to read. When absent: with three always-on holders.
   */
  nights?: boolean
}

/**
 * Chooses the code for new stripes. TOO_FEW_HOSTS when the owner is alone, or the pool has fewer
 * holders than the fixed code has shards.
 */
export function planCode(options: PlanOptions): CodePlan {
  const { fixed, policy = DEFAULT_POLICY } = options
  const shardsMax = Math.max(PLAN_SHARDS_MAX, fixed === undefined ? 0 : fixed.k + fixed.m + 1)
  const pool = poolOf({ hosts: options.hosts, owner: options.owner, policy, shardsMax })
  if (pool.holders.length === 0) {
    throw new MoyaiError('TOO_FEW_HOSTS', 'no other host is in the pool', {
      hint: 'invite another machine with `moyai pool invite`',
    })
  }
  const data = dataCode(pool, options)
  const plan = describe(options.class === 'data' ? data : oneMoreParity(data, pool), pool)
  return fixed === undefined ? plan : { ...plan, explain: `set by hand: ${plan.explain}` }
}

function dataCode(pool: Pool, { fixed, nights }: PlanOptions): Code {
  const count = pool.holders.length
  if (fixed === undefined) {
    return count < 3 ? { k: 1, m: count - 1 } : pickCode(pool, readersMax(pool, nights))
  }
  const { k, m } = fixed
  const missing = k + m - count
  if (missing <= 0) return fixed
  throw new MoyaiError(
    'TOO_FEW_HOSTS',
    `the code ${k}+${m} is set by hand and needs ${k + m} other hosts; the pool has ${count}`,
    { hint: `add ${missing} to the pool, or take \`code\` out of [store] in config.toml` },
  )
}

/** The largest k that always-on hosts can serve at night, one of them being away. */
function readersMax({ holders }: Pool, nights = nightsByDefault(holders)): number {
  if (!nights) return PLAN_K_MAX
  const awake = holders.filter((host) => host.alwaysOn === true).length
  return Math.max(1, Math.min(PLAN_K_MAX, awake - 1))
}

/** A wish for a margin, and what may be paid for it. */
type Step = { margin: number; overheadMax: number }

/** The margin that a pool of this size should have, and the lower ones when none has it. */
export function targetMargin(holders: number): number {
  if (holders <= SMALL_POOL_HOLDERS) return 1
  return holders < LARGE_POOL_HOLDERS ? 2 : 3
}

function stepsOf(holders: number): Step[] {
  const small = holders <= SMALL_POOL_HOLDERS
  const steps: Step[] = small ? [{ margin: 2, overheadMax: OVERHEAD_MAX_SECOND_STEP }] : []
  for (let margin = targetMargin(holders); margin >= 0; margin--) {
    steps.push({ margin, overheadMax: small ? OVERHEAD_MAX_SMALL_POOL : OVERHEAD_MAX })
  }
  return steps
}

/**
 * The largest k that reaches the target margin, with the smallest m; the target sinks only when
 * none does. Of a policy that no code can keep, as much as one can.
 */
function pickCode(pool: Pool, kMax: number): Code {
  const steps = stepsOf(pool.holders.length)
  const lowest = defined(steps.at(-1), 'a last step')
  const codes = allCodes(Math.min(pool.holders.length, PLAN_SHARDS_MAX), kMax)
  const first = ({ margin, overheadMax }: Step, policy: Policy): Code | undefined =>
    codes.find(
      (code) => overheadOf(code) <= overheadMax && hasMargin(code, { pool, policy, margin }),
    )
  const possible = (policy: Policy): boolean => first(lowest, policy) !== undefined
  const policy = possible(pool.asked) ? pool.asked : mostOfPool(pool.asked, possible)
  for (const step of steps) {
    const code = first(step, policy)
    if (code !== undefined) return code
  }
  // Three holders always take 1+2 when nothing is asked of sites, providers and organisations.
  throw new MoyaiError('INTERNAL', `no code for ${pool.holders.length} holders`)
}

function mostOfPool(asked: Policy, possible: (part: Policy) => boolean): Policy {
  const none = { host: Math.min(2, asked.host), site: 0, provider: 0, org: 0 }
  const kept = mostOf(asked, none, possible)
  let host = asked.host
  while (host > none.host && !possible({ ...kept, host })) host--
  return { ...kept, host }
}

/** (k + m) / k: bytes kept for each byte stored. */
export function overheadOf({ k, m }: Code): number {
  return (k + m) / k
}

/** Every code that may be chosen, in order of preference. */
function allCodes(shardsMax: number, kMax: number): Code[] {
  const codes: Code[] = []
  for (let k = kMax; k >= 1; k--) {
    for (let m = 2; k + m <= shardsMax; m++) {
      if (overheadOf({ k, m }) >= OVERHEAD_MIN) codes.push({ k, m })
    }
  }
  return codes
}

/** Metadata survives one more loss than data, where there are hosts enough, at no less margin. */
function oneMoreParity(data: Code, pool: Pool): Code {
  const m = data.m + 1
  const shardsMax = Math.min(pool.holders.length, Math.max(PLAN_SHARDS_MAX, data.k + data.m))
  const { kept, margin } = reachOf(data, pool)
  if (data.k + m <= shardsMax) {
    const code = { k: data.k, m }
    if (hasMargin(code, { pool, policy: kept, margin })) return code
  }
  // The same hosts with one shard of data less: every margin is one higher.
  return data.k > 1 ? { k: data.k - 1, m } : data
}

const WORDS: Record<keyof Policy, string> = {
  host: 'host',
  site: 'site',
  provider: 'provider',
  org: 'organisation',
}

/** `1 site`, `2 hosts`. */
export function countOf(count: number, kind: keyof Policy): string {
  return `${count} ${WORDS[kind]}${count === 1 ? '' : 's'}`
}

function describe(code: Code, pool: Pool): CodePlan {
  const { asked, holders } = pool
  const { kept, caps, margin } = reachOf(code, pool)
  const gaps = (['host', ...GROUP_KINDS] as const)
    .filter((kind) => kept[kind] < asked[kind])
    .map((kind) => `does not survive the loss of ${countOf(asked[kind], kind)}`)
  const survived = (kind: GroupKind): number => Math.floor(code.m / caps[kind])
  const survives = {
    host: code.m,
    site: survived('site'),
    provider: survived('provider'),
    org: survived('org'),
  }
  const head = `${code.k}+${code.m} on ${countOf(holders.length, 'host').replace('host', 'possible holder')}`
  const met = gaps.length === 0
  const explain = `${head}: ${met ? survivalText(code, kept, margin) : gaps.join('; ')}`
  return { code, margin, caps, survives, met, gaps, explain }
}

/** `survives 5 hosts, or any 1 site or 1 provider and 2 hosts more`. */
function survivalText({ m }: Code, kept: Policy, margin: number): string {
  const domains = GROUP_KINDS.filter((kind) => kept[kind] > 0).map((kind) =>
    countOf(kept[kind], kind),
  )
  const hosts = `survives ${countOf(m, 'host')}`
  if (domains.length === 0) return hosts
  const more = margin === 0 ? '' : ` and ${countOf(margin, 'host')} more`
  return `${hosts}, or any ${domains.join(' or ')}${more}`
}

/**
 * The caps that a placement keeps: those under which the code has the highest margin in this pool's
 * hosts, online or not. Of what the policy asks for and this pool cannot survive, the lowest caps.
 */
export function placementCaps(o: {
  hosts: readonly HostFacts[]
  owner: string
  code: Code
  policy?: Policy
}): Caps {
  const { code, policy = DEFAULT_POLICY } = o
  return reachOf(code, poolOf({ ...o, policy, shardsMax: code.k + code.m })).caps
}

/** What a stripe of one code can have in a pool, when all its shards are placed. */
export type CodeFit = {
  /** See `CodePlan.margin`. */
  margin: number
  /** The part of the policy that is kept. */
  kept: Policy
  /** The margin that stripes in this pool should have. */
  target: number
}

/** How a code fits the pool; shards that there is no holder for count as placed. */
export function codeFit(o: {
  hosts: readonly HostFacts[]
  owner: string
  code: Code
  policy?: Policy
}): CodeFit {
  const { code, policy = DEFAULT_POLICY } = o
  const pool = poolOf({ ...o, policy, shardsMax: code.k + code.m })
  const { margin, kept } = reachOf(code, pool)
  return { margin, kept, target: targetMargin(pool.holders.length) }
}

/** The most that a code of this pool may cost, in bytes kept for each byte stored. */
export function overheadLimit(holders: number): number {
  return holders <= SMALL_POOL_HOLDERS ? OVERHEAD_MAX_SMALL_POOL : OVERHEAD_MAX
}

/**
 * The margin that a stripe of this code has in the pool when all its shards are placed; see
 * `CodePlan.margin`.
 */
export function placementMargin(o: {
  hosts: readonly HostFacts[]
  owner: string
  code: Code
  policy?: Policy
}): number {
  return codeFit(o).margin
}
