/**
 * Gathers the evidence for the status: every reachable host is asked what it keeps, stripe by
 * stripe.
 */

import { type Clock, openStripe, type ProtectionAssessor, toHex } from '@moyai/protocol'

import { Inventories } from '../inventories.ts'
import type { Network } from '../net/types.ts'
import type { VaultIndex } from '../store/vault-index.ts'

export type EvidenceOptions = {
  vault: Uint8Array
  index: Pick<VaultIndex, 'stripes' | 'unsettled' | 'holders'>
  network: Pick<Network, 'peers' | 'shards'>
  clock: Clock
  /** Since when every shard was read back or audited, ms since 1970; 0 for never. */
  provedAt: number
  /** Shards (`index host`) that hosts list and could not prove: they do not count. */
  refuted?: (pack: Uint8Array) => Promise<ReadonlySet<string>>
  /** Hosts (hex) that were put out of the pool: what they had is lost, not away. */
  revoked?: { has(host: string): boolean }
  signal?: AbortSignal
}

export type Evidence = {
  /** Hosts (hex) that answered to the end. */
  answered: Set<string>
  /** Bytes of this vault's shards that each host said it has. */
  bytesAt: Map<string, number>
}

/**
 * Feeds `assessor` with each stripe of the vault and what was found of it. Rejects only when the
 * local index cannot be read, or with the signal's reason.
 */
export async function gatherEvidence(
  assessor: ProtectionAssessor,
  o: EvidenceOptions,
): Promise<Evidence> {
  const { vault, clock, signal = new AbortController().signal } = o
  const hosts = { hosts: () => connectedHosts(o), shards: (host: string) => o.network.shards(host) }
  const inventories = new Inventories({ hosts, vault, clock, signal })
  const answering = (): string[] => {
    const failed = inventories.failures()
    return inventories.hosts.filter((host) => !failed.has(host))
  }
  const unsettled = new Map<string, number>()
  for await (const { pack, missing } of o.index.unsettled()) unsettled.set(toHex(pack), missing)
  const bytesAt = new Map<string, number>()
  for await (const record of o.index.stripes()) {
    const stripe = openStripe(record.envelope)
    const refuted = await o.refuted?.(record.pack)
    const claims = (await inventories.of(record.pack)).filter(
      ({ index, host }) => refuted?.has(`${index} ${host}`) !== true,
    )
    const answered = new Set(answering())
    for (const host of answered) bytesAt.set(host, bytesAt.get(host) ?? 0)
    for (const { host } of claims) {
      bytesAt.set(host, (bytesAt.get(host) ?? 0) + stripe.shardLength)
    }
    const holders = (await o.index.holders(record.pack)).filter(
      ({ host }) => o.revoked?.has(host) !== true,
    )
    assessor.add({
      code: { k: stripe.k, m: stripe.m },
      shardLength: stripe.shardLength,
      found: claims.filter(({ index }) => index < stripe.k + stripe.m),
      away: holders.filter(({ host }) => !answered.has(host)),
      provedAt: Math.max(stripe.created, o.provedAt),
      pending: unsettled.get(toHex(record.pack)) ?? 0,
    })
  }
  return { answered: new Set(answering()), bytesAt }
}

function connectedHosts(o: EvidenceOptions): string[] {
  return o.network
    .peers()
    .filter((peer) => peer.connected)
    .map(({ host }) => host)
}
