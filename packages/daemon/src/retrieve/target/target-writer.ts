/**
 * Target writer: makes the files of a restore, synchronously, in a worker thread.
 *
 * Two steps for each window of the plan, around the writing of content (`content-writer.ts`):
 * `prepare` makes directories and decides what each file needs, `finish` gives metadata, syncs and
 * renames, makes links and special files, and closes directories. A file appears under its path
 * only when it is whole; holes stay holes because nothing is written there. A failure concerns its
 * own file, except that without space nothing more can succeed.
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
  renameSync,
} from 'node:fs'

import { copyBytes, defined, MoyaiError } from '@moyai/protocol'
import type { Entry } from '@moyai/protocol'

import { applyMetadata, OwnerNames, syscalls } from '../../files/index.ts'
import { FormerEntries } from './former-entries.ts'
import { LinkTable } from './link-table.ts'
import { identityOf, SafeTree } from './safe-tree.ts'
import type { SafeDirectory } from './safe-tree.ts'
import { OpenFiles } from './open-files.ts'
import { isPlain } from './plain.ts'
import { Publisher } from './publisher.ts'
import { makeOther } from './special.ts'
import {
  failureOf,
  hasPartial,
  lstatOf,
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
type Directory = {
  number: number
  parent: Directory | undefined
  name: Uint8Array
  safe: SafeDirectory | undefined
  plain: boolean
  /** What an interrupted run left in it, where it made the directory. */
  former: FormerEntries | undefined
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
  readonly #open: OpenFiles
  readonly #links = new LinkTable()
  readonly #publisher: Publisher
  readonly #device: number
  #notices: T.DirectoryNotice[] = []
  #formerFailure: T.Failure | undefined

  constructor(options: TargetWriterOptions) {
    this.#tree = new SafeTree(options.target)
    this.#open = new OpenFiles(this.#tree)
    this.#overwrite = options.overwrite
    this.#keyedHash = options.keyedHash
    this.#device = fstatSync(this.#tree.descriptor(this.#tree.root)).dev
    this.#publisher = new Publisher(this.#tree)
    const { root } = this.#tree
    this.#directories.set(0, {
      number: 0,
      parent: undefined,
      name: root.name,
      safe: root,
      plain: false,
      former: undefined,
      failure: undefined,
    })
    const { name, identity } = root
    this.#notices.push({ directory: 0, parent: 0, name, identity, plain: false })
  }

  /** Makes directories that are entered, and decides what each file of `items` needs. */
  prepare(items: readonly T.PrepareItem[]): T.Prepared {
    const results: T.PrepareResult[] = []
    for (const item of items) {
      if (item.op === 'enter') this.#enter(item)
      else results.push(attempt(() => this.#beginFile(item)))
    }
    const directories = this.#notices
    this.#notices = []
    return { results, directories }
  }

  /**
   * Which `parts` of the file are right already: in the file that is there (`target`), or in what
   * an interrupted run or this one wrote (`temporary`).
   */
  matches(file: number, where: 'target' | 'temporary', parts: readonly T.Part[]): boolean[] {
    const state = this.#file(file)
    let fd: number | undefined
    try {
      fd =
        where === 'target' ? this.#openTarget(state) : this.#open.descriptor(file, this.#file(file))
      return parts.map((part) => partMatches(fd as number, part, this.#keyedHash))
    } catch {
      return parts.map(() => false)
    } finally {
      if (where === 'target' && fd !== undefined) closeSync(fd)
    }
  }

  /** The file that is there is not the same after all: it is written like a new one. */
  rewrite(file: number): T.Begun {
    const state = this.#file(file)
    state.partial = state.entry.holes === undefined && hasPartial(this.#tree, state)
    return this.#begun(file, state.partial ? 'resume' : 'write')
  }

  /**
   * Completes what `items` name, in their order. What waits for its name gets it when that is much,
   * and when the directory that it is in is left: all of it with the target itself.
   */
  finish(items: readonly T.FinishItem[]): T.Finished {
    const results = this.#seal(items)
    const finished: T.Finished = { results, unpublished: [], notKept: [], waiting: 0 }
    for (const [i, item] of items.entries()) {
      const result = results[i] as T.FinishResult
      try {
        if (result.failure === undefined) this.#finishOne(item, result, finished)
      } catch (error) {
        result.failure = failureOf(error)
      }
      if (item.op !== 'other' && item.op !== 'leave') this.#forget(item, result)
    }
    if (this.#publisher.isDue) this.#publisher.publish(finished)
    finished.waiting = this.#publisher.size
    return finished
  }

  /** Everything on the disk, descriptors closed. */
  close(): void {
    this.#open.close()
    this.#publisher.sync()
    this.#tree.close()
  }

  #enter(item: T.PrepareItem & { op: 'enter' }): void {
    const parent = defined(this.#directories.get(item.parent), 'the parent directory')
    const directory: Directory = {
      number: item.directory,
      parent,
      name: item.name,
      safe: undefined,
      plain: false,
      former: undefined,
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
      const safe = this.#tree.child(above, directory.name)
      if (safe.hidden && !safe.made) directory.former = new FormerEntries(this.#tree, safe)
      directory.plain = safe.made && (parent.plain || isPlain(this.#tree, safe, this.#device))
      directory.safe = safe
      parent.former?.keep(directory.name)
      const { number, plain } = directory
      const { identity } = safe
      const name = copyBytes(safe.name)
      this.#notices.push({ directory: number, parent: parent.number, name, identity, plain })
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

  #beginFile(item: T.PrepareItem & { op: 'file' }): T.Begun {
    const directory = this.#safe(item.directory)
    const { entry } = item
    const temporary = temporaryName(entry.name)
    const former = this.#directories.get(item.directory)?.former
    const file: TargetFile = {
      directory,
      entry,
      partial: false,
      identity: undefined,
      temporary,
      former,
    }
    const overwrite = this.#overwriteIn(directory)
    // in a directory of this run nothing is there yet: two of three calls that look are saved
    const isFresh = directory.made && (directory.hidden || overwrite !== 'never')
    const stat = isFresh ? undefined : lstatOf(this.#tree.path(directory, entry.name))
    if (stat?.isDirectory() === true) {
      throw new MoyaiError('TARGET_EXISTS', 'a directory is in its place')
    }
    this.#files.set(item.file, file)
    if (stat !== undefined && overwrite === 'never') return { action: 'skip' }
    if (this.#links.begin(entry) === 'later') return { action: 'link' }
    const same =
      stat?.isFile() === true && stat.size === BigInt(entry.size) && stat.mtimeNs === entry.mtime
    if (same && overwrite === 'if-changed') {
      this.#links.done(entry, { directory, name: entry.name, identity: identityOf(stat) })
      return { action: 'skip' }
    }
    // holes are not compared: such a file is written again
    if (same && entry.holes === undefined) return { action: 'compare' }
    return isFresh ? this.#begun(item.file, 'write') : this.rewrite(item.file)
  }

  /** Opens the temporary file: others write to it by its name. */
  #begun(number: number, action: 'write' | 'resume'): T.Begun {
    const file = this.#file(number)
    this.#open.descriptor(number, file)
    // as a view of a shared buffer it would take all of that along to another thread
    const temporary = copyBytes(file.temporary)
    return { action, temporary, identity: defined(file.identity, 'it was opened') }
  }

  /** What an interrupted run left unpublished is ours, and may be half written. */
  #overwriteIn({ hidden, made }: SafeDirectory): T.OverwriteMode {
    return hidden && !made ? 'always' : this.#overwrite
  }

  #file(file: number): TargetFile {
    return defined(this.#files.get(file), 'the file')
  }

  #openTarget(file: TargetFile): number {
    const path = this.#tree.path(file.directory, file.entry.name)
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  }

  /**
   * Length and metadata of every file that is whole; on the disk, where the rename is not deferred.
   */
  #seal(items: readonly T.FinishItem[]): T.FinishResult[] {
    const { syncFileSystem } = syscalls()
    const visible = items.filter(
      (item) => item.op === 'file' && !this.#isDeferred(item.file),
    ).length
    const together = syncFileSystem !== undefined && visible > FSYNC_ONE_BY_ONE_MAX
    const results = items.map((item): T.FinishResult => {
      if (item.op !== 'file') return {}
      try {
        const isSynced = syncFileSystem !== undefined && (together || this.#isDeferred(item.file))
        return this.#sealFile(item.file, isSynced)
      } catch (error) {
        return { failure: failureOf(error) }
      }
    })
    if (!together) return results
    try {
      this.#publisher.sync()
    } catch (error) {
      const failure = failureOf(error)
      return results.map((result, i) => (items[i]?.op === 'file' ? { failure } : result))
    }
    return results
  }

  /** True when a later sync comes before the file is found under its path. */
  #isDeferred(number: number): boolean {
    const file = this.#files.get(number)
    if (file === undefined) return false
    return file.directory.hidden || this.#waits(file)
  }

  /** In the root all wait for one another, but those that others are to be linked to. */
  #waits({ directory, entry }: TargetFile): boolean {
    return directory === this.#tree.root && (entry.links ?? 1) < 2
  }

  /** A file on another file system than the target's root is always synced by itself. */
  #sealFile(number: number, isSynced: boolean): T.FinishResult {
    const file = this.#file(number)
    const fd = this.#open.descriptor(number, file)
    ftruncateSync(fd, Number(file.entry.size))
    const path = this.#tree.path(file.directory, file.temporary)
    const notKept = applyMetadata({ path, fd }, file.entry, this.#names)
    if (!isSynced || fstatSync(fd).dev !== this.#device) fsyncSync(fd)
    this.#open.forget(number)
    return notKept.length === 0 ? {} : { notKept }
  }

  #finishOne(item: T.FinishItem, result: T.FinishResult, finished: T.Finished): void {
    if (item.op === 'file') this.#finishFile(item.file, result)
    else if (item.op === 'keep') this.#keepFile(this.#file(item.file), result)
    else if (item.op === 'link') this.#link(this.#file(item.file), result)
    else if (item.op === 'other') this.#other(item.directory, item.entry, result)
    else if (item.op === 'leave') this.#leave(item, result, finished)
  }

  #finishFile(number: number, result: T.FinishResult): void {
    const file = this.#file(number)
    if (!this.#waits(file)) {
      this.#publish(file)
      return
    }
    result.deferred = true
    const publish = (): string[] => this.#publish(file)
    const discard = (): void => this.#discard(file)
    this.#publisher.add({ kind: 'file', number, publish, discard })
  }

  #publish(file: TargetFile): string[] {
    const temporary = this.#tree.path(file.directory, file.temporary)
    const stat = lstatOf(temporary)
    if (stat === undefined || identityOf(stat) !== file.identity) {
      throw new MoyaiError('TARGET_UNSAFE', 'somebody replaced the file')
    }
    renameSync(temporary, this.#tree.path(file.directory, file.entry.name))
    const { directory, entry } = file
    this.#links.done(entry, { directory, name: entry.name, identity: identityOf(stat) })
    return []
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
    const overwrite = this.#overwriteIn(directory)
    const made = makeOther(this.#tree, directory, entry, overwrite, this.#names)
    this.#directories.get(number)?.former?.keep(entry.name)
    if (made === 'skipped') result.skipped = true
    else if (made.length > 0) result.notKept = made
  }

  /**
   * The directory is complete: its own metadata, unless it was there before and is to be left
   * alone. What waits for its name in it gets that first, which would change its times; and it gets
   * its own name first, because until then its mode and owner say whose it is.
   */
  #leave(
    { directory: number, entry }: T.FinishItem & { op: 'leave' },
    result: T.FinishResult,
    finished: T.Finished,
  ): void {
    const directory = defined(this.#directories.get(number), 'the directory')
    this.#directories.delete(number)
    if (directory.failure !== undefined) throw asError(directory.failure)
    const { safe } = directory
    if (safe === undefined) return
    this.#removeFormer(directory)
    if (!safe.hidden) this.#publisher.publish(finished)
    const isLeft = !safe.made && this.#overwriteIn(safe) === 'never'
    const apply = (): string[] => {
      if (entry === undefined || isLeft) return []
      const fd = this.#tree.descriptor(safe)
      return applyMetadata({ path: this.#tree.path(safe), fd }, entry, this.#names)
    }
    if (safe.finalName === undefined) {
      const notKept = apply()
      if (notKept.length > 0) result.notKept = notKept
      return
    }
    result.deferred = true
    const publish = (): string[] => {
      this.#tree.publish(safe)
      return apply()
    }
    this.#publisher.add({ kind: 'directory', number, publish })
  }

  /** Until all of it is gone that should, no directory that had such gets its name. */
  #removeFormer({ former }: Directory): void {
    if (former === undefined) return
    if (this.#formerFailure !== undefined) throw asError(this.#formerFailure)
    try {
      former.removeRest()
    } catch (error) {
      this.#formerFailure = failureOf(error)
      throw error
    }
  }

  /** Ends the state of a file; what failed leaves nothing behind. */
  #forget(item: T.FinishItem & { file: number }, result: T.FinishResult): void {
    const file = this.#files.get(item.file)
    if (file === undefined) return // it failed before it began
    this.#files.delete(item.file)
    this.#open.forget(item.file)
    const failure = item.op === 'abandon' ? item.failure : result.failure
    if (failure === undefined) {
      file.former?.keep(file.entry.name)
      return
    }
    this.#links.failed(file.entry, failure)
    if (file.identity !== undefined || file.partial) this.#discard(file)
  }

  #discard(file: TargetFile): void {
    try {
      removeIfThere(this.#tree.path(file.directory, file.temporary))
    } catch {
      // its directory cannot be reached any more: that was reported already
    }
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
