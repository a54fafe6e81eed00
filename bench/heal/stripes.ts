/** Who has which shard, read from the shard files of stopped or running hosts: nobody is asked. */

import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'

import { decodeShardHeader, SHARD_HEADER_BYTES_MAX, toHex } from '@moyai/protocol'

/** Pack (hex) → its code, and the shard indexes that were found, by how many hosts. */
export type Stripes = Map<
  string,
  { k: number; m: number; shardLength: number; copies: Map<number, number> }
>

/** All stripes of which the folders `homes` have a shard file with a right header. */
export async function stripesOf(homes: readonly string[]): Promise<Stripes> {
  const stripes: Stripes = new Map()
  for (const home of homes) {
    for (const path of await shardPaths(join(home, 'shards'))) {
      const header = await headerOf(path)
      if (header === undefined) continue
      const { pack, k, m, shardLength } = header.descriptor
      const id = toHex(pack)
      const stripe = stripes.get(id) ?? { k, m, shardLength, copies: new Map() }
      stripe.copies.set(header.index, (stripe.copies.get(header.index) ?? 0) + 1)
      stripes.set(id, stripe)
    }
  }
  return stripes
}

async function shardPaths(root: string): Promise<string[]> {
  const names = await readdir(root, { recursive: true }).catch(() => [])
  return names.filter((name) => name.endsWith('.shard')).map((name) => join(root, name))
}

/** Undefined for a file that is being written, or is gone by now. */
async function headerOf(path: string): Promise<ReturnType<typeof decodeShardHeader> | undefined> {
  try {
    await using file = await open(path)
    const bytes = new Uint8Array(SHARD_HEADER_BYTES_MAX)
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
    return decodeShardHeader(bytes.subarray(0, bytesRead))
  } catch {
    return undefined
  }
}

export type Tally = {
  stripes: number
  /** Stripes of which every shard is somewhere. */
  whole: number
  /** Shards that are nowhere. */
  missing: number
  /** Shards that are at more than one host. */
  surplus: number
  /**
   * Payload bytes that must cross the wire to make the missing shards: per stripe k shards come in
   * and the missing ones go out; who repairs has one of the k, where a holder is left.
   */
  leastBytes: number
  /** The same with all k read from others: what is usually called the least. */
  nominalBytes: number
}

/** Counts over stripes; `known` has those that must be there. */
export function tally(found: Stripes, known: Stripes = found): Tally {
  const sum: Tally = {
    stripes: known.size,
    whole: 0,
    missing: 0,
    surplus: 0,
    leastBytes: 0,
    nominalBytes: 0,
  }
  for (const [id, { k, m, shardLength }] of known) {
    const copies = found.get(id)?.copies ?? new Map<number, number>()
    const missing = k + m - copies.size
    sum.missing += missing
    for (const count of copies.values()) sum.surplus += count - 1
    if (missing === 0) sum.whole++
    else {
      sum.leastBytes += (k - 1 + missing) * shardLength
      sum.nominalBytes += (k + missing) * shardLength
    }
  }
  return sum
}
