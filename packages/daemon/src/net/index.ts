/** The network layer: `createNetwork` and the types of its two sides. */

import { assert, MoyaiError, fromHex } from '@moyai/protocol'
import { ByteBudget } from './budget.ts'
import { Host } from './host.ts'
import * as limits from './limits.ts'
import { askMessage, messageFrameBytesMax, messageHead, serveMessages } from './messages.ts'
import type { PeerState } from './peers.ts'
import { askDialBack, measure } from './reach/client.ts'
import { REACH_MESSAGE_BYTES_MAX, REACH_PROTOCOL, REACH_REQUESTS_MAX } from './reach/constants.ts'
import { reachHandler } from './reach/handler.ts'
import { shardClient } from './shard/client.ts'
import { SHARD_PROTOCOL } from './shard/constants.ts'
import { shardHandler } from './shard/handler.ts'
import type {
  HostUsage,
  MessageHandler,
  MessageProtocolOptions,
  Network,
  NetworkComponents,
  NetworkOptions,
  PeerEvent,
  RequestOptions,
  ShardClient,
  Violation,
} from './types.ts'
import type { LaneRequest } from './lane-pool.ts'

export type * from './types.ts'

/** The network with what only tests and metrics look at. */
export interface InspectableNetwork extends Network {
  readonly usage: HostUsage & { messageBytes: number }
  onViolation(listener: (violation: Violation) => void): void
}

/**
 * Builds the network, not started. CONFIG_INVALID when an address to listen on or to announce is
 * none.
 */
export async function createNetwork(
  options: NetworkOptions,
  components: NetworkComponents,
): Promise<InspectableNetwork> {
  return new PoolNetwork(await Host.create(options, components), components)
}

