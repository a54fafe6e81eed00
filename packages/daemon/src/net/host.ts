/**
 * This host on the network: the libp2p node, who may connect, which protocols are served, and the
 * lanes.
 *
 * Only certified hosts get a connection. While an invite is open, some strangers may connect for
 * half a minute, and the one protocol that answers them is the one registered with `strangers`
 * (join); anything else costs them the connection.
 */

import type { Connection, Stream } from '@libp2p/interface'
import {
  assert,
  ed25519Signer,
  isMoyaiError,
  MoyaiError,
  toHex,
  toMoyaiError,
  type Signer,
} from '@moyai/protocol'
import { checkedAddress, isLoopbackAddress } from './addresses.ts'
import { Awake } from './awake.ts'
import { ByteBudget } from './budget.ts'
import { Dialer } from './dialer.ts'
import { Door } from './door.ts'
import * as events from './events.ts'
import { HandlerSlots } from './handler-slots.ts'
import { hexOfPeerId, privateKeyOfSeed } from './identity.ts'
import { InboundLanes } from './inbound-lanes.ts'
import { Lane, type ExchangeHandler } from './lane.ts'
import { LanePool, type LaneRequest } from './lane-pool.ts'
import * as limits from './limits.ts'
import { Links } from './links.ts'
import { PeerTable, type Member, type PeerLinks, type PeerState } from './peers.ts'
import { withLastPorts, type Listening } from './ports.ts'
import { HOP_PROTOCOL } from './relay/constants.ts'
import { Relay } from './relay/handler.ts'
import { createTransport, type Node } from './transport.ts'
import type { HostUsage, NetworkComponents, NetworkOptions, PeerEvent, Violation } from './types.ts'
import { Whereabouts } from './whereabouts.ts'
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
  /** The connections of lanes that this host opened. */
  readonly #outbound = new WeakMap<Lane, Connection>()
  readonly #inbound = new InboundLanes()
  readonly #door: Door
  readonly #links: Links
  readonly #dialer: Dialer
  readonly #relay: Relay
  readonly #slots = new HandlerSlots()
  readonly #listeners = new Set<{ event: PeerEvent; listener: (host: string) => void }>()
  readonly #stop = new AbortController()
  readonly #where: Whereabouts
  #awake: Awake | undefined
  #ticking: Promise<void> | undefined
  /** For the log and for tests. */
  onViolation: (violation: Violation) => void = () => {}

  private constructor(
    { node, door, listening }: { node: Node; door: Door; listening: readonly Listening[] },
    options: NetworkOptions,
    components: NetworkComponents,
  ) {
    this.#node = node
    this.#components = components
    const { ports } = options
    const onFound = (): void => this.refresh()
    this.#where = new Whereabouts({ node, listening, ports, onFound })
    this.signer = ed25519Signer(options.seed)
    this.self = toHex(this.signer.publicKey)
    this.#door = door
    this.#pool = new LanePool({
      open: (peer, protocol) => this.#openLane(peer, protocol),
      lanesMax: (protocol) => this.#protocol(protocol).lanesMax,
      // Asked for every request: a direct connection needs no look at the others.
      isStale: (lane) => {
        const connection = this.#outbound.get(lane)
        return connection?.direct === false && this.#links.direct(lane.peer) !== undefined
      },
    })
    const { membership } = components
    const isLane = (protocol: string): boolean => this.#protocols.has(protocol)
    this.#links = new Links({ self: this.self, node, isLane })
    this.#dialer = new Dialer(
      {
        node,
        transports: node.services.transports,
        links: this.#links,
        connected: () => this.#peers.list().flatMap((peer) => (peer.connected ? peer.host : [])),
      },
      components,
    )
    this.#relay = new Relay(
      {
        isMember: (host) => membership.isMember(host),
        connectionTo: (host) => this.#links.direct(host),
      },
      components,
    )
    this.#peers = new PeerTable({ self: this.self, links: this.#peerLinks() }, components)
    if (options.relay !== false) {
      this.#relay.register(node).catch((error: unknown) => {
        events.handlerFailed(components.logger, HOP_PROTOCOL, toMoyaiError(error))
      })
    }
    node.addEventListener('connection:open', (event) => this.#onOpen(event.detail))
    node.addEventListener('connection:close', (event) => this.#onClose(event.detail))
  }

  /** Builds a host that is not started. CONFIG_INVALID when an address is none. */
  static async create(options: NetworkOptions, components: NetworkComponents): Promise<Host> {
    const self = toHex(ed25519Signer(options.seed).publicKey)
    const door = new Door(self, components)
    const listen = options.listen.map((address) => checkedAddress(address).toString())
    const listening = await withLastPorts(listen, options.ports)
    const outside = listen.some((address) => !isLoopbackAddress(address))
    const announce = (options.announce ?? []).map((address) => checkedAddress(address).toString())
    const node = await createTransport({
      privateKey: await privateKeyOfSeed(options.seed),
      clock: components.clock,
      listen: listening.map(({ first }) => first),
      announce,
      gater: door.gater(),
      mdns: outside && options.mdns === true,
      upnp: outside && options.upnp === true,
    })
    return new Host({ node, door, listening }, options, components)
  }

  // ---- life -------------------------------------------------------------------------------------

  async start(): Promise<void> {
    await this.#node.start()
    await this.#where.listen()
    const addresses = (): string[] => this.addresses()
    this.#awake = new Awake({ addresses }, this.#components)
    this.#ticking = this.#tickForever()
    this.refresh()
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    this.#peers.stop()
    await this.#ticking
    await this.#pool.close()
    await this.#inbound.close()
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
    this.#relay.tick()
    this.#pool.sweep()
    this.#lookAround()
    this.refresh()
  }

  /** After sleep or a move the old connections lead nowhere, and old waits mean nothing. */
  #lookAround(): void {
    const changed = this.#awake?.look()
    if (changed === undefined) return
    events.circumstancesChanged(this.#components.logger, changed)
    if (changed === 'slept') {
      for (const connection of this.#node.getConnections()) this.#cut(connection, 'woke up')
    }
    this.#peers.hurry()
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
    this.#peers.refresh(this.#members())
    for (const { host, connected } of this.#peers.list()) {
      if (connected) this.#links.closeSurplus(host)
    }
  }

  addresses(): string[] {
    return this.#where.addresses()
  }

  #members(): Member[] {
    const members = [...this.#components.membership.members()]
    return members.map((member) => this.#where.onLan(member))
  }

  peers(): PeerState[] {
    return this.#peers.list()
  }

  /** The round trip of the connection to `host` was measured. */
  measured(host: string, rttMs: number): void {
    const connection = this.#links.best(host)
    if (connection !== undefined) connection.rtt = Math.max(1, Math.round(rttMs))
    this.refresh()
  }

  /** Opens one more direct connection to a member; gives its address. HOST_UNREACHABLE. */
  async dialBack(host: string, signal: AbortSignal): Promise<string> {
    const member = this.#members().find((one) => one.host === host)
    if (member === undefined) throw new MoyaiError('NOT_A_MEMBER', 'who asks is no member')
    return this.#dialer.again(member, AbortSignal.any([signal, this.#stop.signal]))
  }

  readonly isReturning = (): boolean => this.#peers.isReturning()

  isConnected(host: string): boolean {
    return this.#links.best(host) !== undefined
  }

  on(event: PeerEvent, listener: (host: string) => void): () => void {
    const entry = { event, listener }
    this.#listeners.add(entry)
    return () => void this.#listeners.delete(entry)
  }

  #announce(host: string, connected: boolean): void {
    events.peerChanged(this.#components.logger, host, connected)
    // One of the first that answers where it was dialed may relay to those who do not.
    if (connected && this.#dialer.isNewRelay(host)) this.#peers.hurry()
    const event: PeerEvent = connected ? 'peer:up' : 'peer:down'
    for (const entry of this.#listeners) if (entry.event === event) entry.listener(host)
  }

  // ---- who may connect --------------------------------------------------------------------------

  #onOpen(connection: Connection): void {
    if (!this.#door.enter(connection)) return this.#cut(connection, 'too many strangers')
    this.#links.opened(connection)
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

  #peerLinks(): PeerLinks {
    return {
      connected: (host) => this.#links.link(host),
      dial: async (member, signal) => {
        await this.#dialer.reach(member, signal)
        this.refresh()
      },
      upgrade: async (member, signal) => {
        await this.#dialer.direct(member, signal)
        this.refresh()
      },
      changed: (host, connected) => this.#announce(host, connected),
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
    const options = {
      maxInboundStreams: streams,
      maxOutboundStreams: streams,
      // Lanes bound themselves, also where somebody else's relay sets limits.
      runOnLimitedConnection: true,
    }
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
    if (!this.#inbound.makeRoom(host, protocol.id, connection)) {
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
    this.#inbound.add(lane, { connection, protocol: protocol.id })
    void this.#follow(lane, connection, protocol.id)
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
      const stopping = AbortSignal.any([signal, this.#stop.signal])
      const connection = await this.#dialer.direct(this.#where.onLan(target), stopping)
      const lane = await this.#newLane(connection, host, protocol)
      try {
        return await use(lane)
      } finally {
        await lane.close()
      }
    })
  }

  async #openLane(host: string, protocol: string): Promise<Lane> {
    const connection = this.#links.best(host)
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
      this.#outbound.set(lane, connection)
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
      circuits: this.#relay.circuits,
      strangers: this.#door.guestCount,
    }
  }
}

const OUTBOUND = {
  maxOutboundStreams: limits.STREAMS_PER_PROTOCOL_MAX,
  runOnLimitedConnection: true,
} as const
