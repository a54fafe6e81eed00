/**
 * Whole small files, as functions over a Disk: the keys, settings and marks of MOYAI_HOME, few,
 * small and precious. Each is a series of the disk's single operations, so that a test can stop the
 * machine between any two of them.
 */

import { basename, dirname, join } from 'node:path'

import { isMoyaiError, MoyaiError } from '@moyai/protocol'

import type { Disk } from './disk.ts'
import { systemErrorCode } from './file-error.ts'

/** Readable by its owner only: keys and what leads to them. */
export const SECRET_MODE = 0o600
export const SECRET_DIRECTORY_MODE = 0o700

/**
 * The whole file, and its permission bits; through symbolic links, which a person may have made of
 * their settings. TOO_LARGE, before reading, when it is longer than `bytesMax`; NOT_FOUND, DISK.
 */
export async function readFile(
  disk: Disk,
  path: string,
  bytesMax: number,
): Promise<{ bytes: Uint8Array; mode: number }> {
  const file = await disk.open(path, 'follow')
  try {
    const size = await file.size()
    if (size > bytesMax) {
      throw new MoyaiError('TOO_LARGE', `${path} is ${size} bytes, at most ${bytesMax} make sense`)
    }
    const buffer = new Uint8Array(size)
    const length = await file.read(buffer, 0)
    return { bytes: buffer.subarray(0, length), mode: await file.mode() }
  } finally {
    await file.close()
  }
}

/**
 * Writes a file so that after a crash either the old or the new one is there, whole: temporary file
 * in the same folder, its bytes on the disk, renamed into place, the folder's names on the disk.
 * One writer per path. NOT_FOUND (the folder), NO_SPACE, DISK.
 */
export async function replaceFile(
  disk: Disk,
  o: { path: string; bytes: Uint8Array; mode: number },
): Promise<void> {
  const folder = dirname(o.path)
  const temporary = join(folder, `.${basename(o.path)}.new`)
  // What an interrupted run left behind; only the holder of the home's lock comes here.
  await removeFile(disk, temporary)
  const file = await disk.open(temporary, 'create', o.mode)
  try {
    await file.write(o.bytes, 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(temporary, o.path)
  await disk.syncDirectory(folder)
}

/** Removes a file; one that is not there is fine. DISK. */
export async function removeFile(disk: Disk, path: string): Promise<void> {
  try {
    await disk.unlink(path)
  } catch (error) {
    if (!isMoyaiError(error, 'NOT_FOUND')) throw error
  }
}

/**
 * Makes a folder and its missing parents, for their owner only, and puts their names on the disk;
 * folders that are there are left as they are. TARGET_EXISTS (a file is in the way), DISK.
 */
export async function makeFolders(disk: Disk, path: string): Promise<void> {
  const parent = dirname(path)
  let made: boolean
  try {
    made = await disk.makeDirectory(path)
  } catch (error) {
    if (!isMoyaiError(error, 'NOT_FOUND') || parent === path) throw error
    await makeFolders(disk, parent)
    made = await disk.makeDirectory(path)
  }
  try {
    // Also of a folder that was there: an earlier run may have been cut off before it was durable.
    await disk.syncDirectory(parent)
  } catch (error) {
    // A folder that somebody prepared for us, inside one that we may not read, is not ours to sync.
    const cause = error instanceof MoyaiError ? systemErrorCode(error.cause) : ''
    if (made || !['EACCES', 'EPERM'].includes(cause)) throw error
  }
}

/** Sorted names in a folder. NOT_FOUND when there is none, DISK. */
export async function namesIn(disk: Disk, path: string): Promise<string[]> {
  return (await disk.list(path)).map(({ name }) => name)
}
