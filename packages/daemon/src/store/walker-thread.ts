/**
 * The walking thread, which one store after another uses: starting it and compiling a walk anew is
 * half of what an unchanged tree costs.
 */

import type { MessagePort, Worker } from 'node:worker_threads'

import { assert } from '@moyai/protocol'
import type { MoyaiError } from '@moyai/protocol'

import { startWorker, watchWorker } from './compute-pool.ts'
import type { FromWalker, ToWalker } from './messages.ts'

/** Sources that are stored every few minutes find the thread; its memory is free in the night. */
const IDLE_MS = 10 * 60 * 1000

export type WalkerListener = {
  onMessage: (message: FromWalker) => void
  /** The thread ended without being asked to. */
  onFailure: (error: MoyaiError) => void
}

/** One walking thread while a store has it. */
export class WalkerThread {
  readonly #worker: Worker
  #listener: WalkerListener | undefined
  #isAlive = true

  constructor() {
    this.#worker = startWorker('walk-worker')
    this.#worker.on('message', (message: FromWalker) => this.#listener?.onMessage(message))
    watchWorker(this.#worker, (error) => {
      this.#isAlive = false
      this.#listener?.onFailure(error)
    })
  }

  /** False once it ended: such a thread is of no use to the next store. */
  get isAlive(): boolean {
    return this.#isAlive
  }

  /** From now on `listener` hears it, and it keeps the process alive. */
  lend(listener: WalkerListener): void {
    assert(this.#listener === undefined, 'one store at a time')
    this.#listener = listener
    this.#worker.ref()
  }

  /** Nobody hears it, and it holds nothing up. */
  rest(): void {
    this.#listener = undefined
    this.#worker.unref()
  }

  send(message: ToWalker, transfer: readonly MessagePort[] = []): void {
    this.#worker.postMessage(message, transfer)
  }

  async terminate(): Promise<void> {
    this.#listener = undefined
    await this.#worker.terminate()
  }
}

/** Keeps the thread of the last store for the next one. */
export class WalkerThreads {
  #kept: WalkerThread | undefined
  #idle: NodeJS.Timeout | undefined

  /** A thread for a store: the one that is kept, or a new one. */
  take(listener: WalkerListener): WalkerThread {
    clearTimeout(this.#idle)
    const thread = this.#kept?.isAlive === true ? this.#kept : new WalkerThread()
    this.#kept = undefined
    thread.lend(listener)
    return thread
  }

  /** Keeps a thread whose walk ended well; any other must be terminated instead. */
  keep(thread: WalkerThread): void {
    assert(this.#kept === undefined, 'one store at a time')
    thread.send({ type: 'end' })
    thread.rest()
    this.#kept = thread
    this.#idle = setTimeout(() => void this.close(), IDLE_MS)
    this.#idle.unref()
  }

  /** Ends the thread that is kept. */
  async close(): Promise<void> {
    clearTimeout(this.#idle)
    const thread = this.#kept
    this.#kept = undefined
    await thread?.terminate()
  }
}
