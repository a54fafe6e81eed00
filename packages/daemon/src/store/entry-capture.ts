/**
 * What is kept of a name besides its content: as recorded when nothing about it changed, else
 * captured anew.
 *
 * An unchanged name costs one `statx` and five comparisons. A new plain file or directory (by far
 * most) goes from the numbers of the file system straight to bytes; what has extended attributes,
 * is a link or a device, or does not fit, becomes an `Entry`.
 */

import { constants, lstatSync } from 'node:fs'

import {
  DraftWriter,
  equalStamps,
  NAME_BYTES_MAX,
  OWNER_NAME_BYTES_MAX,
  STAMP,
} from '@moyai/protocol'
import type { Entry, EntryCursor, EntryDraft } from '@moyai/protocol'

import { captureEntry, entryType, OwnerNames } from '../files/index.ts'
import { fsPath, joinPath, pathBytes } from './byte-path.ts'
import { loadStatReader, recordOf } from './walker-stat.ts'
import type { FileStat, StatReader } from './walker-stat.ts'

/**
 * Kernel time stamps advance in ticks of up to 10 ms: a change within the tick of a read would be
 * invisible.
 */
const TICK_NS = 10_000_000n

/** A name without its content. */
export type Captured = { draft: EntryDraft } | { entry: Entry }

export type EntryCaptureOptions = {
  /** When the run of the last snapshot began, ms since the epoch. */
  began: number
}

export type EntryCaptureComponents = {
  problem: (path: string, message: string) => void
}

/** See the head of this file. */
export class EntryCapture {
  readonly #problem: EntryCaptureComponents['problem']
  readonly #stats: StatReader = loadStatReader()
  readonly #names = new OwnerNames()
  readonly #drafts = new DraftWriter()
  /** What changed from here on may have changed after it was read: two words of nanoseconds. */
  readonly #racyHigh: number
  readonly #racyLow: number

  constructor(options: EntryCaptureOptions, components: EntryCaptureComponents) {
    this.#problem = components.problem
    const racyFrom = BigInt(options.began) * 1_000_000n - TICK_NS
    this.#racyHigh = Number(racyFrom >> 32n)
    this.#racyLow = Number(BigInt.asUintN(32, racyFrom))
  }

  /** The record of the name that was looked at last; `size` is that of the content. */
  get stat(): FileStat {
    return this.#stats.stat
  }

  get isDirectory(): boolean {
    return (this.stat.mode & constants.S_IFMT) === constants.S_IFDIR
  }

  get isFile(): boolean {
    return (this.stat.mode & constants.S_IFMT) === constants.S_IFREG
  }

  /** The names in `folder`, in the order of their bytes; throws what `readdirSync` throws. */
  names(folder: string): string[] {
    return this.#stats.names(folder)
  }

  /** Looks at `name` in `folder`; throws what `lstatSync` throws. */
  look(folder: string, name: string): void {
    this.#stats.lstat(folder, name)
    this.#clearSize()
  }

  /** The end of the walk. */
  close(): void {
    this.#stats.close()
  }

  /** True when what was looked at last is as recorded at `old`. */
  isUnchanged(old: EntryCursor): boolean {
    const { stat } = this
    const { stamp } = stat
    return (
      old.hasStamp &&
      !old.hasError &&
      equalStamps(old.stamp, stamp) &&
      old.type === entryType(stat.mode) &&
      stat.isExact &&
      this.#isBeforeLastRun(stamp[STAMP.ctime] as number, stamp[STAMP.ctime + 1] as number)
    )
  }

  /** Captures what was looked at last; undefined when it could not be, which was told. */
  capture(folder: string, name: string): Captured | undefined {
    const { stat } = this
    const type = entryType(stat.mode)
    const user = this.#names.user(stat.uid)
    const group = this.#names.group(stat.gid)
    const isPlain =
      (type === 'file' || type === 'directory') &&
      stat.isExact &&
      name.length <= NAME_BYTES_MAX &&
      isShort(user) &&
      isShort(group) &&
      !this.#stats.mayHaveXattrs()
    if (!isPlain) return this.#captureRare(joinPath(folder, name), name)
    const { uid, gid, links, btimeHigh, btimeLow, stamp } = stat
    const mode = stat.mode & 0o7777
    const fields = { type, mode, uid, gid, user, group, links, btimeHigh, btimeLow, stamp }
    return { draft: this.#drafts.write(name, fields) }
  }

  /** Captures the root of a snapshot, which has no name; undefined when it could not be. */
  captureRoot(path: string): Entry | undefined {
    return this.#captureRare(path, '')?.entry
  }

  /** Captures everything that the format has; `stat` then is what was captured. */
  #captureRare(path: string, name: string): { entry: Entry } | undefined {
    try {
      const stat = lstatSync(fsPath(path), { bigint: true })
      recordOf(stat, this.stat)
      this.#clearSize()
      const entry = captureEntry(pathBytes(path), stat, pathBytes(name), {
        holes: false,
        names: this.#names,
        onProblem: (what, error) => this.#problem(path, `${what}: ${error.message}`),
      })
      // reading a file to store it moves its atime: recorded, it would make every tree a new one
      delete entry.atime
      return { entry }
    } catch (error) {
      this.#problem(path, error instanceof Error ? error.message : String(error))
      return undefined
    }
  }

  /** Only files have a size in the format: that of a directory says nothing of its content. */
  #clearSize(): void {
    if (this.isFile) return
    const { stamp } = this.stat
    stamp[STAMP.size] = 0
    stamp[STAMP.size + 1] = 0
  }

  #isBeforeLastRun(ctimeHigh: number, ctimeLow: number): boolean {
    if (ctimeHigh !== this.#racyHigh) return ctimeHigh < this.#racyHigh
    return ctimeLow >>> 0 < this.#racyLow
  }
}

/** A UTF-16 unit is at most 3 bytes of UTF-8. */
function isShort(name: string | undefined): boolean {
  return name === undefined || 3 * name.length <= OWNER_NAME_BYTES_MAX
}
