/** What storing asks of its surroundings; structural, so that tests give small ones in memory. */

import type { HostFacts, Policy } from '@moyai/protocol'

import type { ShardClient } from '../net/types.ts'

/** The part of the network that storing uses. */
export type StoreNetwork = {
  /** HOST_UNREACHABLE when the host (hex) is not connected. */
  shards(host: string): Pick<ShardClient, 'put' | 'get' | 'stat' | 'inventory'>
  /** True while this host's own bandwidth limit holds payload back: then no other host is slow. */
  isSendingHeldBack?(): boolean
  on(event: 'peer:up' | 'peer:down', listener: (host: string) => void): () => void
}

/** The pool as placement sees it; every call reads the present state. */
export type StorePool = {
  /** Id of this host, hex. */
  readonly self: string
  /**
   * All hosts that may get shards: certified and in use, online or not, and this one. NO_POOL when
   * this host is in none, HOST_REVOKED when it was put out.
   */
  hosts(): HostFacts[]
  /** Hosts (hex) that are being taken out of use: they get nothing, and what they have moves. */
  retiring(): ReadonlySet<string>
  /** Hosts (hex) that are gone for ever, with what they kept. */
  revoked(): ReadonlySet<string>
  policy(): Policy
  /** Short name of a host (hex). */
  nameOf(host: string): string
}

/** What became of an appended entry. */
export type Appended = {
  /** Id of the entry: the snapshot's id. */
  id: Uint8Array
  /** Hosts (hex) whose signed receipts for it are here. */
  confirmed: readonly string[]
  /** Hosts that were connected and did not confirm. */
  unconfirmed: readonly unknown[]
  /** Whether more than half of the connected hosts confirmed. */
  majority: boolean
}

/** The owner's end of the vault log. */
export type StoreLog = {
  /**
   * Appends one entry: `seal` gives its sealed body for its place. It is on this disk, and was
   * offered to all connected hosts, when it resolves; when it rejects nothing was appended.
   */
  append(o: {
    kind: string
    seal: (place: { seq: number; prev: Uint8Array }) => Uint8Array
  }): Promise<Appended>
}
