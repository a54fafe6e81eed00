/**
 * One restore: the tree in order, in windows of bounded size, into the target.
 *
 * Of each batch of entries, small files whose content is in one blob are made by the restoring
 * threads alone, where nobody sees them yet. For all others the target's writer says what each
 * needs, and completes it afterwards. What is to be written is collected into a window; while one
 * is planned, the one before it is read and written and the one before that completed. A chunk that
 * cannot be had fails its files and nothing else.
 */

import { MoyaiError, toMoyaiError } from '@moyai/protocol'
import type { Entry, ErrorCode } from '@moyai/protocol'

import { OwnerNames } from '../files/index.ts'
import { Completer } from './completer.ts'
import { unknownChunk } from './chunk-reader.ts'
import type { ChunkReader, ReadFailure } from './chunk-reader.ts'
import { HoleLayout } from './hole-layout.ts'
import type { RestoreTally } from './restore-tally.ts'
import {
  destinationOf,
  inOneBlob,
  isSimple,
  lacksContent,
  locateTogether,
  PARTS_MAX,
  withoutContent,
} from './restore-plan.ts'
import type { Known, Locations } from './restore-plan.ts'
import { RestoreWindow } from './restore-window.ts'
import type { Completion, Destination, RestoreFile } from './restore-window.ts'
import type { Selection } from './selection.ts'
import { shownPath } from './snapshots.ts'
import type { TargetWriter } from './target/target-writer.ts'
import type { Begun, Failure, Part, PrepareItem, PrepareResult } from './target/types.ts'
import type { Restoring } from './threads/restore-pool.ts'
import { splitIds } from './tree-reader.ts'
import type { TreeReader, WalkStep } from './tree-reader.ts'
import { asUnrecoverable, transferWindow } from './window-transfer.ts'

/** Entries that are prepared together. */
const BATCH_MAX = 512
/** Symlinks of one directory that wait for its end; beyond it they are made sooner. */
const WAITING_SYMLINKS_MAX = 4096

/** The writer, in its thread. */
export type RemoteWriter = {
  prepare(items: readonly PrepareItem[]): Promise<ReturnType<TargetWriter['prepare']>>
  matches(file: number, where: 'target' | 'temporary', parts: readonly Part[]): Promise<boolean[]>
  rewrite(file: number): Promise<Begun>
  finish(items: Parameters<TargetWriter['finish']>[0]): Promise<ReturnType<TargetWriter['finish']>>
}

export type RestoreComponents = {
  trees: TreeReader
  chunks: ChunkReader
  writer: RemoteWriter
  restoring: Restoring
  tally: RestoreTally
  selection: Selection
}

export type RestoreOptions = {
  /** Read what was written and compare it with the chunk ids before a file gets its name. */
  verify: boolean
  /** Apply the root's own metadata to the target folder. */
  rootMetadata: boolean
}

/** A directory that the walk is in. */
type Open = { number: number; isIn: boolean; symlinks: Completion[] }
type QueuedFile = { op: 'file'; directory: number; file: RestoreFile }
type Queued =
  | { op: 'enter'; item: PrepareItem }
  | QueuedFile
  | { op: 'complete'; completion: Completion }

/** What is done for the files of a batch, by number. */
type Decided = {
  /** Files of which all content is in one blob. */
  small: ReadonlyMap<number, Known>
  prepared: ReadonlyMap<number, PrepareResult>
  /** Places of chunks that are known ahead. */
  located: ReadonlyMap<number, Locations>
}

/** See the head of this file. Used once. */
export class RestoreRun {
  readonly #options: RestoreOptions
  readonly #components: RestoreComponents
  readonly #signal: AbortSignal
  readonly #stop = new AbortController()
  readonly #names = new OwnerNames()
  readonly #open: Open[] = []
  /** Directories in which files are made under their own names. */
  readonly #plain = new Set<number>()
  readonly #completer: Completer
  #window = new RestoreWindow()
  #queue: Queued[] = []
  #transferring: Promise<void> = Promise.resolve()
  #finishing: Promise<void> = Promise.resolve()
  #nextNumber = 1

