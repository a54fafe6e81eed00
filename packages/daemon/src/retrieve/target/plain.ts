/** Directories in which a new file has nothing of its surroundings but its place. */

import { fstatSync, readFileSync } from 'node:fs'

import { syscalls } from '../../files/index.ts'
import type { SafeDirectory, SafeTree } from './safe-tree.ts'

/** Gives every new file and folder an ACL. */
const DEFAULT_ACL = 'system.posix_acl_default'
const SETGID_BIT = 0o2000

/**
 * True when files can be made in `directory` under their own names, and their owner, group and mode
 * are then known without a look: nobody finds them yet, and the directory gives them nothing. It is
 * on the file system `device`, which is synced as a whole.
 */
export function isPlain(tree: SafeTree, directory: SafeDirectory, device: number): boolean {
  const { listXattrs, createIn, closeFile } = syscalls()
  if (createIn === undefined || closeFile === undefined || listXattrs === undefined) return false
  if (!directory.hidden || !directory.made) return false
  const { dev, uid, gid, mode } = fstatSync(tree.descriptor(directory))
  const names = listXattrs(tree.path(directory)).map((name) => Buffer.from(name).toString())
  return (
    dev === device &&
    uid === process.geteuid?.() &&
    gid === process.getegid?.() &&
    (mode & SETGID_BIT) === 0 &&
    !names.includes(DEFAULT_ACL)
  )
}

/**
 * Bits that this process's new files lack; undefined where the system does not tell. (Node's own
 * call changes it for a moment, for all threads.)
 */
export function currentUmask(): number | undefined {
  try {
    const found = /^Umask:\s+([0-7]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))
    return found?.[1] === undefined ? undefined : Number.parseInt(found[1], 8)
  } catch {
    return undefined // no such file system
  }
}
