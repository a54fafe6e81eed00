/** Multiaddrs as text: checked where a person wrote them, sorted out where another host did. */

import type { PeerId } from '@libp2p/interface'
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import { MoyaiError } from '@moyai/protocol'

/** An address of the configuration; CONFIG_INVALID when it is none. */
export function checkedAddress(text: string): Multiaddr {
  try {
    return multiaddr(text)
  } catch (cause) {
    throw new MoyaiError('CONFIG_INVALID', `not a network address: ${text}`, {
      hint: 'addresses look like /ip4/192.0.2.7/tcp/4001',
      cause,
    })
  }
}

/**
 * A member's own address ending in its peer id; undefined when it is none, ends in another id, or
 * leads through a relay, which is found otherwise (dialer.ts).
 */
export function addressOf(text: string, peer: PeerId): Multiaddr | undefined {
  try {
    const address = multiaddr(text)
    const parts = address.getComponents()
    if (parts.some(({ name }) => name === 'p2p-circuit')) return undefined
    const id = parts.find(({ name }) => name === 'p2p')?.value
    if (id === undefined) return address.encapsulate(`/p2p/${peer.toString()}`)
    return id === peer.toString() ? address : undefined
  } catch {
    // From another host's record: one that cannot be read is not dialed.
    return undefined
  }
}

/** `/ip4/192.0.2.1/tcp/4001/p2p/12D3…` without the peer id, which the record's host says. */
export function withoutPeerId(address: string): string {
  return address.replace(/\/p2p\/[^/]+$/, '')
}

/** Whether only this machine itself can reach the address. */
export function isLoopbackAddress(address: string): boolean {
  return /^\/(?:ip4\/127\.|ip6\/::1\/|dns[46]?\/localhost\/)/.test(address)
}
