/** One window's content: read from the hosts, opened and written by the restoring threads. */

import { MoyaiError } from '@moyai/protocol'
import type { ErrorCode } from '@moyai/protocol'

import type { BlobSink, ChunkReader } from './chunk-reader.ts'
import type { RestoreTally } from './restore-tally.ts'
import type { RestoreWindow } from './restore-window.ts'
import { shownPath } from './snapshots.ts'
import type { Failure } from './target/types.ts'
import type { BlobReport } from './threads/restore-jobs.ts'
import type { Restoring } from './threads/restore-pool.ts'

export type TransferComponents = {
  chunks: Pick<ChunkReader, 'read'>
  restoring: Restoring
  tally: RestoreTally
  /** Told of each file with a temporary name whose content cannot be written. */
  onFailure: (file: number, failure: Failure) => void
}

/**
 * Writes what `window` wants. A blob that cannot be had fails its files and nothing else. Rejects
 * when nothing more can succeed: NO_SPACE, ABORTED, and what a restoring thread throws.
 */
export async function transferWindow(
  window: RestoreWindow,
  components: TransferComponents,
  signal: AbortSignal,
): Promise<void> {
  const transfer = new Transfer(window, components)
  await components.chunks.read(window.wanted, transfer, signal)
}

class Transfer implements BlobSink {
  readonly #window: RestoreWindow
  readonly #components: TransferComponents

  constructor(window: RestoreWindow, components: TransferComponents) {
    this.#window = window
    this.#components = components
  }

  async onRange({ pack, blobs, ...range }: Parameters<BlobSink['onRange']>[0]): Promise<void> {
    const plans = blobs.map((entry) => this.#window.plan(pack, entry))
    const reports = await this.#components.restoring.restore({ ...range, blobs: plans })
    const byBlob = new Map(reports.map((report) => [report.blob, report]))
    for (const [i, { index }] of blobs.entries()) {
      const report = byBlob.get(i)
      if (report?.failure !== undefined) this.#lost(pack, index, report.failure)
      else this.#written(pack, index, report?.content)
    }
    this.#components.tally.status()
  }

  onFailure({ pack, blob }: Parameters<BlobSink['onFailure']>[0], failure: Failure): void {
    this.#lost(pack, blob, failure)
  }

  #lost(pack: Uint8Array, blob: number, failure: Failure): void {
    const why = asUnrecoverable(failure)
    const { small, files } = this.#window.of(pack, blob)
    for (const { path } of small) this.#components.tally.failed(shownPath(path), why)
    for (const file of files) this.#components.onFailure(file, why)
  }

  #written(pack: Uint8Array, blob: number, content: BlobReport['content']): void {
    const { tally, onFailure } = this.#components
    const failures = new Map(content?.small.map(({ at, failure }) => [at, failure]))
    for (const [at, { path, bytes }] of this.#window.of(pack, blob).small.entries()) {
      const failure = failures.get(at)
      if (failure === undefined) tally.restored(bytes)
      else tally.failed(shownPath(path), failure)
    }
    for (const { file, failure } of content?.files ?? []) onFailure(file, failure)
    for (const what of content?.notKept ?? []) tally.notKept.add(what)
    const all = [...(content?.small ?? []), ...(content?.files ?? [])]
    const full = all.find(({ failure }) => failure.code === 'NO_SPACE')
    if (full !== undefined) throw new MoyaiError('NO_SPACE', full.failure.message)
  }
}

/** What was read and is wrong cannot be had from anybody, whatever the exact reason. */
export function asUnrecoverable(failure: Failure): Failure {
  const codes: ErrorCode[] = [
    'HASH_MISMATCH',
    'SEAL_MISMATCH',
    'MALFORMED',
    'TRUNCATED',
    'TOO_LARGE',
    'NOT_ENOUGH_SHARDS',
    'UNKNOWN_VERSION',
  ]
  const { message } = failure
  return codes.includes(failure.code) ? { code: 'UNRECOVERABLE', message } : failure
}
