/**
 * Target writer: makes the files of a restore, synchronously, in a worker thread.
 *
 * Three steps for each window of the plan: `prepare` decides what each file needs, `write` puts
 * verified bytes at their offsets in temporary files, `finish` gives metadata, syncs and renames,
 * makes links and special files, and closes directories. A file appears under its name only when it
 * is whole; holes stay holes because nothing is written there. A failure concerns its own file,
 * except that without space nothing more can succeed.
 *
 * Nothing is ever opened through a symlink, and the planner asks for those of a directory after all
 * else in it.
 */

import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'

import { defined, MoyaiError } from '@moyai/protocol'
import type { Entry } from '@moyai/protocol'

import { applyMetadata, OwnerNames, syscalls } from '../../files/index.ts'
import { LinkTable } from './link-table.ts'
import { SafeTree } from './safe-tree.ts'
import type { SafeDirectory } from './safe-tree.ts'
import { makeOther } from './special.ts'
import {
  failureOf,
  hasPartial,
  identityOf,
  lstatOf,
  openTemporary,
  partMatches,
  removeIfThere,
  temporaryName,
} from './target-file.ts'
import type { TargetFile } from './target-file.ts'
import type * as T from './types.ts'

export type TargetWriterOptions = {
  /** Absolute path of the folder to restore into; made when absent. */
  target: string
  overwrite: T.OverwriteMode
  /** Chunk id of bytes: the vault's keyed hash. */
  keyedHash: (bytes: Uint8Array) => Uint8Array
}

/** One `syncfs` costs about as much as a few fsyncs, and waits for all files at once. */
const FSYNC_ONE_BY_ONE_MAX = 4
/** Files kept open for writing between calls: a window's files, where the system allows so many. */
const OPEN_FILES_MAX = 4096
/** Where the system's limit is low or unknown. */
const OPEN_FILES_MIN = 512

type Directory = {
  parent: Directory | undefined
  name: Uint8Array
  lazy: boolean
  safe: SafeDirectory | undefined
  failure: T.Failure | undefined
}

/** See the head of this file. */
export class TargetWriter {
  readonly #tree: SafeTree
  readonly #overwrite: T.OverwriteMode
  readonly #keyedHash: (bytes: Uint8Array) => Uint8Array
  readonly #names = new OwnerNames()
  readonly #directories = new Map<number, Directory>()
  readonly #files = new Map<number, TargetFile>()
  readonly #open = new Map<number, number>()
  readonly #links = new LinkTable()
  readonly #device: number
  readonly #openMax = openFilesMax()

