/** What a person must know of hosts that are not there. */

import type { StatusResult } from '@moyai/protocol'

import type { Presence, SilentDomain } from './liveness-service.ts'

type Alarms = StatusResult['alarms']

const DAY_MS = 24 * 3_600_000

export type LivenessAlarmFacts = {
  /** Hosts (hex) to look at: the certified ones. */
  hosts: readonly string[]
  liveness: {
    presenceOf(host: string): Presence | undefined
    silentDomains(): SilentDomain[]
  }
  nameOf: (host: string) => string
  nowMs: number
}

function seenText(seenAt: number | undefined, nowMs: number): string {
  if (seenAt === undefined) return 'it was never seen from here'
  const days = Math.max(0, Math.floor((nowMs - seenAt) / DAY_MS))
  if (days === 0) return 'last seen today'
  return `last seen ${days === 1 ? 'a day' : `${days} days`} ago`
}

/** One sentence about a host that is missed; undefined when nothing is wrong with it. */
function hostAlarm(host: string, o: LivenessAlarmFacts): Alarms[number] | undefined {
  const presence = o.liveness.presenceOf(host)
  if (presence === undefined) return undefined
  const name = o.nameOf(host)
  const { state, held, seenAt, declaredLost } = presence
  const since = new Date(seenAt ?? o.nowMs).toISOString()
  const seen = seenText(seenAt, o.nowMs)
  if (state === 'presumed-lost') {
    const why = declaredLost ? 'was declared lost' : 'is presumed lost'
    const text = `${name} ${why}, and what it kept is placed anew: ${seen}`
    return { code: 'HOST_LOST', since, text }
  }
  if (state !== 'suspect') return undefined
  if (held === 'share') {
    const text = `${name} would be presumed lost, but too many hosts were within a week: ${seen}; if it is gone, say moyai pool lost ${name}`
    return { code: 'HOST_SILENT', since, text }
  }
  const hours = Math.floor(presence.absentHours)
  const text = `${name} is missed: ${seen}, and it was expected for ${hours} hours since; if that is meant, say moyai pool away ${name} --until DATE`
  return { code: 'HOST_SILENT', since, text }
}

/**
 * HOST_SILENT for each host that is suspect, HOST_LOST for each that is presumed lost, and
 * SITE_SILENT for each site or provider that is silent as a whole.
 */
export function livenessAlarms(o: LivenessAlarmFacts): Alarms {
  const domains = o.liveness.silentDomains()
  // The alarm about its whole site or provider names it.
  const told = new Set(domains.flatMap(({ hosts }) => hosts))
  const alarms = domains.map(({ kind, name, hosts }) => {
    const seen = hosts.map((host) => o.liveness.presenceOf(host)?.seenAt ?? 0)
    const seenAt = Math.max(0, ...seen) || o.nowMs
    const names = hosts.map(o.nameOf).join(', ')
    const what =
      kind === 'site' ? `all hosts at ${name} are silent` : `all hosts run by ${name} are silent`
    const gone = kind === 'site' ? `site=${name}` : 'HOST'
    const text = `${what} (${names}): a broken line is likelier than a loss, so nothing is copied for a week; if they are gone, say moyai pool lost ${gone}`
    return { code: 'SITE_SILENT', since: new Date(seenAt).toISOString(), text }
  })
  const others = o.hosts.flatMap((host) => {
    const alarm = hostAlarm(host, o)
    return alarm === undefined || (alarm.code === 'HOST_SILENT' && told.has(host)) ? [] : [alarm]
  })
  return [...alarms, ...others]
}
