/** The machine's disk. */

import { constants } from 'node:fs'
import { mkdir, open, readdir, rename, stat, statfs, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { MoyaiError } from '@moyai/protocol'
import type { Disk, DiskEntry, DiskFile } from './disk.ts'
import { fileError, systemErrorCode } from './file-error.ts'
import { SECRET_DIRECTORY_MODE, SECRET_MODE } from './small-files.ts'

async function guarded<T>(doing: string, path: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    throw fileError(error, doing, path)
  }
}

class NodeFile implements DiskFile {
  readonly #handle: FileHandle
  readonly #path: string

  constructor(handle: FileHandle, path: string) {
    this.#handle = handle
    this.#path = path
  }

  read(buffer: Uint8Array, position: number): Promise<number> {
    return guarded('reading', this.#path, async () => {
      let length = 0
      while (length < buffer.length) {
        const rest = buffer.length - length
        const { bytesRead } = await this.#handle.read(buffer, length, rest, position + length)
        if (bytesRead === 0) break
        length += bytesRead
      }
      return length
    })
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    return guarded('writing', this.#path, async () => {
      let length = 0
      while (length < bytes.length) {
        const rest = bytes.length - length
        const { bytesWritten } = await this.#handle.write(bytes, length, rest, position + length)
        length += bytesWritten
      }
    })
  }

  writeParts(parts: readonly Uint8Array[], position: number): Promise<void> {
    return guarded('writing', this.#path, async () => {
      let rest = parts
      let at = position
      while (rest.length > 0) {
        const { bytesWritten } = await this.#handle.writev(rest, at)
        at += bytesWritten
        rest = withoutFirst(rest, bytesWritten)
      }
    })
  }

  sync(): Promise<void> {
    return guarded('syncing', this.#path, () => this.#handle.sync())
  }

  size(): Promise<number> {
    return guarded('reading', this.#path, async () => (await this.#handle.stat()).size)
  }

  mode(): Promise<number> {
    return guarded('reading', this.#path, async () => (await this.#handle.stat()).mode & 0o777)
  }

  close(): Promise<void> {
    return guarded('closing', this.#path, () => this.#handle.close())
  }
}

/** What follows the first `bytes` of `parts`. */
function withoutFirst(parts: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let left = bytes
  for (const [i, part] of parts.entries()) {
    if (left < part.length) return [part.subarray(left), ...parts.slice(i + 1)]
    left -= part.length
  }
  return []
}

// Not there on Windows, where links in such places need an administrator.
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0
const NON_BLOCKING = constants.O_NONBLOCK ?? 0
const FLAGS = {
  // A pipe of that name must not hang us.
  read: constants.O_RDONLY | NO_FOLLOW | NON_BLOCKING,
  follow: constants.O_RDONLY | NON_BLOCKING,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | NO_FOLLOW,
}

/** The disk through node:fs. Folders are made 0700, and files 0600 unless told otherwise. */
export const nodeDisk: Disk = {
  open: (path, access, mode = SECRET_MODE) =>
    guarded('opening', path, async () => {
      const handle = await open(path, FLAGS[access], mode)
      // What did not exist before is a file.
      if (access === 'create') return new NodeFile(handle, path)
      try {
        if (!(await handle.stat()).isFile()) throw new MoyaiError('DISK', `${path} is not a file`)
        return new NodeFile(handle, path)
      } catch (error) {
        await handle.close()
        throw error
      }
    }),

  rename: (from, to) => guarded('renaming', from, () => rename(from, to)),

  unlink: (path) => guarded('removing', path, () => unlink(path)),

  makeDirectory: (path) =>
    guarded('making', path, async () => {
      try {
        await mkdir(path, { mode: SECRET_DIRECTORY_MODE })
        return true
      } catch (error) {
        if (systemErrorCode(error) !== 'EEXIST') throw error
        if (!(await stat(path)).isDirectory()) throw error
        return false
      }
    }),

  list: (path) =>
    guarded('listing', path, async () => {
      const entries = await readdir(path, { withFileTypes: true })
      return entries
        .map((entry): DiskEntry => {
          const kind = entry.isFile() ? 'file' : entry.isDirectory() ? 'directory' : 'other'
          return { name: entry.name, kind }
        })
        .sort((a, b) => (a.name < b.name ? -1 : 1))
    }),

  size: (path) =>
    guarded('reading', path, async () => {
      const found = await stat(path)
      if (!found.isFile()) throw new MoyaiError('DISK', `${path} is not a file`)
      return found.size
    }),

  freeBytes: (path) =>
    guarded('reading', path, async () => {
      const { bavail, bsize } = await statfs(path)
      return bavail * bsize
    }),

  syncDirectory: (path) =>
    guarded('syncing', path, async () => {
      // Windows has no fsync of a folder; NTFS journals names by itself.
      if (process.platform === 'win32') return
      const handle = await open(path, constants.O_RDONLY)
      try {
        await handle.sync()
      } finally {
        await handle.close()
      }
    }),
}
