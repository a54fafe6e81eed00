/**
 * `moyai doctor`: from facts that were gathered just now to what a person is told, and what they
 * can do about it. A *problem* needs a person; a *note* is worth knowing and may be as it should
 * be.
 */

import type { DoctorCheck } from '../control/types.ts'
import type { HostClass } from '../pool-log/index.ts'

/** Clocks further apart cannot agree on protection windows (spec/join.md, spec/sync.md). */
export const CLOCK_PROBLEM_MS = 600_000
/** Worth a note: a clock that is set by the network is right to a second. */
export const CLOCK_NOTE_MS = 60_000

/** Another host as this one sees it. Times in ms. */
export type DoctorHost = {
  name: string
  site: string
  class: HostClass
  via: 'direct' | 'hole-punched' | 'relayed' | null
  /** Name of the host that relays. */
  relay: string | null
  rttMs: number | null
  /** How far its clock is ahead of this one's; null when it did not say. */
  clockMs: number | null
  /** Why the last attempt to reach it directly failed. */
  problem: string | null
}

/** What another host said when it was asked to reach this one. */
export type DialedBackBy = { name: string; site: string; address: string | null }

export type DoctorFacts = {
  name: string
  site: string
  /** Addresses that this host listens on and tells the others; empty when it listens nowhere. */
  listening: readonly string[]
  announced: readonly string[]
  /** Null while this host is in no pool. */
  pool: { name: string } | null
  /** What the pool says of this host. */
  standing: 'member' | 'revoked'
  hosts: readonly DoctorHost[]
  dialedBack: readonly DialedBackBy[]
  disk: {
    /** Undefined when it could not be asked. */
    freeBytes: number | undefined
    reserveBytes: number
    /** Why nothing could be written; null when it could. */
    unwritable: string | null
  }
  /** Key files that others can read, as sentences. */
  permissions: readonly string[]
  /** This host's identity or vault in use elsewhere, as sentences. */
  clones: readonly string[]
}

type Said = { text: string; hint?: string }

function ok(check: string, text: string): DoctorCheck {
  return { check, result: 'ok', text, hint: null }
}

function note(check: string, { text, hint }: Said): DoctorCheck {
  return { check, result: 'note', text, hint: hint ?? null }
}

function problem(check: string, { text, hint }: Said): DoctorCheck {
  return { check, result: 'problem', text, hint: hint ?? null }
}

/** All checks, in the order in which a person should read them. */
export function diagnose(facts: DoctorFacts): DoctorCheck[] {
  return [
    ok('daemon', `the daemon of ${facts.name} is running`),
    ...homeChecks(facts),
    diskCheck(facts),
    listenCheck(facts),
    ...poolChecks(facts),
  ]
}

/**
 * What a person must do about this machine itself, from its disk and its keys alone: fit for a
 * status that is asked for often.
 */
export function localProblems(
  facts: Pick<DoctorFacts, 'disk' | 'permissions' | 'clones'>,
): DoctorCheck[] {
  return [...homeChecks(facts), diskCheck(facts)].filter(({ result }) => result === 'problem')
}

function homeChecks({
  permissions,
  clones,
}: Pick<DoctorFacts, 'permissions' | 'clones'>): DoctorCheck[] {
  const keys =
    permissions.length === 0
      ? [ok('permissions', 'only you can read the keys of this host')]
      : permissions.map((text) =>
          problem('permissions', { text, hint: 'whoever has the keys can act as this host' }),
        )
  const hint =
    'if its folder was copied to another machine, stop that one and give it an identity of its own with moyai init'
  return [...keys, ...clones.map((text) => problem('clone', { text, hint }))]
}

function diskCheck({ disk }: Pick<DoctorFacts, 'disk'>): DoctorCheck {
  if (disk.unwritable !== null) {
    const hint = 'is the disk full, mounted read-only, or broken? Its system log may say'
    return problem('disk', { text: `nothing can be written here: ${disk.unwritable}`, hint })
  }
  const { freeBytes, reserveBytes } = disk
  if (freeBytes === undefined) {
    return note('disk', { text: 'how much space is free could not be found out' })
  }
  const free = `${Math.floor(freeBytes / 1e9)} GB free`
  if (freeBytes >= reserveBytes) return ok('disk', `${free}, and files can be written`)
  return problem('disk', {
    text: `the disk is full: ${free}, less than the reserve that shards never take`,
    hint: 'make room on it, or lower storage.reserve in config.toml',
  })
}

function listenCheck({ listening, announced }: DoctorFacts): DoctorCheck {
  if (listening.length === 0) {
    return note('listening', {
      text: 'this host listens on no address: it can call others, and nobody can call it',
      hint: 'set network.listen in config.toml, unless this is meant to be so',
    })
  }
  const more = announced.length === 0 ? '' : `; announced besides: ${announced.join(', ')}`
  return ok('listening', `listening on ${listening.join(', ')}${more}`)
}

