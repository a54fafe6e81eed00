/** Where this host listens and can be found, and where others are on the same LAN. */

import { MoyaiError } from '@moyai/protocol'
import { checkedAddress } from './addresses.ts'
import { Lan } from './lan.ts'
import type { Member } from './peers.ts'
import { isListening, portOf, type Listening, type PortMemory } from './ports.ts'
import type { Node } from './transport.ts'

export type WhereaboutsOptions = {
  node: Node
  listening: readonly Listening[]
  ports: PortMemory | undefined
  /** Called when a host was found at new addresses. */
  onFound: () => void
}

export class Whereabouts {
  readonly #o: WhereaboutsOptions
  readonly #lan: Lan | undefined

  constructor(o: WhereaboutsOptions) {
    this.#o = o
    const { lan } = o.node.services
    if (lan === undefined) return
    this.#lan = new Lan(lan.discovery)
    this.#lan.onFound = o.onFound
  }

  /**
   * After the node's start: listens on any free port where that of last time is taken, and
   * remembers it. CONFIG_INVALID when no address can be listened on.
   */
  async listen(): Promise<void> {
    const { transports } = this.#o.node.services
    for (const { listen, first } of this.#o.listening) {
      if (first !== listen && !isListening(first, this.#actual())) {
        await transports.listen([checkedAddress(listen)])
      }
      const port = portOf(listen, this.#actual())
      if (port !== undefined) await this.#o.ports?.put(listen, port)
    }
    // A port that is taken must not go unnoticed: others could never reach this host.
    if (this.#o.listening.length === 0 || this.#actual().length > 0) return
    throw new MoyaiError('CONFIG_INVALID', 'cannot listen on any of the configured addresses', {
      hint: 'another program or moyai daemon may use the port: set network.listen in config.toml to another',
    })
  }

  /**
   * Where this host can be reached, as multiaddrs that end in its peer id; public ones too, which
   * libp2p keeps to itself until somebody has confirmed them.
   */
  addresses(): string[] {
    const { node } = this.#o
    const id = `/p2p/${node.peerId.toString()}`
    const known = node.getMultiaddrs().map((address) => address.toString())
    const all = [...known, ...this.#actual()]
    return [...new Set(all.map((address) => (address.endsWith(id) ? address : address + id)))]
  }

  /** The same host with the addresses that it has on this LAN before the others. */
  onLan<T extends Member>(member: T): T {
    const here = this.#lan?.of(member.host) ?? []
    return { ...member, addresses: [...new Set([...here, ...member.addresses])] }
  }

  #actual(): string[] {
    const addresses = this.#o.node.services.transports.getAddrs()
    return addresses.map((address) => address.toString())
  }
}
