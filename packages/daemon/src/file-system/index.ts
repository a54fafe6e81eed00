/** The disk that shards lie on: port, real, in memory, faulty. */

export type { Disk, DiskEntry, DiskFile } from './disk.ts'
export { FaultyDisk } from './faulty-disk.ts'
export type { DiskFault, DiskOperation } from './faulty-disk.ts'
export { SimulatedDisk } from './simulated-disk.ts'
export { nodeDisk } from './node-disk.ts'
