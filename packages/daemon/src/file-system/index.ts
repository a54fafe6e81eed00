/** The disk that shards and the home lie on: port, real, in memory, faulty; small files on it. */

export type { Disk, DiskAccess, DiskEntry, DiskFile } from './disk.ts'
export { fileError, systemErrorCode } from './file-error.ts'
export { failingAt, FaultyDisk } from './faulty-disk.ts'
export type { DiskFault, DiskOperation } from './faulty-disk.ts'
export { SimulatedDisk, survivors } from './simulated-disk.ts'
export { nodeDisk } from './node-disk.ts'
export {
  makeFolders,
  namesIn,
  readFile,
  removeFile,
  replaceFile,
  SECRET_DIRECTORY_MODE,
  SECRET_MODE,
} from './small-files.ts'
