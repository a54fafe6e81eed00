/** A few opening threads; each call goes to the one with the least to do. */

import { availableParallelism } from 'node:os'

import type { OpenedBlob, OpenJob, OpenKeys, RebuildJob } from './open-jobs.ts'
import type { OpenMethods } from './open-thread.ts'
import { Thread, threadModule } from './thread.ts'

/** More threads than this open faster than any network delivers. */
const THREADS_MAX = 4
/** A thread is started in 50 ms and keeps some 40 MiB. */
const IDLE_MS = 3000

/** Where blobs are opened: the pool, or the calling thread itself in a test. */
export type Opening = {
  open(job: OpenJob): Promise<OpenedBlob[]>
  rebuild(job: RebuildJob): Promise<Uint8Array>
}

/** See the head of this file. Threads start when called, and end when nothing is left to do. */
export class OpeningPool implements Opening {
  readonly #threads: Thread<OpenMethods>[]

  /** One core is left to the network and the writer. */
  constructor(keys: OpenKeys, threads: number = availableParallelism() - 1) {
    const count = Math.min(Math.max(threads, 1), THREADS_MAX)
    const url = threadModule('./open-thread', import.meta.url)
    this.#threads = Array.from({ length: count }, () => new Thread<OpenMethods>(url, keys, IDLE_MS))
  }

  /** Takes over the memory of `job.bytes`. */
  open(job: OpenJob): Promise<OpenedBlob[]> {
    return this.#idlest().call('open', job, [job.bytes.buffer as ArrayBuffer])
  }

  /** Takes over the memory of `job.shards`. */
  rebuild(job: RebuildJob): Promise<Uint8Array> {
    return this.#idlest().call('rebuild', job, [job.shards.buffer as ArrayBuffer])
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()))
  }

  #idlest(): Thread<OpenMethods> {
    return this.#threads.reduce((best, thread) => (thread.busy < best.busy ? thread : best))
  }
}
