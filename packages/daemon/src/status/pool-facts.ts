/**
 * The pool as placement and status see it: certificates joined with what the network knows of each
 * host.
 */

import {
  DEFAULT_POLICY,
  type HostCertificate,
  type HostFacts,
  type HostStatus,
  type Policy,
  type PoolState,
} from '@moyai/protocol'

import type { LivenessView } from '../health/ports.ts'
import type { Ledger, LedgerEntry } from '../ledger/index.ts'
import type { PeerState } from '../net/index.ts'

export type PoolView = {
  /** Id of this host, hex. */
  self: string
  state: PoolState
  peers: readonly PeerState[]
  /** What hosts said about their space. */
  ledger?: Pick<Ledger, 'of'>
  /** How hosts that are not connected are missed; without it they are `offline`. */
  liveness?: Pick<LivenessView, 'stateOf'> | undefined
}

function peersByHost(view: PoolView): Map<string, PeerState> {
  return new Map(view.peers.map((peer) => [peer.host, peer]))
}

/**
 * Every certified host, this one included. `freeBytes` is what the host said that this vault may
 * still take there, or before it did what it offers; it refuses when it is full.
 */
export function hostFacts(view: PoolView): HostFacts[] {
  const peers = peersByHost(view)
  return [...view.state.hosts].map(([id, host]) => ({
    id,
    org: toText(host.org),
    site: host.site,
    provider: host.provider,
    online: id === view.self || peers.get(id)?.connected === true,
    alwaysOn: host.class === 'always-on',
    freeBytes: freeBytes(view.ledger?.of(id), host.offeredBytes),
  }))
}

function freeBytes(entry: LedgerEntry | undefined, offered: number): number {
  if (entry === undefined) return offered
  const { free, kept, quota } = entry
  return Math.max(0, Math.min(free, (quota ?? Number.POSITIVE_INFINITY) - kept))
}

/** The hosts that may get shards: those in use, and this one. */
export function placeableFacts(view: PoolView): HostFacts[] {
  const { hosts } = view.state
  const inUse = (id: string): boolean => hosts.get(id)?.retiredAt === undefined
  return hostFacts(view).filter(({ id }) => id === view.self || inUse(id))
}

function toText(org: Uint8Array): string {
  return Buffer.from(org).toString('hex')
}

/** What the pool wants to survive: what was said in its log, or the default. */
export function poolPolicy(state: PoolState): Policy {
  return state.policy ?? DEFAULT_POLICY
}

/**
 * The hosts for people, this one first, then by name, revoked ones last. `used`: bytes per host (hex) of this vault's
 * shards; for this host itself, of what it keeps for others.
 */
export function hostStatuses(view: PoolView, used: ReadonlyMap<string, number>): HostStatus[] {
  const peers = peersByHost(view)
  const statuses = [...view.state.hosts].map(([id, host]): HostStatus => {
    const peer = peers.get(id)
    const link = peer?.connected === true ? peer.link : undefined
    const relay = link?.relay
    return {
      name: host.name,
      id,
      site: host.site,
      provider: host.provider,
      org: toText(host.org),
      class: host.class,
      state: stateOf(id, view, peer),
      ...(host.awayUntil === undefined
        ? {}
        : { awayUntil: new Date(host.awayUntil).toISOString() }),
      standing: host.retiredAt === undefined ? 'member' : 'retiring',
      lastSeen: peer?.lastSeen === undefined ? null : new Date(peer.lastSeen).toISOString(),
      via: link?.via ?? null,
      relay: relay === undefined ? null : (view.state.hosts.get(relay)?.name ?? relay),
      rttMs: link === undefined ? null : (peer?.rttMs ?? null),
      offered: host.offeredBytes,
      used: used.get(id) ?? null,
    }
  })
  statuses.push(...revokedStatuses(view))
  const rank = (host: HostStatus): number =>
    host.standing === 'revoked' ? 2 : Number(host.state !== 'self')
  return statuses.sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1))
}

/** Hosts that were put out: nothing they have counts. */
function revokedStatuses(view: PoolView): HostStatus[] {
  return [...view.state.revoked].map(([id, { certificate, org }]) => ({
    name: certificate?.name ?? id.slice(0, 12),
    id,
    site: certificate?.site ?? '',
    provider: certificate?.provider ?? '',
    org: toText(org),
    class: certificate?.class ?? '',
    state: id === view.self ? 'self' : 'offline',
    standing: 'revoked',
    via: null,
    relay: null,
    rttMs: null,
    lastSeen: null,
    offered: 0,
    used: null,
  }))
}

function stateOf(id: string, view: PoolView, peer: PeerState | undefined): HostStatus['state'] {
  if (id === view.self) return 'self'
  if (peer?.connected === true) return 'online'
  const missed = view.liveness?.stateOf(id)
  if (missed === 'suspect' || missed === 'presumed-lost') return missed
  // Without an announcement all that is known of a host that is away is that it is not here.
  if (missed === 'away' && view.state.hosts.get(id)?.awayUntil !== undefined) return 'away'
  return peer?.lastSeen === undefined ? 'never-seen' : 'offline'
}

/** Host id (hex) → short name. */
export function hostNames(state: PoolState): Map<string, string> {
  return new Map([...state.hosts].map(([id, host]: [string, HostCertificate]) => [id, host.name]))
}
