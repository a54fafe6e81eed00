/** Counts of a retrieve, what went wrong, and the progress that is told underway. */

import type { Clock, ItemErrorEvent, RetrieveStatusEvent, RetrieveSummary } from '@moyai/protocol'

import type { Failure } from './target/types.ts'

/** Paths listed in the summary; every one is told as an event. */
const LISTED_MAX = 10_000
const STATUS_MS = 500

export type RestoreEvent = RetrieveStatusEvent | ItemErrorEvent

/** What the whole is expected to be, where that is known before: the snapshot's own counts. */
export type Expected = { files: number; bytes: number } | undefined

/** See the head of this file. */
export class RestoreTally {
  totalFiles = 0
  totalBytes = 0
  filesRestored = 0
  filesSkipped = 0
  bytesRestored = 0
  bytesSkipped = 0
  errorCount = 0
  readonly unrecoverable: string[] = []
  readonly notKept = new Set<string>()
  readonly #clock: Clock
  readonly #onEvent: (event: RestoreEvent) => void
  readonly #expected: Expected
  readonly #begun: number
  #statusAt: number

  constructor(o: { clock: Clock; onEvent: (event: RestoreEvent) => void; expected: Expected }) {
    this.#clock = o.clock
    this.#onEvent = o.onEvent
    this.#expected = o.expected
    this.#begun = o.clock.monotonic()
    this.#statusAt = this.#begun
  }

  failed(path: string, failure: Failure): void {
    this.errorCount += 1
    const lost = failure.code === 'UNRECOVERABLE'
    if (lost && this.unrecoverable.length < LISTED_MAX) this.unrecoverable.push(path)
    this.#onEvent({
      message_type: 'error',
      error: { message: failure.message, code: failure.code },
      during: 'retrieve',
      item: path,
    })
  }

  restored(bytes: number): void {
    this.filesRestored += 1
    this.bytesRestored += bytes
  }

  /** What was counted as restored is not after all. */
  withdrawn(bytes: number): void {
    this.filesRestored -= 1
    this.bytesRestored -= bytes
  }

  skipped(bytes: number): void {
    this.filesSkipped += 1
    this.bytesSkipped += bytes
  }

  /** Tells progress, at most twice a second. */
  status(): void {
    const now = this.#clock.monotonic()
    if (now - this.#statusAt < STATUS_MS) return
    this.#statusAt = now
    const elapsed = (now - this.#begun) / 1000
    const totalFiles = Math.max(this.#expected?.files ?? 0, this.totalFiles)
    const totalBytes = Math.max(this.#expected?.bytes ?? 0, this.totalBytes)
    const bytesDone = this.bytesRestored + this.bytesSkipped
    const known = this.#expected !== undefined && totalBytes > 0
    const part = known ? bytesDone / totalBytes : null
    this.#onEvent({
      message_type: 'status',
      seconds_elapsed: elapsed,
      seconds_remaining: part === null || part === 0 ? null : elapsed / part - elapsed,
      percent_done: part,
      total_files: totalFiles,
      files_restored: this.filesRestored,
      files_skipped: this.filesSkipped,
      total_bytes: totalBytes,
      bytes_restored: this.bytesRestored,
      bytes_skipped: this.bytesSkipped,
      error_count: this.errorCount,
    })
  }

  summary(o: {
    snapshot: string
    dryRun: boolean
    verified: boolean
    bytesFetched: number
  }): RetrieveSummary {
    return {
      message_type: 'summary',
      dry_run: o.dryRun,
      snapshot_id: o.snapshot,
      total_files: this.totalFiles,
      files_restored: this.filesRestored,
      files_skipped: this.filesSkipped,
      total_bytes: this.totalBytes,
      bytes_restored: this.bytesRestored,
      bytes_skipped: this.bytesSkipped,
      bytes_fetched: o.bytesFetched,
      seconds_elapsed: (this.#clock.monotonic() - this.#begun) / 1000,
      error_count: this.errorCount,
      unrecoverable: [...this.unrecoverable],
      not_kept: [...this.notKept].sort(),
      verified: o.verified,
    }
  }
}
