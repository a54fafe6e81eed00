/** Temporary files kept open for writing between calls: those last used. */

import { closeSync, readFileSync } from 'node:fs'

import { defined } from '@moyai/protocol'

import type { SafeTree } from './safe-tree.ts'
import { openTemporary } from './target-file.ts'
import type { TargetFile } from './target-file.ts'

/** A window's files, where the system allows so many. */
const OPEN_FILES_MAX = 4096
/** Where the system's limit is low or unknown. */
const OPEN_FILES_MIN = 512

/** See the head of this file. Files have numbers. */
export class OpenFiles {
  readonly #tree: SafeTree
  readonly #open = new Map<number, number>()
  readonly #openMax = openFilesMax()

  constructor(tree: SafeTree) {
    this.#tree = tree
  }

  /** A descriptor of the temporary file, to be used at once; as `openTemporary`. */
  descriptor(number: number, file: TargetFile): number {
    let fd = this.#open.get(number)
    if (fd === undefined) fd = openTemporary(this.#tree, file)
    else this.#open.delete(number)
    this.#open.set(number, fd)
    if (this.#open.size > this.#openMax) {
      const [oldest] = this.#open.keys()
      this.forget(defined(oldest, 'an open file'))
    }
    return fd
  }

  /** Closes a file that is not needed any more. */
  forget(number: number): void {
    const fd = this.#open.get(number)
    if (fd === undefined) return
    this.#open.delete(number)
    closeSync(fd)
  }

  close(): void {
    for (const fd of this.#open.values()) closeSync(fd)
    this.#open.clear()
  }
}

/** A quarter of what this process may open: connections and the database need some, too. */
function openFilesMax(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'latin1')
    const soft = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 0)
    return Math.min(Math.max(Math.floor(soft / 4), OPEN_FILES_MIN), OPEN_FILES_MAX)
  } catch {
    return OPEN_FILES_MIN
  }
}
