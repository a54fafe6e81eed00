/**
 * Digests of what a vault has here, for hosts that ask whether anything changed: spec/health.md §2.
 *
 * One for each first byte of a pack, as shards are in folders: 8 bytes, the XOR over its shards of
 * the beginnings of BLAKE3(pack || index). XOR so that one shard more or less costs one hash,
 * however many there are.
 */

import { blake3, toHex } from '@moyai/protocol'

export const DIGEST_BUCKETS = 256
const BUCKET_BYTES = 8
/** All digests of one vault. */
export const DIGESTS_BYTES: number = DIGEST_BUCKETS * BUCKET_BYTES

type Named = { pack: Uint8Array; index: number }

/** Adds a shard to the digests of its vault, or takes it out again. */
export function toggleShard(digests: Uint8Array, { pack, index }: Named): void {
  const named = new Uint8Array(pack.length + 1)
  named.set(pack)
  named[pack.length] = index
  const hash = blake3(named)
  const at = (pack[0] as number) * BUCKET_BYTES
  for (let i = 0; i < BUCKET_BYTES; i++) {
    digests[at + i] = (digests[at + i] as number) ^ (hash[i] as number)
  }
}

/** Buckets in which two sets of digests differ, ascending. */
export function differingBuckets(a: Uint8Array, b: Uint8Array): number[] {
  const differing: number[] = []
  for (let bucket = 0; bucket < DIGEST_BUCKETS; bucket++) {
    const at = bucket * BUCKET_BYTES
    for (let i = at; i < at + BUCKET_BYTES; i++) {
      if (a[i] === b[i]) continue
      differing.push(bucket)
      break
    }
  }
  return differing
}

/** Digests by vault; computed when first asked for, and kept up to date from then on. */
export class InventoryDigests {
  readonly #names: (vault: Uint8Array) => AsyncIterable<Named>
  readonly #known = new Map<string, Uint8Array>()
  readonly #computing = new Map<string, { digests: Promise<Uint8Array>; stale: boolean }>()

  /** `names`: all shards of a vault. */
  constructor(names: (vault: Uint8Array) => AsyncIterable<Named>) {
    this.#names = names
  }

  /** A shard came, or went. */
  changed(shard: { vault: Uint8Array } & Named): void {
    const key = toHex(shard.vault)
    // What is being counted may have seen it, or not: it is counted again.
    const computing = this.#computing.get(key)
    if (computing !== undefined) computing.stale = true
    const known = this.#known.get(key)
    if (known !== undefined) toggleShard(known, shard)
  }

  /** A copy of the digests of `vault`: DIGESTS_BYTES, zeros where nothing is. */
  async of(vault: Uint8Array): Promise<Uint8Array> {
    const key = toHex(vault)
    const known = this.#known.get(key)
    if (known !== undefined) return known.slice()
    const running = this.#computing.get(key)
    if (running !== undefined) return (await running.digests).slice()
    const computing = { digests: this.#compute(vault), stale: false }
    this.#computing.set(key, computing)
    try {
      const digests = await computing.digests
      if (!computing.stale) this.#known.set(key, digests)
      return digests.slice()
    } finally {
      this.#computing.delete(key)
    }
  }

  async #compute(vault: Uint8Array): Promise<Uint8Array> {
    const digests = new Uint8Array(DIGESTS_BYTES)
    for await (const shard of this.#names(vault)) toggleShard(digests, shard)
    return digests
  }
}
