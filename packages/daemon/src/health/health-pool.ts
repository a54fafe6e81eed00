/** The pool as the health services see it. */

import { effectivePolicy, toHex } from '@moyai/protocol'

import type { Ledger } from '../ledger/index.ts'
import type { Membership } from '../membership/index.ts'
import type { Network } from '../net/index.ts'
import { hostFacts, poolPolicy } from '../status/index.ts'
import type { HealthPool } from './ports.ts'
import { saidAbsences } from './said-absences.ts'

/** Every call reads the present state; before this host is in a pool there is nobody. */
export function healthPool(
  self: string,
  o: { membership: Membership; network: Network; ledger: Ledger },
): HealthPool {
  const { membership, network, ledger } = o
  const hosts = (): ReturnType<HealthPool['hosts']> => {
    const state = membership.state()
    return state === undefined ? [] : hostFacts({ self, state, peers: network.peers(), ledger })
  }
  return {
    self,
    id: () => membership.state()?.id,
    hosts,
    retiring: () => {
      const all = [...(membership.state()?.hosts ?? [])]
      return new Set(all.flatMap(([id, { retiredAt }]) => (retiredAt === undefined ? [] : [id])))
    },
    revoked: () => new Set(membership.state()?.revoked.keys()),
    policy: () => effectivePolicy(hosts(), poolPolicy(membership.requireState())),
    vaults: () => {
      const owners = new Map<string, string>()
      const state = membership.state()
      for (const [host, { vault }] of state?.hosts ?? []) owners.set(toHex(vault), host)
      for (const [host, { certificate }] of state?.revoked ?? []) {
        if (certificate !== undefined) owners.set(toHex(certificate.vault), host)
      }
      return owners
    },
    absences: () => saidAbsences(membership.state()),
    nameOf: (host) => membership.state()?.hosts.get(host)?.name ?? host.slice(0, 8),
  }
}
