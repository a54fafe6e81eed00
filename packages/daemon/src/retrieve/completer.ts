/** Completes what a restore has written: asks the writer to, and tells what became of it. */

import { MoyaiError } from '@moyai/protocol'

import type { RestoreTally } from './restore-tally.ts'
import type { RemoteWriter } from './restore-run.ts'
import type { Completion } from './restore-window.ts'
import { shownPath } from './snapshots.ts'
import type { Failure, FinishItem, FinishResult, Unpublished } from './target/types.ts'

/** See the head of this file. One for each restore. */
export class Completer {
  readonly #writer: Pick<RemoteWriter, 'finish'>
  readonly #tally: RestoreTally
  /** Files that cannot be completed. */
  readonly #failed = new Map<number, Failure>()
  /** What is complete and has no name yet. */
  readonly #deferred = new Map<string, Completion>()

  constructor(writer: Pick<RemoteWriter, 'finish'>, tally: RestoreTally) {
    this.#writer = writer
    this.#tally = tally
  }

  /** The file will be abandoned; of several reasons the first counts. */
  fail(file: number, failure: Failure): void {
    if (!this.#failed.has(file)) this.#failed.set(file, failure)
  }

  hasFailed(file: number): boolean {
    return this.#failed.has(file)
  }

  /** NO_SPACE when nothing more can succeed. */
  async finish(completions: readonly Completion[]): Promise<void> {
    if (completions.length === 0) return
    const items = completions.map(({ item }) => this.#itemOf(item))
    const { results, unpublished, notKept, waiting } = await this.#writer.finish(items)
    const codes = new Set<string>()
    for (const [i, completion] of completions.entries()) {
      const item = items[i]
      const result = results[i]
      if (item === undefined || result === undefined) continue
      const failure = item.op === 'abandon' ? item.failure : result.failure
      if (failure !== undefined) {
        codes.add(failure.code)
        this.#tally.failed(shown(completion), failure)
      } else {
        this.#done(completion, result)
      }
      for (const what of result.notKept ?? []) this.#tally.notKept.add(what)
      if ('file' in item) this.#failed.delete(item.file)
    }
    for (const what of notKept) this.#tally.notKept.add(what)
    for (const one of unpublished) {
      codes.add(one.failure.code)
      this.#undone(one)
    }
    if (waiting === 0) this.#deferred.clear()
    this.#tally.status()
    if (codes.has('NO_SPACE')) throw new MoyaiError('NO_SPACE', 'no space left in the target')
  }

  #itemOf(item: FinishItem): FinishItem {
    const failure = item.op === 'file' ? this.#failed.get(item.file) : undefined
    if (item.op !== 'file' || failure === undefined) return item
    return { op: 'abandon', file: item.file, failure }
  }

  #done(completion: Completion, { skipped, deferred }: FinishResult): void {
    const { item, entry } = completion
    const bytes = bytesOf(completion)
    if (skipped === true || item.op === 'keep') this.#tally.skipped(bytes)
    else if (item.op !== 'leave') this.#tally.restored(bytes)
    if (deferred === true) this.#deferred.set(keyOf(item), { item, path: completion.path, entry })
  }

  #undone({ kind, number, failure }: Unpublished): void {
    const completion = this.#deferred.get(`${kind}/${number}`)
    if (completion === undefined) throw new MoyaiError('INTERNAL', 'what was not deferred failed')
    if (kind === 'file') this.#tally.withdrawn(bytesOf(completion))
    this.#tally.failed(shown(completion), failure)
  }
}

function keyOf(item: FinishItem): string {
  return 'file' in item ? `file/${item.file}` : `directory/${item.directory}`
}

function bytesOf({ item, entry }: Completion): number {
  return item.op === 'file' || item.op === 'keep' ? Number(entry?.size ?? 0) : 0
}

function shown({ item, path }: Completion): string {
  return item.op === 'leave' ? `${shownPath(path)}/` : shownPath(path)
}
