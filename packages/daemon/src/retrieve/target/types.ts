/** What goes between the planner on the main thread and the writer of the target. */

import { copyBytes } from '@moyai/protocol'
import type { Entry, ErrorCode, Hole } from '@moyai/protocol'

export type OverwriteMode = 'always' | 'if-changed' | 'never'

/** Bytes of one file that come from one chunk. */
export type Part = {
  /** Id of the chunk: keyed hash of these bytes together. */
  id: Uint8Array
  /** Where the chunk's bytes go, in order: more than one range where a hole divides it. */
  extents: readonly Hole[]
}

/**
 * A thing of the tree, in tree order. Numbers name directories (0 is the target itself) and files
 * of this run.
 */
export type PrepareItem =
  | { op: 'enter'; directory: number; parent: number; name: Uint8Array; lazy: boolean }
  | { op: 'file'; file: number; directory: number; entry: Entry }

/**
 * What is to be done for a file: `write` all of it · `resume`: some of it may be there from an
 * interrupted run · `compare`: a file of that size and time is there, its content decides · `skip`
 * · `link` to one already there.
 */
export type FileAction = 'write' | 'resume' | 'compare' | 'skip' | 'link'

export type Failure = { code: ErrorCode; message: string }

export type PrepareResult = { action: FileAction } | { failure: Failure }

export type FinishItem =
  | { op: 'file'; file: number }
  /** The file that is there is complete: only its metadata is applied. */
  | { op: 'keep'; file: number }
  | { op: 'link'; file: number }
  | { op: 'abandon'; file: number; failure: Failure }
  | { op: 'other'; directory: number; entry: Entry }
  | { op: 'leave'; directory: number; entry: Entry | undefined }

export type FinishResult = { failure?: Failure; skipped?: true; notKept?: string[] }

/** One piece of a buffer that is to be written. */
export type Piece = { file: number; at: number; offset: number; length: number }

/**
 * A copy of `entry` whose byte fields pin no page: what is kept beyond the page, or posted to
 * another thread.
 */
export function detachEntry(entry: Entry): Entry {
  const copy: Entry = { ...entry, name: copyBytes(entry.name) }
  if (entry.target !== undefined) copy.target = copyBytes(entry.target)
  if (entry.xattrs !== undefined) {
    copy.xattrs = entry.xattrs.map(({ name, value }) => ({
      name: copyBytes(name),
      value: copyBytes(value),
    }))
  }
  if (entry.chunks !== undefined) copy.chunks = copyBytes(entry.chunks)
  if (entry.list !== undefined) copy.list = copyBytes(entry.list)
  return copy
}
