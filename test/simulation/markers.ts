/**
 * The daemon's own rule by which surplus copies leave a store, over shards that are in memory:
 * markers are files of a disk of their own, shards are files of that disk as far as the rule sees.
 */

import {
  DurableFolders,
  KeyedLock,
  SimulatedDisk,
  SurplusCopies,
  type Disk,
  type ShardId,
  type ShardReader,
  type SurplusOptions,
} from '@moyai/daemon'

const ROOT = '/store'

export type MarkedShards = {
  surplus: SurplusOptions
  locks: KeyedLock
  open(id: ShardId): Promise<ShardReader>
  /** Bytes of the shard of that path; undefined when there is none. */
  sizeOf(path: string): number | undefined
  /** The rule lets it go. */
  remove(path: string): void
}

/** A new set of markers: as long-lived as the disk. */
export async function openMarkers(shards: MarkedShards): Promise<SurplusCopies> {
  const inner = new SimulatedDisk()
  await inner.makeDirectory(ROOT)
  const shardOf = (path: string): string => path.slice(ROOT.length + 1)
  const disk: Disk = {
    open: (...args) => inner.open(...args),
    rename: (from, to) => inner.rename(from, to),
    makeDirectory: (path) => inner.makeDirectory(path),
    list: (path) => inner.list(path),
    freeBytes: () => inner.freeBytes(),
    syncDirectory: (path) => inner.syncDirectory(path),
    size: async (path) => shards.sizeOf(shardOf(path)) ?? inner.size(path),
    unlink: async (path) => {
      if (shards.sizeOf(shardOf(path)) === undefined) await inner.unlink(path)
      else shards.remove(shardOf(path))
    },
  }
  return new SurplusCopies({
    disk,
    root: ROOT,
    surplus: shards.surplus,
    folders: new DurableFolders(disk),
    locks: shards.locks,
    temporary: 'incoming',
    sweep: async () => {},
    open: (id) => shards.open(id),
    removed: () => {},
  })
}
