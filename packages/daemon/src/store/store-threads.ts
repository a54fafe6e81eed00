/**
 * The threads of one store and the messages between them: the walker, the compute threads, and the
 * table of known chunks, which is read from the index only when a thread needs it.
 */

import { MessageChannel } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'

import { assert, MoyaiError } from '@moyai/protocol'
import type { Code, ErrorCode, VaultBundle } from '@moyai/protocol'

import { ComputePool } from './compute-pool.ts'
import { dedupSegment, DedupTable } from './dedup-table.ts'
import type { FromWalker, TableAnswer, ToWalker, WalkSetup, WorkerSetup } from './messages.ts'
import type { PathPlan } from './path-plan.ts'
import type { SharedState } from './shared-state.ts'
import type { VaultIndex } from './vault-index.ts'
import type { WalkCounts } from './walk-counts.ts'
import type { WalkerThread, WalkerThreads } from './walker-thread.ts'

/** New room in the table of known chunks, at least. */
const TABLE_ENTRIES_MIN = 50_000
/**
 * A further segment has room for this share of all chunks before it: rounded up to a power of two
 * it is about as large as they are, where the whole count would often be twice as much.
 */
const TABLE_GROWTH = 0.6

export type StoreThreadsOptions = {
  bundle: VaultBundle
  outbox: string
  /** Codes for data and for metadata packs. */
  codes: { data: Code; meta: Code }
  /** ms since the epoch. */
  created: number
  protectedUntil: number
  compressionLevel: number
  threads: number
  plan: PathPlan
  excludes: string[]
  ownHome: { device: bigint; inode: bigint } | undefined
  dryRun: boolean
  /** Path of this source's page cache. */
  cache: string
  /** Generation of the index. */
  generation: Uint8Array
}

export type StoreThreadsComponents = {
  index: VaultIndex
  state: SharedState
  walkers: WalkerThreads
  /** A pack is in the outbox; `index`: it may hold index segments. */
  onPack: (pack: Uint8Array, o: { index: boolean }) => void
  onProgress: (counts: WalkCounts, current: string) => void
  onProblem: (problem: { path: string; code: ErrorCode; message: string }) => void
  /** A thread cannot go on; called at least once then. */
  onFailure: (error: unknown) => void
}

/** The end of a walk. */
export type Walked = Extract<FromWalker, { type: 'walked' }>

/** See the head of this file. */
export class StoreThreads {
  readonly #options: StoreThreadsOptions
  readonly #components: StoreThreadsComponents
  readonly #walker: WalkerThread
  readonly #compute: ComputePool
  readonly #tablePort: MessagePort
  readonly #walked = Promise.withResolvers<Walked>()
  readonly #answers: (() => void)[] = []
  #table: DedupTable | undefined
  #loading: Promise<DedupTable> | undefined
  #hasWalked = false
  #hasFailed = false
  #ended = false

  /** Starts the walk. */
  constructor(options: StoreThreadsOptions, components: StoreThreadsComponents) {
    this.#options = options
    this.#components = components
    const { port1, port2 } = new MessageChannel()
    this.#tablePort = port1
    this.#compute = new ComputePool(
      { threads: options.threads },
      {
        setup: () => ({ ...this.#setup('data'), table: this.#tableBuffers() }),
        table: () => this.#tableBuffers(),
        onStart: (port) => this.#walker.send({ type: 'compute', port }, [port]),
        onPack: ({ pack }) => components.onPack(pack, { index: false }),
        onFailure: (error) => this.#failed(error),
      },
    )
    const { plan, excludes, ownHome, dryRun, cache, generation, threads } = options
    const batchesMax = 2 * threads + 1
    const setup: WalkSetup = {
      ...this.#setup('meta'),
      plan,
      excludes,
      ownHome,
      dryRun,
      batchesMax,
      cache,
      generation,
      tablePort: port2,
    }
    this.#walker = components.walkers.take({
      onMessage: (message) => this.#fromWalker(message),
      onFailure: (error) => {
        if (!this.#ended) this.#failed(error)
      },
    })
    this.#walker.send({ type: 'walk', setup }, [port2])
  }

