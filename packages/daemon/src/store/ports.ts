/** What storing asks of its surroundings; structural, so that tests give small ones in memory. */

import type { HostFacts, Policy } from '@moyai/protocol'

import type { ShardClient } from '../net/types.ts'

/** The part of the network that storing uses. */
export type StoreNetwork = {
  /** HOST_UNREACHABLE when the host (hex) is not connected. */
  shards(host: string): Pick<ShardClient, 'put' | 'get' | 'stat' | 'inventory'>
  on(event: 'peer:up' | 'peer:down', listener: (host: string) => void): () => void
}

/** The pool as placement sees it; every call reads the present state. */
export type StorePool = {
  /** Id of this host, hex. */
  readonly self: string
  /** All certified hosts, this one included, online or not. NO_POOL when this host is in none. */
  hosts(): HostFacts[]
  policy(): Policy
}

/** Where the next entry of the vault's log stands. */
export type LogPosition = { seq: number; prev: Uint8Array }

/** What became of an appended entry. */
export type Appended = {
  /** Id of the entry: the snapshot's id. */
  id: Uint8Array
  /** Hosts that signed a receipt for it, of those that were reachable. */
  confirmed: number
  reachable: number
}

/** The owner's end of the vault log. */
export type StoreLog = {
  /**
   * Appends one entry: `make` gives its envelope for the position at the end of the log. It is on this disk, and was
   * offered to all reachable hosts, when it resolves. LOG_FORK when hosts know another continuation.
   */
  append(make: (position: LogPosition) => Uint8Array, signal?: AbortSignal): Promise<Appended>
}
