/**
 * The walk: every name below the stored paths, in the order of raw names, compared with the last
 * snapshot.
 *
 * A file whose mtime, ctime, size and inode are as recorded is not opened: its entry is taken over,
 * as the bytes that it is. Others go out in batches to be read; their entries wait in a queue until
 * the ids are back. What cannot be read is told and marked, never left out silently. A single
 * folder's names are held in memory (about 60 bytes each).
 */

import {
  assert,
  decodeEntryAt,
  decodeRootEntry,
  EntryCursor,
  equalBytes,
  equalStamps,
  STAMP,
  stampNumber,
} from '@moyai/protocol'
import type { Entry, ErrorCode } from '@moyai/protocol'

import { displayPath, joinPath } from './byte-path.ts'
import type { FileOutcome } from './content-reader.ts'
import { EntryCapture } from './entry-capture.ts'
import type { Captured } from './entry-capture.ts'
import type { Excludes } from './exclude.ts'
import { IdSink } from './id-sink.ts'
import { OldDirectory } from './old-directory.ts'
import type { OldContent } from './old-directory.ts'
import type { PageCache } from './page-cache.ts'
import type { PathPlan } from './path-plan.ts'
import type { SharedState } from './shared-state.ts'
import type { Content, TreeEmitter } from './tree-emitter.ts'
import { newCounts } from './walk-counts.ts'
import type { WalkCounts } from './walk-counts.ts'
import { entryOf, oldEntry, WalkQueue } from './walk-queue.ts'
import type { FoundDirectory, FoundEntry } from './walk-queue.ts'
import { stampBits, stampOf } from './walker-stat.ts'

/** A batch goes out when it has so many files or bytes. */
const BATCH_FILES_MAX = 512
const BATCH_BYTES_MAX = 16 * 1024 * 1024
/** Entries that wait for their content: about 1 KiB each. */
const QUEUE_MAX = 4096

/** Files to be read, in order; answers come back through `Walker.deliver`. */
export type WalkBatch = { id: number; paths: string[] }

export type WalkOptions = {
  plan: PathPlan
  excludes: Excludes
  /** The daemon's own state directory, which never goes into a snapshot. */
  ownHome: { device: bigint; inode: bigint } | undefined
  dryRun: boolean
  /** Batches that may be out at once. */
  batchesMax: number
}

export type WalkComponents = {
  previous: PageCache | undefined
  /** Absent in a dry run. */
  emitter: TreeEmitter | undefined
  state: SharedState
  submit: (batch: WalkBatch) => void
  problem: (problem: { path: string; code: ErrorCode; message: string }) => void
  /** Called between items now and then: messages are handled meanwhile. */
  breathe: () => Promise<void>
  progress: (counts: WalkCounts, current: string) => void
}

/** A file that is being read. */
type ReadFile = {
  item: FoundEntry
  /** What was recorded of it. */
  old: Uint8Array | undefined
  bytes: number
  ids?: IdSink
}

type Frame = {
  path: string
  directory: FoundDirectory
  old: OldDirectory | undefined
  names: string[]
  next: number
  plan: Map<string, PathPlan> | undefined
}

function systemCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
}

/** See the head of this file. One walk per object. */
export class Walker {
  readonly #options: WalkOptions
  readonly #components: WalkComponents
  readonly #counts = newCounts()
  readonly #capture: EntryCapture
  readonly #queue: WalkQueue
  readonly #cursor = new EntryCursor()
  readonly #out = new Map<number, ReadFile[]>()
  #batch: ReadFile[] = []
  #batchBytes = 0
  #batchId = 0
  #wake: (() => void) | undefined

  constructor(options: WalkOptions, components: WalkComponents) {
    this.#options = options
    this.#components = components
    const { previous, emitter } = components
    const problem = (path: string, message: string): void => this.#problem(path, message)
    this.#capture = new EntryCapture({ began: previous?.info.began ?? 0 }, { problem })
    this.#queue = new WalkQueue({ emitter, counts: this.#counts, problem })
  }

