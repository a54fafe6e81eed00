/**
 * Which hosts lately asked this one for a single group of a shard: so that an auditor can see
 * whether the answer it got was fetched from here (spec/audit.md §6). In memory, bounded in number
 * and age.
 */

import { alignedRange, type Clock, GROUP_BYTES, toHex } from '@moyai/protocol'
import { AUDIT_ASKERS_MAX, RECENT_GETS_MAX, RECENT_GETS_MS } from '../limits.ts'

type Get = { vault: Uint8Array; pack: Uint8Array; offset: number; length: number }
type Group = { vault: Uint8Array; pack: Uint8Array; group: number }

export class RecentGets {
  readonly #clock: Clock
  /** Hosts (hex) and when they asked last, by group; both in the order of the newest request. */
  readonly #asked = new Map<string, Map<string, number>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Notes a request of `host` (hex). Those for more than one group are repairs and restores. */
  note(host: string, { vault, pack, offset, length }: Get): void {
    const group = Math.floor(offset / GROUP_BYTES)
    const cover = alignedRange({ offset, length }, Math.max(offset + length, GROUP_BYTES))
    if (cover.length > GROUP_BYTES) return
    const name = nameOf({ vault, pack, group })
    const hosts = this.#asked.get(name) ?? new Map<string, number>()
    hosts.delete(host)
    hosts.set(host, this.#clock.monotonic())
    bound(hosts, AUDIT_ASKERS_MAX)
    this.#asked.delete(name)
    this.#asked.set(name, hosts)
    bound(this.#asked, RECENT_GETS_MAX)
  }

  /** Hosts that asked for that group of any shard of the pack, the latest last. */
  askers(group: Group): { host: string; agoMs: number }[] {
    const now = this.#clock.monotonic()
    return [...(this.#asked.get(nameOf(group)) ?? [])]
      .map(([host, at]) => ({ host, agoMs: Math.round(now - at) }))
      .filter(({ agoMs }) => agoMs <= RECENT_GETS_MS)
  }
}

function nameOf({ vault, pack, group }: Group): string {
  return `${toHex(vault)} ${toHex(pack)} ${group}`
}

function bound(map: Map<string, unknown>, sizeMax: number): void {
  for (const oldest of map.keys()) {
    if (map.size <= sizeMax) return
    map.delete(oldest)
  }
}
