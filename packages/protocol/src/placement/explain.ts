/**
 * A plan explained to its owner: what it costs, what it survives, what it does not, and which one
 * change of the pool would help most. The change is found by planning again with each.
 */

import { doubleChanges, singleChanges } from './changes.ts'
import type { Change } from './changes.ts'
import { DEFAULT_POLICY, DOMAIN_KINDS, domainOf, GROUP_KINDS, nightsByDefault } from './hosts.ts'
import type { GroupKind, HostFacts, Policy } from './hosts.ts'
import { countOf, overheadOf, planCode, targetMargin } from './plan.ts'
import type { CodePlan, PlanOptions } from './plan.ts'
import { holdersOf } from './reach.ts'

/** A change for the sake of cost alone must save this share of the overhead. */
const SAVING_MIN = 0.1

export type PolicyExplanation = {
  plan: CodePlan
  /** Bytes kept for each byte stored. */
  overhead: number
  /** True when the loss of one site, provider or organisation the policy names loses data. */
  red: boolean
  /** What loses data, or can, in a sentence each: single domains first. */
  cannot: string[]
  /** A sentence on restores while only the always-on hosts run; absent where there are none. */
  nights?: string
  /** Absent where nothing is missing and nothing would be much cheaper. */
  change?: PolicyChange
}

export type PolicyChange = {
  /** What to do: `add a host in a second office`. */
  text: string
  /** The hosts that are added. */
  hosts: number
  /** False when nothing is missing now, and the change only makes it cheaper. */
  needed: boolean
  /** The plan after it. */
  plan: CodePlan
}

/**
 * Explains the plan for one class of stripes. `policy` is the policy as people set it, not what is
 * left of it in this pool. Throws what `planCode` throws. Up to 150 plans: some ten milliseconds,
 * in a large and crooked pool a fifth of a second.
 */
export function explainPolicy(o: PlanOptions): PolicyExplanation {
  const plan = planCode(o)
  const holders = holdersOf(o.hosts, o.owner)
  const nights = nightsText(plan, holders)
  const change = bestChange(plan, o)
  return {
    plan,
    overhead: overheadOf(plan.code),
    red: isRed(plan, o),
    cannot: [...singleLosses(plan, o.hosts, holders), jointLosses(plan, holders)],
    ...(nights === undefined ? {} : { nights }),
    ...(change === undefined ? {} : { change }),
  }
}

/** The explanation as lines for a terminal, without colours. */
export function explanationLines(explanation: PolicyExplanation): string[] {
  const { plan, overhead, red, cannot, nights, change } = explanation
  const lines = [
    plan.explain,
    `overhead: ${overhead.toFixed(2)} bytes are kept for each byte stored`,
    ...(red ? ['red: one loss can take everything, and no code helps against that'] : []),
    ...cannot,
    ...(nights === undefined ? [] : [nights]),
  ]
  if (change === undefined) return [...lines, 'nothing is missing']
  const aim = change.needed ? 'what would help most' : 'nothing is missing; cheaper'
  return [...lines, `${aim}: ${change.text}; then ${change.plan.explain}`]
}

/** Kinds the policy names; organisations only where two or more pool. */
function askedOf({ hosts, policy = DEFAULT_POLICY }: PlanOptions): Policy {
  return new Set(hosts.map((host) => host.org)).size < 2 ? { ...policy, org: 0 } : policy
}

function isRed(plan: CodePlan, o: PlanOptions): boolean {
  const asked = askedOf(o)
  return GROUP_KINDS.some((kind) => asked[kind] > 0 && plan.survives[kind] === 0)
}

/** Each site, provider and organisation that can take more shards with it than may be lost. */
function singleLosses(
  { code, caps }: CodePlan,
  hosts: readonly HostFacts[],
  holders: readonly HostFacts[],
): string[] {
  const pooled = new Set(hosts.map((host) => host.org)).size > 1
  const shards = code.k + code.m
  const losses: string[] = []
  for (const kind of GROUP_KINDS) {
    if (kind === 'org' && !pooled) continue
    const domains = Map.groupBy(holders, (host) => domainOf(host, kind))
    for (const members of domains.values()) {
      const first = members[0]
      // Machines of one's own have their site as provider, which was named as a site.
      if (first === undefined || (kind === 'provider' && first.provider === 'self')) continue
      if (Math.min(members.length, caps[kind]) <= code.m) continue
      const surely = shards - (holders.length - members.length) > code.m
      losses.push(
        `${lossOf(kind, members, first)} ${surely ? 'loses this' : 'can lose some of this'}`,
      )
    }
  }
  return losses
}

