/** Hosts of a pool as tables for people. */

import type { HostStatus } from '@moyai/protocol/command'

import { count, formatBytes, table } from '../output.ts'

/** The hosts of a pool as a table for people. */
export function hostTable(hosts: readonly HostStatus[], nowMs: number): string {
  return table(
    ['host', 'site', 'provider', 'class', 'state', 'reached', 'last seen', 'offers', 'keeps'],
    hosts.map((host) => [
      host.name,
      host.site,
      host.provider,
      host.class,
      stateText(host),
      reached(host),
      host.state === 'self' || host.state === 'online' ? '' : ago(host.lastSeen, nowMs),
      formatBytes(host.offered),
      host.used === null ? '' : formatBytes(host.used),
    ]),
  )
}

/** `direct, 12 ms`, `relayed via osaka-1, 84 ms`; nothing for a host that is not reached. */
function reached({ via, relay, rttMs }: HostStatus): string {
  if (via === null) return ''
  const way = relay === null ? via : `${via} via ${relay}`
  return rttMs === null ? way : `${way}, ${rttMs} ms`
}

function stateText({ state, standing, awayUntil }: HostStatus): string {
  const until =
    state === 'away' && awayUntil !== undefined ? ` until ${awayUntil.slice(0, 10)}` : ''
  const text = state === 'self' ? 'this host' : `${state}${until}`
  if (standing === 'revoked') return state === 'self' ? 'this host, revoked' : 'revoked'
  return standing === 'retiring' ? `${text}, retiring` : text
}

/** `5 hosts`: those that were not revoked. */
export function countMembers(hosts: readonly HostStatus[]): string {
  return count(hosts.filter(({ standing }) => standing !== 'revoked').length, 'host')
}

/** `3 min ago`, `never`. */
export function ago(iso: string | null, nowMs: number): string {
  if (iso === null) return 'never'
  const seconds = Math.max(0, (nowMs - Date.parse(iso)) / 1000)
  if (seconds < 90) return `${Math.round(seconds)} s ago`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h ago`
  return `${Math.round(seconds / 86_400)} days ago`
}

/** Who keeps how much for whom, seen from this host. */
export function ledgerTable(hosts: readonly HostStatus[]): string {
  const bytes = (value: number | null | undefined): string =>
    value === null || value === undefined ? '?' : formatBytes(value)
  return table(
    ['host', 'has free', 'keeps for us', 'at most', 'we keep for it'],
    hosts
      .filter((host) => host.state !== 'self' && host.standing !== 'revoked')
      .map((host) => [
        host.name,
        bytes(host.free),
        bytes(host.used),
        host.quota === null && host.free !== null ? 'its room' : bytes(host.quota),
        bytes(host.kept),
      ]),
  )
}
