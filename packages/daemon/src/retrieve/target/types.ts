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

/**
 * `temporary` and `identity` (of a file to write): the name and the device and number of the file
 * that takes its content.
 */
export type Begun = { action: FileAction; temporary?: Uint8Array; identity?: string }

export type PrepareResult = Begun | { failure: Failure }

/** A directory that is there now, called `name` on the disk; the target itself is the first, 0. */
export type DirectoryNotice = {
  directory: number
  parent: number
  name: Uint8Array
  /** Device and number: whoever opens it must get this one. */
  identity: string
  /** This run made it, nobody looks into it yet, and files made in it are plainly its owner's. */
  plain: boolean
}

/** One result per `file` item, in order, and the directories that came to be. */
export type Prepared = { results: PrepareResult[]; directories: DirectoryNotice[] }

export type FinishItem =
  | { op: 'file'; file: number }
  /** The file that is there is complete: only its metadata is applied. */
  | { op: 'keep'; file: number }
  | { op: 'link'; file: number }
  | { op: 'abandon'; file: number; failure: Failure }
  | { op: 'other'; directory: number; entry: Entry }
  | { op: 'leave'; directory: number; entry: Entry | undefined }

/** `deferred`: it gets its name later; that this failed is told then. */
export type FinishResult = {
  failure?: Failure
  skipped?: true
  notKept?: string[]
  deferred?: true
}

/** A file or directory that was complete and could not be given its name after all. */
export type Unpublished = { kind: 'file' | 'directory'; number: number; failure: Failure }

/** One result per item, and what became of those of former calls that were deferred. */
export type Finished = {
  results: FinishResult[]
  unpublished: Unpublished[]
  /** What of the metadata of directories could not be kept when they got their names. */
  notKept: string[]
  /** How many things wait for their names. */
  waiting: number
}

/** Pieces of a blob that belong into a file with a temporary name. */
export type FilePieces = {
  file: number
  directory: number
  temporary: Uint8Array
  identity: string
  pieces: { at: number; offset: number; length: number }[]
}

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