  constructor(options: TargetWriterOptions) {
    this.#tree = new SafeTree(options.target)
    this.#overwrite = options.overwrite
    this.#keyedHash = options.keyedHash
    this.#device = fstatSync(this.#tree.descriptor(this.#tree.root)).dev
    this.#directories.set(0, {
      parent: undefined,
      name: new Uint8Array(),
      lazy: false,
      safe: this.#tree.root,
      failure: undefined,
    })
  }

  /** Decides what each file of `items` needs; one result per `file` item, in order. */
  prepare(items: readonly T.PrepareItem[]): T.PrepareResult[] {
    const results: T.PrepareResult[] = []
    for (const item of items) {
      if (item.op === 'enter') this.#enter(item)
      else results.push(attempt(() => ({ action: this.#beginFile(item) })))
    }
    return results
  }

  /**
   * Which `parts` of the file are right already: in the file that is there (`target`), or in what
   * an interrupted run or this one wrote (`temporary`).
   */
  matches(file: number, where: 'target' | 'temporary', parts: readonly T.Part[]): boolean[] {
    const state = this.#file(file)
    let fd: number | undefined
    try {
      fd = where === 'target' ? this.#openTarget(state) : this.#temporary(file)
      return parts.map((part) => partMatches(fd as number, part, this.#keyedHash))
    } catch {
      return parts.map(() => false)
    } finally {
      if (where === 'target' && fd !== undefined) closeSync(fd)
    }
  }

  /** The file that is there is not the same after all: it is written like a new one. */
  rewrite(file: number): 'write' | 'resume' {
    const state = this.#file(file)
    state.partial = state.entry.holes === undefined && hasPartial(this.#tree, state)
    return state.partial ? 'resume' : 'write'
  }

  /** Writes pieces of `bytes`; returns the files for which that failed. */
  write(bytes: Uint8Array, pieces: readonly T.Piece[]): { file: number; failure: T.Failure }[] {
    const failures: { file: number; failure: T.Failure }[] = []
    for (const { file, at, offset, length } of pieces) {
      try {
        const fd = this.#temporary(file)
        for (let done = 0; done < length;) {
          done += writeSync(fd, bytes, at + done, length - done, offset + done)
        }
      } catch (error) {
        failures.push({ file, failure: failureOf(error) })
      }
    }
    return failures
  }

  /** Completes what `items` name, in their order; one result for each. */
  finish(items: readonly T.FinishItem[]): T.FinishResult[] {
    const results = this.#seal(items)
    for (const [i, item] of items.entries()) {
      const result = results[i] as T.FinishResult
      try {
        if (result.failure === undefined) this.#finishOne(item, result)
      } catch (error) {
        result.failure = failureOf(error)
      }
      if (item.op !== 'other' && item.op !== 'leave') this.#forget(item, result)
    }
    return results
  }

  /** Everything on the disk, descriptors closed. */
  close(): void {
    for (const fd of this.#open.values()) closeSync(fd)
    this.#open.clear()
    const root = this.#tree.descriptor(this.#tree.root)
    const { syncFileSystem } = syscalls()
    if (syncFileSystem === undefined) fsyncSync(root)
    else syncFileSystem(root)
    this.#tree.close()
  }

  #enter(item: T.PrepareItem & { op: 'enter' }): void {
    const parent = defined(this.#directories.get(item.parent), 'the parent directory')
    const directory: Directory = {
      parent,
      name: item.name,
      lazy: item.lazy,
      safe: undefined,
      failure: undefined,
    }
    this.#directories.set(item.directory, directory)
    if (!item.lazy) this.#materialise(directory)
  }

  /** Makes the directory and those above it, once; undefined when that failed. */
  #materialise(directory: Directory): SafeDirectory | undefined {
    if (directory.safe !== undefined || directory.failure !== undefined) return directory.safe
    const parent = defined(directory.parent, 'the root is there')
    const above = this.#materialise(parent)
    if (above === undefined) {
      directory.failure = parent.failure
      return undefined
    }
    try {
      directory.safe = this.#tree.child(above, directory.name)
    } catch (error) {
      directory.failure = failureOf(error)
    }
    return directory.safe
  }

  /** The directory, or throws why it cannot be there. */
  #safe(number: number): SafeDirectory {
    const directory = defined(this.#directories.get(number), 'the directory')
    const safe = this.#materialise(directory)
    if (safe === undefined) throw asError(defined(directory.failure, 'why'))
    return safe
  }

  #beginFile(item: T.PrepareItem & { op: 'file' }): T.FileAction {
    const directory = this.#safe(item.directory)
    const { entry } = item
    const temporary = temporaryName(entry.name)
    const file: TargetFile = { directory, entry, partial: false, identity: undefined, temporary }
    // in a directory of this run nothing is there yet: two of three calls that look are saved
    const isFresh = directory.made && this.#overwrite !== 'never'
    const stat = isFresh ? undefined : lstatOf(this.#tree.path(directory, entry.name))
    if (stat?.isDirectory() === true) {
      throw new MoyaiError('TARGET_EXISTS', 'a directory is in its place')
    }
    this.#files.set(item.file, file)
    if (stat !== undefined && this.#overwrite === 'never') return 'skip'
    if (this.#links.begin(entry) === 'later') return 'link'
    const same =
      stat?.isFile() === true && stat.size === BigInt(entry.size) && stat.mtimeNs === entry.mtime
    if (same && this.#overwrite === 'if-changed') {
      this.#links.done(entry, { directory, name: entry.name, identity: identityOf(stat) })
      return 'skip'
    }
    // holes are not compared: such a file is written again
    if (same && entry.holes === undefined) return 'compare'
    return isFresh ? 'write' : this.rewrite(item.file)
  }

  #file(file: number): TargetFile {
    return defined(this.#files.get(file), 'the file')
  }

  #openTarget(file: TargetFile): number {
    const path = this.#tree.path(file.directory, file.entry.name)
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  }

  /** A descriptor of the temporary file, kept open among those last used. */
  #temporary(file: number): number {
    let fd = this.#open.get(file)
    if (fd === undefined) fd = openTemporary(this.#tree, this.#file(file))
    else this.#open.delete(file)
    this.#open.set(file, fd)
    if (this.#open.size > this.#openMax) {
      const [oldest] = this.#open.keys()
      this.#closeFile(defined(oldest, 'an open file'))
    }
    return fd
  }

  #closeFile(file: number): void {
    const fd = this.#open.get(file)
    if (fd === undefined) return
    this.#open.delete(file)
    closeSync(fd)
  }

  /**
   * Length and metadata of every file that is whole, and all of it on the disk before the first
   * rename.
   */
  #seal(items: readonly T.FinishItem[]): T.FinishResult[] {
    const { syncFileSystem } = syscalls()
    const whole = items.filter((item) => item.op === 'file').length
    const together = syncFileSystem !== undefined && whole > FSYNC_ONE_BY_ONE_MAX
    const results = items.map((item): T.FinishResult => {
      if (item.op !== 'file') return {}
      try {
        return this.#sealFile(item.file, together)
      } catch (error) {
        return { failure: failureOf(error) }
      }
    })
    if (!together) return results
    try {
      syncFileSystem(this.#tree.descriptor(this.#tree.root))
    } catch (error) {
      const failure = failureOf(error)
      return results.map((result, i) => (items[i]?.op === 'file' ? { failure } : result))
    }
    return results
  }

  /** A file on another file system than the target's root is always synced by itself. */
  #sealFile(number: number, together: boolean): T.FinishResult {
    const file = this.#file(number)
    const fd = this.#temporary(number)
    ftruncateSync(fd, Number(file.entry.size))
    const path = this.#tree.path(file.directory, file.temporary)
    const notKept = applyMetadata({ path, fd }, file.entry, this.#names)
    if (!together || fstatSync(fd).dev !== this.#device) fsyncSync(fd)
    this.#closeFile(number)
    return notKept.length === 0 ? {} : { notKept }
  }

  #finishOne(item: T.FinishItem, result: T.FinishResult): void {
    if (item.op === 'file') this.#publish(this.#file(item.file))
    else if (item.op === 'keep') this.#keepFile(this.#file(item.file), result)
    else if (item.op === 'link') this.#link(this.#file(item.file), result)
    else if (item.op === 'other') this.#other(item.directory, item.entry, result)
    else if (item.op === 'leave') this.#leave(item.directory, item.entry, result)
  }

  #publish(file: TargetFile): void {
    const temporary = this.#tree.path(file.directory, file.temporary)
    const stat = lstatOf(temporary)
    if (stat === undefined || identityOf(stat) !== file.identity) {
      throw new MoyaiError('TARGET_UNSAFE', 'somebody replaced the file')
    }
    renameSync(temporary, this.#tree.path(file.directory, file.entry.name))
    const { directory, entry } = file
    this.#links.done(entry, { directory, name: entry.name, identity: identityOf(stat) })
  }

  #keepFile(file: TargetFile, result: T.FinishResult): void {
    const { directory, entry } = file
    const fd = this.#openTarget(file)
    try {
      const path = this.#tree.path(directory, entry.name)
      const stat = lstatOf(path)
      const notKept = applyMetadata({ path, fd }, entry, this.#names)
      if (notKept.length > 0) result.notKept = notKept
      if (stat !== undefined) {
        this.#links.done(entry, { directory, name: entry.name, identity: identityOf(stat) })
      }
    } finally {
      closeSync(fd)
    }
  }

  #link(file: TargetFile, result: T.FinishResult): void {
    const first = this.#links.first(file.entry)
    if ('code' in first) throw asError(first)
    const source = this.#tree.path(first.directory, first.name)
    const target = this.#tree.path(file.directory, file.entry.name)
    const sourceStat = lstatOf(source)
    if (sourceStat === undefined || identityOf(sourceStat) !== first.identity) {
      throw new MoyaiError('TARGET_UNSAFE', 'somebody replaced the file')
    }
    const targetStat = lstatOf(target)
    if (targetStat !== undefined && identityOf(targetStat) === first.identity) {
      result.skipped = true
      return
    }
    const temporary = this.#tree.path(file.directory, file.temporary)
    removeIfThere(temporary)
    linkSync(source, temporary)
    renameSync(temporary, target)
  }

  #other(number: number, entry: Entry, result: T.FinishResult): void {
    const directory = this.#safe(number)
    const made = makeOther(this.#tree, directory, entry, this.#overwrite, this.#names)
    if (made === 'skipped') result.skipped = true
    else if (made.length > 0) result.notKept = made
  }

  /**
   * The directory is complete: its own metadata, unless it was there before and is to be left
   * alone.
   */
  #leave(number: number, entry: Entry | undefined, result: T.FinishResult): void {
    const directory = defined(this.#directories.get(number), 'the directory')
    this.#directories.delete(number)
    if (directory.failure !== undefined) throw asError(directory.failure)
    const { safe } = directory
    if (safe === undefined || entry === undefined) return
    if (!safe.made && this.#overwrite === 'never') return
    const fd = this.#tree.descriptor(safe)
    const notKept = applyMetadata({ path: this.#tree.path(safe), fd }, entry, this.#names)
    if (notKept.length > 0) result.notKept = notKept
  }

  /** Ends the state of a file; what failed leaves nothing behind. */
  #forget(item: T.FinishItem & { file: number }, result: T.FinishResult): void {
    const file = this.#files.get(item.file)
    if (file === undefined) return // it failed before it began
    this.#files.delete(item.file)
    this.#closeFile(item.file)
    const failure = item.op === 'abandon' ? item.failure : result.failure
    if (failure === undefined) return
    this.#links.failed(file.entry, failure)
    if (file.identity === undefined && !file.partial) return
    try {
      removeIfThere(this.#tree.path(file.directory, file.temporary))
    } catch {
      // its directory cannot be reached any more: that was reported already
    }
  }
}

/** A quarter of what this process may open: connections and the database need some, too. */
function openFilesMax(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'latin1')
    const soft = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 0)
    return Math.min(Math.max(Math.floor(soft / 4), OPEN_FILES_MIN), OPEN_FILES_MAX)
  } catch {
    return OPEN_FILES_MIN
  }
}

function asError(failure: T.Failure): MoyaiError {
  return new MoyaiError(failure.code, failure.message)
}

function attempt(action: () => T.PrepareResult): T.PrepareResult {
  try {
    return action()
  } catch (error) {
    return { failure: failureOf(error) }
  }
}
