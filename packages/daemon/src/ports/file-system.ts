/**
 * The port to the files of MOYAI_HOME: few, small and precious. (Shards, sources and restored files
 * have ports of their own.) The primitives are those a crash can fall between, so that a test can
 * break each of them.
 */

import { constants } from 'node:fs'
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { MoyaiError } from '@moyai/protocol'

/** Readable by its owner only: keys and what leads to them. */
export const SECRET_MODE = 0o600
export const SECRET_DIRECTORY_MODE = 0o700

/**
 * Errors of all calls: NOT_FOUND, TARGET_EXISTS, NO_SPACE, DISK (with the system's error as
 * `cause`).
 */
export interface FileSystem {
  /**
   * The whole file; TOO_LARGE, before reading, when it is longer than `bytesMax`. Also the
   * permission bits.
   */
  readFile(path: string, bytesMax: number): Promise<{ bytes: Uint8Array; mode: number }>
  /**
   * Makes a new file, writes it and waits until its bytes are on the disk. TARGET_EXISTS when it is
   * there.
   */
  createFile(path: string, bytes: Uint8Array, mode: number): Promise<void>
  /** Puts `from` in the place of `to`, which is replaced if it is there. */
  rename(from: string, to: string): Promise<void>
  /** Waits until the names in a folder are on the disk. */
  syncDirectory(path: string): Promise<void>
  /** Makes a folder and its parents; those that are there are left as they are. */
  makeDirectory(path: string, mode: number): Promise<void>
  /** Removes a file; one that is not there is fine. */
  removeFile(path: string): Promise<void>
  /** Sorted names in a folder; NOT_FOUND when there is none. */
  list(path: string): Promise<string[]>
}

/** The `code` of a system error (`ENOENT` …), or an empty text. */
export function systemErrorCode(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return ''
  return typeof error.code === 'string' ? error.code : ''
}

/** A system error as ours, naming the file. */
export function fileError(error: unknown, doing: string, path: string): MoyaiError {
  if (error instanceof MoyaiError) return error
  const code = systemErrorCode(error)
  const cause = { cause: error }
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new MoyaiError('NOT_FOUND', `${path} is not there`, cause)
    case 'EEXIST':
      return new MoyaiError('TARGET_EXISTS', `${path} is already there`, cause)
    case 'ENOSPC':
    case 'EDQUOT':
      return new MoyaiError('NO_SPACE', `the disk is full (${doing} ${path})`, cause)
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new MoyaiError('DISK', `no permission for ${doing} ${path}`, {
        ...cause,
        hint: 'check who owns the folder and that the disk is not mounted read-only',
      })
    default: {
      const text = error instanceof Error ? error.message : String(error)
      return new MoyaiError('DISK', `${doing} ${path} failed: ${text}`, cause)
    }
  }
}

async function guarded<T>(doing: string, path: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    throw fileError(error, doing, path)
  }
}

/** The machine's file system. */
export const nodeFileSystem: FileSystem = {
  readFile: (path, bytesMax) =>
    guarded('reading', path, async () => {
      await using file = await open(path, 'r')
      const stat = await file.stat()
      if (!stat.isFile()) throw new MoyaiError('DISK', `${path} is not a file`)
      if (stat.size > bytesMax) {
        throw new MoyaiError(
          'TOO_LARGE',
          `${path} is ${stat.size} bytes, at most ${bytesMax} make sense`,
        )
      }
      const buffer = new Uint8Array(stat.size)
      let length = 0
      while (length < buffer.length) {
        const { bytesRead } = await file.read(buffer, length, buffer.length - length, length)
        if (bytesRead === 0) break
        length += bytesRead
      }
      return { bytes: buffer.subarray(0, length), mode: stat.mode & 0o777 }
    }),

  createFile: (path, bytes, mode) =>
    guarded('writing', path, async () => {
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL
      await using file = await open(path, flags, mode)
      let offset = 0
      while (offset < bytes.length) {
        const { bytesWritten } = await file.write(bytes, offset, bytes.length - offset, offset)
        offset += bytesWritten
      }
      await file.sync()
    }),

  rename: (from, to) => guarded('renaming', from, () => rename(from, to)),

  syncDirectory: (path) =>
    guarded('syncing', path, async () => {
      // Windows has no fsync of a folder; NTFS journals names by itself.
      if (process.platform === 'win32') return
      await using folder = await open(path, 'r')
      await folder.sync()
    }),

  makeDirectory: (path, mode) =>
    guarded('making', path, async () => {
      await mkdir(path, { recursive: true, mode })
    }),

  removeFile: (path) => guarded('removing', path, () => rm(path, { force: true })),

  list: (path) => guarded('listing', path, async () => (await readdir(path)).sort()),
}

/**
 * Writes a file so that after a crash either the old or the new one is there, whole: temporary file
 * in the same folder, its bytes on the disk, renamed into place, the folder's names on the disk.
 * One writer per path.
 */
export async function replaceFile(
  files: FileSystem,
  o: { path: string; bytes: Uint8Array; mode: number },
): Promise<void> {
  const folder = dirname(o.path)
  const temporary = join(folder, `.${basename(o.path)}.new`)
  // What an interrupted run left behind; only the holder of the home's lock comes here.
  await files.removeFile(temporary)
  await files.createFile(temporary, o.bytes, o.mode)
  await files.rename(temporary, o.path)
  await files.syncDirectory(folder)
}
