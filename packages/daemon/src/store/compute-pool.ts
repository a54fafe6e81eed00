/** The compute threads of one store: started with the first batch, given one batch at a time. */

import { availableParallelism } from 'node:os'
import { MessageChannel, Worker } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'

import { assert, MoyaiError, toMoyaiError } from '@moyai/protocol'

import type { ComputeSetup, FromCompute, ToCompute } from './messages.ts'
import type { PackNotice } from './pack-writer.ts'
import { SpanProgress } from './span.ts'
import type { Span } from './span.ts'
import type { WalkBatch } from './walker.ts'

/** Each thread holds about 60 MiB of buffers; two keep a daemon far below its 512 MiB. */
const THREADS_MAX = 2

/** A thread that outgrows this has a bug; its death is better than the machine's. */
const RESOURCE_LIMITS = { maxOldGenerationSizeMb: 192, maxYoungGenerationSizeMb: 6 }

/** Threads to use on this machine. */
export function computeThreads(): number {
  return Math.max(1, Math.min(THREADS_MAX, availableParallelism()))
}

/**
 * Starts a worker of this folder: `.ts` from a checkout, `.js` from a package. `port` moves to the
 * worker.
 */
export function startWorker(
  name: 'compute-worker' | 'walk-worker',
  o: { data?: unknown; port?: MessagePort } = {},
): Worker {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return new Worker(new URL(`./${name}.${extension}`, import.meta.url), {
    name,
    workerData: o.data,
    resourceLimits: RESOURCE_LIMITS,
    transferList: o.port === undefined ? [] : [o.port],
  })
}

/** Reports the end of a worker that was not asked to end. */
export function watchWorker(worker: Worker, onFailure: (error: MoyaiError) => void): void {
  worker.on('error', (error) => onFailure(toMoyaiError(error)))
  worker.on('exit', (code) => {
    onFailure(new MoyaiError('INTERNAL', `a thread of the store ended (exit ${code})`))
  })
}

type Thread = { worker: Worker; busy: boolean }

export type ComputePoolOptions = { threads: number }

export type ComputePoolComponents = {
  /** Called for each thread when it starts: the table has grown meanwhile. */
  setup: () => Omit<ComputeSetup, 'toWalker' | 'shares'>
  /** Gets the walker's end of a new thread's channel. */
  onStart: (port: MessagePort) => void
  /** The table's segments as of now. */
  table: () => SharedArrayBuffer[]
  onPack: (pack: PackNotice) => void
  onFailure: (error: MoyaiError) => void
}

/** See the head of this file. */
export class ComputePool {
  readonly #options: ComputePoolOptions
  readonly #components: ComputePoolComponents
  readonly #threads: Thread[] = []
  readonly #waiting: WalkBatch[] = []
  /** Spans that nobody took yet; a thread that has time looks whether they still are open. */
  #spans: Span[] = []
  #flushes: { left: number; resolve: () => void } | undefined
  #ended = false

  constructor(options: ComputePoolOptions, components: ComputePoolComponents) {
    this.#options = options
    this.#components = components
  }

  submit(batch: WalkBatch): void {
    this.#waiting.push(batch)
    this.#dispatch()
  }

  /** Has every thread write what it has left; all batches have been answered before. */
  async flush(): Promise<void> {
    assert(this.#waiting.length === 0, 'everything was read')
    if (this.#threads.length === 0) return
    await new Promise<void>((resolve) => {
      this.#flushes = { left: this.#threads.length, resolve }
      for (const { worker } of this.#threads) send(worker, { type: 'flush' })
    })
  }

  async end(): Promise<void> {
    this.#ended = true
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()))
  }

  #dispatch(): void {
    this.#spans = this.#spans.filter(({ shared }) => new SpanProgress(shared).isOpen)
    while (this.#waiting.length > 0 || this.#spans.length > 0) {
      const thread = this.#threads.find(({ busy }) => !busy) ?? this.#start()
      if (thread === undefined) return
      thread.busy = true
      const table = this.#components.table()
      // what is begun first: another thread waits for it
      const span = this.#spans.shift()
      const batch = span === undefined ? this.#waiting.shift() : undefined
      if (span !== undefined) send(thread.worker, { type: 'span', span, table })
      if (batch !== undefined) send(thread.worker, { type: 'batch', batch, table })
    }
  }

  #start(): Thread | undefined {
    if (this.#threads.length >= this.#options.threads || this.#ended) return undefined
    const { port1: toWalker, port2 } = new MessageChannel()
    const shares = this.#options.threads > 1
    const data: ComputeSetup = { ...this.#components.setup(), toWalker, shares }
    const worker = startWorker('compute-worker', { data, port: toWalker })
    this.#components.onStart(port2)
    const thread: Thread = { worker, busy: false }
    this.#threads.push(thread)
    const fail = (error: MoyaiError): void => {
      if (!this.#ended) this.#components.onFailure(error)
    }
    watchWorker(worker, fail)
    worker.on('message', (message: FromCompute) => {
      if (message.type === 'failed') {
        const { code, hint } = message
        fail(new MoyaiError(code, message.message, hint === undefined ? {} : { hint }))
      } else if (message.type === 'flushed') {
        const flushes = this.#flushes
        if (flushes !== undefined && --flushes.left === 0) flushes.resolve()
      } else if (message.type === 'span') {
        this.#spans.push(message.span)
        this.#dispatch()
      } else if (message.type === 'pack') {
        this.#components.onPack(message.pack)
      } else {
        thread.busy = false
        this.#dispatch()
      }
    })
    return thread
  }
}

function send(worker: Worker, message: ToCompute): void {
  worker.postMessage(message)
}
