/**
 * The libp2p node: TCP and circuits, Noise, yamux, identify and pings, configured as measured
 * (limits.ts says why each value).
 *
 * Absent on purpose: libp2p's relay server, its reservations and DCUtR (docs/decisions/0020);
 * gossip; and a stored peerStore, because libp2p forgets peers by its own rules and membership
 * decides here.
 */

import {
  circuitRelayTransport,
  type CircuitRelayTransportComponents,
} from '@libp2p/circuit-relay-v2'
import { identify, type Identify } from '@libp2p/identify'
import {
  FaultTolerance,
  type Connection,
  type ConnectionGater,
  type Libp2p,
  type PeerDiscovery,
  type PrivateKey,
  start,
  type Startable,
  stop,
  type Transport,
} from '@libp2p/interface'
import type { MulticastDNSComponents } from '@libp2p/mdns'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import type { Multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { Clock } from '@moyai/protocol'
import { Heartbeat, type HeartbeatComponents } from './heartbeat.ts'
import * as limits from './limits.ts'
import { poolNoise } from './noise.ts'
import { STOP_STREAMS_MAX } from './relay/constants.ts'

/** What moyai hosts are called on a LAN (spec/wire.md §1). */
const LAN_SERVICE = '_moyai._udp.local'

/**
 * What libp2p keeps inside and this daemon needs: dialing one address over its transport, listening
 * on one more, and all addresses that are listened on.
 */
export type Transports = {
  dial: (address: Multiaddr, options: { signal: AbortSignal }) => Promise<Connection>
  listen: (addresses: Multiaddr[]) => Promise<void>
  getAddrs: () => Multiaddr[]
}

export type Node = Libp2p<{
  identify: Identify
  transports: Transports
  lan: LanService | undefined
  upnp: unknown
}>

/** mDNS: not as libp2p's `peerDiscovery`, which would keep every address that anybody announces. */
export type LanService = Startable & { discovery: PeerDiscovery }

/** Loaded where it is used: it brings some MiB of code. */
async function lanServices(
  isWanted: boolean,
): Promise<{ lan?: (components: MulticastDNSComponents) => LanService }> {
  if (!isWanted) return {}
  const { mdns } = await import('@libp2p/mdns')
  return {
    lan: (components) => {
      const options = { serviceTag: LAN_SERVICE, interval: limits.LAN_QUERY_MS }
      const discovery = mdns(options)(components)
      return { discovery, start: () => start(discovery), stop: () => stop(discovery) }
    },
  }
}

/** The same for asking the router. */
async function routerServices(isWanted: boolean): Promise<Record<string, () => unknown>> {
  if (!isWanted) return {}
  const { uPnPNAT } = await import('@libp2p/upnp-nat')
  // Without AutoNAT nobody else would confirm what the router says.
  return { upnp: uPnPNAT({ autoConfirmAddress: true }) as () => unknown }
}

/**
 * Circuits, without the reservations of libp2p: hosts of a pool relay to whoever is connected
 * (relay/handler.ts). The package would make one, and one more listener, whenever a relay brings a
 * circuit.
 */
function circuits(): (components: CircuitRelayTransportComponents) => Transport {
  const build = circuitRelayTransport({
    maxInboundStopStreams: STOP_STREAMS_MAX,
    maxOutboundStopStreams: STOP_STREAMS_MAX,
  })
  const without = <T extends object>(target: T, replaced: Record<string, unknown>): T =>
    new Proxy(target, {
      get: (from, name): unknown =>
        typeof name === 'string' && name in replaced ? replaced[name] : Reflect.get(from, name),
    })
  return (components) =>
    build(
      without(components, {
        get transportManager() {
          const listen = async (): Promise<void> => undefined
          return without(components.transportManager, { listen })
        },
      }),
    )
}

/** A node that is not started. `listen` and `announce` are multiaddrs. */
export async function createTransport(o: {
  privateKey: PrivateKey
  listen: readonly string[]
  announce: readonly string[]
  gater: ConnectionGater
  clock: Clock
  /** Find hosts on the LAN, and be found. */
  mdns?: boolean
  /** Ask the router to forward a port. */
  upnp?: boolean
}): Promise<Node> {
  const node = await createLibp2p({
    start: false,
    privateKey: o.privateKey,
    addresses: { listen: [...o.listen], appendAnnounce: [...o.announce] },
    transports: [
      tcp({
        inboundSocketInactivityTimeout: limits.SOCKET_INACTIVITY_MS,
        outboundSocketInactivityTimeout: limits.SOCKET_INACTIVITY_MS,
      }),
      circuits(),
    ],
    // One address that cannot be listened on is reported, and the others still work.
    transportManager: { faultTolerance: FaultTolerance.NO_FATAL },
    connectionEncrypters: [poolNoise()],
    streamMuxers: [
      yamux({
        enableKeepAlive: false,
        maxInboundStreams: limits.STREAMS_PER_CONNECTION_MAX,
        maxOutboundStreams: limits.STREAMS_PER_CONNECTION_MAX,
        streamOptions: {
          initialStreamWindowSize: limits.YAMUX_WINDOW_BYTES_INITIAL,
          maxStreamWindowSize: limits.YAMUX_WINDOW_BYTES_MAX,
          maxReadBufferLength: limits.STREAM_READ_BUFFER_BYTES_MAX,
          maxWriteBufferLength: limits.STREAM_WRITE_BUFFER_BYTES_MAX,
        },
      }),
    ],
    connectionManager: {
      maxConnections: limits.CONNECTIONS_MAX,
      inboundConnectionThreshold: limits.INBOUND_CONNECTIONS_PER_SECOND_MAX,
      maxIncomingPendingConnections: limits.INBOUND_CONNECTIONS_PENDING_MAX,
      maxParallelDials: limits.DIALS_PARALLEL_MAX,
      dialTimeout: limits.DIAL_TIMEOUT_MS,
      addressDialTimeout: limits.ADDRESS_DIAL_TIMEOUT_MS,
      maxPeerAddrsToDial: limits.PEER_ADDRESSES_MAX,
      // libp2p gives up after five tries; peers.ts never does.
      reconnectRetries: 0,
    },
    connectionMonitor: { enabled: false },
    peerStore: {
      maxAddressAge: limits.PEER_STORE_AGE_MS,
      maxPeerAge: limits.PEER_STORE_AGE_MS,
    },
    connectionGater: o.gater,
    services: {
      identify: identify(),
      heartbeat: (components: HeartbeatComponents) => new Heartbeat(components, o.clock),
      transports: ({ transportManager }: { transportManager: Transports }): Transports => ({
        dial: (address, options) => transportManager.dial(address, options),
        listen: (addresses) => transportManager.listen(addresses),
        getAddrs: () => transportManager.getAddrs(),
      }),
      ...(await lanServices(o.mdns === true)),
      ...(await routerServices(o.upnp === true)),
    },
  })
  return node as unknown as Node
}
