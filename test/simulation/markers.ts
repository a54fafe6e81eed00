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
  // Shards are in no folder here; their markers are in the folders that a store has made for them.
  const makeParents = async (path: string): Promise<void> => {
    const parts = path.split('/').slice(1, -1)
    for (let i = 1; i <= parts.length; i++) {
      await inner.makeDirectory(`/${parts.slice(0, i).join('/')}`)
    }
  }
  const disk: Disk = {
    open: (...args) => inner.open(...args),
    rename: async (from, to) => {
      await makeParents(to)
      await inner.rename(from, to)
    },
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
