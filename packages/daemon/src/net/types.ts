/** What the network layer offers to the daemon's services, and what it asks of them. */

import type { Clock, MoyaiError, Random } from '@moyai/protocol'
import type { Rates } from '../bandwidth/rate-limit.ts'
import type { Logger } from '../logger.ts'
import type { VaultQuota } from '../shard-store/index.ts'
import type { Member, PeerState } from './peers.ts'
import type { PortMemory } from './ports.ts'
import type { HeldShards } from './shard/handler.ts'

export type { Member, PeerState } from './peers.ts'
export type { PortMemory } from './ports.ts'
export type { HeldShards } from './shard/handler.ts'

/** What the network asks of the pool's membership; every call reads the present state. */
export interface Membership {
  /** Id of the pool (32 bytes); undefined before this host is in one. */
  pool(): Uint8Array | undefined
  /** Whether the host (hex) is certified and not revoked. */
  isMember(host: string): boolean
  /** Was put out of the pool for ever: not even an invite lets it connect. Absent: nobody was. */
  isRevoked?(host: string): boolean
  /** All certified hosts, with their addresses; this host itself is skipped. */
  members(): Iterable<Member>
  /** Whether an invite is open, so that hosts which are no members may connect to redeem it. */
  strangersWelcome(): boolean
  /** Whether the vault (hex) belongs to a certified host. */
  isVault(vault: string): boolean
}

export type NetworkOptions = {
  /** Ed25519 seed of the host identity, 32 bytes. */
  seed: Uint8Array
  /** Multiaddrs to listen on, e.g. `/ip4/0.0.0.0/tcp/4001`; none for a host that only dials. */
  listen: readonly string[]
  /** Multiaddrs that others reach this host at, where the machine cannot see them itself. */
  announce?: readonly string[]
  /** Whether to carry bytes between members that do not reach one another; default true. */
  relay?: boolean
  /** Find hosts on the LAN by mDNS, and be found; nothing where only loopback is listened on. */
  mdns?: boolean
  /** Ask the router to forward the port; nothing where only loopback is listened on. */
  upnp?: boolean
  /** Remembers ports that the system chose, to listen on them again. */
  ports?: PortMemory
}

export type NetworkComponents = {
  clock: Clock
  random: Random
  membership: Membership
  /** Shards kept for others; without it this host serves none. */
  store?: HeldShards
  /** What a vault (hex) may take of `store`; undefined for as much as there is room. */
  quotaOf?: (vault: string) => VaultQuota | undefined
  /** Limits of bytes per second; none without. */
  rates?: Rates
  logger?: Logger
}

/** One request of a small request/response protocol. */
export type MessageRequest = {
  /** Who asks: host id in hex, authenticated by the connection. */
  host: string
  bytes: Uint8Array
  /** Aborts when the asker gave up. */
  signal: AbortSignal
}

/**
 * Answers one request. A thrown MoyaiError is told to the asker (code, text, hint); MALFORMED and
 * PROTOCOL_VIOLATION also cost it the connection.
 */
export type MessageHandler = (request: MessageRequest) => Promise<Uint8Array>

export type MessageProtocolOptions = {
  /**
   * Open to hosts that are no members while `strangersWelcome()`; their requests are 32 KiB at
   * most.
   */
  strangers?: boolean
  /** Longest request and response; MESSAGE_BYTES_MAX (4 MiB) unless given. */
  requestBytesMax?: number
  responseBytesMax?: number
  /** Requests of one lane at once; 4 unless given. */
  requestsMax?: number
}

export type RequestOptions = { signal?: AbortSignal; idleMs?: number }

export type PeerEvent = 'peer:up' | 'peer:down'

/** `length`: bytes of the whole shard file. */
export type ShardItem = { pack: Uint8Array; index: number; length: number }

/** One question of an audit: `root` and `shardLength` are from the stripe's descriptor. */
export type AuditChallenge = {
  pack: Uint8Array
  index: number
  /** Number of the 16 KiB group that is to be proved. */
  group: number
  /** BLAKE3 hash of the shard. */
  root: Uint8Array
  shardLength: number
}

/**
 * What came of one challenge. `missing`, `damaged`: so the holder says; `wrong`: what it sent is not
 * the group, or its answer is not for this audit.
 */
export type AuditAnswer = {
  result: 'proved' | 'missing' | 'damaged' | 'wrong'
  /**
   * Hosts (hex) that lately asked this holder for exactly that group of a shard of that pack;
   * `agoMs` by the holder's clock.
   */
  askers: readonly { host: string; agoMs: number }[]
}

/**
 * The shard protocol towards one peer (spec/wire.md §6). Every call may reject with the peer's
 * error or the lane's.
 */
