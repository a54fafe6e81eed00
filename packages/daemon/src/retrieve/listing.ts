/** A tree as lines of a listing: what `ls` shows, in restic's names. */

import type { Entry, EntryType, LsEntryEvent } from '@moyai/protocol'

import { shownName } from './snapshots.ts'

const TYPE_LETTERS: Record<EntryType, string> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  fifo: 'p',
  socket: 's',
  block: 'b',
  char: 'c',
}

/** Type and permission bits as `ls -l` shows them, with s, S, t and T. */
export function permissionText(entry: Pick<Entry, 'type' | 'mode'>): string {
  const { type, mode } = entry
  const bits = 'rwxrwxrwx'.split('').map((letter, i) => (mode & (0o400 >> i) ? letter : '-'))
  const special = (at: number, bit: number, letter: string): void => {
    if ((mode & bit) === 0) return
    bits[at] = bits[at] === 'x' ? letter : letter.toUpperCase()
  }
  special(2, 0o4000, 's')
  special(5, 0o2000, 's')
  special(8, 0o1000, 't')
  return TYPE_LETTERS[type] + bits.join('')
}

/** One line of `ls`; `path` is absolute within the snapshot. */
export function listed(path: string, entry: Entry): LsEntryEvent {
  const { type, mode, uid, gid, user, group, target } = entry
  return {
    message_type: 'node',
    name: shownName(entry.name),
    path,
    type,
    mode,
    permissions: permissionText(entry),
    uid,
    gid,
    ...(user === undefined ? {} : { user }),
    ...(group === undefined ? {} : { group }),
    size: Number(entry.size),
    mtime: timeText(entry.mtime),
    ...(target === undefined ? {} : { target: shownName(target) }),
  }
}

/** ISO 8601 with nanoseconds; a year that Date does not have is shown in seconds since 1970. */
function timeText(ns: bigint): string {
  const rest = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n
  const seconds = (ns - rest) / 1_000_000_000n
  const date = new Date(Number(seconds) * 1000)
  const fraction = rest.toString().padStart(9, '0')
  if (Number.isNaN(date.getTime())) return `${seconds}.${fraction}`
  return `${date.toISOString().slice(0, -5)}.${fraction}Z`
}
