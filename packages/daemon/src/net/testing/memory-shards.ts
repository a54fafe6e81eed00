/**
 * Shards in memory, with a disk that can be made to hang: for tests of the wire, not of storing.
 */

import {
  blake3,
  concatBytes,
  equalBytes,
  groupHashes,
  MoyaiError,
  openStripe,
  toHex,
  type StripeDescriptor,
} from '@moyai/protocol'
import { DIGESTS_BYTES, toggleShard } from '../../shard-store/digests.ts'
import type {
  ShardId,
  ShardItem,
  ShardPage,
  ShardPut,
  ShardReader,
  ShardWriter,
} from '../../shard-store/shard-store.ts'
import type { HeldShards } from '../shard/handler.ts'

type Held = { envelope: Uint8Array; descriptor: StripeDescriptor; index: number; bytes: Uint8Array }

const keyOf = (id: ShardId): string => `${toHex(id.vault)}/${toHex(id.pack)}.${id.index}`

export class MemoryShards implements HeldShards {
  readonly held = new Map<string, Held>()
  readonly damaged = new Set<string>()
  /** While set, every write waits for it. */
  stall: Promise<void> | undefined
  /** When set, every write fails with it. */
  failure: MoyaiError | undefined
  writing = 0

  async put(o: { envelope: Uint8Array; index: number }): Promise<ShardPut> {
    const descriptor = openStripe(o.envelope)
    const key = keyOf({ ...descriptor, index: o.index })
    const held = this.held.get(key)
    if (held !== undefined) return { had: true, descriptor: held.descriptor }
    return { had: false, writer: this.#writer(key, descriptor, o) }
  }

  #writer(
    key: string,
    descriptor: StripeDescriptor,
    o: { envelope: Uint8Array; index: number },
  ): ShardWriter {
    const parts: Uint8Array[] = []
    this.writing += 1
    let open = true
    return {
      descriptor,
      write: async (bytes) => {
        if (this.failure !== undefined) throw this.failure
        if (this.stall !== undefined) await this.stall
        parts.push(bytes instanceof Uint8Array ? bytes.slice() : concatBytes(...bytes))
      },
      commit: async () => {
        const bytes = concatBytes(...parts)
        if (bytes.length !== descriptor.shardLength) {
          throw new MoyaiError('TRUNCATED', 'bytes of the shard are missing')
        }
        if (!equalBytes(blake3(bytes), descriptor.shardHashes[o.index] as Uint8Array)) {
          throw new MoyaiError('HASH_MISMATCH', 'these are not the bytes of the shard')
        }
        this.held.set(key, { ...o, descriptor, bytes })
      },
      abort: async () => {
        if (open) this.writing -= 1
        open = false
      },
    }
  }

  async open(id: ShardId): Promise<ShardReader> {
    const held = this.held.get(keyOf(id))
    if (held === undefined) throw new MoyaiError('NOT_FOUND', 'no such shard')
    const { descriptor, envelope, index } = held
    // The header's hashes are those of the right bytes, whatever happened to them since.
    return {
      descriptor,
      envelope,
      index,
      groups: groupHashes(held.bytes),
      read: async (offset, length) => held.bytes.slice(offset, offset + length),
      close: async () => {},
    }
  }

  async digests(vault: Uint8Array): Promise<Uint8Array> {
    const digests = new Uint8Array(DIGESTS_BYTES)
    for (const { descriptor, index } of this.held.values()) {
      const { pack } = descriptor
      if (equalBytes(descriptor.vault, vault)) toggleShard(digests, { pack, index })
    }
    return digests
  }

  async verify(id: ShardId): Promise<void> {
    const held = this.held.get(keyOf(id))
    if (held === undefined) throw new MoyaiError('NOT_FOUND', 'no such shard')
    if (equalBytes(blake3(held.bytes), held.descriptor.shardHashes[id.index] as Uint8Array)) return
    this.damaged.add(keyOf(id))
    throw new MoyaiError('SHARD_DAMAGED', 'the bytes of the shard are not what was stored')
  }

  isDamaged(id: ShardId): boolean {
    return this.damaged.has(keyOf(id))
  }

  async list(o: { vault?: Uint8Array; cursor?: Uint8Array; limit?: number }): Promise<ShardPage> {
    const vault = o.vault === undefined ? '' : toHex(o.vault)
    const after = o.cursor === undefined ? '' : Buffer.from(o.cursor).toString()
    const keys = [...this.held.keys()].filter((key) => key.startsWith(vault) && key > after).sort()
    const limit = o.limit ?? 1000
    const items = keys.slice(0, limit).map((key): ShardItem => {
      const { descriptor, index, bytes } = this.held.get(key) as Held
      return { vault: descriptor.vault, pack: descriptor.pack, index, length: bytes.length }
    })
    const last = keys[limit - 1]
    return keys.length > limit && last !== undefined
      ? { items, next: Buffer.from(last.slice(64)) }
      : { items }
  }

  async stat(o: {
    vault: Uint8Array
    pack: Uint8Array
  }): Promise<{ index: number; envelope: Uint8Array }[]> {
    const prefix = `${toHex(o.vault)}/${toHex(o.pack)}.`
    return [...this.held]
      .filter(([key]) => key.startsWith(prefix))
      .map(([, { index, envelope }]) => ({ index, envelope }))
  }
}