class PoolNetwork implements InspectableNetwork {
  readonly #host: Host
  readonly #components: NetworkComponents
  readonly #responseMax = new Map<string, { requestBytesMax: number; responseBytesMax: number }>()
  readonly #messageBudget = new ByteBudget({
    bytesMax: limits.MESSAGE_BUDGET_BYTES,
    bytesMaxPerOwner: limits.MESSAGE_BUDGET_BYTES_PER_PEER,
  })

  constructor(host: Host, components: NetworkComponents) {
    this.#host = host
    this.#components = components
    const { store, membership, clock, quotaOf } = components
    const serve =
      store === undefined
        ? async (): Promise<void> => {
            throw new MoyaiError('STORE_OFFLINE', 'this host keeps no shards')
          }
        : shardHandler({ store, membership, clock, signer: host.signer, quotaOf })
    host.register({
      id: SHARD_PROTOCOL,
      handler: serve,
      strangers: false,
      requestBytesMax: limits.SHARD_REQUEST_BYTES_MAX,
      responseBytesMax: limits.SHARD_RESPONSE_BYTES_MAX,
      requestsMax: limits.LANE_REQUESTS_MAX,
      lanesMax: limits.BULK_LANES_PER_PEER,
    })
    const dialBack = (peer: string, signal: AbortSignal): Promise<string> =>
      host.dialBack(peer, signal)
    this.registerProtocol(REACH_PROTOCOL, reachHandler({ dialBack }, { clock }), {
      requestBytesMax: REACH_MESSAGE_BYTES_MAX,
      responseBytesMax: REACH_MESSAGE_BYTES_MAX,
      requestsMax: REACH_REQUESTS_MAX,
    })
  }

  get self(): Uint8Array {
    return fromHex(this.#host.self)
  }

  start(): Promise<void> {
    return this.#host.start()
  }

  stop(): Promise<void> {
    return this.#host.stop()
  }

  addresses(): string[] {
    return this.#host.addresses()
  }

  peers(): PeerState[] {
    return this.#host.peers()
  }

  on(event: PeerEvent, listener: (host: string) => void): () => void {
    return this.#host.on(event, listener)
  }

  membershipChanged(): void {
    this.#host.refresh()
  }

  async measure(): Promise<Map<string, number>> {
    const { clock } = this.#components
    const connected = this.peers().filter((peer) => peer.connected)
    const clocks = new Map<string, number>()
    const each = connected.map(async ({ host }) => {
      try {
        const { rttMs, clockMs } = await measure(host, { network: this, clock })
        this.#host.measured(host, rttMs)
        clocks.set(host, clockMs)
      } catch {
        // It went away, or does not know the protocol: there is nothing to say of it.
      }
    })
    await Promise.all(each)
    return clocks
  }

  async returning(signal: AbortSignal): Promise<boolean> {
    if (!this.#host.isReturning()) return false
    while (this.#host.isReturning()) {
      await this.#components.clock.sleep(limits.RETURN_POLL_MS, signal)
    }
    return true
  }

  async isReachedBy(host: string): Promise<string | undefined> {
    return (await askDialBack(host, this)).address
  }

  shards(host: string): ShardClient {
    if (!this.#host.isConnected(host)) {
      throw new MoyaiError('HOST_UNREACHABLE', 'the host is not connected')
    }
    return shardClient({
      host,
      self: this.self,
      pool: () => this.#components.membership.pool(),
      request: (request) => this.#host.request(host, SHARD_PROTOCOL, request),
    })
  }

  registerProtocol(
    id: string,
    handler: MessageHandler,
    options: MessageProtocolOptions = {},
  ): void {
    const requestBytesMax = options.requestBytesMax ?? limits.MESSAGE_BYTES_MAX
    const responseBytesMax = options.responseBytesMax ?? limits.MESSAGE_BYTES_MAX
    assert(Math.max(requestBytesMax, responseBytesMax) <= limits.MESSAGE_BYTES_MAX, 'a message')
    this.#responseMax.set(id, { requestBytesMax, responseBytesMax })
    const budget = this.#messageBudget
    this.#host.register({
      id,
      handler: serveMessages(handler, { requestBytesMax, responseBytesMax, budget }),
      strangers: options.strangers ?? false,
      requestBytesMax: messageFrameBytesMax(requestBytesMax),
      responseBytesMax: messageFrameBytesMax(responseBytesMax),
      requestsMax: options.requestsMax ?? limits.MESSAGE_REQUESTS_MAX,
      lanesMax: 1,
    })
  }

  async request(
    host: string,
    protocol: string,
    bytes: Uint8Array,
    options: RequestOptions = {},
  ): Promise<Uint8Array> {
    const ask = this.#asking(protocol, bytes)
    const exchange = await this.#host.request(host, protocol, { ...ask.request, ...options })
    return askMessage(exchange, ask)
  }

  async requestAt(o: {
    host: string
    addresses: readonly string[]
    protocol: string
    bytes: Uint8Array
    signal?: AbortSignal
  }): Promise<Uint8Array> {
    const ask = this.#asking(o.protocol, o.bytes)
    const signal = o.signal === undefined ? {} : { signal: o.signal }
    return this.#host.withLaneTo(o, async (lane) =>
      askMessage(await lane.request({ ...ask.request, ...signal }), ask),
    )
  }

  #asking(
    protocol: string,
    message: Uint8Array,
  ): {
    message: Uint8Array
    request: LaneRequest
    responseBytesMax: number
    budget: ByteBudget
  } {
    const known = this.#responseMax.get(protocol)
    assert(known !== undefined, `protocol ${protocol} is registered`)
    assert(message.length > 0, 'a request has a body')
    if (message.length > known.requestBytesMax) {
      throw new MoyaiError('TOO_LARGE', `a request of ${message.length} bytes`)
    }
    const { responseBytesMax } = known
    return { message, request: messageHead(message), responseBytesMax, budget: this.#messageBudget }
  }

  isSendingHeldBack(): boolean {
    return this.#components.rates?.upload.isHolding === true
  }

  isReceivingHeldBack(): boolean {
    return this.#components.rates?.download.isHolding === true
  }

  get usage(): InspectableNetwork['usage'] {
    return { ...this.#host.usage, messageBytes: this.#messageBudget.usedBytes }
  }

  onViolation(listener: (violation: Violation) => void): void {
    this.#host.onViolation = listener
  }
}