function lossOf(kind: GroupKind, members: readonly HostFacts[], first: HostFacts): string {
  if (kind === 'provider') return `the end of the account at ${first.provider}`
  if (kind === 'org') return `the withdrawal of organisation ${first.org.slice(0, 8)}`
  const own = members.every((host) => host.provider === 'self')
  return `${own ? 'an office fire' : 'the loss of the site'} in ${first.site}`
}

/** What is one more than survives, of each kind of which there are so many. */
function jointLosses({ survives }: CodePlan, holders: readonly HostFacts[]): string {
  const losses = DOMAIN_KINDS.flatMap((kind) => {
    const lost = survives[kind] + 1
    const domains = new Set(holders.map((host) => domainOf(host, kind))).size
    // Providers of one's own machines are their sites.
    const same = kind === 'provider' && holders.every((host) => host.provider === 'self')
    const several = kind === 'host' || (lost > 1 && lost <= domains)
    return several && !same ? countOf(lost, kind) : []
  })
  return `the loss of ${losses.join(', or of ')} before a repair can lose this`
}

function nightsText({ code }: CodePlan, holders: readonly HostFacts[]): string | undefined {
  const awake = holders.filter((host) => host.alwaysOn === true).length
  if (awake === 0) return undefined
  const run = `${countOf(awake, 'host')} ${awake === 1 ? 'runs' : 'run'} day and night`
  if (awake < code.k) return `${run}, ${code.k} are needed to restore: not at night`
  if (awake === code.k) return `${run}, all needed to restore at night`
  return `${run}, ${code.k} are needed to restore at night`
}

/** What a plan lacks: gravest first; and what it costs. */
type Score = { lacks: number[]; overhead: number; hosts: number }

function scoreOf(plan: CodePlan, o: PlanOptions, target: number): Score {
  const asked = askedOf(o)
  const short = DOMAIN_KINDS.map((kind) => Math.max(0, asked[kind] - plan.survives[kind]))
  const red = GROUP_KINDS.filter((kind) => asked[kind] > 0 && plan.survives[kind] === 0).length
  const unmet = short.reduce((sum, one) => sum + one, 0)
  const lacks = [red, unmet, Math.max(0, target - plan.margin)]
  return { lacks, overhead: overheadOf(plan.code), hosts: o.hosts.length }
}

/** Negative when `a` lacks less than `b`. */
function compareLacks(a: Score, b: Score): number {
  for (const [i, lack] of a.lacks.entries()) {
    const difference = lack - (b.lacks[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/**
 * One host where that makes anything better, otherwise two; of equal changes the cheapest code,
 * then the simplest place.
 */
function bestChange(now: CodePlan, o: PlanOptions): PolicyChange | undefined {
  // More hosts would want a higher margin: what they bring is judged by what is wanted now.
  const target = targetMargin(o.hosts.length - 1)
  // New hosts are no always-on ones: whether nights matter must not change with them.
  const nights = o.nights ?? nightsByDefault(holdersOf(o.hosts, o.owner))
  const before = scoreOf(now, o, target)
  const needed = before.lacks.some((lack) => lack > 0)
  const helps = (after: Score): boolean =>
    needed
      ? compareLacks(after, before) < 0
      : compareLacks(after, before) === 0 && after.overhead <= before.overhead * (1 - SAVING_MIN)
  const bestOf = (changes: readonly Change[]): PolicyChange | undefined => {
    let best: { change: PolicyChange; score: Score } | undefined
    for (const { text, adds } of changes) {
      const larger = { ...o, nights, hosts: [...o.hosts, ...adds] }
      const plan = planCode(larger)
      const score = scoreOf(plan, larger, target)
      const better =
        best === undefined ||
        (compareLacks(score, best.score) || score.overhead - best.score.overhead) < 0
      if (helps(score) && better)
        best = { change: { text, hosts: adds.length, needed, plan }, score }
    }
    return best?.change
  }
  const single = bestOf(singleChanges(o.hosts, o.owner))
  if (single !== undefined || !needed) return single
  return bestOf(doubleChanges(o.hosts, o.owner))
}
