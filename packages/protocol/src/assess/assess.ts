/**
 * What a vault survives now, in figures and in words: spec/status.md.
 *
 * Fed with one stripe after another and what was *found* for it (hosts that said, when asked, that
 * they have the shard), it never holds more than counters, and never counts an intention. The words
 * are those of DESIGN §9.
 */

import type { ProtectionState, StatusResult, Survives } from '../control/types.ts'
import { DOMAIN_KINDS, domainOf, type HostFacts, type Policy } from '../placement/hosts.ts'
import { survives } from '../placement/survives.ts'
import { type StripeFacts, WhatIfCounter } from './what-if.ts'

/**
 * Receipts and `check --read-data` are proof for this long; holders re-read everything every 30
 * days (DESIGN §8).
 */
export const PROOF_AGE_MAX_MS: number = 30 * 24 * 3600 * 1000

/** One stripe; `found` are the shards that reachable hosts say they have. */
export type StripeEvidence = StripeFacts & {
  /** Shards that hosts which are not reachable gave a receipt for. */
  away: readonly { index: number; host: string }[]
  /**
   * When these shards were last proved: written under a receipt, or read back. Milliseconds since
   * the epoch.
   */
  provedAt: number
  /** Shards that wait in the outbox for a host. */
  pending: number
}

export type AssessOptions = {
  /** Every certified host of the pool. */
  hosts: readonly HostFacts[]
  /** Host id of the owner. */
  owner: string
  policy: Policy
}

export type AssessFacts = {
  snapshots: number
  /** False when the vault's log was lost here and too few hosts could be asked for it. */
  logKnown: boolean
  /** Reachable hosts, and how many of them confirmed the head of the vault's log. */
  reachable: number
  confirmed: number
  nowMs: number
  /** When the hosts were asked, ISO 8601. */
  checkedAt: string
}

type Protection = StatusResult['protection']

/**
 * The part of the policy that the pool's labels allow to ask for: one site only cannot survive the
 * loss of it.
 */
export function effectivePolicy(hosts: readonly HostFacts[], policy: Policy): Policy {
  const effective = { ...policy }
  for (const kind of DOMAIN_KINDS) {
    if (kind === 'host') continue
    if (new Set(hosts.map((host) => domainOf(host, kind))).size < 2) effective[kind] = 0
  }
  return effective
}

/** Adds stripes up; `result` says what they amount to. */
export class ProtectionAssessor {
  readonly #o: AssessOptions
  readonly #whatIf: WhatIfCounter
  readonly #missing = new Map<number, number>()
  #survives: Survives | undefined
  #total = 0
  #full = 0
  #unrecoverable = 0
  #lost = 0
  #pending = 0
  #provedAt = Number.POSITIVE_INFINITY

  /** `names`: host id → short name, for the texts. */
  constructor(options: AssessOptions, names: ReadonlyMap<string, string>) {
    this.#o = options
    this.#whatIf = new WhatIfCounter({ ...options, names })
  }

  add(stripe: StripeEvidence): void {
    const { code, found } = stripe
    const distinct = new Set(found.map((shard) => shard.index))
    const missing = code.k + code.m - distinct.size
    this.#total++
    this.#pending += stripe.pending
    this.#provedAt = Math.min(this.#provedAt, stripe.provedAt)
    if (distinct.size < code.k) {
      this.#unrecoverable++
      const ever = new Set([...found, ...stripe.away].map((shard) => shard.index))
      if (ever.size < code.k) this.#lost++
    } else if (missing === 0) this.#full++
    else this.#missing.set(missing, (this.#missing.get(missing) ?? 0) + 1)
    this.#addSurvival(stripe)
    this.#whatIf.add(stripe)
  }

  #addSurvival({ found, code }: StripeEvidence): void {
    const now = survives({ shards: found, hosts: this.#o.hosts, code })
    const before = this.#survives
    this.#survives =
      before === undefined
        ? now
        : {
            host: Math.min(before.host, now.host),
            site: Math.min(before.site, now.site),
            provider: Math.min(before.provider, now.provider),
            org: Math.min(before.org, now.org),
          }
  }

  /** The `protection` part of the status. */
  result(facts: AssessFacts): Protection {
    const survived = this.#survives ?? { host: 0, site: 0, provider: 0, org: 0 }
    const atLeast = (value: number): number => Math.max(0, value)
    const figures: Survives = {
      host: atLeast(survived.host),
      site: atLeast(survived.site),
      provider: atLeast(survived.provider),
      org: atLeast(survived.org),
    }
    const { state, text } = this.#judge(facts, figures)
    const stripes: Protection['stripes'] = {
      total: this.#total,
      full: this.#full,
      missing1: 0,
      unrecoverable: this.#unrecoverable,
    }
    for (const [missing, count] of [...this.#missing].sort(([a], [b]) => a - b)) {
      stripes[`missing${missing}`] = count
    }
    return {
      state,
      text,
      checkedAt: this.#total === 0 ? null : facts.checkedAt,
      survives: figures,
      stripes,
      whatIf: this.#whatIf.result(),
    }
  }

  #judge(facts: AssessFacts, figures: Survives): { state: ProtectionState; text: string } {
    if (!facts.logKnown) {
      return {
        state: 'unverified',
        text: 'Unverified — the log of this vault was lost here, and too few hosts could be asked for it',
      }
    }
    if (facts.snapshots === 0 || this.#total === 0) {
      return { state: 'empty', text: 'Nothing is stored yet' }
    }
    if (this.#lost > 0) {
      return {
        state: 'lost',
        text: `Lost — ${this.#lost} of ${this.#total} stripes have too few shards anywhere; moyai check lists the files`,
      }
    }
    if (this.#unrecoverable > 0) {
      return {
        state: 'at-risk',
        text: `At risk — not retrievable right now: too few of the hosts that keep it are reachable (${facts.reachable} are)`,
      }
    }
    if (figures.host === 0) {
      return { state: 'at-risk', text: 'At risk — one failure loses data' }
    }
    if (this.#pending > 0) {
      return {
        state: 'settling',
        text: `Settling — ${this.#pending} shards wait for a host; survives ${failures(figures.host)} meanwhile`,
      }
    }
    if (facts.confirmed * 2 <= facts.reachable) {
      return {
        state: 'settling',
        text: `Settling — ${facts.confirmed} of ${facts.reachable} reachable hosts have the newest snapshot record`,
      }
    }
    const wanted = effectivePolicy(this.#o.hosts, this.#o.policy)
    const met = DOMAIN_KINDS.every((kind) => figures[kind] >= wanted[kind])
    if (this.#full < this.#total || !met) {
      return { state: 'degraded', text: `Degraded — survives ${failures(figures.host)}` }
    }
    if (facts.nowMs - this.#provedAt > PROOF_AGE_MAX_MS) {
      return {
        state: 'unverified',
        text: 'Unverified — no shard was read back for more than 30 days; moyai check --read-data does it',
      }
    }
    return { state: 'protected', text: `Protected — survives ${survivedText(figures)}` }
  }
}

function failures(count: number): string {
  return `${count} more host failure${count === 1 ? '' : 's'}`
}

function survivedText(figures: Survives): string {
  const parts = [`any ${figures.host} host${figures.host === 1 ? '' : 's'}`]
  if (figures.site > 0) parts.push(figures.site === 1 ? 'any site' : `any ${figures.site} sites`)
  if (figures.provider > 0) {
    parts.push(figures.provider === 1 ? 'any provider' : `any ${figures.provider} providers`)
  }
  return `the loss of ${parts.join(', or ')}`
}
