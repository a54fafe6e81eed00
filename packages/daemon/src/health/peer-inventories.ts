/** Reading what other hosts list, as far as it differs from what they listed before. */

import {
  blake3,
  concatBytes,
  equalBytes,
  fromHex,
  MoyaiError,
  toHex,
  type Clock,
} from '@moyai/protocol'

import type { Database, Table } from '../database/index.ts'
import { Inventories } from '../inventories.ts'
import { differingBuckets, DIGEST_BUCKETS, DIGESTS_BYTES } from '../shard-store/index.ts'
import { KeyedLock } from '../shard-store/keyed-lock.ts'
import type { HealthNetwork, HealthReport, ShardPlace, StripeView } from './ports.ts'
import { type StripeTable, withoutHost, withPlace } from './stripe-table.ts'

const BUCKET_BYTES = DIGESTS_BYTES / DIGEST_BUCKETS
/** No digest: the bucket is listed again. */
const UNKNOWN_BYTE = 0xa5
/** Digest of no bucket that is known: it is listed again, too, but what it gave counts so far. */
const DOUBT_BYTE = 0x3c
/**
 * Pages of one bucket: a million shards, 256 times that in all, are more than a host has. A list
 * without end would hold whoever reads it.
 */
const PAGES_MAX = 1000
/** From so many buckets on, one pass over all stripes costs less than asking for each of them. */
const SCAN_BUCKETS_MIN = 16
/** Digests of hosts and vaults in memory, a few hundred bytes each with their names. */
const SUMMARIES_MAX = 32_768

export type PeerInventoriesComponents = {
  network: HealthNetwork
  table: StripeTable
  database: Database
  clock: Clock
  /** Places of stripes of that vault changed. */
  changed: (vault: Uint8Array) => void
}

/** See the head of this file. */
export class PeerInventories {
  readonly #c: PeerInventoriesComponents
  readonly #digests: Table
  readonly #lock = new KeyedLock()
  /** Digest of the digests that are known, by host and vault: mostly nothing else is needed. */
  readonly #summaries = new Map<string, Uint8Array>()
  /** Counts changes that a reading under way must not undo. */
  #forgotten = 0

  constructor(components: PeerInventoriesComponents) {
    this.#c = components
    this.#digests = components.database.table('inventory-digest', { cache: true })
  }

  /** Compares what `host` says it has with what it said before, and reads what differs. */
  async ask(host: string, signal: AbortSignal): Promise<HealthReport> {
    const { network } = this.#c
    const report = await network.ask(host, signal)
    const said = new Map(report.inventories.map(({ vault, digest }) => [toHex(vault), digest]))
    for (const vault of await this.#c.table.vaults()) {
      const digest = said.get(toHex(vault))
      const summary = await this.#summaryOf(host, vault)
      if (equalBytes(summary, digest ?? NOTHING_DIGEST)) continue
      const known = await this.#knownDigests(host, vault)
      const digests =
        digest === undefined
          ? new Uint8Array(DIGESTS_BYTES)
          : await network.shards(host).digests({ vault, signal })
      if (equalBytes(known, digests)) continue
      await this.#readBuckets({ host, vault, known, digests, signal })
    }
    return report
  }