export interface ShardClient {
  /**
   * Stores one shard. `payload` is read only when the holder does not have the shard already; its
   * chunks must not change before the call settles. Resolves after the holder has committed it,
   * with the holder's signed receipt.
   */
  put(o: {
    envelope: Uint8Array
    index: number
    payload: AsyncIterable<Uint8Array> | (() => AsyncIterable<Uint8Array>)
    signal?: AbortSignal
  }): Promise<{ receipt: Uint8Array; had: boolean }>
  /**
   * Bytes `[offset, offset + length)` of a shard, in order, each verified against `root` before it
   * is yielded. HASH_MISMATCH or TRUNCATED when the peer's bytes are not those.
   */
  get(o: {
    vault: Uint8Array
    pack: Uint8Array
    index: number
    offset: number
    length: number
    /** BLAKE3 hash of the shard, from its descriptor. */
    root: Uint8Array
    shardLength: number
    signal?: AbortSignal
  }): AsyncIterable<Uint8Array>
  /** The shards of a pack that the peer holds, with their descriptor envelopes (not yet opened). */
  stat(o: {
    vault: Uint8Array
    pack: Uint8Array
    signal?: AbortSignal
  }): Promise<{ index: number; envelope: Uint8Array }[]>
  /**
   * One page of the shards of a vault that the peer holds; `next` is the cursor of the page after.
   */
  inventory(o: {
    vault: Uint8Array
    cursor?: Uint8Array
    /** Only packs of this first byte. */
    bucket?: number
    signal?: AbortSignal
  }): Promise<{ items: ShardItem[]; next?: Uint8Array }>
  /** Digests of the peer's inventory of a vault, DIGESTS_BYTES (spec/health.md §2). */
  digests(o: { vault: Uint8Array; signal?: AbortSignal }): Promise<Uint8Array>
  /**
   * Asks the peer to prove up to AUDIT_CHALLENGES_MAX groups of shards of a vault (spec/audit.md);
   * the answers in the order of the challenges. `nonce`: AUDIT_NONCE_BYTES that were never used.
   * Rejects when there was no answer: that says nothing of the shards.
   */
  audit(o: {
    vault: Uint8Array
    challenges: readonly AuditChallenge[]
    nonce: Uint8Array
    signal?: AbortSignal
  }): Promise<AuditAnswer[]>
}

/** The network as the daemon's services see it. */
export interface Network {
  /** This host's id, 32 bytes. */
  readonly self: Uint8Array
  start(): Promise<void>
  /** Ends lanes, connections and dials; a stopped network is not started again. */
  stop(): Promise<void>
  /** Multiaddrs that this host can be reached at, ending in its peer id; empty before `start`. */
  addresses(): string[]
  /** All members but this host. */
  peers(): PeerState[]
  /** HOST_UNREACHABLE when the host is not connected. */
  shards(host: string): ShardClient
  /** True while the limit of this direction holds payload back. */
  isSendingHeldBack(): boolean
  isReceivingHeldBack(): boolean
  /** Serves small requests under a libp2p protocol id such as `/moyai/sync/1`. */
  registerProtocol(id: string, handler: MessageHandler, options?: MessageProtocolOptions): void
  /** Asks a member over a persistent lane; `protocol` must be registered here, too. */
  request(
    host: string,
    protocol: string,
    bytes: Uint8Array,
    options?: RequestOptions,
  ): Promise<Uint8Array>
  /**
   * Dials `host` at `addresses`, member or not, and asks it once. IDENTITY_MISMATCH when another
   * host answers there, HOST_UNREACHABLE when none does.
   */
  requestAt(o: {
    host: string
    addresses: readonly string[]
    protocol: string
    bytes: Uint8Array
    signal?: AbortSignal
  }): Promise<Uint8Array>
  /**
   * Measures the round trip to every connected host, which `peers` then tells; gives how far each
   * one's clock is ahead of this one's, ms, by host in hex. Takes 6 s at most.
   */
  measure(): Promise<Map<string, number>>
  /**
   * False when all members have long been connected or away; else waits until those that were lost
   * a moment ago are back, or are not expected any more (15 s). ABORTED.
   */
  returning(signal: AbortSignal): Promise<boolean>
  /**
   * Asks a connected host to open a connection to this one: the address where it did, undefined
   * when it could not. Rejects as `request` does, and with BUSY.
   */
  isReachedBy(host: string): Promise<string | undefined>
  /** Membership changed: new members are dialed, those gone are disconnected, at once. */
  membershipChanged(): void
  /** Calls `listener` with the host id in hex; the returned function ends that. */
  on(event: PeerEvent, listener: (host: string) => void): () => void
}

/** How a peer lost its connection by its own fault; for the log and for tests. */
export type Violation = { host: string; protocol: string; error: MoyaiError }

/** What this process has for its peers at the moment. */
export type HostUsage = {
  /** Payload bytes granted or buffered: of what peers send, and of what this host fetches. */
  serveBytes: number
  fetchBytes: number
  lanes: number
  connections: number
  /** Connections of hosts that are no members. */
  strangers: number
  /** Circuits carried for other hosts. */
  circuits: number
}