  get counts(): WalkCounts {
    return this.#counts
  }

  /** Walks everything; resolves with the root's entry when all content is stored. */
  async run(): Promise<Entry> {
    try {
      await this.#walk()
    } finally {
      this.#capture.close()
    }
    this.#send()
    this.#queue.drain()
    while (this.#out.size > 0) await this.#waitForWork()
    this.#queue.drain()
    const { root } = this.#queue
    assert(root !== undefined, 'everything was emitted')
    this.#components.progress(this.#counts, '')
    return root
  }

  async #walk(): Promise<void> {
    const stack: Frame[] = []
    this.#enterRoot(stack)
    let steps = 0
    for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
      const name = frame.names[frame.next++]
      if (name === undefined) {
        stack.pop()
        this.#queue.end(frame.directory)
      } else {
        this.#visit(stack, frame, name)
      }
      if (++steps % 256 === 0) await this.#pause(frame.directory.path)
      while (this.#crowded) await this.#waitForWork()
    }
  }

  /** Takes the outcome of a batch: one per path, in order. */
  deliver(id: number, outcomes: readonly FileOutcome[]): void {
    const files = this.#out.get(id)
    assert(files?.length === outcomes.length, 'one outcome for each file')
    this.#out.delete(id)
    for (const [i, file] of files.entries()) this.#settle(file, outcomes[i] as FileOutcome)
    this.#wake?.()
  }

  /** Takes a piece of a long id list of the file at `index` of a batch that is still out. */
  deliverIds(o: { id: number; index: number; ids: Uint8Array }): void {
    const file = this.#out.get(o.id)?.[o.index]
    const { emitter } = this.#components
    assert(file !== undefined && emitter !== undefined, 'that file is being read')
    file.ids ??= new IdSink(emitter)
    file.ids.add(o.ids)
  }

  /** The pieces delivered so far for this file are void: it is read again. */
  restart(o: { id: number; index: number }): void {
    const file = this.#out.get(o.id)?.[o.index]
    if (file !== undefined) delete file.ids
  }