function poolChecks(facts: DoctorFacts): DoctorCheck[] {
  if (facts.pool === null) {
    const hint = 'moyai pool create NAME starts one, moyai pool join TOKEN joins one'
    return [problem('pool', { text: 'this host is in no pool: nothing is backed up', hint })]
  }
  if (facts.standing === 'revoked') {
    return [
      problem('pool', {
        text: `the pool ${facts.pool.name} does not admit this host any more`,
        hint: 'its certificate was revoked: ask whoever looks after the pool, and join anew with an invite',
      }),
    ]
  }
  if (facts.hosts.length === 0) {
    const hint = 'let another machine join: moyai pool invite'
    return [
      problem('pool', { text: 'this host is alone in its pool: nobody keeps anything', hint }),
    ]
  }
  return [
    ok('pool', `member of the pool ${facts.pool.name}, with ${facts.hosts.length} other hosts`),
    reachableCheck(facts),
    ...facts.hosts.map((host) => hostCheck(host, facts)),
    ...clockChecks(facts),
  ]
}

function reachableCheck({ site, dialedBack, announced }: DoctorFacts): DoctorCheck {
  const far = dialedBack.find((one) => one.address !== null && one.site !== site)
  if (far !== undefined) return ok('reachable', `${far.name} reached this host at ${far.address}`)
  if (dialedBack.length === 0) {
    return note('reachable', { text: 'no host is connected that could try to reach this one' })
  }
  const near = dialedBack.find((one) => one.address !== null)
  const others = dialedBack.filter((one) => one.site !== site)
  if (near !== undefined && others.length === 0) {
    return ok(
      'reachable',
      `${near.name}, in the same building, reached this host at ${near.address}`,
    )
  }
  const asked = others.map(({ name }) => name).join(', ')
  const what = announced.length === 0 ? '' : ' The announced address does not lead here.'
  return note('reachable', {
    text: `${asked} could not reach this host directly: its router lets nothing in.${what}`,
    hint:
      'others reach it through a relay. For more speed forward a port of the router to this machine ' +
      'and write the outer address into network.announce in config.toml',
  })
}

function hostCheck(host: DoctorHost, facts: DoctorFacts): DoctorCheck {
  const check = `host ${host.name}`
  const time = host.rttMs === null ? '' : `, ${host.rttMs} ms`
  if (host.via === 'relayed') {
    return note(check, {
      text: `reached through ${host.relay ?? 'another host'}${time}, because both routers are closed`,
      hint: 'one forwarded port on either side makes the connection direct',
    })
  }
  if (host.via !== null) return ok(check, `reached directly${time}`)
  const why = host.problem === null ? '' : `: ${host.problem}`
  const text = `not connected${why}`
  if (host.class !== 'always-on') {
    return note(check, { text, hint: 'a machine that is switched off at night is no fault' })
  }
  const site = facts.hosts.filter((one) => one.site === host.site)
  const wholeSite = site.length > 1 && site.every((one) => one.via === null)
  return problem(check, {
    text,
    hint: wholeSite
      ? `no host at ${host.site} answers: is its router on, and its line working?`
      : 'is the machine on, and moyai daemon running there? moyai doctor there says more',
  })
}

function clockChecks({ hosts }: DoctorFacts): DoctorCheck[] {
  const known = hosts.flatMap(({ name, clockMs }) => (clockMs === null ? [] : { name, clockMs }))
  const wrong = known.filter(({ clockMs }) => Math.abs(clockMs) > CLOCK_PROBLEM_MS)
  if (known.length === 0) return []
  // Most cannot be wrong by the same amount: then it is this one.
  if (known.length > 1 && wrong.length * 2 > known.length) {
    const [first] = wrong
    return [
      problem('clock', {
        text: `the clock of this machine is wrong: it is ${difference(-(first?.clockMs ?? 0))} the others`,
        hint: 'let the system set it by the network (NTP)',
      }),
    ]
  }
  const said = known.flatMap(({ name, clockMs }) => {
    if (Math.abs(clockMs) <= CLOCK_NOTE_MS) return []
    const text = `the clock of ${name} is ${difference(clockMs)} this one`
    const hint = 'let its system set it by the network (NTP)'
    return Math.abs(clockMs) > CLOCK_PROBLEM_MS
      ? problem('clock', { text, hint })
      : note('clock', { text, hint })
  })
  return said.length > 0 ? said : [ok('clock', 'the clocks of all connected hosts agree')]
}

/** `5 min ahead of`, `26 h behind`. */
function difference(ms: number): string {
  const minutes = Math.round(Math.abs(ms) / 60_000)
  const time = minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`
  return `${time} ${ms > 0 ? 'ahead of' : 'behind'}`
}