  /** `digestOf` what is known. */
  async #summaryOf(host: string, vault: Uint8Array): Promise<Uint8Array> {
    const key = toHex(concatBytes(fromHex(host), vault))
    const before = this.#summaries.get(key)
    if (before !== undefined) return before
    return this.#lock.run(key, async () => {
      const summary = digestOf(await this.#knownDigests(host, vault))
      if (this.#summaries.size >= SUMMARIES_MAX) this.#summaries.clear()
      this.#summaries.set(key, summary)
      return summary
    })
  }

  async #knownDigests(host: string, vault: Uint8Array): Promise<Uint8Array> {
    const known = await this.#digests.get(concatBytes(fromHex(host), vault))
    if (known?.length === DIGESTS_BYTES) return known
    return new Uint8Array(DIGESTS_BYTES).fill(UNKNOWN_BYTE)
  }

  async #readBuckets(o: {
    host: string
    vault: Uint8Array
    known: Uint8Array
    digests: Uint8Array
    signal: AbortSignal
  }): Promise<void> {
    const { host, vault, known, digests, signal } = o
    const differing = differingBuckets(known, digests)
    const used = differing.length > SCAN_BUCKETS_MIN ? await this.#usedBuckets(vault) : undefined
    const read: { bucket: number; forgotten: number }[] = []
    let isNews = false
    try {
      for (const bucket of differing) {
        const own = digests.subarray(bucket * BUCKET_BYTES, (bucket + 1) * BUCKET_BYTES)
        const forgotten = this.#forgotten
        // Also that a host has nothing there is news, where it was not known before.
        isNews ||= isUnknown(known, bucket)
        if (used?.has(bucket) !== false) {
          isNews = (await this.#readBucket({ host, vault, bucket, own, signal })) || isNews
        }
        read.push({ bucket, forgotten })
      }
    } finally {
      // Also after a host that fell silent: the next time goes on from here. What was begun
      // meanwhile may not have been looked for: then the bucket is read once more.
      await this.#update(host, vault, (now) => {
        for (const { bucket, forgotten } of read) {
          if (forgotten !== this.#forgotten) continue
          const at = bucket * BUCKET_BYTES
          now.set(digests.subarray(at, at + BUCKET_BYTES), at)
        }
      })
      if (isNews) this.#c.changed(vault)
    }
  }

  /** Buckets in which there is a stripe of the vault. */
  async #usedBuckets(vault: Uint8Array): Promise<ReadonlySet<number>> {
    const used = new Set<number>()
    for await (const { pack } of this.#c.table.of(vault)) used.add(pack[0] as number)
    return used
  }

  /** Takes over what `host` lists of one bucket; whether anything differed. */
  async #readBucket(o: {
    host: string
    vault: Uint8Array
    bucket: number
    own: Uint8Array
    signal: AbortSignal
  }): Promise<boolean> {
    const { host, vault, bucket, signal } = o
    const { clock, network } = this.#c
    const isEmpty = o.own.every((byte) => byte === 0)
    let pages = 0
    const shards = (name: string): Pick<ReturnType<HealthNetwork['shards']>, 'inventory'> => ({
      inventory: async (ask) => {
        if (++pages > PAGES_MAX) throw new MoyaiError('PROTOCOL_VIOLATION', 'too long a list')
        return network.shards(name).inventory({ ...ask, bucket })
      },
    })
    const hosts = { hosts: () => (isEmpty ? [] : [host]), shards }
    const inventories = new Inventories({ hosts, vault, clock, signal })
    let isNews = false
    for await (const view of this.#c.table.of(vault, bucket)) {
      const indexes = new Set((await inventories.of(view.pack)).map(({ index }) => index))
      const failure = inventories.failures().get(host)
      if (failure !== undefined) throw failure
      isNews = (await this.takeOver(view, host, { indexes, isOwn: false })) || isNews
    }
    return isNews
  }

  /**
   * Makes the record of one stripe say of `host` what it said itself. What another host could not
   * prove stays refuted although it is not listed any more: listing it again proves nothing.
   */
  async takeOver(
    { vault, pack }: StripeView,
    host: string,
    { indexes, isOwn }: { indexes: ReadonlySet<number>; isOwn: boolean },
  ): Promise<boolean> {
    const seenAt = this.#c.clock.now()
    let isNews = false
    await this.#c.table.change(vault, pack, (record) => {
      if (record === undefined) return undefined
      const all = record.places.filter((place) => place.host === host)
      const isRefuted = ({ index, refuted }: ShardPlace): boolean => refuted && !indexes.has(index)
      const refuted = isOwn ? [] : all.filter(isRefuted)
      const before = all.filter((place) => !refuted.includes(place))
      const { k, m } = record.code
      const valid = [...indexes].filter((index) => index < k + m)
      const isSame =
        before.length === valid.length && before.every(({ index }) => indexes.has(index))
      if (isSame) return undefined
      isNews = true
      const kept = new Set([...indexes, ...refuted.map(({ index }) => index)])
      let after = withoutHost(record, host, kept)
      for (const index of valid) {
        if (before.some((place) => place.index === index)) continue
        after = withPlace(after, { index, host, seenAt, refuted: false })
      }
      return after
    })
    return isNews
  }

  /**
   * Hosts (hex) by pack of which nobody knows yet whether they have a shard of it: they were not
   * there to be asked since the stripe concerns this host.
   */
  async unasked(
    hosts: readonly string[],
    vault: Uint8Array,
  ): Promise<(pack: Uint8Array) => string[]> {
    const all: { host: string; known: Uint8Array }[] = []
    for (const host of hosts) all.push({ host, known: await this.#knownDigests(host, vault) })
    return (pack) =>
      all.flatMap(({ host, known }) => (isUnknown(known, pack[0] as number) ? [host] : []))
  }

  /** What `host` has in the buckets of `packs` is asked again: they concern us only now. */
  async forget(host: string, vault: Uint8Array, packs: readonly Uint8Array[]): Promise<void> {
    await this.#update(host, vault, (known) => {
      this.#forgotten++
      for (const pack of packs) {
        const at = (pack[0] as number) * BUCKET_BYTES
        known.fill(UNKNOWN_BYTE, at, at + BUCKET_BYTES)
      }
    })
  }

  /** The bucket of `pack` is listed again when `host` is next asked; it counts as known so far. */
  async doubt(host: string, vault: Uint8Array, pack: Uint8Array): Promise<void> {
    await this.#update(host, vault, (known) => {
      const bucket = pack[0] as number
      if (isUnknown(known, bucket)) return
      this.#forgotten++
      known.fill(DOUBT_BYTE, bucket * BUCKET_BYTES, (bucket + 1) * BUCKET_BYTES)
    })
  }

  /** One change of a host's digests at a time: it is read, and then written. */
  async #update(
    host: string,
    vault: Uint8Array,
    change: (known: Uint8Array) => void,
  ): Promise<void> {
    const key = concatBytes(fromHex(host), vault)
    const name = toHex(key)
    await this.#lock.run(name, async () => {
      const known = await this.#knownDigests(host, vault)
      change(known)
      this.#summaries.delete(name)
      await this.#digests.put(key, known)
    })
  }
}

function isUnknown(known: Uint8Array, bucket: number): boolean {
  const at = bucket * BUCKET_BYTES
  return known.subarray(at, at + BUCKET_BYTES).every((byte) => byte === UNKNOWN_BYTE)
}

/** Digest of all digests of a vault: what a report says. */
export function digestOf(digests: Uint8Array): Uint8Array {
  return blake3(digests).slice(0, 16)
}

/** `digestOf` a vault of which a host has nothing. */
const NOTHING_DIGEST = digestOf(new Uint8Array(DIGESTS_BYTES))
