/** Storing: from a tree of files to a committed snapshot, and the index of what is where. */

export { VaultIndex } from './vault-index.ts'
export type {
  ChunkLocation,
  HolderRecord,
  PackInfo,
  PackRecord,
  StripeRecord,
} from './vault-index.ts'
export type { Appended, StoreLog, StoreNetwork, StorePool } from './ports.ts'
export type { StoreComponents, StoreEvent, StoreOptions, StoreRequest } from './store-run.ts'
export { StoreService } from './store-service.ts'
export type { StoreCall } from './store-service.ts'
export { learnPlacement } from './learn-placement.ts'
export { loadHasher } from './native-hasher.ts'
export { IndexRebuilder } from './rebuild-index.ts'
export type { RebuildComponents, RebuildResult } from './rebuild-index.ts'
export { remainingAt, type Remaining } from './leaving.ts'
export { WaitingStores, type WaitingStore } from './waiting-stores.ts'
