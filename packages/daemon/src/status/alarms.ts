/** What a person must look at, from checks that ran. */

import { equalBytes, printable, type HostFacts, type StatusResult, toHex } from '@moyai/protocol'

import { CLOCK_SKEW_MS_MAX } from '../membership/index.ts'

type Watched = {
  /** Hosts (hex) → how far their clock is ahead of this one, ms. */
  clockSkews(): ReadonlyMap<string, number>
  state():
    | {
        hosts: ReadonlyMap<string, { name: string; vault: Uint8Array }>
        revoked: ReadonlyMap<string, { at: number }>
      }
    | undefined
  logs: { forks(): Promise<readonly { vault: Uint8Array; seq: number }[]> }
}

type Alarms = StatusResult['alarms']

/** Every alarm that this host can raise from what it has seen. */
export async function alarmsOf(membership: Watched, self: string, nowMs: number): Promise<Alarms> {
  return [
    ...revokedAlarms(membership, self),
    ...clockAlarms(membership, nowMs),
    ...(await forkAlarms(membership, nowMs)),
  ]
}

/** An alarm when this host (hex) itself was put out of the pool. */
function revokedAlarms(membership: Watched, self: string): Alarms {
  const own = membership.state()?.revoked.get(self)
  if (own === undefined) return []
  const since = new Date(own.at).toISOString()
  const text = 'this host was revoked: nobody connects to it, and it protects nothing any more'
  return [{ code: 'HOST_REVOKED', since, text }]
}

/** An alarm for each vault that was seen with two histories: its owner was cloned or set back. */
async function forkAlarms(membership: Watched, nowMs: number): Promise<Alarms> {
  const since = new Date(nowMs).toISOString()
  const hosts = [...(membership.state()?.hosts.values() ?? [])]
  return (await membership.logs.forks()).map(({ vault, seq }) => {
    const owner = hosts.find((host) => equalBytes(host.vault, vault))
    const name = owner?.name ?? toHex(vault).slice(0, 8)
    const text = `two different entries ${seq} of the log of ${name} exist: its state was cloned or set back`
    return { code: 'LOG_FORK', since, text }
  })
}

/** An alarm for each host whose clock disagrees with this one's. */
function clockAlarms(membership: Watched, nowMs: number): Alarms {
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

/** Less room than a small shard takes: whatever comes is refused. */
const FULL_BYTES = 64 * 1024

/** An alarm for each connected host that has no room left for this vault. */
export function fullAlarms(
  hosts: readonly HostFacts[],
  o: { self: string; nowMs: number; nameOf: (host: string) => string },
): Alarms {
  const since = new Date(o.nowMs).toISOString()
  return hosts
    .filter(({ id, online, freeBytes }) => id !== o.self && online && freeBytes < FULL_BYTES)
    .map(({ id }) => {
      const text = `${o.nameOf(id)} has no room left for this vault: offer more space, there or here`
      return { code: 'HOST_FULL', since, text }
    })
}

/** An alarm for each source that could not be stored yet, because too few hosts were there. */
export function waitingAlarms(
  stores: readonly { name?: string; paths: readonly string[]; since: number }[],
): Alarms {
  return stores.map(({ name, paths, since }) => ({
    code: 'STORE_WAITS',
    since: new Date(since).toISOString(),
    text: `${printable(name ?? paths.join(' '))} is not stored yet: it waits here until enough hosts are back`,
  }))
}
