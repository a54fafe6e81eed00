/**
 * Apply: give a file made by us the metadata that was captured.
 *
 * The order matters: a change of owner clears setuid bits and capabilities, so owner, then mode,
 * then attributes (POSIX ACLs are such, and change the mode's group bits to what they were), and
 * the times last, because each of the former touches the file. Nothing here follows a symlink at
 * the last component.
 */

import {
  chmodSync,
  closeSync,
  existsSync,
  fchmodSync,
  fchownSync,
  lchownSync,
  lstatSync,
  lutimesSync,
  openSync,
} from 'node:fs'
import { constants } from 'node:fs'

import { printable } from '@moyai/protocol'
import type { Entry } from '@moyai/protocol'

import { pathBuffer } from './capture.ts'
import { OwnerNames } from './owner-names.ts'
import { syscalls } from './syscalls.ts'

const SETID_BITS = 0o6000
/** Linux O_PATH: names a file without opening it, so that a device or fifo feels nothing. */
const O_PATH = 0x200000

/**
 * What is to be changed: `fd` is open on the very file that `path` names, or absent for what cannot
 * be opened.
 */
export type MetadataTarget = { path: Uint8Array; fd?: number }

const sharedNames = new OwnerNames()

/**
 * Applies owner, mode, extended attributes and times of `entry`. Never throws for what the system
 * refuses: returns what could not be kept, as short texts ("owner", "mode", "attribute
 * user.comment", "times"). Without the owner, setuid and setgid bits are left off: they would lend
 * the restoring person's rights.
 */
export function applyMetadata(
  target: MetadataTarget,
  entry: Entry,
  names: OwnerNames = sharedNames,
): string[] {
  const lost: string[] = []
  const owned = applyOwner(target, entry, names)
  if (!owned) lost.push('owner')
  if (entry.type !== 'symlink') {
    const mode = owned ? entry.mode : entry.mode & ~SETID_BITS
    if (mode !== entry.mode) lost.push('setuid and setgid bits')
    if (!attempt(() => applyMode(target, mode))) lost.push('mode')
  }
  applyXattrs(target.path, entry, lost)
  applyTimes(target.path, entry, lost)
  return lost
}

/** Owner, mode and times in numbers of this machine. */
export type PlainMetadata = {
  uid: number
  gid: number
  mode: number
  /** In ns since 1970. */
  atime: bigint
  mtime: bigint
}

/**
 * Like `applyMetadata`, for an open file without extended attributes; `has` is what it is known to
 * have already, and is not set again.
 */
export function applyPlain(
  fd: number,
  { uid, gid, mode, atime, mtime }: PlainMetadata,
  has: { uid: number; gid: number; mode: number },
): string[] {
  const lost: string[] = []
  const isOwned = (uid === has.uid && gid === has.gid) || attempt(() => fchownSync(fd, uid, gid))
  if (!isOwned) lost.push('owner')
  const allowed = isOwned ? mode : mode & ~SETID_BITS
  if (allowed !== mode) lost.push('setuid and setgid bits')
  if (allowed !== has.mode && !attempt(() => fchmodSync(fd, allowed))) lost.push('mode')
  const { setTimesOf } = syscalls()
  if (setTimesOf === undefined || !attempt(() => setTimesOf(fd, atime, mtime))) lost.push('times')
  return lost
}

function attempt(action: () => void): boolean {
  try {
    action()
    return true
  } catch {
    return false
  }
}

function applyMode(target: MetadataTarget, mode: number): void {
  if (target.fd !== undefined) {
    fchmodSync(target.fd, mode)
    return
  }
  const path = pathBuffer(target.path)
  if (process.platform === 'linux' && existsSync('/proc/self/fd')) {
    const fd = openSync(path, O_PATH | constants.O_NOFOLLOW)
    try {
      chmodSync(`/proc/self/fd/${fd}`, mode)
    } finally {
      closeSync(fd)
    }
  } else if (!lstatSync(path).isSymbolicLink()) {
    chmodSync(path, mode)
  }
}

function applyOwner(target: MetadataTarget, entry: Entry, names: OwnerNames): boolean {
  const uid = names.uidFor(entry.user, entry.uid)
  const gid = names.gidFor(entry.group, entry.gid)
  return attempt(() => {
    if (target.fd === undefined) lchownSync(pathBuffer(target.path), uid, gid)
    else fchownSync(target.fd, uid, gid)
  })
}

function applyXattrs(path: Uint8Array, entry: Entry, lost: string[]): void {
  const { setXattr } = syscalls()
  for (const { name, value } of entry.xattrs ?? []) {
    const done = setXattr !== undefined && attempt(() => setXattr(path, name, value))
    if (!done) lost.push(`attribute ${printable(name)}`)
  }
}

function applyTimes(path: Uint8Array, entry: Entry, lost: string[]): void {
  const { setTimes } = syscalls()
  const atime = entry.atime ?? entry.mtime
  if (setTimes !== undefined) {
    if (!attempt(() => setTimes(path, atime, entry.mtime))) lost.push('times')
    return
  }
  if (entry.mtime < 0n || atime < 0n) {
    lost.push('times before 1970') // Node would set the present instead
    return
  }
  const set = attempt(() =>
    lutimesSync(pathBuffer(path), Number(atime) / 1e9, Number(entry.mtime) / 1e9),
  )
  lost.push(set ? 'times to the nanosecond' : 'times')
}
