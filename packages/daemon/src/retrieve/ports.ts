/**
 * What reading needs of its surroundings: where chunks are (the vault's index), who holds shards,
 * and the hosts to ask. Structural types, the reading half of VaultIndex and ShardClient, so that a
 * test gives in-memory ones.
 */

import type { VaultIndex } from '../store/vault-index.ts'

/** What names a range of one shard, and the hash against which every byte of it is verified. */
export type ShardRange = {
  vault: Uint8Array
  pack: Uint8Array
  index: number
  /** Bytes within the shard's payload. */
  offset: number
  length: number
  /** BLAKE3 hash of the whole shard, from the signed stripe descriptor. */
  root: Uint8Array
  shardLength: number
  signal: AbortSignal
}

/** Reads of one host's shard store: the reading half of `ShardClient`. */
export type ShardSource = {
  /** Verified bytes of exactly the range; throws HOST_UNREACHABLE, NOT_FOUND, HASH_MISMATCH … */
  get(range: ShardRange): AsyncIterable<Uint8Array>
  stat(o: {
    vault: Uint8Array
    pack: Uint8Array
    signal: AbortSignal
  }): Promise<{ index: number; envelope: Uint8Array }[]>
}

/**
 * The hosts of the pool that may hold shards of ours. Host ids are lowercase hex of their public
 * keys.
 */
export type ShardHosts = {
  hosts(): string[]
  /** Throws HOST_UNREACHABLE when there is no connection. */
  shards(host: string): ShardSource
  /** True while this host's own bandwidth limit holds bytes back: then no other host is slow. */
  isHeldBack?(): boolean
  /**
   * False when all hosts have long been there or away; else waits until those that were lost a
   * moment ago are back, or are not expected any more.
   */
  returning(signal: AbortSignal): Promise<boolean>
}

/** The reading half of `VaultIndex`. */
export type PackIndex = Pick<VaultIndex, 'locate' | 'pack' | 'blobs' | 'packs' | 'holders'>
