/**
 * Networks in memory that reach one another: what membership needs of the real one, with hosts that
 * can be switched off and calls that can be lost. The gate is the real network's: members, and
 * strangers only for protocols open to them; and so are the limits of messages.
 */

import { isMoyaiError, MoyaiError } from '@moyai/protocol'

import { MESSAGE_BYTES_MAX } from '../../net/limits.ts'
import type { PeerState } from '../../net/peers.ts'
import type {
  Membership,
  MessageHandler,
  MessageProtocolOptions,
  PeerEvent,
  RequestOptions,
} from '../../net/types.ts'
import type { MembershipTransport } from '../membership.ts'

type Protocol = { handler: MessageHandler; options: MessageProtocolOptions }

function unreachable(): MoyaiError {
  return new MoyaiError('HOST_UNREACHABLE', 'the host is not connected')
}

function assertFits(bytes: Uint8Array, bytesMax: number = MESSAGE_BYTES_MAX): void {
  if (bytes.length > bytesMax) throw new MoyaiError('TOO_LARGE', 'the message is too long')
}

/** All hosts there are. */
export class MemoryWorld {
  readonly #networks = new Map<string, MemoryNetwork>()
  readonly #cut = new Set<string>()
  /** Called before every request; throws to lose it. */
  onRequest: (o: { from: string; to: string; protocol: string; bytes: Uint8Array }) => void = () =>
    undefined

  add(network: MemoryNetwork): void {
    this.#networks.set(network.host, network)
  }

  remove(network: MemoryNetwork): void {
    if (this.#networks.get(network.host) === network) this.#networks.delete(network.host)
  }

  /** Switches the line between a host and all others off or on. */
  setOnline(host: string, online: boolean): void {
    if (online) this.#cut.delete(host)
    else this.#cut.add(host)
    for (const network of this.#networks.values()) network.refresh()
  }

  reach(from: string, to: string): MemoryNetwork | undefined {
    if (this.#cut.has(from) || this.#cut.has(to)) return undefined
    return this.#networks.get(to)
  }

  /** Tells every host that connections may have changed. */
  refresh(): void {
    for (const network of this.#networks.values()) network.refresh()
  }
}

export class MemoryNetwork implements MembershipTransport {
  readonly host: string
  readonly #world: MemoryWorld
  readonly #membership: Membership
  readonly #protocols = new Map<string, Protocol>()
  readonly #listeners = new Set<{ event: PeerEvent; listener: (host: string) => void }>()
  #connected = new Set<string>()

  constructor(o: { host: string; world: MemoryWorld; membership: Membership }) {
    this.host = o.host
    this.#world = o.world
    this.#membership = o.membership
    o.world.add(this)
  }

  addresses(): string[] {
    return [`/memory/${this.host}/p2p/12D3KooW${this.host.slice(0, 8)}`]
  }

  peers(): PeerState[] {
    return [...this.#membership.members()].map(({ host }) => ({
      host,
      connected: this.#connected.has(host),
    }))
  }

  registerProtocol(
    id: string,
    handler: MessageHandler,
    options: MessageProtocolOptions = {},
  ): void {
    this.#protocols.set(id, { handler, options })
  }

  on(event: PeerEvent, listener: (host: string) => void): () => void {
    const entry = { event, listener }
    this.#listeners.add(entry)
    return () => void this.#listeners.delete(entry)
  }

  membershipChanged(): void {
    this.#world.refresh()
  }

  /** Connected are members that know one another and whose lines are up. */
  refresh(): void {
    const now = new Set<string>()
    for (const { host } of this.#membership.members()) {
      const other = this.#world.reach(this.host, host)
      if (other !== undefined && other.#membership.isMember(this.host)) now.add(host)
    }
    const before = this.#connected
    this.#connected = now
    for (const host of now) if (!before.has(host)) this.#emit('peer:up', host)
    for (const host of before) if (!now.has(host)) this.#emit('peer:down', host)
  }

  #emit(event: PeerEvent, host: string): void {
    for (const entry of this.#listeners) if (entry.event === event) entry.listener(host)
  }

  async request(
    host: string,
    protocol: string,
    bytes: Uint8Array,
    options: RequestOptions = {},
  ): Promise<Uint8Array> {
    if (!this.#connected.has(host)) throw unreachable()
    return this.#send({ to: this.#world.reach(this.host, host), protocol, bytes, ...options })
  }

  async requestAt(o: {
    host: string
    addresses: readonly string[]
    protocol: string
    bytes: Uint8Array
    signal?: AbortSignal
  }): Promise<Uint8Array> {
    const address = /^\/memory\/([0-9a-f]+)$/.exec(o.addresses[0] ?? '')?.[1]
    const to = address === undefined ? undefined : this.#world.reach(this.host, address)
    if (to !== undefined && to.host !== o.host) {
      throw new MoyaiError('IDENTITY_MISMATCH', 'another host answers at this address')
    }
    return this.#send({ to, ...o })
  }

  async #send(o: {
    to: MemoryNetwork | undefined
    protocol: string
    bytes: Uint8Array
    signal?: AbortSignal
  }): Promise<Uint8Array> {
    const { to, protocol, bytes } = o
    if (to === undefined) throw unreachable()
    const served = to.#protocols.get(protocol)
    const member = to.#membership.isMember(this.host)
    const welcome = served?.options.strangers === true && to.#membership.strangersWelcome()
    if (served === undefined || (!member && !welcome)) throw unreachable()
    assertFits(bytes, served.options.requestBytesMax)
    this.#world.onRequest({ from: this.host, to: to.host, protocol, bytes })
    const signal = o.signal ?? new AbortController().signal
    try {
      const answer = await served.handler({ host: this.host, bytes: bytes.slice(), signal })
      assertFits(answer, served.options.responseBytesMax)
      return answer.slice()
    } catch (error) {
      if (isMoyaiError(error)) throw new MoyaiError(error.code, error.message)
      throw error
    }
  }
}
