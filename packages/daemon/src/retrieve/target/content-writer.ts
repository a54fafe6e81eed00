/**
 * Content writer: puts the bytes of opened blobs where they belong, in any thread.
 *
 * Small files in directories of this run are made at once, under their own names and with all their
 * metadata: nobody finds them before the directory has its name. Of other files it writes pieces,
 * at their offsets, into the temporary file that the target writer made; several threads may write
 * pieces of one file.
 */

import { closeSync, constants, fstatSync, openSync, unlinkSync, writeSync } from 'node:fs'

import { assert, defined, MoyaiError } from '@moyai/protocol'

import { applyPlain, syscalls } from '../../files/index.ts'
import { currentUmask } from './plain.ts'
import { identityOf, SafeTree } from './safe-tree.ts'
import type { SafeDirectory } from './safe-tree.ts'
import { readSmallFiles } from './small-files.ts'
import type { SmallFile } from './small-files.ts'
import { failureOf } from './target-file.ts'
import type { DirectoryNotice, Failure, FilePieces } from './types.ts'

const PERMISSION_BITS = 0o777
const WRITE_FLAGS = constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** What went wrong: `small` by position among the small files, `files` by number. */
export type ContentReport = {
  small: { at: number; failure: Failure }[]
  files: { file: number; failure: Failure }[]
  notKept: string[]
}

/** See the head of this file. The target folder is there. */
export class ContentWriter {
  readonly #tree: SafeTree
  readonly #directories = new Map<number, SafeDirectory>()
  readonly #uid = process.geteuid?.() ?? 0
  readonly #gid = process.getegid?.() ?? 0
  readonly #umask = currentUmask()

  constructor(target: string) {
    this.#tree = new SafeTree(target)
  }

  /**
   * Directories that are there now; before anything in them, the target first. TARGET_UNSAFE when
   * the target is not the one that was meant.
   */
  enter(notices: readonly DirectoryNotice[]): void {
    const { root } = this.#tree
    for (const { directory, parent, name, identity } of notices) {
      if (directory !== 0) {
        const above = this.#directory(parent)
        this.#directories.set(directory, this.#tree.known(above, name, identity))
        continue
      }
      if (identity !== root.identity) {
        throw new MoyaiError('TARGET_UNSAFE', 'somebody replaced the target folder')
      }
      this.#directories.set(0, root)
    }
  }

  /** Directories in which nothing will be written any more. */
  leave(directories: readonly number[]): void {
    for (const number of directories) {
      const directory = this.#directories.get(number)
      this.#directories.delete(number)
      if (directory !== undefined) this.#tree.forget(directory)
    }
  }

  /**
   * Writes what comes from the blob `raw`; adds to `report`. Throws when a part of a small file is
   * left that cannot be removed: its directory must not get its name.
   */
  write(
    raw: Uint8Array,
    small: Uint8Array,
    files: readonly FilePieces[],
    report: ContentReport,
  ): void {
    let at = 0
    for (const file of readSmallFiles(small)) {
      const failure = this.#make(raw, file, report.notKept)
      if (failure !== undefined) report.small.push({ at, failure })
      at += 1
    }
    for (const file of files) {
      try {
        this.#writePieces(raw, file)
      } catch (error) {
        report.files.push({ file: file.file, failure: failureOf(error) })
      }
    }
  }

  close(): void {
    this.#tree.close()
  }

  /** Makes the whole file, or none and tells why. */
  #make(raw: Uint8Array, file: SmallFile, notKept: string[]): Failure | undefined {
    const { createIn, closeFile } = syscalls()
    assert(createIn !== undefined && closeFile !== undefined, 'this system can make files')
    const mode = file.mode & PERMISSION_BITS
    let directory: SafeDirectory
    let fd: number
    try {
      directory = this.#directory(file.directory)
      fd = createIn(this.#tree.descriptor(directory), file.name, mode)
    } catch (error) {
      return failureOf(error)
    }
    let failure: Failure | undefined
    try {
      let offset = 0
      for (const piece of file.pieces) {
        writeAll(fd, raw, { at: piece.offset, offset, length: piece.length })
        offset += piece.length
      }
      const umask = this.#umask
      const has = { uid: this.#uid, gid: this.#gid, mode: umask === undefined ? -1 : mode & ~umask }
      for (const what of applyPlain(fd, file, has)) notKept.push(what)
    } catch (error) {
      failure = failureOf(error)
    }
    try {
      closeFile(fd)
    } catch (error) {
      failure ??= failureOf(error)
    }
    if (failure !== undefined) unlinkSync(this.#tree.path(directory, file.name))
    return failure
  }

  #writePieces(raw: Uint8Array, { directory, temporary, identity, pieces }: FilePieces): void {
    const fd = openSync(this.#tree.path(this.#directory(directory), temporary), WRITE_FLAGS)
    try {
      if (identityOf(fstatSync(fd, { bigint: true })) !== identity) {
        throw new MoyaiError('TARGET_UNSAFE', 'somebody replaced the file while it was written')
      }
      for (const piece of pieces) writeAll(fd, raw, piece)
    } finally {
      closeSync(fd)
    }
  }

  #directory(number: number): SafeDirectory {
    return defined(this.#directories.get(number), 'the directory')
  }
}

function writeAll(
  fd: number,
  bytes: Uint8Array,
  { at, offset, length }: { at: number; offset: number; length: number },
): void {
  for (let done = 0; done < length;) {
    done += writeSync(fd, bytes, at + done, length - done, offset + done)
  }
}
