/**
 * What would remain if a host, a site, a provider or an organisation vanished: spec/status.md.
 * Computed from shards that were found, never from a plan.
 */

import type { Code } from '../codec/codec.ts'
import type { WhatIf } from '../control/types.ts'
import { DOMAIN_KINDS, domainOf, type HostFacts, type Policy } from '../placement/hosts.ts'

/**
 * 20 Mbit/s, the upload that the durability figures assume of an office (reliability research,
 * §B2); a guess for want of a measurement.
 */
export const REPAIR_BYTES_PER_SECOND = 2_500_000

/** What is known of one stripe. */
export type StripeFacts = {
  code: Code
  /** Bytes of one shard. */
  shardLength: number
  /** Healthy shards: index of the shard, id of the host. */
  found: readonly { index: number; host: string }[]
}

export type WhatIfOptions = {
  /** Every certified host of the pool. */
  hosts: readonly HostFacts[]
  /** Host id of the owner, which keeps nothing of its own. */
  owner: string
  /** Host id → short name, for the texts. */
  names: ReadonlyMap<string, string>
  /** What each remaining host is assumed to send for repairs. */
  repairBytesPerSecond?: number
}

/** A domain and what its loss would do, added up over stripes. */
type Loss = {
  lose: string
  hosts: ReadonlySet<string>
  /** Hosts that would be left to take shards. */
  takers: number
  unrecoverable: number
  degraded: number
  spare: number
  repairBytes: number
  trafficBytes: number
  /** Hosts more that the repair of some stripe would need. */
  short: number
}

/** The losses of all domains, for stripes that are all in memory. */
export function whatIf(o: WhatIfOptions & { stripes: Iterable<StripeFacts> }): WhatIf[] {
  const counter = new WhatIfCounter(o)
  for (const stripe of o.stripes) counter.add(stripe)
  return counter.result()
}

/** Adds stripes up, one after another; holds counters only. */
export class WhatIfCounter {
  readonly #losses: Loss[]
  readonly #rate: number
  /** Hosts that have a shard of any stripe. */
  readonly #holding = new Set<string>()
  #total = 0

  constructor(options: WhatIfOptions) {
    this.#losses = lossesOf(options)
    this.#rate = options.repairBytesPerSecond ?? REPAIR_BYTES_PER_SECOND
  }

  add(stripe: StripeFacts): void {
    this.#total++
    for (const { host } of stripe.found) this.#holding.add(host)
    const before = new Set(stripe.found.map((shard) => shard.index)).size
    for (const loss of this.#losses) addTo(loss, stripe, before)
  }

  /** Hosts first, then sites, providers and organisations, each by name. Empty without a stripe. */
  result(): WhatIf[] {
    if (this.#total === 0) return []
    return this.#losses.map((loss) => {
      const hosts = [...this.#holding].filter((host) => !loss.hosts.has(host)).length
      const { lose, unrecoverable, degraded, repairBytes, trafficBytes } = loss
      const repairSeconds = hosts === 0 ? 0 : Math.ceil(trafficBytes / (hosts * this.#rate))
      const figures = { unrecoverable, degraded, hosts, repairBytes, repairSeconds }
      return { lose, outcome: outcomeOf(loss, { total: this.#total, ...figures }), ...figures }
    })
  }
}

function addTo(loss: Loss, { code, shardLength, found }: StripeFacts, before: number): void {
  const left = new Set<number>()
  const holders = new Set<string>()
  for (const { index, host } of found) {
    if (loss.hosts.has(host)) continue
    left.add(index)
    holders.add(host)
  }
  loss.spare = Math.min(loss.spare, left.size - code.k)
  if (left.size < code.k) {
    loss.unrecoverable++
    return
  }
  const lost = before - left.size
  if (lost === 0) return
  loss.degraded++
  // One shard of a stripe per host: what no host can take has to wait for another one.
  const rebuilt = Math.min(lost, Math.max(0, loss.takers - holders.size))
  loss.short = Math.max(loss.short, lost - rebuilt)
  loss.repairBytes += rebuilt * shardLength
  // k shards are read once for all that are missing of a stripe, and each rebuilt one is sent.
  if (rebuilt > 0) loss.trafficBytes += (code.k + rebuilt) * shardLength
}

/**
 * Every other host; and each site, provider and organisation of several hosts. The only site or
 * provider counts, for it takes everything; the only organisation does not, for it is the owner.
 */
function lossesOf({ hosts, owner, names }: WhatIfOptions): Loss[] {
  return DOMAIN_KINDS.flatMap((kind) => {
    const domains = Map.groupBy(hosts, (host) => domainOf(host, kind))
    return [...domains]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .filter(([, members]) => isTold(kind, members, { domains: domains.size, owner }))
      .map(([domain, members]) => {
        const lost = new Set(members.map((host) => host.id))
        return {
          lose: nameOf(kind, domain, names),
          hosts: lost,
          takers: hosts.filter((host) => host.id !== owner && !lost.has(host.id)).length,
          unrecoverable: 0,
          degraded: 0,
          spare: Number.POSITIVE_INFINITY,
          repairBytes: 0,
          trafficBytes: 0,
          short: 0,
        }
      })
  })
}

function isTold(
  kind: keyof Policy,
  members: readonly HostFacts[],
  o: { domains: number; owner: string },
): boolean {
  if (kind === 'host') return members[0]?.id !== o.owner
  if (kind === 'org' && o.domains < 2) return false
  // Machines of one's own have their site as provider, which is told as a site.
  if (kind === 'provider' && members[0]?.provider === 'self') return false
  return members.length > 1
}

function nameOf(kind: keyof Policy, domain: string, names: ReadonlyMap<string, string>): string {
  if (kind === 'host') return `host ${names.get(domain) ?? domain.slice(0, 8)}`
  return kind === 'org' ? `organisation ${domain.slice(0, 8)}` : `${kind} ${domain}`
}

/** `everything is retrievable from 7 hosts, 1 more could go; repair would take about 3 h`. */
function outcomeOf(
  loss: Loss,
  o: { total: number; unrecoverable: number; hosts: number; repairSeconds: number },
): string {
  if (o.unrecoverable > 0) return `${o.unrecoverable} of ${o.total} stripes could not be retrieved`
  const spare = loss.spare === 0 ? 'with nothing to spare' : `${loss.spare} more could go`
  const left = `everything is retrievable from ${hostCount(o.hosts)}, ${spare}`
  if (loss.degraded === 0) return left
  const needs = loss.short > 0 ? [`needs ${hostCount(loss.short)} more`] : []
  const takes = loss.repairBytes > 0 ? [`would take ${durationText(o.repairSeconds)}`] : []
  return `${left}; repair ${[...takes, ...needs].join(' and ')}`
}

function hostCount(count: number): string {
  return `${count} host${count === 1 ? '' : 's'}`
}

/** `about 3 h`; an estimate, so rounded up to what one would say. */
function durationText(seconds: number): string {
  if (seconds <= 60) return 'less than a minute'
  if (seconds <= 3600) return `about ${Math.ceil(seconds / 60)} min`
  const hours = Math.ceil(seconds / 3600)
  return hours <= 48 ? `about ${hours} h` : `about ${Math.ceil(hours / 24)} days`
}
