/** What a person must look at, from checks that ran. */

import type { StatusResult } from '@moyai/protocol'

import { CLOCK_SKEW_MS_MAX } from '../membership/index.ts'

type Skews = {
  /** Hosts (hex) → how far their clock is ahead of this one, ms. */
  clockSkews(): ReadonlyMap<string, number>
  state(): { hosts: ReadonlyMap<string, { name: string }> } | undefined
}

/** An alarm for each host whose clock disagrees with this one's. */
export function clockAlarms(membership: Skews, nowMs: number): StatusResult['alarms'] {
  const since = new Date(nowMs).toISOString()
  return [...membership.clockSkews()]
    .filter(([, skew]) => Math.abs(skew) > CLOCK_SKEW_MS_MAX)
    .map(([host, skew]) => {
      const name = membership.state()?.hosts.get(host)?.name ?? host.slice(0, 8)
      const minutes = Math.round(Math.abs(skew) / 60_000)
      const text = `the clock of ${name} is ${minutes} minutes ${skew > 0 ? 'ahead of' : 'behind'} this one`
      return { code: 'CLOCK_DISAGREES', since, text }
    })
}
