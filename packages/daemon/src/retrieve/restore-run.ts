/**
 * One restore: the tree in order, in windows of bounded size, into the writer of the target.
 *
 * For each batch of entries the writer says what each file needs; chunks of files that must be
 * written are collected into a window, read together and written at their offsets as they arrive;
 * then the window's files are completed while the next one is read. A chunk that cannot be had
 * fails its files and nothing else.
 */

import { MoyaiError, toMoyaiError } from '@moyai/protocol'
import type { Entry, ErrorCode } from '@moyai/protocol'

import { unknownChunk } from './chunk-reader.ts'
import type { ChunkReader, ReadFailure } from './chunk-reader.ts'
import { HoleLayout } from './hole-layout.ts'
import type { RestoreTally } from './restore-tally.ts'
import { RestoreWindow } from './restore-window.ts'
import type { Completion, RestoreFile } from './restore-window.ts'
import type { Selection } from './selection.ts'
import { shownPath } from './snapshots.ts'
import type { TargetWriter } from './target/target-writer.ts'
import type { Failure, FileAction, Part, PrepareItem, PrepareResult } from './target/types.ts'
import { splitIds } from './tree-reader.ts'
import type { TreeReader, WalkStep } from './tree-reader.ts'

/** Entries that are prepared together. */
const BATCH_MAX = 512
/** Chunks located, or compared on the disk, together. */
const PARTS_MAX = 256
/** Chunks of a batch that are located before their files' turn: one by one that is most of the time. */
const LOCATED_MAX = 4096
/** Symlinks of one directory that wait for its end; beyond it they are made sooner. */
const WAITING_SYMLINKS_MAX = 4096

/** The writer, in its thread. */
export type RemoteWriter = {
  prepare(items: readonly PrepareItem[]): Promise<ReturnType<TargetWriter['prepare']>>
  matches(file: number, where: 'target' | 'temporary', parts: readonly Part[]): Promise<boolean[]>
  rewrite(file: number): Promise<'write' | 'resume'>
  /** Takes over the memory of `bytes`. */
  write(
    bytes: Uint8Array,
    pieces: Parameters<TargetWriter['write']>[1],
  ): Promise<ReturnType<TargetWriter['write']>>
  finish(items: Parameters<TargetWriter['finish']>[0]): Promise<ReturnType<TargetWriter['finish']>>
}

