/** The shards that this host keeps for others. */

export {
  differingBuckets,
  DIGEST_BUCKETS,
  DIGESTS_BYTES,
  InventoryDigests,
  toggleShard,
} from './digests.ts'
export { KeyedLock } from './keyed-lock.ts'
export { openShardStore } from './disk-shard-store.ts'
export type { ShardStoreOptions } from './disk-shard-store.ts'
export { memoryShardStore } from './memory-shard-store.ts'
export { LIST_ITEMS_MAX } from './shard-listing.ts'
export { SurplusCopies, type SurplusOptions } from './surplus-copies.ts'
export { DurableFolders } from './durable-folders.ts'
export { shardPath } from './shard-names.ts'
export type {
  ShardId,
  ShardItem,
  ShardPage,
  ShardPut,
  ShardReader,
  ShardStore,
  ShardWriter,
  VaultQuota,
} from './shard-store.ts'
