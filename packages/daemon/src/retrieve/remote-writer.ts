/** The target writer in a worker thread of its own, for one restore. */

import { EarlySync } from './early-sync.ts'
import type { RemoteWriter } from './restore-run.ts'
import type { FinishItem, Part, PrepareItem } from './target/types.ts'
import { Thread, threadModule } from './threads/thread.ts'
import type { WriterData, WriterMethods } from './threads/writer-thread.ts'

/** See the head of this file. `close` must be called: it puts everything on the disk. */
export class ThreadWriter implements RemoteWriter {
  readonly #thread: Thread<WriterMethods>
  readonly #earlySync: EarlySync

  constructor(data: WriterData) {
    const url = threadModule('./threads/writer-thread', import.meta.url)
    this.#thread = new Thread<WriterMethods>(url, data)
    this.#earlySync = new EarlySync(data.target)
  }

  prepare(items: readonly PrepareItem[]): ReturnType<RemoteWriter['prepare']> {
    return this.#thread.call('prepare', items)
  }

  matches(
    file: number,
    where: 'target' | 'temporary',
    parts: readonly Part[],
  ): ReturnType<RemoteWriter['matches']> {
    // ids are views of whole pages, which a message would copy
    const own = parts.map(({ id, extents }) => ({ id: Uint8Array.from(id), extents }))
    return this.#thread.call('matches', { file, where, parts: own })
  }

  rewrite(file: number): ReturnType<RemoteWriter['rewrite']> {
    return this.#thread.call('rewrite', file)
  }

  finish(items: readonly FinishItem[]): ReturnType<RemoteWriter['finish']> {
    this.#earlySync.begin()
    return this.#thread.call('finish', items)
  }

  /** Syncs what was written and ends the thread. */
  async close(): Promise<void> {
    try {
      await this.#thread.call('close', undefined)
    } finally {
      await this.#thread.close()
      await this.#earlySync.end()
    }
  }
}
