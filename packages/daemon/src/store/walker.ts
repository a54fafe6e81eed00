/**
 * The walk: every name below the stored paths, in the order of raw names, compared with the last
 * snapshot.
 *
 * A file whose mtime, ctime, size and inode are as recorded is not opened: its entry is taken over.
 * Others go out in batches to be read; their entries wait in a queue until the ids are back, and
 * the queue is emitted in order, so memory is one window however large the tree is. What cannot be
 * read is told and marked, never left out silently. A single folder's names are held in memory
 * (about 60 bytes each).
 */

import { lstatSync, readdirSync } from 'node:fs'
import type { BigIntStats } from 'node:fs'

import { assert, equalBytes } from '@moyai/protocol'
import type { Entry, ErrorCode } from '@moyai/protocol'

import { captureEntry } from '../files/index.ts'
import { displayPath, fsPath, joinPath, pathBytes } from './byte-path.ts'
import type { FileOutcome } from './content-reader.ts'
import type { Excludes } from './exclude.ts'
import { IdSink } from './id-sink.ts'
import { OldDirectory } from './old-directory.ts'
import type { PageCache } from './page-cache.ts'
import type { PathPlan } from './path-plan.ts'
import type { SharedState } from './shared-state.ts'
import type { TreeEmitter } from './tree-emitter.ts'
import { newCounts } from './walk-counts.ts'
import type { WalkCounts } from './walk-counts.ts'

/** A batch goes out when it has so many files or bytes. */
const BATCH_FILES_MAX = 512
const BATCH_BYTES_MAX: bigint = 16n * 1024n * 1024n
/** Entries that wait for their content: about 1 KiB each. */
const QUEUE_MAX = 4096
/**
 * Kernel time stamps advance in ticks of up to 10 ms: a change within the tick of a read would be
 * invisible.
 */
const TICK_NS = 10_000_000n

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

type Queued =
  | { kind: 'begin' }
  | { kind: 'end'; entry: Entry; old: Entry | undefined; path: string }
  | {
      kind: 'entry'
      entry: Entry
      /** What was recorded of a file whose content is not known to be the same. */
      old: Entry | undefined
      path: string
      ready: boolean
      bytes: number
      ids?: IdSink
    }

type QueuedEntry = Extract<Queued, { kind: 'entry' }>

