/**
 * Choosing hosts under caps of all three kinds of domains.
 *
 * For two kinds the largest choice is a flow (spread.ts). With a third the question is NP-hard, but
 * a pool's sites, providers and organisations mostly contain one another: so the third is left out
 * first, and only where the flow breaks its caps the hosts of the overfull domain are taken or left
 * one by one, each case being a flow again (branch and bound). The number of cases is bounded.
 * Beyond the bound the answer may be smaller than the largest choice; it never breaks a cap.
 */

import { GROUP_KINDS } from './hosts.ts'
import type { GroupKind } from './hosts.ts'
import { firstOfEach, loadsOf, Spread } from './spread.ts'
import type { Candidate, Caps } from './spread.ts'

/**
 * Cases per choice; one costs some ten microseconds. Of 100 000 choices in random pools of 9 to 40
 * hosts whose sites, providers and organisations overlap at random, the hardest needed 448.
 */
const CASES_MAX = 500

export type ChooseOptions = {
  /** In order of preference. Numbered together with `fixed`. */
  candidates: readonly Candidate[]
  /** Hosts that have a shard already: they count for the caps, and stay. */
  fixed: readonly Candidate[]
  /** Hosts to choose at most. */
  count: number
  caps: Caps
}

/** A case: these are taken, and among those there is still a choice. */
type Case = { taken: readonly Candidate[]; open: readonly Candidate[] }

/** As many hosts as the caps allow, at most `count`, in order of preference. */
export function chooseHosts(o: ChooseOptions): Candidate[] {
  const first = firstOfEach(o.candidates, o.count)
  const { pair, third } = splitKinds(first, o)
  const open = withRoom(first, o.fixed, { o, third })
  let best: Candidate[] = []
  let enough = o.count
  const cases: Case[] = [{ taken: [], open }]
  for (let done = 0; done < CASES_MAX; done++) {
    const next = cases.pop()
    if (next === undefined || best.length >= enough) break
    const chosen = solve(next, o, pair)
    if (chosen.length <= best.length) continue
    const over = overfull(chosen, next, { o, third })
    if (over === undefined) {
      best = chosen
      continue
    }
    // No choice is larger than the flow for any two kinds: often that ends the search at once.
    if (done === 0) enough = Math.min(enough, upperBound(next, o))
    const valid = trimmed(chosen, { o, third })
    if (valid.length > best.length) best = valid
    cases.push(withTaken(next, over, { o, third }), withoutAny(next, over))
  }
  const order = new Map(o.candidates.map((one, i) => [one, i]))
  return best.toSorted((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0))
}

/** The two kinds that the flow keeps, and the one to be searched for: one that binds least. */
function splitKinds(
  open: readonly Candidate[],
  o: ChooseOptions,
): { pair: [GroupKind, GroupKind]; third: GroupKind } {
  const binds = (kind: GroupKind): boolean =>
    loadsOf([...open, ...o.fixed], kind).some((load) => load > o.caps[kind])
  const third = GROUP_KINDS.toReversed().find((kind) => !binds(kind)) ?? 'org'
  const [first, second] = GROUP_KINDS.filter((kind) => kind !== third)
  return { pair: [first as GroupKind, second as GroupKind], third }
}

/** The largest choice of a case for two kinds; the first of them is loaded evenly. */
function solve(
  { taken, open }: Case,
  o: ChooseOptions,
  pair: readonly [GroupKind, GroupKind],
): Candidate[] {
  const spread = new Spread(open, [...o.fixed, ...taken], pair)
  const [first] = pair
  // Caps rise step by step, so that no domain is filled up while another could take one more.
  for (let cap = 1; cap <= Math.min(o.caps[first], o.count + o.fixed.length); cap++) {
    spread.grow(o.count - taken.length, { ...o.caps, [first]: cap })
  }
  return [...taken, ...spread.chosen()]
}

function upperBound(root: Case, o: ChooseOptions): number {
  const pairs = [
    ['site', 'org'],
    ['provider', 'org'],
    ['site', 'provider'],
  ] as const
  return Math.min(...pairs.map((pair) => solve(root, o, pair).length))
}

type Third = { o: ChooseOptions; third: GroupKind }

/** The least wanted host of a domain of the third kind that holds too many. */
function overfull(
  chosen: readonly Candidate[],
  { taken }: Case,
  { o, third }: Third,
): Candidate | undefined {
  const loads = loadsOf([...o.fixed, ...chosen], third)
  return chosen.findLast((one, i) => i >= taken.length && (loads[one[third]] ?? 0) > o.caps[third])
}

/** What is left of a choice when each overfull domain gives up its least wanted hosts. */
function trimmed(chosen: readonly Candidate[], { o, third }: Third): Candidate[] {
  const loads = loadsOf(o.fixed, third)
  return chosen.filter((one) => {
    const load = (loads[one[third]] ?? 0) + 1
    if (load > o.caps[third]) return false
    loads[one[third]] = load
    return true
  })
}

/** The case in which `one` is chosen: a domain that is full by this has no further candidates. */
function withTaken(before: Case, one: Candidate, { o, third }: Third): Case {
  const taken = [...before.taken, one]
  const others = before.open.filter((other) => other !== one)
  return { taken, open: withRoom(others, [...o.fixed, ...taken], { o, third }) }
}

/** Those whose domain of the third kind is not full by `load` already. */
function withRoom(
  open: readonly Candidate[],
  load: readonly Candidate[],
  { o, third }: Third,
): Candidate[] {
  const loads = loadsOf(load, third)
  return open.filter((one) => (loads[one[third]] ?? 0) < o.caps[third])
}

/** The case in which neither `one` is chosen nor a less wanted host that it could stand for. */
function withoutAny(before: Case, one: Candidate): Case {
  const from = before.open.indexOf(one)
  const alike = (other: Candidate): boolean =>
    GROUP_KINDS.every((kind) => other[kind] === one[kind])
  return { taken: before.taken, open: before.open.filter((other, i) => i < from || !alike(other)) }
}
