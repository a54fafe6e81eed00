/** Storing: from a tree of files to a committed snapshot, and the index of what is where. */

export { VaultIndex } from './vault-index.ts'
export type {
  ChunkLocation,
  HolderRecord,
  PackInfo,
  PackRecord,
  StripeRecord,
} from './vault-index.ts'
