/**
 * Calls into a worker thread: numbered requests, answers in any order, errors as MoyaiError again.
 *
 * Large buffers are transferred, not copied. A thread that dies fails what it had in hand; the next
 * call starts a new one.
 */

import { parentPort, Worker } from 'node:worker_threads'

import { assert, isErrorCode, MoyaiError, toMoyaiError } from '@moyai/protocol'
import type { ErrorCode } from '@moyai/protocol'

type Request = { id: number; method: string; argument: unknown }
type Reply =
  | { id: number; result: unknown }
  | { id: number; error: { code: ErrorCode; message: string } }
type Waiting = { resolve: (result: unknown) => void; reject: (error: MoyaiError) => void }

/** Every method of a thread: its one argument and its result. */
export type Methods = Record<string, (argument: never) => { result: unknown; transfer?: Transfer }>
/** Buffers whose memory moves to the other side. */
export type Transfer = readonly ArrayBuffer[]
type ArgumentOf<M extends Methods, N extends keyof M> = Parameters<M[N]>[0]
type ResultOf<M extends Methods, N extends keyof M> = ReturnType<M[N]>['result']

/**
 * Large buffers are outside the heap. Left to itself, V8 lets the young objects of each thread fill
 * 64 MiB before it looks at them.
 */
const RESOURCE_LIMITS = { maxOldGenerationSizeMb: 192, maxYoungGenerationSizeMb: 6 }

/** One worker thread that serves the methods `M`. */
export class Thread<M extends Methods> {
  readonly #url: URL
  readonly #data: unknown
  readonly #idleMs: number | undefined
  readonly #waiting = new Map<number, Waiting>()
  #worker: Worker | undefined
  #idle: NodeJS.Timeout | undefined
  #next = 0
  #closed = false

  /**
   * `url`: the module that calls `serveThread`; `data`: what it finds as `workerData`. With
   * `idleMs` the thread ends when it had nothing to do for so long, and its memory is given back;
   * the next call starts another.
   */
  constructor(url: URL, data: unknown, idleMs?: number) {
    this.#url = url
    this.#data = data
    this.#idleMs = idleMs
  }

  /** Requests that have no answer yet. */
  get busy(): number {
    return this.#waiting.size
  }

  /** False before the first call, and after the thread ended. */
  get isRunning(): boolean {
    return this.#worker !== undefined
  }

  call<N extends keyof M & string>(
    method: N,
    argument: ArgumentOf<M, N>,
    transfer: Transfer = [],
  ): Promise<ResultOf<M, N>> {
    if (this.#closed) return Promise.reject(new MoyaiError('ABORTED', 'the thread was closed'))
    const worker = (this.#worker ??= this.#start())
    clearTimeout(this.#idle)
    const id = this.#next++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      worker.ref()
      const request: Request = { id, method, argument }
      worker.postMessage(request, [...transfer])
    })
  }

  /** Ends the thread; what it had in hand is rejected with ABORTED. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#idle)
    const worker = this.#worker
    this.#worker = undefined
    this.#fail(new MoyaiError('ABORTED', 'the thread was closed'))
    await worker?.terminate()
  }

  #start(): Worker {
    const worker = new Worker(this.#url, {
      workerData: this.#data,
      resourceLimits: RESOURCE_LIMITS,
    })
    worker.on('message', (reply: Reply) => this.#settle(reply))
    worker.on('error', (error) => {
      if (this.#worker === worker) this.#fail(toMoyaiError(error))
    })
    worker.on('exit', () => {
      if (this.#worker !== worker) return // it was ended: a later one may be at work
      this.#worker = undefined
      this.#fail(new MoyaiError('INTERNAL', 'a worker thread ended'))
    })
    return worker
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id)
    if (waiting === undefined) return
    this.#waiting.delete(reply.id)
    // a thread that waits for work does not keep the process alive, one that works does
    if (this.#waiting.size === 0) this.#rest()
    if ('error' in reply) waiting.reject(new MoyaiError(reply.error.code, reply.error.message))
    else waiting.resolve(reply.result)
  }

  #rest(): void {
    const worker = this.#worker
    worker?.unref()
    if (this.#idleMs === undefined) return
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => {
      this.#worker = undefined
      void worker?.terminate()
    }, this.#idleMs).unref()
  }

  #fail(error: MoyaiError): void {
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { reject } of waiting) reject(error)
  }
}

/**
 * The module beside `base` (its `import.meta.url`): TypeScript in a checkout, JavaScript when it
 * was built.
 */
export function threadModule(name: string, base: string): URL {
  return new URL(`${name}.${base.endsWith('.ts') ? 'ts' : 'js'}`, base)
}

/** Answers the calls of the `Thread` that started this one. */
export function serveThread(methods: Methods): void {
  const port = parentPort
  assert(port !== null, 'in a worker thread')
  port.on('message', (request: Request) => {
    try {
      const method = methods[request.method] as (argument: unknown) => ReturnType<Methods[string]>
      const { result, transfer } = method(request.argument)
      port.postMessage({ id: request.id, result }, [...(transfer ?? [])])
    } catch (error) {
      const { code, message } = toMoyaiError(error)
      const known = isErrorCode(code) ? code : 'INTERNAL'
      port.postMessage({ id: request.id, error: { code: known, message } })
    }
  })
}