  get #crowded(): boolean {
    return this.#out.size >= this.#options.batchesMax || this.#queue.length > QUEUE_MAX
  }

  async #pause(relative: string): Promise<void> {
    this.#components.state.check()
    this.#components.progress(this.#counts, displayPath(relative))
    await this.#components.breathe()
    this.#queue.drain()
  }

  async #waitForWork(): Promise<void> {
    // entries that wait for a batch that is not out yet would wait for ever
    if (this.#out.size === 0) this.#send()
    this.#queue.drain()
    if (!this.#crowded && this.#out.size === 0) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    this.#wake = undefined
    this.#queue.drain()
    this.#components.progress(this.#counts, '')
  }

  #enterRoot(stack: Frame[]): void {
    const { plan } = this.#options
    const { previous } = this.#components
    const capture = this.#capture
    capture.look(plan.path, '.')
    const cursor = this.#cursor
    if (previous !== undefined) cursor.at(previous.info.root, 0)
    const isUnchanged = previous !== undefined && capture.isUnchanged(cursor)
    const entry = isUnchanged ? decodeRootEntry(previous.info.root) : capture.captureRoot(plan.path)
    assert(entry?.type === 'directory', 'the root of a snapshot is a directory')
    const made = { entry }
    const old = previous === undefined ? undefined : cursor
    this.#enter(stack, { path: plan.path, relative: '', made, old, plan })
  }

  #visit(stack: Frame[], frame: Frame, name: string): void {
    const capture = this.#capture
    try {
      capture.look(frame.path, name)
    } catch (error) {
      const code = systemCode(error)
      const path = joinPath(frame.path, name)
      this.#problem(path, code === 'ENOENT' ? 'vanished before it was read' : `no access (${code})`)
      return
    }
    const plan = frame.plan?.get(name)
    if (plan === undefined && this.#isExcluded(frame, name)) return
    const cursor = frame.old?.seek(name) === true ? frame.old.cursor : undefined
    const page = frame.old?.page
    if (cursor !== undefined && page !== undefined && capture.isUnchanged(cursor)) {
      if (capture.isDirectory) {
        const made = { old: oldEntry(page, cursor) }
        this.#enterNamed(stack, { frame, name, made, old: cursor, plan })
        return
      }
      this.#countUnchanged()
      this.#queue.take(page, cursor)
      return
    }
    const made = capture.capture(frame.path, name)
    if (made === undefined) return
    if (capture.isDirectory) this.#enterNamed(stack, { frame, name, made, old: cursor, plan })
    else if (capture.isFile) this.#file({ frame, name, made, old: cursor })
    else {
      this.#counts.others++
      const path = joinPath(frame.path, name)
      this.#queue.add({ kind: 'entry', made, ready: true, path })
    }
  }

  /** Whether what was looked at last stays out. */
  #isExcluded(frame: Frame, name: string): boolean {
    const { ownHome, excludes } = this.#options
    const { isDirectory, stat } = this.#capture
    const isOwn =
      isDirectory &&
      ownHome !== undefined &&
      stampBits(stat.stamp, STAMP.inode) === BigInt.asUintN(64, ownHome.inode) &&
      stampBits(stat.stamp, STAMP.device) === BigInt.asUintN(64, ownHome.device)
    if (!isOwn) {
      if (excludes.isEmpty) return false
      if (!excludes.excluded(relativeOf(frame, name), isDirectory)) return false
    }
    this.#counts.excluded++
    return true
  }

  #countUnchanged(): void {
    const counts = this.#counts
    if (!this.#capture.isFile) {
      counts.others++
      return
    }
    const bytes = stampNumber(this.#capture.stat.stamp, STAMP.size)
    counts.files++
    counts.filesDone++
    counts.filesUnmodified++
    counts.bytes += bytes
    counts.bytesDone += bytes
  }

  #enterNamed(
    stack: Frame[],
    o: {
      frame: Frame
      name: string
      made: FoundDirectory['made']
      old: EntryCursor | undefined
      plan: PathPlan | undefined
    },
  ): void {
    const { frame, name, made, old, plan } = o
    const path = joinPath(frame.path, name)
    this.#enter(stack, { path, relative: relativeOf(frame, name), made, old, plan })
  }

  #enter(
    stack: Frame[],
    o: {
      path: string
      relative: string
      made: FoundDirectory['made']
      old: EntryCursor | undefined
      plan: PathPlan | undefined
    },
  ): void {
    this.#counts.dirs++
    const { path } = o
    const { previous } = this.#components
    const oldContent = o.old?.type === 'directory' ? contentOf(o.old) : undefined
    const directory: FoundDirectory = { kind: 'end', made: o.made, oldContent, path: o.relative }
    this.#queue.begin()
    const planned = o.plan?.children
    let names: string[] = []
    try {
      names = planned === undefined ? this.#capture.names(path) : [...planned.keys()].sort()
    } catch (error) {
      directory.error = `could not be listed (${systemCode(error)})`
      this.#problem(path, directory.error)
    }
    const old =
      oldContent === undefined || previous === undefined
        ? undefined
        : new OldDirectory(oldContent, previous)
    stack.push({ path, directory, old, names, next: 0, plan: planned })
  }

  #file(o: { frame: Frame; name: string; made: Captured; old: EntryCursor | undefined }): void {
    const counts = this.#counts
    const bytes = stampNumber(this.#capture.stat.stamp, STAMP.size)
    counts.files++
    counts.bytes += bytes
    counts.bytesToRead += bytes
    const ready = bytes === 0 || this.#options.dryRun
    const path = joinPath(o.frame.path, o.name)
    const item: FoundEntry = { kind: 'entry', made: o.made, ready, path }
    const file: ReadFile = { item, old: o.old?.bytes.slice(o.old.start, o.old.end), bytes }
    if (ready) this.#countFile(file)
    this.#queue.add(item)
    if (ready) return
    if (this.#batchBytes + bytes > BATCH_BYTES_MAX) this.#send()
    this.#batch.push(file)
    this.#batchBytes += bytes
    if (this.#batch.length >= BATCH_FILES_MAX || this.#batchBytes >= BATCH_BYTES_MAX) this.#send()
  }

  #send(): void {
    if (this.#batch.length === 0) return
    const id = this.#batchId++
    this.#out.set(id, this.#batch)
    this.#components.submit({ id, paths: this.#batch.map(({ item }) => item.path) })
    this.#batch = []
    this.#batchBytes = 0
  }

  /** Puts what was read into the waiting entry. */
  #settle(file: ReadFile, outcome: FileOutcome): void {
    const { item } = file
    const { emitter } = this.#components
    assert(emitter !== undefined, 'content is read only when it is stored')
    const ids = outcome.ids ?? new Uint8Array()
    const content = file.ids === undefined ? emitter.content(ids) : { list: file.ids.finish(ids) }
    delete file.ids
    if (this.#isAsDrafted(item.made, outcome, content)) {
      if (content.chunks !== undefined) item.chunks = content.chunks
    } else {
      const entry = entryOf(item.made)
      if (outcome.error !== undefined) {
        entry.error = outcome.error.message
        this.#problem(item.path, outcome.error.message, outcome.error.code)
      }
      Object.assign(entry, outcome.stat, content)
      if (outcome.holes !== undefined) entry.holes = outcome.holes
      item.made = { entry }
    }
    item.ready = true
    this.#countFile(file)
  }

  /** Whether a draft with `content` is what was read. */
  #isAsDrafted(made: Captured, outcome: FileOutcome, content: Content): boolean {
    const { stat, error, holes } = outcome
    if (!('draft' in made) || stat === undefined) return false
    if (error !== undefined || holes !== undefined || content.list !== undefined) return false
    if (content.chunks === undefined) return false
    this.#cursor.at(made.draft.bytes, made.draft.start)
    return equalStamps(this.#cursor.stamp, stampOf(stat))
  }

  #countFile({ item, old, bytes }: ReadFile): void {
    const counts = this.#counts
    counts.filesDone++
    counts.bytesDone += bytes
    if (old === undefined) counts.filesNew++
    else if (isSameFile(item, old)) counts.filesUnmodified++
    else counts.filesChanged++
  }

  #problem(path: string, message: string, code: ErrorCode = 'SOURCE_UNREADABLE'): void {
    this.#counts.errors++
    this.#components.problem({ path: displayPath(path), code, message })
  }
}

function relativeOf(frame: Frame, name: string): string {
  const { path } = frame.directory
  return path === '' ? name : `${path}/${name}`
}

/** Copies: the cursor goes on. */
function contentOf(old: EntryCursor): OldContent {
  const chunks = old.bytes.slice(old.chunksStart, old.chunksEnd)
  return { chunks, list: old.bytes.slice(old.listStart, old.listEnd) }
}

function equalOptional(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b)
}

/** A file that was read although nothing changed: written just before the last snapshot began. */
function isSameFile(item: FoundEntry, old: Uint8Array): boolean {
  const a = entryOf(item.made)
  const chunks = item.chunks ?? a.chunks
  const b = decodeEntryAt(old, { start: 0, end: old.length })
  const isSameStat = a.mtime === b.mtime && a.ctime === b.ctime && BigInt(a.size) === BigInt(b.size)
  return isSameStat && equalOptional(chunks, b.chunks) && equalOptional(a.list, b.list)
}
