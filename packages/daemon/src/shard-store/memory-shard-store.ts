/**
 * A shard store in memory: the real one on a disk in memory, so that tests and simulations run the
 * same code.
 */

import { SimulatedDisk } from '../file-system/index.ts'
import { openShardStore } from './disk-shard-store.ts'
import type { ShardStoreOptions } from './disk-shard-store.ts'
import type { ShardStore } from './shard-store.ts'

/** What is not given: a new disk, an id of zeros, no quota, no reserve. */
export async function memoryShardStore(o: Partial<ShardStoreOptions> = {}): Promise<ShardStore> {
  return openShardStore({
    disk: new SimulatedDisk(),
    root: '/shards',
    random: { bytes: (length) => new Uint8Array(length) },
    quotaBytes: Number.MAX_SAFE_INTEGER,
    reserveBytes: 0,
    ...o,
  })
}
