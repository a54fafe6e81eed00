/**
 * This host on the network: the libp2p node, who may connect, which protocols are served, and the
 * lanes.
 *
 * Only certified hosts get a connection. While an invite is open, some strangers may connect for
 * half a minute, and the one protocol that answers them is the one registered with `strangers`
 * (join); anything else costs them the connection.
 */

import type { Connection, ConnectionGater, PeerId, Stream } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import {
  assert,
  ed25519Signer,
  isMoyaiError,
  MoyaiError,
  toHex,
  toMoyaiError,
  type Signer,
} from '@moyai/protocol'
import { addressOf, checkedAddress } from './addresses.ts'
import { ByteBudget } from './budget.ts'
import { Door } from './door.ts'
import * as events from './events.ts'
import { HandlerSlots } from './handler-slots.ts'
import { hexOfPeerId, peerIdOfHex, privateKeyOfSeed } from './identity.ts'
import { Lane, type ExchangeHandler } from './lane.ts'
import { LanePool, type LaneRequest } from './lane-pool.ts'
import * as limits from './limits.ts'
import { PeerTable, type Member, type PeerState } from './peers.ts'
import { createTransport, type Node } from './transport.ts'
import type { HostUsage, NetworkComponents, NetworkOptions, PeerEvent, Violation } from './types.ts'
import type { Exchange } from './exchange.ts'

/** A protocol served over lanes. */
export type Protocol = {
  id: string
  handler: ExchangeHandler
  strangers: boolean
  requestBytesMax: number
  responseBytesMax: number
  requestsMax: number
  /** Lanes that this host opens to one peer. */
  lanesMax: number
}

