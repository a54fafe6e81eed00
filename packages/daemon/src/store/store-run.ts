/**
 * One store: from paths to a committed snapshot.
 *
 * The main thread only orders: the walker walks and packs trees, compute threads read and pack contents, the send queue
 * empties the outbox. Packs are recorded as they become durable; the entry in the vault log is the one commit point,
 * and comes after everything it names is durable. Whatever is interrupted before is picked up by the next run.
 */

import { statSync } from 'node:fs'
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import type { Worker } from 'node:worker_threads'

import { assert, blake3, MoyaiError, planCode, sealSnapshot, toHex, utf8 } from '@moyai/protocol'
import type {
  Clock,
  CodePlan,
  Entry,
  Hasher,
  ItemErrorEvent,
  Random,
  Snapshot,
  StoreStatusEvent,
  StoreSummary,
  VaultBundle,
} from '@moyai/protocol'

import type { Logger } from '../logger.ts'
import { bytePathOfText, pathBytes } from './byte-path.ts'
import { ComputePool, computeThreads, startWorker, watchWorker } from './compute-pool.ts'
import { dedupSegment, DedupTable } from './dedup-table.ts'
import type {
  FromCompute,
  FromWalker,
  TableAnswer,
  ToWalker,
  WalkSetup,
  WorkerSetup,
} from './messages.ts'
import { commitPageCache } from './page-cache.ts'
import { planPaths } from './path-plan.ts'
import type { PathPlan } from './path-plan.ts'
import type { Appended, StoreLog, StoreNetwork, StorePool } from './ports.ts'
import { onlineHolders, Sender, SendQueue, tooFewHosts } from './sender.ts'
import { SharedState } from './shared-state.ts'
import type { VaultIndex } from './vault-index.ts'
import type { WalkCounts } from './walker.ts'

const DAY_MS = 24 * 3600 * 1000
/** Index segments handed to the walker in one message. */
const SEGMENTS_BYTES_MAX = 4 * 1024 * 1024
const STATUS_INTERVAL_MS = 500
/** New room in the table of known chunks, at least. */
const TABLE_ENTRIES_MIN = 50_000

export type StoreRequest = {
  /** Absolute paths. */
  paths: string[]
  /** Name of the source; the paths when absent. */
  name?: string
  tags: string[]
  excludes: string[]
  dryRun: boolean
}

export type StoreOptions = {
  /** MOYAI_HOME, absolute. */
  home: string
  outbox: string
  bundle: VaultBundle
  hostname: string
  username: string
  /** Name and version, for the snapshot. */
  program: string
  /** No holder deletes a stripe before this many days; 30. */
  protectedDays?: number
  /** zstd level; 1. */
  compressionLevel?: number
  computeThreads?: number
  /** Bytes of shards that may wait in the outbox; 256 MiB. */
  outboxBytesMax?: number
  /** How long a store waits for hosts to come back before it gives up; 15 s. */
  patienceMs?: number
}

export type StoreComponents = {
  index: VaultIndex
  network: StoreNetwork
  pool: StorePool
  log: StoreLog
  hasher: Hasher
  clock: Clock
  random: Random
  logger: Logger
}

export type StoreEvent = StoreStatusEvent | ItemErrorEvent

export type RunContext = {
  signal: AbortSignal
  onEvent: (event: StoreEvent) => void
}

const OUTBOX_BYTES_MAX = 256 * 1024 * 1024

function emptyCounts(): WalkCounts {
  return {
    filesNew: 0,
    filesChanged: 0,
    filesUnmodified: 0,
    dirsNew: 0,
    dirsChanged: 0,
    dirsUnmodified: 0,
    others: 0,
    files: 0,
    dirs: 0,
    bytes: 0,
    bytesDone: 0,
    filesDone: 0,
    bytesToRead: 0,
    errors: 0,
    excluded: 0,
  }
}

