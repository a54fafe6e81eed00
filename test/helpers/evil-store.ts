/**
 * Holders that do not keep what they say, as wrappers of a shard store: for `wrapStore` of
 * `runDaemon`. Each takes shards and acknowledges them like an honest one.
 */

import { GROUP_BYTES, groupHashes } from '@moyai/protocol'
import type { ShardId, ShardReader, ShardStore } from '@moyai/daemon'

/** Where a liar gets the bytes of a group that it does not have; undefined when nowhere. */
export type FetchGroup = (id: ShardId, group: number) => Promise<Uint8Array | undefined>

/**
 * `store` with readers whose bytes `change` decides: it gets the right ones, whole groups from
 * `group` on.
 */
function readingThrough(
  store: ShardStore,
  change: (bytes: Uint8Array, o: { id: ShardId; group: number }) => Promise<Uint8Array>,
): ShardStore {
  const open = async (id: ShardId): Promise<ShardReader> => {
    const reader = await store.open(id)
    const read = async (offset: number, length: number): Promise<Uint8Array> => {
      const bytes = await reader.read(offset, length)
      for (let at = 0; at < length; at += GROUP_BYTES) {
        const group = Math.floor((offset + at) / GROUP_BYTES)
        const right = bytes.subarray(at, at + GROUP_BYTES)
        const changed = await change(right, { id, group })
        bytes.set(changed.subarray(0, right.length), at)
      }
      return bytes
    }
    const { descriptor, envelope, index, groups } = reader
    return { descriptor, envelope, index, groups, read, close: () => reader.close() }
  }
  return new Proxy(store, {
    get(target, name) {
      if (name === 'open') return open
      // It finds nothing wrong with itself.
      if (name === 'verify') return async () => {}
      if (name === 'isDamaged') return () => false
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** Keeps the first group of each shard, and the header: enough for a challenge that is foreseen. */
export function leafZeroStore(store: ShardStore): ShardStore {
  return readingThrough(store, async (bytes, { group }) =>
    group === 0 ? bytes : new Uint8Array(bytes.length),
  )
}

/** Gives garbage for everything that it is asked for, and proofs that suit it. */
export function garbageStore(store: ShardStore): ShardStore {
  const garbled = readingThrough(store, async (bytes) => bytes.map((byte) => byte ^ 0x5a))
  const open = async (id: ShardId): Promise<ShardReader> => {
    const reader = await garbled.open(id)
    const groups = groupHashes(await reader.read(0, reader.descriptor.shardLength))
    return { ...reader, groups }
  }
  return new Proxy(garbled, {
    get: (target, name) => (name === 'open' ? open : Reflect.get(target, name, target)),
  })
}

/** Keeps nothing, and fetches each group that it is asked for from somebody else. */
export function proxyStore(store: ShardStore, fetch: FetchGroup): ShardStore {
  return readingThrough(
    store,
    async (bytes, { id, group }) => (await fetch(id, group)) ?? new Uint8Array(bytes.length),
  )
}
