/**
 * Capture: what is kept of a file besides its content.
 *
 * Everything that Linux shows through lstat, readlink and the attribute calls: mode, owner by
 * number and name, the three times and birth time in ns, identity (device, inode, links) by which
 * hard links are found again, symlink target as raw bytes, device number, extended attributes
 * (POSIX ACLs, capabilities and SELinux labels are such) and holes. What could not be read is not
 * left out in silence: it goes to `onProblem`.
 */

import { closeSync, constants, openSync, readlinkSync } from 'node:fs'
import type { BigIntStats } from 'node:fs'

import { toMoyaiError } from '@moyai/protocol'
import type { Entry, EntryType, Hole, MoyaiError, Xattr } from '@moyai/protocol'

import { findHoles, mayHaveHoles } from './holes.ts'
import { OwnerNames } from './owner-names.ts'
import { syscalls } from './syscalls.ts'

export type CaptureOptions = {
  /**
   * Look for holes by opening the file; a caller that opens it anyway passes false and uses
   * `findHoles`.
   */
  holes?: boolean
  names?: OwnerNames
  /** Told of each thing that could not be captured; the entry is still good. */
  onProblem?: (what: 'xattrs' | 'holes', error: MoyaiError) => void
}

const sharedNames = new OwnerNames()

const TYPES = new Map<number, EntryType>([
  [constants.S_IFREG, 'file'],
  [constants.S_IFDIR, 'directory'],
  [constants.S_IFLNK, 'symlink'],
  [constants.S_IFIFO, 'fifo'],
  [constants.S_IFSOCK, 'socket'],
  [constants.S_IFBLK, 'block'],
  [constants.S_IFCHR, 'char'],
])

/** Entry type of a stat mode; undefined for what no POSIX system has. */
export function entryType(mode: bigint | number): EntryType | undefined {
  return TYPES.get(Number(mode) & constants.S_IFMT)
}

/** The path as a Buffer over the same bytes: what `node:fs` takes. */
export function pathBuffer(path: Uint8Array): Buffer {
  return Buffer.from(path.buffer, path.byteOffset, path.byteLength)
}

/**
 * The entry of `path` (raw bytes), whose lstat is `stat`, under the name `name`; without content
 * (`chunks`, `list`). Synchronous, for worker threads. Throws `SOURCE_UNREADABLE` or `DISK` only
 * where the entry would be wrong: a symlink that cannot be read, or an unknown type.
 */
export function captureEntry(
  path: Uint8Array,
  stat: BigIntStats,
  name: Uint8Array,
  options: CaptureOptions = {},
): Entry {
  const names = options.names ?? sharedNames
  const type = entryType(stat.mode)
  if (type === undefined) {
    throw toMoyaiError(new Error(`unknown file type, mode ${stat.mode}`), 'SOURCE_UNREADABLE')
  }
  const uid = Number(stat.uid)
  const gid = Number(stat.gid)
  const user = names.user(uid)
  const group = names.group(gid)
  const entry: Entry = {
    name,
    type,
    mode: Number(stat.mode) & 0o7777,
    uid,
    gid,
    mtime: stat.mtimeNs,
    ctime: stat.ctimeNs,
    atime: stat.atimeNs,
    btime: stat.birthtimeNs,
    size: type === 'file' ? stat.size : 0n,
    inode: stat.ino,
    device: stat.dev,
    links: Number(stat.nlink),
  }
  if (user !== undefined) entry.user = user
  if (group !== undefined) entry.group = group
  if (type === 'symlink') entry.target = readTarget(path)
  if (type === 'block' || type === 'char') entry.rdev = stat.rdev
  const xattrs = captureXattrs(path, options)
  if (xattrs.length > 0) entry.xattrs = xattrs
  if (type === 'file' && options.holes !== false && mayHaveHoles(stat)) {
    const holes = captureHoles(path, options)
    if (holes.length > 0) entry.holes = holes
  }
  return entry
}

function readTarget(path: Uint8Array): Uint8Array {
  try {
    return readlinkSync(pathBuffer(path), { encoding: 'buffer' })
  } catch (error) {
    throw toMoyaiError(error, 'SOURCE_UNREADABLE')
  }
}

/** All extended attributes, in the order of their raw names (the kernel's order is not stable). */
function captureXattrs(path: Uint8Array, options: CaptureOptions): Xattr[] {
  const { listXattrs, getXattr } = syscalls()
  if (listXattrs === undefined || getXattr === undefined) return []
  const xattrs: Xattr[] = []
  try {
    for (const name of listXattrs(path)) {
      const value = getXattr(path, name)
      if (value !== undefined) xattrs.push({ name, value })
    }
  } catch (error) {
    options.onProblem?.('xattrs', toMoyaiError(error, 'DISK'))
  }
  return xattrs.sort((a, b) => Buffer.compare(a.name, b.name))
}

function captureHoles(path: Uint8Array, options: CaptureOptions): Hole[] {
  let fd: number | undefined
  try {
    fd = openSync(
      pathBuffer(path),
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    )
    return findHoles(fd)
  } catch (error) {
    options.onProblem?.('holes', toMoyaiError(error, 'DISK'))
    return []
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}