  /** Resolves when everything was walked and read. */
  get walked(): Promise<Walked> {
    return this.#walked.promise
  }

  /**
   * Has compute threads write what they have left, and ends them: their buffers are gone before the
   * walker needs its own. Every pack was reported when it resolves.
   */
  async flushContent(): Promise<void> {
    await this.#compute.flush()
    await this.#compute.end()
  }

  /** Adds index segments to the metadata that waits to be packed. */
  addIndex(segments: Uint8Array[]): Promise<void> {
    return this.#ask({ type: 'index', segments })
  }

  /** Has the walker write what it has left; every pack was reported when it resolves. */
  flushMetadata(): Promise<void> {
    return this.#ask({ type: 'flush' })
  }

  /** Ends all threads, whatever they do; a walker that has nothing left to do is kept. */
  async end(): Promise<void> {
    this.#ended = true
    this.#tablePort.close()
    await this.#compute.end()
    const isIdle = this.#hasWalked && this.#answers.length === 0 && !this.#hasFailed
    if (isIdle && this.#walker.isAlive) this.#components.walkers.keep(this.#walker)
    else await this.#walker.terminate()
  }

  #failed(error: unknown): void {
    this.#hasFailed = true
    this.#components.onFailure(error)
  }

  #setup(packClass: 'data' | 'meta'): WorkerSetup {
    const { bundle, outbox, codes, created, protectedUntil, compressionLevel } = this.#options
    return {
      bundle,
      state: this.#components.state.buffer,
      outbox,
      code: codes[packClass],
      stripeClass: packClass,
      created,
      protectedUntil,
      compressionLevel,
    }
  }

  async #ask(message: ToWalker): Promise<void> {
    const answer = new Promise<void>((done) => this.#answers.push(done))
    this.#walker.send(message)
    await answer
  }

  #fromWalker(message: FromWalker): void {
    const { onPack, onProgress, onProblem, state } = this.#components
    switch (message.type) {
      case 'walked':
        this.#hasWalked = true
        this.#walked.resolve(message)
        break
      case 'indexed':
      case 'flushed':
        this.#answers.shift()?.()
        break
      case 'batch':
        void this.#withTable(() => this.#compute.submit(message.batch))
        break
      case 'table':
        void this.#withTable((table) => {
          const answer: TableAnswer = { table: table.buffers }
          this.#tablePort.postMessage(answer)
          state.tableReady()
        })
        break
      case 'pack':
        onPack(message.pack.pack, { index: message.index })
        break
      case 'progress':
        onProgress(message.counts, message.current)
        break
      case 'problem':
        onProblem(message)
        break
      case 'failed': {
        const { code, hint } = message
        this.#failed(new MoyaiError(code, message.message, hint === undefined ? {} : { hint }))
        break
      }
    }
  }

  /**
   * Runs `use` with the table of known chunks, which is read from the index when it is first
   * needed.
   */
  async #withTable(use: (table: DedupTable) => void): Promise<void> {
    try {
      this.#loading ??= this.#loadTable()
      const table = await this.#loading
      if (!this.#ended) use(table)
    } catch (error) {
      this.#failed(error)
    }
  }

  async #loadTable(): Promise<DedupTable> {
    const table = new DedupTable([dedupSegment(TABLE_ENTRIES_MIN)])
    for await (const id of this.#components.index.chunkIds()) {
      if (table.needsSegment()) grow(table)
      table.claim(id)
    }
    grow(table)
    this.#table = table
    return table
  }

  #tableBuffers(): SharedArrayBuffer[] {
    assert(this.#table !== undefined, 'the table was loaded before threads use it')
    if (this.#table.needsSegment()) {
      grow(this.#table)
      const message: ToWalker = { type: 'table', table: this.#table.buffers }
      this.#walker.send(message)
    }
    return this.#table.buffers
  }
}

function grow(table: DedupTable): void {
  table.extend([
    ...table.buffers,
    dedupSegment(Math.max(TABLE_ENTRIES_MIN, TABLE_GROWTH * table.count)),
  ])
}
