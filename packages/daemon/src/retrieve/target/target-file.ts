/**
 * One file of the target in the making: a temporary file in the same directory, renamed when it is
 * whole.
 *
 * The temporary name follows from the file's name, so that a run after an interruption finds what
 * the former wrote; every part of it is checked against its chunk id before it is trusted.
 */

import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, unlinkSync } from 'node:fs'
import type { BigIntStats } from 'node:fs'

import { concatBytes, equalBytes, MoyaiError, toMoyaiError } from '@moyai/protocol'
import type { Entry } from '@moyai/protocol'

import type { FormerEntries } from './former-entries.ts'
import { identityOf } from './safe-tree.ts'
import type { SafeDirectory, SafeTree } from './safe-tree.ts'
import type { Failure, Part } from './types.ts'

/** A file that is being restored. */
export type TargetFile = {
  readonly directory: SafeDirectory
  readonly entry: Entry
  /** Take over the temporary file of an interrupted run instead of starting a new one. */
  partial: boolean
  /** Which file the temporary name meant when this run opened it. */
  identity: string | undefined
  readonly temporary: Buffer
  /** Of the directory: what the file replaces or is. */
  readonly former: FormerEntries | undefined
}

/** Hidden, and of a fixed length: the file's own name may fill its 255 bytes. */
export function temporaryName(name: Uint8Array): Buffer {
  const tag = createHash('sha256').update(name).digest('hex').slice(0, 24)
  return Buffer.from(`.moyai-${tag}.part`)
}

export function lstatOf(path: Buffer): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false })
}

/**
 * What a failed call means to the person: no space stops the run, anything else concerns one file.
 */
export function failureOf(error: unknown): Failure {
  // a native call tells the system's code as the cause
  const codes = [error, (error as Error).cause].map((one) => (one as { code?: string })?.code)
  if (codes.includes('ENOSPC') || codes.includes('EDQUOT')) {
    return { code: 'NO_SPACE', message: 'no space left in the target' }
  }
  const known = toMoyaiError(error, 'DISK')
  return { code: known.code, message: known.message }
}

/** True when a regular file that only we can have made is at the temporary name. */
export function hasPartial(tree: SafeTree, file: TargetFile): boolean {
  const stat = lstatOf(tree.path(file.directory, file.temporary))
  const own = process.getuid?.() ?? -1
  return stat !== undefined && stat.isFile() && stat.nlink === 1n && Number(stat.uid) === own
}

/**
 * Opens the temporary file for reading and writing; the caller closes it. The first time it is made
 * anew (O_EXCL) unless `partial`; later it must still be the same file.
 */
export function openTemporary(tree: SafeTree, file: TargetFile): number {
  const path = tree.path(file.directory, file.temporary)
  const flags = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK
  if (file.identity === undefined && !file.partial) {
    const fd = openNew(path, flags)
    file.identity = identityOf(fstatSync(fd, { bigint: true }))
    return fd
  }
  const fd = openSync(path, flags)
  const stat = fstatSync(fd, { bigint: true })
  const identity = identityOf(stat)
  if (!stat.isFile() || (file.identity !== undefined && file.identity !== identity)) {
    closeSync(fd)
    throw new MoyaiError('TARGET_UNSAFE', 'somebody replaced the file while it was written')
  }
  file.identity = identity
  return fd
}

export function removeIfThere(path: Buffer): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

function openNew(path: Buffer, flags: number): number {
  const create = flags | constants.O_CREAT | constants.O_EXCL
  try {
    return openSync(path, create, 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    unlinkSync(path) // left by an interrupted run, or planted: either way not to be followed
    return openSync(path, create, 0o600)
  }
}

/** True when the open file has the bytes of `part` where they belong. */
export function partMatches(
  fd: number,
  part: Part,
  keyedHash: (bytes: Uint8Array) => Uint8Array,
): boolean {
  const pieces: Uint8Array[] = []
  for (const { offset, length } of part.extents) {
    const bytes = new Uint8Array(length)
    for (let done = 0; done < length;) {
      const count = readSync(fd, bytes, done, length - done, offset + done)
      if (count === 0) return false
      done += count
    }
    pieces.push(bytes)
  }
  const whole = pieces.length === 1 ? (pieces[0] as Uint8Array) : concatBytes(...pieces)
  return equalBytes(keyedHash(whole), part.id)
}
