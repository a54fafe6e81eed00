/**
 * Which files of a snapshot are one file under several names (hard links), and where the first of
 * them is now.
 */

import type { Entry } from '@moyai/protocol'

import type { SafeDirectory } from './safe-tree.ts'
import type { Failure } from './types.ts'

/** Where a restored file is, and which one it is. */
export type Placed = { directory: SafeDirectory; name: Uint8Array; identity: string }

/**
 * Linked files known at once: about 40 MB. What comes beyond is restored as separate files, which
 * have the same bytes; so are links whose first name is outside what is being restored.
 */
const LINKED_MAX = 262_144

type Group = { left: number; state: Placed | Failure | undefined }

function keyOf(entry: Entry): string | undefined {
  const { links, device, inode } = entry
  if (links === undefined || links < 2 || device === undefined || inode === undefined) {
    return undefined
  }
  return `${device}:${inode}`
}

/** See the head of this file. */
export class LinkTable {
  readonly #groups = new Map<string, Group>()

  /**
   * `first` for a file that must be written, `later` for a further name of one that `first` will
   * give.
   */
  begin(entry: Entry): 'first' | 'later' {
    const key = keyOf(entry)
    if (key === undefined) return 'first'
    const known = this.#groups.get(key)
    if (known !== undefined) return 'later'
    if (this.#groups.size < LINKED_MAX) {
      this.#groups.set(key, { left: entry.links as number, state: undefined })
    }
    return 'first'
  }

  done(entry: Entry, placed: Placed): void {
    const group = this.#group(entry)
    if (group !== undefined) group.state ??= placed
  }

  failed(entry: Entry, failure: Failure): void {
    const group = this.#group(entry)
    if (group !== undefined) group.state ??= failure
  }

  /**
   * Where the first name is, or why it could not be restored. Counts the names, to forget those
   * complete.
   */
  first(entry: Entry): Placed | Failure {
    const key = keyOf(entry)
    const group = this.#group(entry)
    if (key === undefined || group?.state === undefined) {
      return { code: 'INTERNAL', message: 'a hard link without its first name' }
    }
    group.left -= 1
    if (group.left <= 1) this.#groups.delete(key)
    return group.state
  }

  #group(entry: Entry): Group | undefined {
    const key = keyOf(entry)
    return key === undefined ? undefined : this.#groups.get(key)
  }
}
