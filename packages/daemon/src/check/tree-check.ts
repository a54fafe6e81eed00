/**
 * The trees of all snapshots: every directory can be read, every chunk is somewhere, and none is in
 * a lost pack.
 *
 * Directories that several snapshots share are read once. Chunk ids are looked up, not read:
 * whether their bytes are there is what the shards' check says.
 */

import { toHex } from '@moyai/protocol'
import type { Entry } from '@moyai/protocol'

import { shownPath } from '../retrieve/snapshots.ts'
import type { NamedSnapshot } from '../retrieve/snapshots.ts'
import type { Reading } from '../retrieve/reading.ts'
import type { CheckReport } from './check-report.ts'

/** Directories remembered as checked: about 150 MB; what is forgotten is read once more. */
const CHECKED_MAX = 1_000_000
const LOOKUP_MAX = 1024

/** See the head of this file. One for all snapshots of a check. */
export class TreeCheck {
  readonly #reading: Reading
  readonly #report: CheckReport
  readonly #signal: AbortSignal
  readonly #checked = new Set<string>()

  constructor(reading: Reading, report: CheckReport, signal: AbortSignal) {
    this.#reading = reading
    this.#report = report
    this.#signal = signal
  }

  async snapshot({ id, snapshot }: NamedSnapshot): Promise<void> {
    const { trees } = this.#reading
    const shown = (path: readonly Uint8Array[]): string => `${id.slice(0, 8)}:${shownPath(path)}`
    const into = (_path: readonly Uint8Array[], entry: Entry): boolean => this.#isNew(entry)
    for await (const step of trees.walk(snapshot.root, this.#signal, into)) {
      if (step.op === 'problem') {
        const text = `${shown(step.path)}: ${step.failure.message}`
        this.#report.problem({ kind: 'tree', text })
        this.#report.affects(`${shown(step.path)}/`)
      } else if (step.op === 'entry' && step.entry.type === 'file') {
        await this.#file(shown(step.path), step.entry)
      }
    }
  }

  #isNew(directory: Entry): boolean {
    const { chunks, list } = directory
    // what a directory has follows from the first of its pages' ids and their number: ids are
    // hashes
    const ids = chunks ?? list ?? new Uint8Array()
    const key = `${ids.length}${toHex(ids.subarray(0, 32))}${toHex(ids.subarray(-32))}`
    // pages between could differ: such large folders are always read
    if (ids.length > 64) return true
    if (this.#checked.has(key)) return false
    if (this.#checked.size >= CHECKED_MAX) this.#checked.clear()
    this.#checked.add(key)
    return true
  }

  async #file(path: string, entry: Entry): Promise<void> {
    const { trees, chunks } = this.#reading
    let unknown = 0
    let isLost = false
    try {
      for await (const ids of trees.ids(entry, this.#signal)) {
        for (let at = 0; at < ids.length; at += LOOKUP_MAX) {
          for (const location of await chunks.locate(ids.slice(at, at + LOOKUP_MAX))) {
            if (location === undefined) unknown += 1
            else if (this.#report.lost.size > 0) {
              isLost ||= this.#report.lost.has(toHex(location.pack))
            }
          }
        }
      }
    } catch (error) {
      this.#signal.throwIfAborted()
      this.#report.problem({ kind: 'tree', text: `${path}: ${String(error)}` })
      isLost = true
    }
    if (unknown > 0) {
      const text = `${path}: ${unknown} of its chunks are not in the index`
      this.#report.problem({ kind: 'index', text })
    }
    if (isLost || unknown > 0) this.#report.affects(path)
  }
}
