/**
 * The port to the disk that shards and the files of MOYAI_HOME lie on: the single operations
 * between which a machine can stop.
 *
 * Small on purpose. Each operation is one that a test can let fail, and after each the power can
 * go: SimulatedDisk keeps apart what was written and what would still be there. Series of them that
 * are wanted in several places are functions over a Disk (small-files.ts).
 *
 * Errors of all calls: NOT_FOUND, TARGET_EXISTS, NO_SPACE, DISK, with the system's error as
 * `cause`.
 */

/** An open file. Reads and writes say where: there is no position, and several may be under way. */
export interface DiskFile {
  /**
   * Fills `buffer` from `position`; the number of bytes, less than asked for only at the end of the
   * file.
   */
  read(buffer: Uint8Array, position: number): Promise<number>
  /**
   * Writes all of `bytes` at `position`. After an error, any part of them may have been written.
   */
  write(bytes: Uint8Array, position: number): Promise<void>
  /** The same for several pieces that follow each other from `position` on, in one operation. */
  writeParts(parts: readonly Uint8Array[], position: number): Promise<void>
  /**
   * Resolves when what was written is on the disk. After an error nothing is known, not even by
   * trying again.
   */
  sync(): Promise<void>
  /** Bytes. */
  size(): Promise<number>
  /** Permission bits. */
  mode(): Promise<number>
  close(): Promise<void>
}

export type DiskEntry = { name: string; kind: 'file' | 'directory' | 'other' }

/** To an existing regular file: `read`, or `follow` if links may lead to it. Or to a new one. */
export type DiskAccess = 'read' | 'follow' | 'create'

export interface Disk {
  /**
   * `create`: a new one with the permission bits `mode`, by default for its owner only;
   * TARGET_EXISTS otherwise.
   */
  open(path: string, access: DiskAccess, mode?: number): Promise<DiskFile>
  /** Puts `from` in the place of `to` in one step; both on one file system. */
  rename(from: string, to: string): Promise<void>
  /** Removes a file. */
  unlink(path: string): Promise<void>
  /** Makes one folder, whose parent is there; true when it was not there yet. */
  makeDirectory(path: string): Promise<boolean>
  /** Entries of a folder, sorted by name. */
  list(path: string): Promise<DiskEntry[]>
  /** Bytes of a regular file. */
  size(path: string): Promise<number>
  /** Bytes that this process may still write to the file system of `path`. */
  freeBytes(path: string): Promise<number>
  /**
   * Resolves when the names in a folder are on the disk: renames, new files and new folders in it.
   */
  syncDirectory(path: string): Promise<void>
}