export class Host {
  readonly self: string
  readonly signer: Signer
  readonly #node: Node
  readonly #components: NetworkComponents
  readonly #protocols = new Map<string, Protocol>()
  readonly #pool: LanePool
  readonly #peers: PeerTable
  readonly #serveBudget = new ByteBudget({
    bytesMax: limits.SERVE_BUDGET_BYTES,
    bytesMaxPerOwner: limits.SERVE_BUDGET_BYTES_PER_PEER,
  })
  readonly #fetchBudget = new ByteBudget({ bytesMax: limits.FETCH_BUDGET_BYTES })
  /** Every lane, opened by either side: their deadlines are looked at in one loop. */
  readonly #lanes = new Set<Lane>()
  /** Lanes that peers opened, by connection. */
  readonly #inbound = new Map<Lane, { connection: Connection; protocol: string }>()
  readonly #door: Door
  readonly #slots = new HandlerSlots()
  readonly #listeners = new Set<{ event: PeerEvent; listener: (host: string) => void }>()
  readonly #stop = new AbortController()
  readonly #listenCount: number
  readonly #announceCount: number
  #ticking: Promise<void> | undefined
  /** For the log and for tests. */
  onViolation: (violation: Violation) => void = () => {}

  private constructor(node: Node, options: NetworkOptions, components: NetworkComponents) {
    this.#node = node
    this.#components = components
    this.#listenCount = options.listen.length
    this.#announceCount = options.announce?.length ?? 0
    this.signer = ed25519Signer(options.seed)
    this.self = toHex(this.signer.publicKey)
    this.#door = new Door(this.self, components)
    this.#pool = new LanePool({
      open: (peer, protocol) => this.#openLane(peer, protocol),
      lanesMax: (protocol) => this.#protocol(protocol).lanesMax,
    })
    const links = {
      connected: (host: string) => this.#link(host),
      dial: (member: Member, signal: AbortSignal) => this.#dialMember(member, signal),
      changed: (host: string, connected: boolean) => this.#announce(host, connected),
    }
    this.#peers = new PeerTable({ self: this.self, links }, components)
    node.addEventListener('connection:open', (event) => this.#onOpen(event.detail))
    node.addEventListener('connection:close', (event) => this.#onClose(event.detail))
  }

  /** Builds a host that is not started. CONFIG_INVALID when an address is none. */
  static async create(options: NetworkOptions, components: NetworkComponents): Promise<Host> {
    // The node needs the gater before the host exists that decides; nothing asks it before `start`.
    const late: { host?: Host } = {}
    const gate = (peer: PeerId, inbound: boolean): boolean =>
      late.host === undefined || !late.host.#door.admits(peer, inbound)
    const gater: ConnectionGater = {
      denyDialPeer: (peer) => gate(peer, false),
      denyOutboundEncryptedConnection: (peer) => gate(peer, false),
      denyInboundEncryptedConnection: (peer) => gate(peer, true),
      filterMultiaddrForPeer: (peer) => !gate(peer, false),
    }
    const listen = options.listen.map((address) => checkedAddress(address).toString())
    const announce = (options.announce ?? []).map((address) => checkedAddress(address).toString())
    const privateKey = await privateKeyOfSeed(options.seed)
    const node = await createTransport({ privateKey, listen, announce, gater })
    late.host = new Host(node, options, components)
    return late.host
  }

  // ---- life -------------------------------------------------------------------------------------

  async start(): Promise<void> {
    await this.#node.start()
    this.#checkListening()
    this.#ticking = this.#tickForever()
    this.refresh()
  }

  /** A port that is taken must not go unnoticed: others could never reach this host. */
  #checkListening(): void {
    if (this.#listenCount === 0 || this.#node.getMultiaddrs().length > this.#announceCount) return
    throw new MoyaiError('CONFIG_INVALID', 'cannot listen on any of the configured addresses', {
      hint: 'another program or moyai daemon may use the port: set network.listen in config.toml to another',
    })
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    this.#peers.stop()
    await this.#ticking
    await this.#pool.close()
    await Promise.all([...this.#inbound.keys()].map((lane) => lane.close()))
    await this.#node.stop()
  }

  async #tickForever(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        await this.#components.clock.sleep(limits.TICK_MS, this.#stop.signal)
      } catch {
        // Interrupted: the host stops.
        return
      }
      this.#tick()
    }
  }

  #tick(): void {
    for (const lane of this.#lanes) lane.tick()
    for (const guest of this.#door.overdue()) this.#cut(guest, 'a stranger stayed too long')
    this.refresh()
  }

  /**
   * Follows the membership: closes connections of hosts that are gone, dials those that are new.
   */
  refresh(): void {
    if (this.#stop.signal.aborted) return
    for (const connection of this.#node.getConnections()) {
      if (this.#door.hasLostStanding(connection)) {
        this.#cut(connection, 'the host is no member any more')
      }
    }
    this.#peers.refresh(this.#components.membership.members())
    this.#closeSurplus()
  }

  addresses(): string[] {
    return this.#node.getMultiaddrs().map((address) => address.toString())
  }

  peers(): PeerState[] {
    return this.#peers.list()
  }

  isConnected(host: string): boolean {
    return this.#bestConnection(host) !== undefined
  }

  on(event: PeerEvent, listener: (host: string) => void): () => void {
    const entry = { event, listener }
    this.#listeners.add(entry)
    return () => void this.#listeners.delete(entry)
  }

  #announce(host: string, connected: boolean): void {
    events.peerChanged(this.#components.logger, host, connected)
    const event: PeerEvent = connected ? 'peer:up' : 'peer:down'
    for (const entry of this.#listeners) if (entry.event === event) entry.listener(host)
  }

  // ---- who may connect --------------------------------------------------------------------------

  #onOpen(connection: Connection): void {
    if (!this.#door.enter(connection)) return this.#cut(connection, 'too many strangers')
    this.refresh()
  }

  #onClose(connection: Connection): void {
    this.#door.leave(connection)
    if (this.#door.standing(connection.remotePeer) === 'unknown') {
      // libp2p remembers whoever connected for a year: strangers must not fill its table.
      this.#node.peerStore.delete(connection.remotePeer).catch((error: unknown) => {
        events.forgetFailed(this.#components.logger, toMoyaiError(error))
      })
    }
    this.refresh()
  }

  #cut(connection: Connection, why: string): void {
    this.#door.leave(connection)
    connection.abort(new Error(why))
  }

  // ---- connections ------------------------------------------------------------------------------

  #link(host: string): { rttMs?: number } | undefined {
    const connection = this.#bestConnection(host)
    if (connection === undefined) return undefined
    return connection.rtt === undefined ? {} : { rttMs: connection.rtt }
  }

  /**
   * Open connections to `host`, the one that both sides keep first: dialed by the lower id, then
   * the oldest.
   */
  #connections(host: string): Connection[] {
    const lowerDials = this.self < host ? 'outbound' : 'inbound'
    const rank = (connection: Connection): number => (connection.direction === lowerDials ? 0 : 1)
    return this.#node
      .getConnections(peerIdOfHex(host))
      .filter((connection) => connection.status === 'open')
      .sort((a, b) => rank(a) - rank(b) || a.timeline.open - b.timeline.open)
  }

  #bestConnection(host: string): Connection | undefined {
    return this.#connections(host)[0]
  }

  /**
   * Both hosts may have dialed at once: the connection that neither keeps goes when no lane uses
   * it.
   */
  #closeSurplus(): void {
    for (const { host, connected } of this.#peers.list()) {
      if (!connected) continue
      for (const surplus of this.#connections(host).slice(1)) {
        // A stream without a protocol is being negotiated: it may become a lane.
        const used = surplus.streams.some(
          ({ protocol }) => protocol === '' || this.#protocols.has(protocol),
        )
        if (!used) surplus.close().catch((error: unknown) => surplus.abort(toMoyaiError(error)))
      }
    }
  }

  async #dialMember(member: Member, signal: AbortSignal): Promise<void> {
    await this.#dial(member, signal)
    this.refresh()
  }

  async #dial(member: Member, signal: AbortSignal): Promise<Connection> {
    const peer = peerIdOfHex(member.host)
    const addresses: Multiaddr[] = []
    for (const text of member.addresses) {
      const address = addressOf(text, peer)
      if (address !== undefined) addresses.push(address)
    }
    if (addresses.length === 0) {
      throw new MoyaiError('HOST_UNREACHABLE', 'no usable address is known of this host')
    }
    try {
      const timeout = AbortSignal.timeout(limits.DIAL_TIMEOUT_MS)
      return await this.#node.dial(addresses, { signal: AbortSignal.any([signal, timeout]) })
    } catch (cause) {
      const unexpected = cause instanceof Error && cause.name === 'UnexpectedPeerError'
      if (unexpected) {
        throw new MoyaiError('IDENTITY_MISMATCH', 'another host answers at this address', { cause })
      }
      throw new MoyaiError('HOST_UNREACHABLE', 'the host does not answer at its addresses', {
        cause,
      })
    }
  }

  // ---- protocols --------------------------------------------------------------------------------

  /** Serves `protocol`; once per id, before or after `start`. */
  register(protocol: Protocol): void {
    assert(!this.#protocols.has(protocol.id), 'a protocol is registered once')
    this.#protocols.set(protocol.id, protocol)
    const serve = async (stream: Stream, connection: Connection): Promise<void> => {
      this.#onStream(protocol, stream, connection)
    }
    const streams = limits.STREAMS_PER_PROTOCOL_MAX
    const options = { maxInboundStreams: streams, maxOutboundStreams: streams }
    this.#node.handle(protocol.id, serve, options).catch((error: unknown) => {
      events.handlerFailed(this.#components.logger, protocol.id, toMoyaiError(error))
    })
  }

  #protocol(id: string): Protocol {
    const protocol = this.#protocols.get(id)
    assert(protocol !== undefined, `protocol ${id} is registered`)
    return protocol
  }

  #onStream(protocol: Protocol, stream: Stream, connection: Connection): void {
    const host = hexOfPeerId(connection.remotePeer)
    const standing = this.#door.standing(connection.remotePeer)
    const stranger = standing !== 'member'
    if (host === undefined || (stranger && !protocol.strangers)) {
      stream.abort(new Error('not for strangers'))
      // A host that we are asking to let us in may know us as a member before we know it: no fault
      // of its.
      if (standing !== 'expected') this.#cut(connection, 'a stranger asked for more than to join')
      return
    }
    if (!this.#makeRoom(host, protocol.id, connection)) {
      return stream.abort(new Error('too many lanes'))
    }
    const requestBytesMax = stranger
      ? Math.min(protocol.requestBytesMax, limits.STRANGER_MESSAGE_BYTES_MAX)
      : protocol.requestBytesMax
    const lane = new Lane(
      {
        stream,
        peer: host,
        limits: { requestBytesMax, responseBytesMax: protocol.responseBytesMax },
        requestsMax: stranger ? 1 : protocol.requestsMax,
        handler: (exchange) => this.#serve(protocol, exchange),
      },
      {
        clock: this.#components.clock,
        budget: this.#serveBudget,
        rates: this.#components.rates,
      },
    )
    this.#lanes.add(lane)
    this.#inbound.set(lane, { connection, protocol: protocol.id })
    void this.#follow(lane, connection, protocol.id)
  }

  /**
   * A peer that lost its connection opens its lanes anew before the old ones are noticed dead:
   * those go first.
   */
  #makeRoom(host: string, protocol: string, connection: Connection): boolean {
    const theirs = [...this.#inbound].filter(
      ([lane, at]) => lane.peer === host && at.protocol === protocol,
    )
    if (theirs.length < limits.INBOUND_LANES_PER_PEER_MAX) return true
    const stale = theirs.find(([, at]) => at.connection !== connection)
    if (stale === undefined) return false
    void stale[0].close()
    this.#inbound.delete(stale[0])
    return true
  }

  async #follow(lane: Lane, connection: Connection, protocol: string): Promise<void> {
    const { error, violation } = await lane.ended
    this.#lanes.delete(lane)
    this.#inbound.delete(lane)
    if (error.code === 'INTERNAL') {
      events.handlerFailed(this.#components.logger, protocol, error)
    }
    if (!violation) return
    events.violated(this.#components.logger, lane.peer, protocol, error)
    this.onViolation({ host: lane.peer, protocol, error })
    try {
      await connection.close({ signal: AbortSignal.timeout(limits.FAREWELL_MS) })
    } catch {
      // It does not close in order: it is cut below.
    } finally {
      this.#cut(connection, 'protocol violation')
    }
  }

  async #serve(protocol: Protocol, exchange: Exchange): Promise<void> {
    // A lane outlives a change of membership: each request is asked again.
    const member = this.#components.membership.isMember(exchange.peer)
    if (!member && !protocol.strangers) {
      throw new MoyaiError('NOT_A_MEMBER', 'this host is not a member of the pool')
    }
    await this.#slots.run(exchange.peer, async () => {
      try {
        await protocol.handler(exchange)
      } catch (error) {
        const known = toMoyaiError(error)
        if (known.code === 'INTERNAL') {
          events.handlerFailed(this.#components.logger, protocol.id, known)
        }
        throw known
      }
    })
  }

  // ---- asking -----------------------------------------------------------------------------------

  /**
   * Sends a request to a connected member over a pooled lane. HOST_UNREACHABLE when it is not
   * connected.
   */
  async request(host: string, protocol: string, request: LaneRequest): Promise<Exchange> {
    return this.#pool.request(host, protocol, request)
  }

  /**
   * Opens a connection to `host`, member or not, and one lane of its own for `use`; both are let go
   * afterwards.
   */
  async withLaneTo<T>(
    target: Member & { protocol: string; signal?: AbortSignal },
    use: (lane: Lane) => Promise<T>,
  ): Promise<T> {
    const { host, protocol } = target
    const signal = target.signal ?? this.#stop.signal
    return this.#door.expecting(host, async () => {
      const connection = await this.#dial(target, AbortSignal.any([signal, this.#stop.signal]))
      const lane = await this.#newLane(connection, host, protocol)
      try {
        return await use(lane)
      } finally {
        await lane.close()
      }
    })
  }

  async #openLane(host: string, protocol: string): Promise<Lane> {
    const connection = this.#bestConnection(host)
    if (connection === undefined) {
      throw new MoyaiError('HOST_UNREACHABLE', 'the host is not connected')
    }
    return this.#newLane(connection, host, protocol)
  }

  async #newLane(connection: Connection, host: string, id: string): Promise<Lane> {
    const protocol = this.#protocol(id)
    try {
      const signal = AbortSignal.timeout(limits.HELLO_DEADLINE_MS)
      const stream = await connection.newStream(id, { signal, ...OUTBOUND })
      const { requestBytesMax, responseBytesMax } = protocol
      const lane = new Lane(
        {
          stream,
          peer: host,
          limits: { requestBytesMax, responseBytesMax },
          requestsMax: protocol.requestsMax,
        },
        {
          clock: this.#components.clock,
          budget: this.#fetchBudget,
          rates: this.#components.rates,
        },
      )
      this.#lanes.add(lane)
      void this.#follow(lane, connection, id)
      await lane.opened()
      return lane
    } catch (cause) {
      if (isMoyaiError(cause, 'UNKNOWN_VERSION', 'NOT_A_MEMBER')) throw cause
      throw new MoyaiError('HOST_UNREACHABLE', 'the host did not open a lane', { cause })
    }
  }

  /** What the process has buffered or promised for peers, for tests and metrics. */
  get usage(): HostUsage {
    return {
      serveBytes: this.#serveBudget.usedBytes,
      fetchBytes: this.#fetchBudget.usedBytes,
      lanes: this.#lanes.size,
      connections: this.#node.getConnections().length,
      strangers: this.#door.guestCount,
    }
  }
}

const OUTBOUND = { maxOutboundStreams: limits.STREAMS_PER_PROTOCOL_MAX } as const