type Frame = {
  path: string
  /** Relative to the snapshot's root, '' for the root itself. */
  relative: string
  entry: Entry
  oldEntry: Entry | undefined
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
  readonly #racyFrom: bigint
  readonly #out = new Map<number, QueuedEntry[]>()
  #queue: Queued[] = []
  #queueHead = 0
  #batch: QueuedEntry[] = []
  #batchBytes = 0n
  #batchId = 0
  #root: Entry | undefined
  #wake: (() => void) | undefined

  constructor(options: WalkOptions, components: WalkComponents) {
    this.#options = options
    this.#components = components
    const began = components.previous?.info.began ?? 0
    this.#racyFrom = BigInt(began) * 1_000_000n - TICK_NS
  }

  get counts(): WalkCounts {
    return this.#counts
  }

  /** Walks everything; resolves with the root's entry when all content is stored. */
  async run(oldRoot: Entry | undefined): Promise<Entry> {
    const { plan } = this.#options
    const stat = lstatSync(fsPath(plan.path), { bigint: true })
    const entry = this.#capture(plan.path, '', stat, oldRoot)
    assert(entry?.type === 'directory', 'the root of a snapshot is a directory')
    const stack: Frame[] = []
    this.#enter(stack, { path: plan.path, relative: '', entry, old: oldRoot, plan })
    let steps = 0
    for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
      const name = frame.names[frame.next++]
      if (name === undefined) {
        stack.pop()
        this.#push({ kind: 'end', entry: frame.entry, old: frame.oldEntry, path: frame.relative })
      } else {
        this.#visit(stack, frame, name)
      }
      if (++steps % 256 === 0) await this.#pause(frame.relative)
      while (this.#crowded) await this.#waitForWork()
    }
    this.#send()
    this.#drain()
    while (this.#out.size > 0) await this.#waitForWork()
    this.#drain()
    assert(this.#root !== undefined, 'everything was emitted')
    this.#components.progress(this.#counts, '')
    return this.#root
  }

  /** Takes the outcome of a batch: one per path, in order. */
  deliver(id: number, outcomes: readonly FileOutcome[]): void {
    const entries = this.#out.get(id)
    assert(entries?.length === outcomes.length, 'one outcome for each file')
    this.#out.delete(id)
    for (const [i, item] of entries.entries()) this.#settle(item, outcomes[i] as FileOutcome)
    this.#wake?.()
  }

  /** Takes a piece of a long id list of the file at `index` of a batch that is still out. */
  deliverIds(o: { id: number; index: number; ids: Uint8Array }): void {
    const item = this.#out.get(o.id)?.[o.index]
    const { emitter } = this.#components
    assert(item !== undefined && emitter !== undefined, 'that file is being read')
    item.ids ??= new IdSink(emitter)
    item.ids.add(o.ids)
  }

  /** The pieces delivered so far for this file are void: it is read again. */
  restart(o: { id: number; index: number }): void {
    const item = this.#out.get(o.id)?.[o.index]
    if (item !== undefined) delete item.ids
  }

  get #crowded(): boolean {
    return (
      this.#out.size >= this.#options.batchesMax || this.#queue.length - this.#queueHead > QUEUE_MAX
    )
  }

  async #pause(relative: string): Promise<void> {
    this.#components.state.check()
    this.#components.progress(this.#counts, displayPath(relative))
    await this.#components.breathe()
    this.#drain()
  }

  async #waitForWork(): Promise<void> {
    // entries that wait for a batch that is not out yet would wait for ever
    if (this.#out.size === 0) this.#send()
    this.#drain()
    if (!this.#crowded && this.#out.size === 0) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    this.#wake = undefined
    this.#drain()
    this.#components.progress(this.#counts, '')
  }

  #visit(stack: Frame[], frame: Frame, name: string): void {
    const path = joinPath(frame.path, name)
    const relative = frame.relative === '' ? name : `${frame.relative}/${name}`
    const plan = frame.plan?.get(name)
    let stat: BigIntStats
    try {
      stat = lstatSync(fsPath(path), { bigint: true })
    } catch (error) {
      const code = systemCode(error)
      this.#problem(path, code === 'ENOENT' ? 'vanished before it was read' : `no access (${code})`)
      return
    }
    const isDirectory = stat.isDirectory()
    if (plan === undefined && this.#isExcluded(relative, stat, isDirectory)) return
    const old = frame.old?.seek(pathBytes(name))
    const entry = this.#capture(path, name, stat, old)
    if (entry === undefined) return
    if (entry.type === 'directory') {
      this.#enter(stack, { path, relative, entry, old, plan })
    } else if (entry.type === 'file') {
      this.#file({ entry, old, stat, path, relative })
    } else {
      this.#counts.others++
      this.#push({ kind: 'entry', entry, old, path: relative, ready: true, bytes: 0 })
    }
  }

  #isExcluded(relative: string, stat: BigIntStats, isDirectory: boolean): boolean {
    const { ownHome, excludes } = this.#options
    const own = isDirectory && stat.ino === ownHome?.inode && stat.dev === ownHome.device
    if (!own && !excludes.excluded(relative, isDirectory)) return false
    this.#counts.excluded++
    return true
  }

  /**
   * The entry of `path`: as recorded when nothing about it changed, else captured anew, without
   * content.
   */
  #capture(
    path: string,
    name: string,
    stat: BigIntStats,
    old: Entry | undefined,
  ): Entry | undefined {
    const size = stat.isFile() ? stat.size : 0n
    const same =
      old !== undefined &&
      old.error === undefined &&
      old.mtime === stat.mtimeNs &&
      old.ctime === stat.ctimeNs &&
      old.inode === stat.ino &&
      old.device === stat.dev &&
      BigInt(old.size) === size &&
      stat.ctimeNs < this.#racyFrom
    if (same) return old
    try {
      const entry = captureEntry(pathBytes(path), stat, pathBytes(name), {
        holes: false,
        onProblem: (what, error) => this.#problem(path, `${what}: ${error.message}`),
      })
      // reading a file to store it moves its atime: recorded, it would make every tree a new one
      delete entry.atime
      return entry
    } catch (error) {
      this.#problem(path, error instanceof Error ? error.message : String(error))
      return undefined
    }
  }

  #enter(
    stack: Frame[],
    o: {
      path: string
      relative: string
      entry: Entry
      old: Entry | undefined
      plan: PathPlan | undefined
    },
  ): void {
    this.#counts.dirs++
    const { previous } = this.#components
    const oldEntry = o.old?.type === 'directory' ? o.old : undefined
    const planned = o.plan?.children
    const entry = { ...o.entry }
    delete entry.chunks
    delete entry.list
    this.#push({ kind: 'begin' })
    let names: string[] = []
    try {
      names = planned === undefined ? readNames(o.path) : [...planned.keys()].sort()
    } catch (error) {
      entry.error = `could not be listed (${systemCode(error)})`
      this.#problem(o.path, entry.error)
    }
    const old =
      oldEntry === undefined || previous === undefined
        ? undefined
        : new OldDirectory(oldEntry, previous)
    const { path, relative } = o
    stack.push({ path, relative, entry, oldEntry, old, names, next: 0, plan: planned })
  }

  #file(o: {
    entry: Entry
    old: Entry | undefined
    stat: BigIntStats
    path: string
    relative: string
  }): void {
    const { entry, old, stat } = o
    const counts = this.#counts
    const bytes = Number(stat.size)
    counts.files++
    counts.bytes += bytes
    const item: QueuedEntry = { kind: 'entry', entry, old, path: o.path, ready: true, bytes }
    if (entry !== old) {
      counts.bytesToRead += bytes
      if (bytes > 0 && !this.#options.dryRun) item.ready = false
    }
    this.#push(item)
    if (item.ready) {
      this.#countFile(item)
      return
    }
    if (this.#batchBytes + stat.size > BATCH_BYTES_MAX) this.#send()
    this.#batch.push(item)
    this.#batchBytes += stat.size
    if (this.#batch.length >= BATCH_FILES_MAX || this.#batchBytes >= BATCH_BYTES_MAX) this.#send()
  }

  #send(): void {
    if (this.#batch.length === 0) return
    const id = this.#batchId++
    this.#out.set(id, this.#batch)
    this.#components.submit({ id, paths: this.#batch.map((item) => item.path) })
    this.#batch = []
    this.#batchBytes = 0n
  }

  /** Puts what was read into the waiting entry. */
  #settle(item: QueuedEntry, outcome: FileOutcome): void {
    const { entry } = item
    const { emitter } = this.#components
    assert(emitter !== undefined, 'content is read only when it is stored')
    item.ready = true
    if (outcome.error !== undefined) {
      entry.error = outcome.error.message
      this.#problem(item.path, outcome.error.message, outcome.error.code)
    }
    const { stat } = outcome
    if (stat !== undefined) {
      entry.size = stat.size
      entry.mtime = stat.mtime
      entry.ctime = stat.ctime
      entry.inode = stat.inode
      entry.device = stat.device
    }
    if (outcome.holes !== undefined) entry.holes = outcome.holes
    const ids = outcome.ids ?? new Uint8Array()
    if (item.ids === undefined) Object.assign(entry, emitter.content(ids))
    else entry.list = item.ids.finish(ids)
    delete item.ids
    this.#countFile(item)
  }

  #countFile(item: QueuedEntry): void {
    const { entry, old } = item
    const counts = this.#counts
    counts.filesDone++
    counts.bytesDone += item.bytes
    if (old === undefined) counts.filesNew++
    else if (entry === old || isSameFile(entry, old)) counts.filesUnmodified++
    else counts.filesChanged++
  }

  #problem(path: string, message: string, code: ErrorCode = 'SOURCE_UNREADABLE'): void {
    this.#counts.errors++
    this.#components.problem({ path: displayPath(path), code, message })
  }

  #push(item: Queued): void {
    this.#queue.push(item)
  }

  /** Emits from the head of the queue as far as content is there. */
  #drain(): void {
    const { emitter } = this.#components
    for (;;) {
      const item = this.#queue[this.#queueHead]
      if (item === undefined || (item.kind === 'entry' && !item.ready)) break
      this.#queueHead++
      if (item.kind === 'begin') emitter?.begin()
      else if (item.kind === 'end') this.#endDirectory(item)
      else this.#emit(item.entry, item.path)
    }
    if (this.#queueHead > 1024) {
      this.#queue = this.#queue.slice(this.#queueHead)
      this.#queueHead = 0
    }
  }

  #emit(entry: Entry, path: string): void {
    try {
      this.#components.emitter?.add(entry)
    } catch (error) {
      // an entry that the format refuses: a name or an attribute beyond its limits
      this.#problem(path, error instanceof Error ? error.message : String(error))
    }
  }

  #endDirectory(item: Extract<Queued, { kind: 'end' }>): void {
    const { entry, old } = item
    Object.assign(entry, this.#components.emitter?.end())
    if (old === undefined) this.#counts.dirsNew++
    else if (sameContent(entry, old)) this.#counts.dirsUnmodified++
    else this.#counts.dirsChanged++
    if (item.path === '') this.#root = entry
    else this.#emit(entry, item.path)
  }
}

function equalOptional(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b)
}

/** A file that was read although nothing changed: written just before the last snapshot began. */
function isSameFile(a: Entry, b: Entry): boolean {
  const times = a.mtime === b.mtime && a.ctime === b.ctime
  return times && BigInt(a.size) === BigInt(b.size) && sameContent(a, b)
}

function sameContent(a: Entry, b: Entry): boolean {
  return equalOptional(a.chunks, b.chunks) && equalOptional(a.list, b.list)
}

function readNames(path: string): string[] {
  return readdirSync(fsPath(path), { encoding: 'latin1' }).sort()
}
