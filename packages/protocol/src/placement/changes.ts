/** What could be added to a pool: the changes that `explainPolicy` tries by planning again. */

import { domainOf } from './hosts.ts'
import type { HostFacts } from './hosts.ts'

/** Something a person can do. */
export type Change = {
  /** `add a host in a second office`. */
  text: string
  /** The hosts that the pool has more by it. */
  adds: HostFacts[]
}

/** Where a host can be added. */
type Place = {
  /** `in a second office`: for one host. Absent where it makes no sense for one alone. */
  one?: string
  /** For two hosts. */
  two: string
  host: (number: 1 | 2) => HostFacts
}

/** Existing places that are tried: those with the fewest hosts. */
const EXISTING_MAX = 8

/** One more host, wherever it can make a difference; the simplest places first. */
export function singleChanges(hosts: readonly HostFacts[], owner: string): Change[] {
  return placesOf(hosts, owner).flatMap(({ one, host }) =>
    one === undefined ? [] : { text: `add a host ${one}`, adds: [host(1)] },
  )
}

/** Two hosts more, in the same place or in two. */
export function doubleChanges(hosts: readonly HostFacts[], owner: string): Change[] {
  const places = placesOf(hosts, owner)
  const same = places.map(({ two, host }) => ({
    text: `add 2 hosts ${two}`,
    adds: [host(1), host(2)],
  }))
  const single = places.filter(({ one }) => one !== undefined)
  const different = single.flatMap((first, i) =>
    single.slice(i + 1).map((second) => ({
      text: `add a host ${first.one} and a host ${second.one}`,
      adds: [first.host(1), second.host(2)],
    })),
  )
  return [...same, ...different]
}

function placesOf(hosts: readonly HostFacts[], owner: string): Place[] {
  const org = hosts.find((host) => host.id === owner)?.org ?? ''
  // Labels have no line breaks: what is new is never taken for something that is there.
  const added = (number: number, where: Partial<HostFacts>): HostFacts => {
    const facts = { id: `\n${number}`, site: '\n', provider: 'self', org, online: true }
    return { ...facts, freeBytes: 1, ...where }
  }
  const offices = new Set(hosts.map((host) => host.site)).size
  const rented = hosts.some((host) => host.provider !== 'self')
  const places: Place[] = [
    ...existingPlaces(hosts).map(({ site, provider, org: theirs }): Place => {
      const where = provider === 'self' ? `in ${site}` : `at ${provider} in ${site}`
      const host = (n: number): HostFacts => added(n, { site, provider, org: theirs })
      return { one: where, two: where, host }
    }),
    {
      one: offices === 1 ? 'in a second office' : 'in another office',
      two: offices === 1 ? 'in a second office' : 'in another office',
      host: (n) => added(n, {}),
    },
    { two: 'in two other offices', host: (n) => added(n, { site: `\n${n}` }) },
    {
      one: rented ? 'at another provider' : 'at a provider',
      two: rented ? 'at two other providers' : 'at two providers',
      host: (n) => added(n, { site: `\n${n}`, provider: `\n${n}` }),
    },
  ]
  if (new Set(hosts.map((host) => host.org)).size < 2) return places
  const one = 'of another organisation'
  const host = (n: number): HostFacts => added(n, { site: `\n${n}`, org: `\n${n}` })
  return [...places, { one, two: 'of two other organisations', host }]
}

/** One host of each place that is in use, those with the fewest first. */
function existingPlaces(hosts: readonly HostFacts[]): HostFacts[] {
  const places = new Map<string, HostFacts[]>()
  for (const host of hosts) {
    const key = JSON.stringify([domainOf(host, 'site'), domainOf(host, 'provider')])
    places.set(key, [...(places.get(key) ?? []), host])
  }
  return [...places]
    .sort(([a, one], [b, other]) => one.length - other.length || (a < b ? -1 : 1))
    .slice(0, EXISTING_MAX)
    .flatMap(([, members]) => members[0] ?? [])
}
