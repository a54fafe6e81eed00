/** Symlinks, fifos, sockets and devices: made under a temporary name and renamed, never opened. */

import { constants, readlinkSync, renameSync, symlinkSync } from 'node:fs'
import type { BigIntStats } from 'node:fs'

import { equalBytes, MoyaiError } from '@moyai/protocol'
import type { Entry } from '@moyai/protocol'

import { applyMetadata, entryType, pathBuffer, syscalls } from '../../files/index.ts'
import type { OwnerNames } from '../../files/index.ts'
import type { SafeDirectory, SafeTree } from './safe-tree.ts'
import { lstatOf, removeIfThere, temporaryName } from './target-file.ts'
import type { OverwriteMode } from './types.ts'

/**
 * Makes what `entry` names in `directory`; returns what of its metadata could not be kept, or
 * `skipped`. DISK when this machine or its rights do not allow such a file, TARGET_EXISTS when a
 * directory is in its place.
 */
export function makeOther(
  tree: SafeTree,
  directory: SafeDirectory,
  entry: Entry,
  overwrite: OverwriteMode,
  names: OwnerNames,
): string[] | 'skipped' {
  const path = tree.path(directory, entry.name)
  const stat = lstatOf(path)
  if (stat?.isDirectory() === true) {
    throw new MoyaiError('TARGET_EXISTS', 'a directory is in its place')
  }
  if (stat !== undefined && overwrite === 'never') return 'skipped'
  if (stat !== undefined && sameOther(path, stat, entry)) {
    applyMetadata({ path }, entry, names)
    return 'skipped'
  }
  const temporary = tree.path(directory, temporaryName(entry.name))
  removeIfThere(temporary)
  make(temporary, entry)
  const notKept = applyMetadata({ path: temporary }, entry, names)
  renameSync(temporary, path)
  return notKept
}

function sameOther(path: Buffer, stat: BigIntStats, entry: Entry): boolean {
  if (entryType(stat.mode) !== entry.type) return false
  if (entry.target !== undefined) {
    return equalBytes(readlinkSync(path, { encoding: 'buffer' }), entry.target)
  }
  return entry.rdev === undefined || entry.rdev === stat.rdev
}

function make(path: Buffer, entry: Entry): void {
  if (entry.type === 'symlink' && entry.target !== undefined) {
    symlinkSync(pathBuffer(entry.target), path)
    return
  }
  const { makeNode, makeFifo } = syscalls()
  if (entry.type === 'fifo' && makeFifo !== undefined) return makeFifo(path, 0o600)
  const bits = { socket: constants.S_IFSOCK, block: constants.S_IFBLK, char: constants.S_IFCHR }
  const type = entry.type
  if ((type === 'socket' || type === 'block' || type === 'char') && makeNode !== undefined) {
    return makeNode(path, bits[type] | 0o600, entry.rdev ?? 0n)
  }
  throw new MoyaiError('DISK', `this machine cannot make a ${type} file`)
}