/** See the head of this file. One per store. */
export class StoreRun {
  readonly #options: StoreOptions
  readonly #components: StoreComponents
  readonly #request: StoreRequest
  readonly #context: RunContext
  readonly #state = new SharedState()
  readonly #sender: Sender
  readonly #queue: SendQueue
  readonly #abort = new AbortController()
  readonly #began: number
  readonly #started: number
  readonly #indexPacks: Uint8Array[] = []
  #counts = emptyCounts()
  #phase: StoreStatusEvent['phase'] = 'scanning'
  #current = ''
  #walked = false
  #table: DedupTable | undefined
  #tableLoading: Promise<DedupTable> | undefined
  #fail: (error: unknown) => void = () => undefined

  constructor(o: {
    options: StoreOptions
    components: StoreComponents
    request: StoreRequest
    context: RunContext
  }) {
    this.#options = o.options
    this.#components = o.components
    this.#request = o.request
    this.#context = o.context
    const { clock } = o.components
    this.#began = clock.now()
    this.#started = clock.monotonic()
    const { outbox, patienceMs } = o.options
    this.#sender = new Sender(
      { outbox, ...(patienceMs === undefined ? {} : { patienceMs }) },
      o.components,
    )
    this.#queue = new SendQueue((pack) => this.#send(pack))
  }

  /** Runs to the end. TOO_FEW_HOSTS, PATH_UNKNOWN, NO_SPACE, DISK, ABORTED …: then nothing was committed. */
  async run(): Promise<StoreSummary> {
    const { signal } = this.#context
    signal.throwIfAborted()
    const plan = planPaths(this.#request.paths)
    const code = this.#request.dryRun ? undefined : this.#codes()
    const stopStatus = this.#reportStatus()
    const onAbort = (): void => this.#abort.abort(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await this.#runCancellable(plan, code)
    } finally {
      stopStatus()
      signal.removeEventListener('abort', onAbort)
      this.#abort.abort(new MoyaiError('ABORTED', 'the store has ended'))
      this.#state.cancel()
      await this.#queue.end()
    }
  }

  async #runCancellable(plan: PathPlan, code: Codes | undefined): Promise<StoreSummary> {
    const { promise: failed, reject } = Promise.withResolvers<never>()
    this.#fail = reject
    failed.catch(() => undefined) // a failure after the end of the run has no listener
    const onAbort = (): void => reject(abortReason(this.#abort.signal))
    this.#abort.signal.addEventListener('abort', onAbort, { once: true })
    this.#state.give(this.#options.outboxBytesMax ?? OUTBOX_BYTES_MAX)
    const threads = await this.#startThreads(plan, code)
    try {
      const walked = await Promise.race([threads.walked, failed])
      if (code === undefined) return await this.#summary(code, undefined)
      await Promise.race([this.#finishPacks(threads), failed])
      this.#phase = 'committing'
      const appended = await this.#commit(walked)
      if (!this.#request.dryRun) commitPageCache(threads.cache)
      return await this.#summary(code, appended)
    } finally {
      this.#state.cancel()
      await threads.end()
    }
  }

  #codes(): Codes {
    const { pool } = this.#components
    const hosts = pool.hosts()
    const policy = pool.policy()
    const plan = (stripeClass: 'data' | 'meta'): CodePlan =>
      planCode({ hosts, owner: pool.self, class: stripeClass, policy })
    const data = plan('data')
    const needed = data.code.k + Math.min(1, data.code.m)
    const online = onlineHolders(hosts, pool.self)
    if (online < needed) this.#components.logger.warn({ online, needed }, 'few hosts are online')
    return { data, meta: plan('meta') }
  }

  async #send(pack: Uint8Array): Promise<void> {
    const signal = this.#abort.signal
    try {
      const result = await this.#sender.send(pack, { patient: true, signal })
      if (!result.durable) throw tooFewHosts(this.#components.pool)
      this.#state.give(result.payloadBytes)
    } catch (error) {
      this.#fail(error)
      throw error
    }
  }

  async #startThreads(plan: PathPlan, codes: Codes | undefined): Promise<Threads> {
    const options = this.#options
    const { index, random } = this.#components
    const generation = await index.generation(random)
    const setup = (stripeClass: 'data' | 'meta'): WorkerSetup => ({
      bundle: options.bundle,
      state: this.#state.buffer,
      outbox: options.outbox,
      code: codes === undefined ? { k: 1, m: 1 } : codes[stripeClass].code,
      stripeClass,
      created: this.#began,
      protectedUntil: this.#began + (options.protectedDays ?? 30) * DAY_MS,
      compressionLevel: options.compressionLevel ?? 1,
    })
    const threads = options.computeThreads ?? computeThreads()
    const { port1: tablePort, port2 } = new MessageChannel()
    const cache = this.#cachePath()
    const walkSetup: WalkSetup = {
      ...setup('meta'),
      plan,
      excludes: this.#request.excludes,
      ownHome: identityOf(options.home),
      dryRun: this.#request.dryRun,
      batchesMax: 2 * threads + 1,
      cache,
      generation,
      tablePort: port2,
    }
    const walker = startWorker('walk-worker', { data: walkSetup, port: port2 })
    const compute = new ComputePool(
      { threads },
      {
        setup: () => ({ ...setup('data'), table: this.#tableBuffers() }),
        table: () => this.#tableBuffers(),
        onMessage: (message) => this.#fromCompute(message, walker),
        onFailure: (error) => this.#fail(error),
      },
    )
    return this.#listen({ walker, compute, tablePort, cache })
  }

  #listen(o: {
    walker: Worker
    compute: ComputePool
    tablePort: MessageChannel['port1']
    cache: string
  }): Threads {
    const { walker, compute, tablePort, cache } = o
    let ended = false
    const { promise: walked, resolve } = Promise.withResolvers<Walked>()
    const answers: (() => void)[] = []
    watchWorker(walker, (error) => {
      if (!ended) this.#fail(error)
    })
    walker.on('message', (message: FromWalker) => {
      switch (message.type) {
        case 'walked':
          this.#counts = message.counts
          this.#walked = true
          resolve(message)
          break
        case 'indexed':
        case 'flushed':
          answers.shift()?.()
          break
        default:
          this.#fromWalker(message, compute, tablePort)
      }
    })
    return {
      walked,
      cache,
      compute,
      ask: async (message) => {
        const answer = new Promise<void>((done) => answers.push(done))
        walker.postMessage(message)
        await answer
      },
      end: async () => {
        ended = true
        tablePort.close()
        await Promise.all([walker.terminate(), compute.end()])
      },
    }
  }

  #fromWalker(
    message: Exclude<FromWalker, { type: 'walked' | 'indexed' | 'flushed' }>,
    compute: ComputePool,
    tablePort: MessageChannel['port1'],
  ): void {
    switch (message.type) {
      case 'batch':
        void this.#withTable(() => compute.submit(message.batch))
        break
      case 'table':
        void this.#withTable((table) => {
          const answer: TableAnswer = { table: table.buffers }
          tablePort.postMessage(answer)
          this.#state.tableReady()
        })
        break
      case 'pack':
        if (message.index) this.#indexPacks.push(message.pack.pack)
        this.#queue.add(message.pack.pack)
        break
      case 'progress':
        this.#counts = message.counts
        this.#current = message.current
        if (this.#phase === 'scanning' && message.counts.bytesToRead > 0) this.#phase = 'storing'
        break
      case 'problem':
        this.#problem(message)
        break
      case 'failed':
        this.#fail(new MoyaiError(message.code, message.message, hintOf(message.hint)))
        break
    }
  }

  #fromCompute(
    message: Exclude<FromCompute, { type: 'flushed' | 'failed' }>,
    walker: Worker,
  ): void {
    if (message.type === 'pack') {
      this.#queue.add(message.pack.pack)
      return
    }
    const forward: ToWalker =
      message.type === 'outcomes' ? { ...message, table: this.#tableBuffers() } : message
    walker.postMessage(forward)
  }

  #problem(problem: {
    path: string
    code: ItemErrorEvent['error']['code']
    message: string
  }): void {
    this.#context.onEvent({
      message_type: 'error',
      error: { message: problem.message, code: problem.code },
      during: 'store',
      item: problem.path,
    })
  }

  /** Runs `use` with the table of known chunks, which is read from the index when it is first needed. */
  async #withTable(use: (table: DedupTable) => void): Promise<void> {
    try {
      this.#tableLoading ??= this.#loadTable()
      use(await this.#tableLoading)
    } catch (error) {
      this.#fail(error)
    }
  }

  async #loadTable(): Promise<DedupTable> {
    const table = new DedupTable([dedupSegment(TABLE_ENTRIES_MIN)])
    for await (const id of this.#components.index.chunkIds()) {
      if (table.needsSegment()) growTable(table)
      table.claim(id)
    }
    growTable(table)
    this.#table = table
    return table
  }

  #tableBuffers(): SharedArrayBuffer[] {
    assert(this.#table !== undefined, 'the table was loaded before threads use it')
    if (this.#table.needsSegment()) growTable(this.#table)
    return this.#table.buffers
  }

  /** Tail packs, then the index of all packs that no snapshot names yet; all of it durable. */
  async #finishPacks(threads: Threads): Promise<void> {
    await threads.compute.flush()
    await this.#queue.idle()
    let segments: Uint8Array[] = []
    let bytes = 0
    let any = false
    for await (const { segment } of this.#components.index.unpublished()) {
      any = true
      segments.push(segment)
      bytes += segment.length
      if (bytes < SEGMENTS_BYTES_MAX) continue
      await threads.ask({ type: 'index', segments })
      segments = []
      bytes = 0
    }
    // packs that wait in the walker's memory are unpublished, too
    if (any || this.#state.read('treeBlobs') > 0 || this.#state.read('treeBytesAdded') > 0) {
      await threads.ask({ type: 'index', segments })
      await threads.ask({ type: 'flush' })
    }
    await this.#queue.idle()
  }

  async #commit(walked: Walked): Promise<Appended> {
    const { log, random, index } = this.#components
    const { bundle } = this.#options
    const snapshot = this.#snapshot(walked.root)
    const packs: Uint8Array[] = []
    for await (const { pack } of index.unpublished()) packs.push(pack)
    this.#abort.signal.throwIfAborted()
    const appended = await log.append({
      kind: 'snapshot',
      seal: (place) => sealSnapshot({ bundle, ...place, snapshot, random }),
    })
    await index.published(packs)
    return appended
  }

  #snapshot(root: Entry): Snapshot {
    const { hostname, username, program } = this.#options
    const counts = this.#counts
    const { clock } = this.#components
    return {
      time: this.#began,
      source: this.#source(),
      paths: this.#request.paths.map((path) => pathBytes(bytePathOfText(path))),
      hostname,
      username,
      tags: this.#request.tags,
      root,
      stats: {
        files: counts.files,
        directories: counts.dirs,
        others: counts.others,
        bytes: counts.bytes,
        errors: counts.errors,
        filesNew: counts.filesNew,
        filesChanged: counts.filesChanged,
        filesUnmodified: counts.filesUnmodified,
        bytesNew: this.#state.read('dataBytesAdded'),
        bytesSealed: this.#state.read('packedBytes'),
        duration: Math.round(clock.monotonic() - this.#started),
      },
      indexPacks: this.#indexPacks,
      program,
      excludes: this.#request.excludes,
      partial: counts.errors > 0,
    }
  }

  #source(): string {
    return (this.#request.name ?? this.#request.paths.join(' ')).slice(0, 200)
  }

  #cachePath(): string {
    const { paths } = this.#request
    const id = blake3(utf8([this.#source(), ...paths].join('\0')))
    return join(this.#options.home, 'cache', `${toHex(id.subarray(0, 16))}.pages`)
  }

  #reportStatus(): () => void {
    const timer = setInterval(() => this.#context.onEvent(this.#status()), STATUS_INTERVAL_MS)
    timer.unref()
    return () => {
      clearInterval(timer)
      this.#context.onEvent(this.#status())
    }
  }

  #status(): StoreStatusEvent {
    const counts = this.#counts
    const seconds = (this.#components.clock.monotonic() - this.#started) / 1000
    const unread = counts.bytes - counts.bytesToRead
    const done = Math.min(counts.bytes, unread + this.#state.read('bytesRead'))
    const share = this.#walked || counts.bytes === 0 ? 1 : done / counts.bytes
    const known = this.#walked
    const rate = this.#state.read('bytesRead') / Math.max(0.001, seconds)
    return {
      message_type: 'status',
      seconds_elapsed: Math.round(seconds * 10) / 10,
      seconds_remaining: known && rate > 0 ? Math.round((counts.bytes - done) / rate) : null,
      percent_done: known ? share : null,
      total_files: counts.files,
      files_done: counts.filesDone,
      total_bytes: counts.bytes,
      bytes_done: done,
      bytes_sent: this.#sender.bytesSent,
      error_count: counts.errors,
      current_files: this.#current === '' ? [] : [this.#current],
      phase: this.#phase,
    }
  }

  async #summary(codes: Codes | undefined, appended: Appended | undefined): Promise<StoreSummary> {
    const { clock, index } = this.#components
    const counts = this.#counts
    const state = this.#state
    let missing = 0
    for await (const pack of index.unsettled()) missing += pack.missing
    const seconds = (clock.monotonic() - this.#started) / 1000
    return {
      message_type: 'summary',
      dry_run: this.#request.dryRun,
      files_new: counts.filesNew,
      files_changed: counts.filesChanged,
      files_unmodified: counts.filesUnmodified,
      dirs_new: counts.dirsNew,
      dirs_changed: counts.dirsChanged,
      dirs_unmodified: counts.dirsUnmodified,
      data_blobs: state.read('dataBlobs'),
      tree_blobs: state.read('treeBlobs'),
      data_added:
        codes === undefined
          ? counts.bytesToRead
          : state.read('dataBytesAdded') + state.read('treeBytesAdded'),
      data_added_packed: state.read('packedBytes'),
      total_files_processed: counts.files,
      total_bytes_processed: counts.bytes,
      bytes_sent: this.#sender.bytesSent,
      shards_sent: this.#sender.shardsSent,
      packs_added: state.read('packs'),
      error_count: counts.errors,
      backup_start: new Date(this.#began).toISOString(),
      backup_end: new Date(clock.now()).toISOString(),
      total_duration: seconds,
      snapshot_id: appended === undefined ? null : toHex(appended.id),
      state: stateOf({ missing, codes, appended }),
      missing_shards: missing,
      confirmed_by: appended?.confirmed.length ?? 0,
      reachable_hosts: (appended?.confirmed.length ?? 0) + (appended?.unconfirmed.length ?? 0),
      code: codes === undefined ? '' : `${codes.data.code.k}+${codes.data.code.m}`,
    }
  }
}

type Codes = { data: CodePlan; meta: CodePlan }

type Walked = Extract<FromWalker, { type: 'walked' }>

type Threads = {
  walked: Promise<Walked>
  compute: ComputePool
  cache: string
  /** Asks the walker something and waits for its answer. */
  ask: (message: ToWalker) => Promise<void>
  end: () => Promise<void>
}

/** The word for what was committed: evidence only, never what was intended. */
function stateOf(o: {
  missing: number
  codes: Codes | undefined
  appended: Appended | undefined
}): StoreSummary['state'] {
  const { missing, codes, appended } = o
  if (codes === undefined || appended === undefined) return 'empty'
  if (missing > 0 || !appended.majority) return 'settling'
  return codes.data.met && codes.meta.met ? 'protected' : 'degraded'
}

function growTable(table: DedupTable): void {
  table.extend([...table.buffers, dedupSegment(Math.max(TABLE_ENTRIES_MIN, table.count))])
}

function hintOf(hint: string | undefined): { hint?: string } {
  return hint === undefined ? {} : { hint }
}

function abortReason(signal: AbortSignal): MoyaiError {
  const { reason } = signal as { reason: unknown }
  if (reason instanceof MoyaiError) return reason
  return new MoyaiError('ABORTED', 'the store was interrupted', {
    hint: 'store again: what is already with the hosts is not sent twice',
    cause: reason,
  })
}

function identityOf(path: string): { device: bigint; inode: bigint } | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? undefined : { device: stat.dev, inode: stat.ino }
}