export type RestoreComponents = {
  trees: TreeReader
  chunks: ChunkReader
  writer: RemoteWriter
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
type Queued =
  | { op: 'enter'; item: PrepareItem }
  | { op: 'file'; item: PrepareItem; file: RestoreFile }
  | { op: 'complete'; completion: Completion }

/** See the head of this file. Used once. */
export class RestoreRun {
  readonly #options: RestoreOptions
  readonly #components: RestoreComponents
  readonly #signal: AbortSignal
  readonly #open: Open[] = []
  readonly #failed = new Map<number, Failure>()
  /** Places of the chunks of files in the current batch, by file. */
  #located = new Map<number, Locations>()
  #window = new RestoreWindow()
  #queue: Queued[] = []
  #finishing: Promise<void> = Promise.resolve()
  #nextNumber = 1

  constructor(options: RestoreOptions, components: RestoreComponents, signal: AbortSignal) {
    this.#options = options
    this.#components = components
    this.#signal = signal
  }

  /**
   * Restores everything below the directory `root`. Rejects when nothing more can succeed:
   * NO_SPACE, ABORTED.
   */
  async directory(root: Entry): Promise<void> {
    const { trees, selection } = this.#components
    const into = (path: readonly Uint8Array[]): boolean =>
      selection.decide(path, true, this.#open.at(-1)?.isIn ?? false) !== 'out'
    for await (const step of trees.walk(root, this.#signal, into)) {
      this.#step(step)
      if (this.#queue.length >= BATCH_MAX) await this.#batch()
    }
    await this.#end()
  }

  /** Restores one entry that is no directory, into the target itself. */
  async single(entry: Entry): Promise<void> {
    this.#open.push({ number: 0, isIn: true, symlinks: [] })
    this.#entry([entry.name], entry)
    this.#leave([], undefined)
    await this.#end()
  }

  async #end(): Promise<void> {
    await this.#batch()
    await this.#flush()
    await this.#finishing
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
    const shown = `${shownPath(path)}/`
    this.#queue.push({ op: 'complete', completion: { item, path: shown, entry } })
  }

  #entry(path: readonly Uint8Array[], entry: Entry): void {
    const open = this.#open.at(-1)
    if (open === undefined) return
    const { tally } = this.#components
    const shown = shownPath(path)
    tally.totalFiles += 1
    if (entry.streams !== undefined) tally.notKept.add('alternate data streams')
    if (entry.type === 'file') {
      tally.totalBytes += Number(entry.size)
      const number = this.#nextNumber++
      const directory = open.number
      const item: PrepareItem = {
        op: 'file',
        file: number,
        directory,
        entry: withoutContent(entry),
      }
      this.#queue.push({ op: 'file', item, file: { number, path: shown, entry } })
      return
    }
    const item = { op: 'other' as const, directory: open.number, entry }
    const completion = { item, path: shown, entry }
    const waits = entry.type === 'symlink' && open.symlinks.length < WAITING_SYMLINKS_MAX
    if (waits) open.symlinks.push(completion)
    else this.#queue.push({ op: 'complete', completion })
  }

  /** Asks the writer what each queued file needs, and puts that into windows. */
  async #batch(): Promise<void> {
    const queue = this.#queue
    this.#queue = []
    const items = queue.flatMap((queued) => (queued.op === 'complete' ? [] : [queued.item]))
    const results = items.length === 0 ? [] : await this.#components.writer.prepare(items)
    await this.#locate(queue, results)
    let at = 0
    for (const queued of queue) {
      this.#signal.throwIfAborted()
      if (queued.op === 'complete') this.#window.completions.push(queued.completion)
      if (queued.op === 'file') {
        const result = results[at++]
        if (result !== undefined && 'action' in result) await this.#file(queued.file, result.action)
        else this.#fail(queued.file.number, result?.failure ?? INTERNAL)
        if (result !== undefined && 'failure' in result) this.#complete(queued.file, 'file')
      }
      if (this.#window.isFull) await this.#flush()
    }
  }

  /** Finds the chunks of many small files at once. */
  async #locate(queue: readonly Queued[], results: readonly PrepareResult[]): Promise<void> {
    this.#located = new Map()
    const files: { number: number; from: number; to: number }[] = []
    const ids: Uint8Array[] = []
    let at = 0
    for (const queued of queue) {
      if (queued.op !== 'file') continue
      const result = results[at++]
      const { number, entry } = queued.file
      const { chunks } = entry
      if (result === undefined || 'failure' in result || chunks === undefined) continue
      if (result.action === 'skip' || result.action === 'link') continue
      const from = ids.length
      const some = splitIds(chunks)
      if (some.length > PARTS_MAX || from + some.length > LOCATED_MAX) continue
      ids.push(...some)
      files.push({ number, from, to: ids.length })
    }
    if (ids.length === 0) return
    const locations = await this.#components.chunks.locate(ids)
    for (const { number, from, to } of files) {
      this.#located.set(number, locations.slice(from, to))
    }
  }

  async #file(file: RestoreFile, first: FileAction): Promise<void> {
    const { writer, tally } = this.#components
    let action = first
    if (action === 'skip') {
      tally.filesSkipped += 1
      tally.bytesSkipped += Number(file.entry.size)
      return
    }
    if (action === 'link') return this.#complete(file, 'link')
    try {
      if (action === 'compare') {
        if (await this.#isSame(file)) return this.#complete(file, 'keep')
        action = await writer.rewrite(file.number)
      }
      await this.#plan(file, action === 'resume')
    } catch (error) {
      if (this.#signal.aborted) throw toMoyaiError(this.#signal.reason, 'ABORTED')
      if (fatal(error)) throw error
      this.#fail(file.number, asUnrecoverable(toMoyaiError(error)))
    }
    this.#complete(file, 'file')
  }

  /** True when the file that is there has exactly this content. */
  async #isSame(file: RestoreFile): Promise<boolean> {
    for await (const located of this.#parts(file)) {
      const parts = located.map(({ part }) => part)
      const same = await this.#components.writer.matches(file.number, 'target', parts)
      if (same.includes(false)) return false
    }
    return true
  }

  /** Puts the file's chunks into the window, and that into effect whenever it is full. */
  async #plan(file: RestoreFile, resumes: boolean): Promise<void> {
    if (hasNoContent(file.entry)) {
      const why = file.entry.error ?? 'it could not be read'
      throw new MoyaiError('SOURCE_UNREADABLE', `its content was not stored: ${why}`)
    }
    for await (const located of this.#parts(file)) {
      if (this.#failed.has(file.number)) return
      const parts = located.map(({ part }) => part)
      const there = resumes
        ? await this.#components.writer.matches(file.number, 'temporary', parts)
        : []
      for (const [i, { part, location }] of located.entries()) {
        if (there[i] === true) continue
        this.#window.want(file, part, location, this.#options.verify)
        if (this.#window.isFull) await this.#flush()
      }
    }
  }

  /** The file's chunks with their places in the file and in packs. */
  async *#parts(file: RestoreFile): AsyncGenerator<LocatedPart[]> {
    const { trees, chunks } = this.#components
    const layout = new HoleLayout(file.entry)
    for await (const ids of trees.ids(file.entry, this.#signal)) {
      for (let at = 0; at < ids.length; at += PARTS_MAX) {
        const some = ids.slice(at, at + PARTS_MAX)
        const known = at === 0 ? this.#located.get(file.number) : undefined
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

  #fail(file: number, failure: Failure): void {
    if (!this.#failed.has(file)) this.#failed.set(file, failure)
  }

  /** Reads and writes the window; its files are completed while the next window is read. */
  async #flush(): Promise<void> {
    const window = this.#window
    if (window.isEmpty) return
    this.#window = new RestoreWindow()
    await this.#transfer(window)
    if (this.#options.verify) await this.#verify(window)
    await this.#finishing
    this.#finishing = this.#finish(window.completions)
    // a rejection is met when it is awaited; until then it must not count as unhandled
    this.#finishing.catch(() => undefined)
  }

  async #transfer(window: RestoreWindow): Promise<void> {
    const { chunks, writer } = this.#components
    await chunks.read(
      window.wanted,
      {
        onBlob: async (raw, found) => {
          const pieces = found.flatMap(({ id, offset }) => window.pieces(id, offset))
          for (const { file, failure } of await writer.write(raw, pieces)) {
            if (failure.code === 'NO_SPACE') throw new MoyaiError('NO_SPACE', failure.message)
            this.#fail(file, failure)
          }
        },
        onFailure: (lost, failure) => {
          const why = asUnrecoverable(failure)
          for (const { id } of lost) for (const file of window.filesOf(id)) this.#fail(file, why)
        },
      },
      this.#signal,
    )
  }

  async #verify(window: RestoreWindow): Promise<void> {
    for (const [file, parts] of window.parts) {
      if (this.#failed.has(file)) continue
      const right = await this.#components.writer.matches(file, 'temporary', parts)
      if (right.includes(false)) {
        this.#fail(file, { code: 'DISK', message: 'what was written reads back differently' })
      }
    }
  }

  async #finish(completions: readonly Completion[]): Promise<void> {
    if (completions.length === 0) return
    const { writer, tally } = this.#components
    const items = completions.map(({ item }) => {
      const failure = item.op === 'file' ? this.#failed.get(item.file) : undefined
      if (item.op !== 'file' || failure === undefined) return item
      return { op: 'abandon' as const, file: item.file, failure }
    })
    const results = await writer.finish(items)
    let noSpace = false
    for (const [i, { path, entry }] of completions.entries()) {
      const item = items[i]
      const result = results[i]
      if (item === undefined || result === undefined) continue
      const failure = item.op === 'abandon' ? item.failure : result.failure
      for (const what of result.notKept ?? []) tally.notKept.add(what)
      if (item.op === 'abandon') this.#failed.delete(item.file)
      if (failure !== undefined) {
        tally.failed(path, failure)
        noSpace ||= failure.code === 'NO_SPACE'
      } else if (item.op !== 'leave') {
        this.#count(item.op, result.skipped === true, entry)
      }
    }
    tally.status()
    if (noSpace) throw new MoyaiError('NO_SPACE', 'no space left in the target')
  }

  #count(op: string, skipped: boolean, entry: Entry | undefined): void {
    const { tally } = this.#components
    const bytes = op === 'file' || op === 'keep' ? Number(entry?.size ?? 0) : 0
    if (skipped || op === 'keep') {
      tally.filesSkipped += 1
      tally.bytesSkipped += bytes
    } else {
      tally.filesRestored += 1
      tally.bytesRestored += bytes
    }
  }
}

type Locations = Awaited<ReturnType<ChunkReader['locate']>>

type LocatedPart = {
  part: Part
  location: Parameters<RestoreWindow['want']>[2]
}

const INTERNAL: Failure = { code: 'INTERNAL', message: 'the writer gave no answer' }

function failureArguments({ code, message }: ReadFailure): [ErrorCode, string] {
  return [code, message]
}

function hasNoContent(entry: Entry): boolean {
  const holes = (entry.holes ?? []).reduce((total, { length }) => total + length, 0)
  const isStored = entry.chunks !== undefined || entry.list !== undefined
  return !isStored && BigInt(entry.size) > BigInt(holes)
}

/** Chunk ids stay here: the writer needs none, and they are most of an entry. */
function withoutContent<T extends Entry | undefined>(entry: T): T {
  if (entry === undefined) return entry
  const { chunks: _chunks, list: _list, ...rest } = entry
  return rest as T
}

/** What was read and is wrong cannot be had from anybody, whatever the exact reason. */
function asUnrecoverable(failure: Failure): Failure {
  const codes: ErrorCode[] = [
    'HASH_MISMATCH',
    'SEAL_MISMATCH',
    'MALFORMED',
    'TRUNCATED',
    'TOO_LARGE',
    'NOT_ENOUGH_SHARDS',
    'UNKNOWN_VERSION',
  ]
  const { message } = failure
  return codes.includes(failure.code) ? { code: 'UNRECOVERABLE', message } : failure
}

function fatal(error: unknown): boolean {
  return error instanceof MoyaiError && (error.code === 'NO_SPACE' || error.code === 'ABORTED')
}