  constructor(options: RestoreOptions, components: RestoreComponents, signal: AbortSignal) {
    this.#options = options
    this.#components = components
    this.#completer = new Completer(components.writer, components.tally)
    this.#signal = AbortSignal.any([signal, this.#stop.signal])
  }

  /**
   * Restores everything below the directory `root`. Rejects when nothing more can succeed:
   * NO_SPACE, ABORTED.
   */
  directory(root: Entry): Promise<void> {
    const { trees, selection } = this.#components
    const into = (path: readonly Uint8Array[]): boolean =>
      selection.decide(path, true, this.#open.at(-1)?.isIn ?? false) !== 'out'
    return this.#settled(async () => {
      for await (const step of trees.walk(root, this.#signal, into)) {
        this.#step(step)
        if (this.#queue.length >= BATCH_MAX) await this.#batch()
      }
    })
  }

  /** Restores one entry that is no directory, into the target itself. */
  single(entry: Entry): Promise<void> {
    return this.#settled(() => {
      this.#open.push({ number: 0, isIn: true, symlinks: [] })
      this.#entry([entry.name], entry)
      this.#leave([], undefined)
      return Promise.resolve()
    })
  }

  /** Nothing is under way any more when this is done, also when it failed. */
  async #settled(plan: () => Promise<void>): Promise<void> {
    try {
      await plan()
      await this.#batch()
      await this.#flush()
      await this.#transferring
      await this.#finishing
    } catch (error) {
      this.#stop.abort(error)
      await Promise.allSettled([this.#transferring])
      await Promise.allSettled([this.#finishing])
      throw error
    }
  }

  #step(step: WalkStep): void {
    const { tally, selection } = this.#components
    const above = this.#open.at(-1)
    if (step.op === 'problem') {
      tally.failed(`${shownPath(step.path)}/`, asUnrecoverable(step.failure))
    } else if (step.op === 'leave') {
      const isRoot = step.path.length === 0
      this.#leave(step.path, isRoot && !this.#options.rootMetadata ? undefined : step.entry)
    } else if (step.op === 'enter') {
      this.#enter(step.path, step.entry)
    } else if (selection.decide(step.path, false, above?.isIn ?? false) === 'in') {
      this.#entry(step.path, step.entry)
    }
  }

  #enter(path: readonly Uint8Array[], entry: Entry): void {
    const above = this.#open.at(-1)
    if (above === undefined) {
      this.#open.push({ number: 0, isIn: this.#components.selection.isAll, symlinks: [] })
      return
    }
    const number = this.#nextNumber++
    const isIn = this.#components.selection.decide(path, true, above.isIn) === 'in'
    this.#open.push({ number, isIn, symlinks: [] })
    // what is only on the way to something wanted is made when that is there
    const item = { directory: number, parent: above.number, name: entry.name, lazy: !isIn }
    this.#queue.push({ op: 'enter', item: { op: 'enter', ...item } })
  }

  #leave(path: readonly Uint8Array[], entry: Entry | undefined): void {
    const open = this.#open.pop()
    if (open === undefined) return
    for (const completion of open.symlinks) this.#queue.push({ op: 'complete', completion })
    const item = { op: 'leave' as const, directory: open.number, entry: withoutContent(entry) }
    this.#queue.push({ op: 'complete', completion: { item, path, entry } })
  }

  #entry(path: readonly Uint8Array[], entry: Entry): void {
    const open = this.#open.at(-1)
    if (open === undefined) return
    const { tally } = this.#components
    tally.totalFiles += 1
    if (entry.streams !== undefined) tally.notKept.add('alternate data streams')
    if (entry.type === 'file') {
      tally.totalBytes += Number(entry.size)
      const file = { number: this.#nextNumber++, path, entry }
      this.#queue.push({ op: 'file', directory: open.number, file })
      return
    }
    const item = { op: 'other' as const, directory: open.number, entry }
    const completion = { item, path, entry }
    const waits = entry.type === 'symlink' && open.symlinks.length < WAITING_SYMLINKS_MAX
    if (waits) open.symlinks.push(completion)
    else this.#queue.push({ op: 'complete', completion })
  }

  /** Decides what is done for each queued file, and puts that into windows. */
  async #batch(): Promise<void> {
    const queue = this.#queue
    this.#queue = []
    await this.#prepare(queue.flatMap((queued) => (queued.op === 'enter' ? [queued.item] : [])))
    const decided = await this.#decide(queue.filter((queued) => queued.op === 'file'))
    for (const queued of queue) {
      this.#signal.throwIfAborted()
      if (queued.op === 'complete') this.#window.completions.push(queued.completion)
      if (queued.op === 'file') {
        const locations = decided.small.get(queued.file.number)
        if (locations === undefined) await this.#file(queued, decided)
        else await this.#small(queued, locations)
      }
      if (this.#window.isFull) await this.#flush()
    }
  }

  async #prepare(items: readonly PrepareItem[]): Promise<PrepareResult[]> {
    if (items.length === 0) return []
    const { writer, restoring } = this.#components
    const { results, directories } = await writer.prepare(items)
    restoring.enter(directories)
    for (const { directory, plain } of directories) if (plain) this.#plain.add(directory)
    return results
  }

  async #decide(files: readonly QueuedFile[]): Promise<Decided> {
    const { chunks } = this.#components
    const { verify } = this.#options
    const simple = files.filter(
      ({ directory, file }) => !verify && this.#plain.has(directory) && isSimple(file.entry),
    )
    const first = await locateTogether(
      chunks,
      simple.map(({ file }) => file),
    )
    const small = new Map<number, Known>()
    for (const { file } of simple) {
      const known = inOneBlob(file.entry, first.get(file.number) ?? [])
      if (known !== undefined) small.set(file.number, known)
    }
    const others = files.filter(({ file }) => !small.has(file.number))
    const items = others.map(({ directory, file: { number, entry } }): PrepareItem => {
      const bare = withoutContent(entry)
      return { op: 'file', file: number, directory, entry: bare }
    })
    const results = await this.#prepare(items)
    const prepared = new Map(others.map(({ file }, i) => [file.number, results[i] ?? INTERNAL]))
    const wanted = others
      .map(({ file }) => file)
      .filter(({ number }) => !first.has(number) && readsContent(prepared.get(number)))
    const second = await locateTogether(chunks, wanted)
    return { small, prepared, located: new Map([...first, ...second]) }
  }

  async #small({ directory, file }: QueuedFile, locations: Known): Promise<void> {
    const [first] = locations
    if (first !== undefined && this.#window.isFullFor(first)) await this.#flush()
    const ids = splitIds(file.entry.chunks ?? new Uint8Array())
    try {
      this.#window.make(file, directory, { ids, locations }, this.#names)
    } catch (error) {
      const failure = asUnrecoverable(toMoyaiError(error))
      this.#components.tally.failed(shownPath(file.path), failure)
    }
  }

  async #file({ directory, file }: QueuedFile, { prepared, located }: Decided): Promise<void> {
    const { writer, tally } = this.#components
    const result = prepared.get(file.number) ?? INTERNAL
    if ('failure' in result) {
      this.#completer.fail(file.number, result.failure)
      return this.#complete(file, 'file')
    }
    let begun: Begun = result
    if (begun.action === 'skip') return tally.skipped(Number(file.entry.size))
    if (begun.action === 'link') return this.#complete(file, 'link')
    const known = located.get(file.number)
    try {
      if (begun.action === 'compare') {
        if (await this.#isSame(file, known)) return this.#complete(file, 'keep')
        begun = await writer.rewrite(file.number)
      }
      await this.#plan(file, destinationOf(file, directory, begun), begun, known)
    } catch (error) {
      if (this.#signal.aborted) throw toMoyaiError(this.#signal.reason, 'ABORTED')
      if (fatal(error)) throw error
      this.#completer.fail(file.number, asUnrecoverable(toMoyaiError(error)))
    }
    this.#complete(file, 'file')
  }

  /** True when the file that is there has exactly this content. */
  async #isSame(file: RestoreFile, known: Locations | undefined): Promise<boolean> {
    for await (const located of this.#parts(file, known)) {
      const parts = located.map(({ part }) => part)
      const same = await this.#components.writer.matches(file.number, 'target', parts)
      if (same.includes(false)) return false
    }
    return true
  }

  /** Puts the file's chunks into the window, and that into effect whenever it is full. */
  async #plan(
    file: RestoreFile,
    destination: Destination,
    { action }: Begun,
    known: Locations | undefined,
  ): Promise<void> {
    if (lacksContent(file.entry)) {
      const why = file.entry.error ?? 'it could not be read'
      throw new MoyaiError('SOURCE_UNREADABLE', `its content was not stored: ${why}`)
    }
    for await (const located of this.#parts(file, known)) {
      if (this.#completer.hasFailed(file.number)) return
      const parts = located.map(({ part }) => part)
      const there =
        action === 'resume'
          ? await this.#components.writer.matches(file.number, 'temporary', parts)
          : []
      for (const [i, { part, location }] of located.entries()) {
        if (there[i] === true) continue
        this.#window.want(destination, part, location, this.#options.verify)
        if (this.#window.isFull) await this.#flush()
      }
    }
  }

  /** The file's chunks with their places in the file and in packs. */
  async *#parts(file: RestoreFile, located: Locations | undefined): AsyncGenerator<LocatedPart[]> {
    const { trees, chunks } = this.#components
    const layout = new HoleLayout(file.entry)
    for await (const ids of trees.ids(file.entry, this.#signal)) {
      for (let at = 0; at < ids.length; at += PARTS_MAX) {
        const some = ids.slice(at, at + PARTS_MAX)
        const known = at === 0 ? located : undefined
        const locations = known?.length === some.length ? known : await chunks.locate(some)
        yield some.map((id, i) => {
          const location = locations[i]
          if (location === undefined) throw new MoyaiError(...failureArguments(unknownChunk(id)))
          return { part: { id, extents: layout.next(location.length) }, location }
        })
      }
    }
    layout.finish()
  }

  #complete(file: RestoreFile, op: 'file' | 'keep' | 'link'): void {
    const { number, path, entry } = file
    this.#window.completions.push({ item: { op, file: number }, path, entry })
  }

  /** Begins to read and write the window, when that is done with the one before. */
  async #flush(): Promise<void> {
    const window = this.#window
    if (window.isEmpty) return
    this.#window = new RestoreWindow()
    await this.#transferring
    this.#transferring = this.#transfer(window)
    // a rejection is met when it is awaited; until then it must not count as unhandled
    this.#transferring.catch(() => undefined)
  }

  async #transfer(window: RestoreWindow): Promise<void> {
    const { chunks, restoring, tally } = this.#components
    const onFailure = (file: number, failure: Failure): void => this.#completer.fail(file, failure)
    await transferWindow(window, { chunks, restoring, tally, onFailure }, this.#signal)
    if (this.#options.verify) await this.#verify(window)
    await this.#finishing
    this.#finishing = this.#finish(window.completions)
    this.#finishing.catch(() => undefined)
  }

  async #verify(window: RestoreWindow): Promise<void> {
    for (const [file, parts] of window.parts) {
      if (this.#completer.hasFailed(file)) continue
      const right = await this.#components.writer.matches(file, 'temporary', parts)
      if (right.includes(false)) {
        this.#completer.fail(file, {
          code: 'DISK',
          message: 'what was written reads back differently',
        })
      }
    }
  }

  async #finish(completions: readonly Completion[]): Promise<void> {
    await this.#completer.finish(completions)
    const left = completions.flatMap(({ item }) => (item.op === 'leave' ? [item.directory] : []))
    this.#components.restoring.leave(left)
    for (const directory of left) this.#plain.delete(directory)
  }
}

type LocatedPart = {
  part: Part
  location: Parameters<RestoreWindow['want']>[2]
}

const INTERNAL: PrepareResult = {
  failure: { code: 'INTERNAL', message: 'the writer gave no answer' },
}

/** False for what is left as it is, and for links. */
function readsContent(result: PrepareResult | undefined): boolean {
  if (result === undefined || 'failure' in result) return false
  return result.action !== 'skip' && result.action !== 'link'
}

function failureArguments({ code, message }: ReadFailure): [ErrorCode, string] {
  return [code, message]
}

function fatal(error: unknown): boolean {
  return error instanceof MoyaiError && (error.code === 'NO_SPACE' || error.code === 'ABORTED')
}
