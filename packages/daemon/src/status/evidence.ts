/**
 * Gathers the evidence for the status: every reachable host is asked what it keeps, stripe by
 * stripe.
 */

import { openStripe, type ProtectionAssessor, toHex } from '@moyai/protocol'

import type { Network } from '../net/types.ts'
import type { VaultIndex } from '../store/vault-index.ts'
import { InventoryStream } from './inventory-stream.ts'

export type EvidenceOptions = {
  vault: Uint8Array
  index: VaultIndex
  network: Network
  /** When every shard was last read back and verified; 0 for never. */
  lastReadDataAt: number
  signal?: AbortSignal
}

export type Evidence = {
  /** Hosts (hex) that answered to the end. */
  answered: Set<string>
  /** Bytes of this vault's shards that each host said it has. */
  bytesAt: Map<string, number>
}

/** Feeds `assessor` with each stripe of the vault and what was found of it. */
export async function gatherEvidence(
  assessor: ProtectionAssessor,
  o: EvidenceOptions,
): Promise<Evidence> {
  const streams = connectedStreams(o)
  const unsettled = new Map<string, number>()
  for await (const { pack, missing } of o.index.unsettled()) unsettled.set(toHex(pack), missing)
  const bytesAt = new Map<string, number>()
  for await (const record of o.index.stripes()) {
    const stripe = openStripe(record.envelope)
    const found: { index: number; host: string }[] = []
    const pages = streams.map(async (stream) => ({
      host: stream.host,
      indexes: await stream.indexesOf(record.pack),
    }))
    for (const { host, indexes } of await Promise.all(pages)) {
      for (const index of indexes) {
        if (index < stripe.k + stripe.m) found.push({ index, host })
      }
      const bytes = (bytesAt.get(host) ?? 0) + indexes.length * stripe.shardLength
      bytesAt.set(host, bytes)
    }
    assessor.add({
      code: { k: stripe.k, m: stripe.m },
      found,
      away: await receiptsOfAbsent(record.pack, streams, o.index),
      provedAt: Math.max(stripe.created, o.lastReadDataAt),
      pending: unsettled.get(toHex(record.pack)) ?? 0,
    })
  }
  const answered = streams.filter((stream) => stream.failed === undefined)
  return { answered: new Set(answered.map((stream) => stream.host)), bytesAt }
}

function connectedStreams(o: EvidenceOptions): InventoryStream[] {
  return o.network
    .peers()
    .filter((peer) => peer.connected)
    .flatMap(({ host }) => {
      try {
        const client = o.network.shards(host)
        const signal = o.signal === undefined ? {} : { signal: o.signal }
        return [new InventoryStream({ host, client, vault: o.vault, ...signal })]
      } catch {
        // It went away between the two lines: then it is not reachable.
        return []
      }
    })
}

async function receiptsOfAbsent(
  pack: Uint8Array,
  streams: readonly InventoryStream[],
  index: VaultIndex,
): Promise<{ index: number; host: string }[]> {
  const asked = new Set(
    streams.filter((stream) => stream.failed === undefined).map((stream) => stream.host),
  )
  const holders = await index.holders(pack)
  return holders.filter((holder) => !asked.has(holder.host))
}
