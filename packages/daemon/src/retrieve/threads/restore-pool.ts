/** The restoring threads of one restore; each job goes to the one with the least to do. */

import { availableParallelism } from 'node:os'

import type { DirectoryNotice } from '../target/types.ts'
import type { BlobReport, RestoreJob } from './restore-jobs.ts'
import type { RestoreData, RestoreMethods } from './restore-thread.ts'
import { Thread, threadModule } from './thread.ts'

/** More threads than this write faster than any network delivers. */
const THREADS_MAX = 4

/** Where content is opened and written: the pool, or the calling thread itself in a test. */
export type Restoring = {
  /** Directories that are there now; before any job for them, the target itself first. */
  enter(notices: readonly DirectoryNotice[]): void
  /** Directories for which there will be no more jobs. */
  leave(directories: readonly number[]): void
  /** Takes over the memory of `job.bytes`. */
  restore(job: RestoreJob): Promise<BlobReport[]>
}

/** A thread, and what it must be told before its next job. */
type Member = {
  thread: Thread<RestoreMethods>
  enter: Map<number, DirectoryNotice>
  leave: number[]
}

/** See the head of this file. A thread is started for its first job. `close` must be called. */
export class RestorePool implements Restoring {
  readonly #members: Member[]

  /** One core is left to the network. */
  constructor(data: RestoreData, threads: number = availableParallelism() - 1) {
    const url = threadModule('./restore-thread', import.meta.url)
    const count = Math.min(Math.max(threads, 1), THREADS_MAX)
    this.#members = Array.from({ length: count }, () => ({
      thread: new Thread<RestoreMethods>(url, data),
      enter: new Map(),
      leave: [],
    }))
  }

  enter(notices: readonly DirectoryNotice[]): void {
    for (const { enter } of this.#members) {
      for (const notice of notices) enter.set(notice.directory, notice)
    }
  }

  leave(directories: readonly number[]): void {
    for (const { enter, leave } of this.#members) {
      // of what came and went between two jobs a thread need not hear
      for (const number of directories) if (!enter.delete(number)) leave.push(number)
    }
  }

  restore(job: RestoreJob): Promise<BlobReport[]> {
    const member = this.#members.reduce((best, one) =>
      one.thread.busy < best.thread.busy ? one : best,
    )
    const enter = [...member.enter.values()]
    const leave = member.leave
    member.enter = new Map()
    member.leave = []
    return member.thread.call('restore', { enter, leave, job }, [job.bytes.buffer as ArrayBuffer])
  }

  /** Waits for the jobs that were given, and ends the threads. */
  async close(): Promise<void> {
    const threads = this.#members.map(({ thread }) => thread)
    try {
      const running = threads.filter(({ isRunning }) => isRunning)
      await Promise.all(running.map((thread) => thread.call('close', undefined)))
    } finally {
      await Promise.all(threads.map((thread) => thread.close()))
    }
  }
}
