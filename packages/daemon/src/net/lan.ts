/**
 * Hosts on the same LAN, found by mDNS: those that moved, and those that a joiner was invited by.
 *
 * Anybody on a LAN can answer, so an answer is only a place to try: it is dialed for a host that is
 * a member, or that is being asked to let us in, and Noise says whether it is that host.
 */

import type { PeerDiscovery } from '@libp2p/interface'
import { isPrivate } from '@libp2p/utils'
import { hexOfPeerId } from './identity.ts'
import { LAN_ADDRESSES_MAX, LAN_HOSTS_MAX } from './limits.ts'

export class Lan {
  readonly #found = new Map<string, string[]>()
  /** Called when a host was found at new addresses. */
  onFound: () => void = () => undefined

  constructor(discovery: PeerDiscovery) {
    discovery.addEventListener('peer', ({ detail }) => {
      const host = hexOfPeerId(detail.id)
      if (host === undefined) return
      const addresses = detail.multiaddrs
        .filter((address) => isPrivate(address))
        .slice(0, LAN_ADDRESSES_MAX)
        .map((address) => address.toString())
      this.#note(host, addresses)
    })
  }

  /** Where `host` (hex) said to be. */
  of(host: string): readonly string[] {
    return this.#found.get(host) ?? []
  }

  #note(host: string, addresses: string[]): void {
    const known = this.#found.get(host)
    // The newest last, so that the oldest is forgotten first.
    this.#found.delete(host)
    this.#found.set(host, addresses)
    const [oldest] = this.#found.keys()
    if (this.#found.size > LAN_HOSTS_MAX && oldest !== undefined) this.#found.delete(oldest)
    if (known === undefined || addresses.some((one) => !known.includes(one))) this.onFound()
  }
}
