/**
 * What is complete and waits for its name.
 *
 * Everything in it is on the disk before anything gets a name, and one `syncfs` does that for all
 * that waits: one for each file, or for each window, would be most of a restore's time.
 */

import { fsyncSync } from 'node:fs'

import { syscalls } from '../../files/index.ts'
import type { SafeTree } from './safe-tree.ts'
import { failureOf } from './target-file.ts'
import type { Finished, Unpublished } from './types.ts'

/** About 1 KiB of state each. */
const WAITING_MAX = 8192

/**
 * `publish` gives the name, and returns what of the metadata could not be kept. What cannot get its
 * name is for `discard`, which does not throw.
 */
type Waiting = Pick<Unpublished, 'kind' | 'number'> & {
  publish: () => string[]
  discard?: () => void
}

/** See the head of this file. */
export class Publisher {
  readonly #tree: SafeTree
  #waiting: Waiting[] = []

  constructor(tree: SafeTree) {
    this.#tree = tree
  }

  /** How many things wait for their names. */
  get size(): number {
    return this.#waiting.length
  }

  /** True when no more should wait. */
  get isDue(): boolean {
    return this.#waiting.length >= WAITING_MAX
  }

  add(waiting: Waiting): void {
    this.#waiting.push(waiting)
  }

  /** Gives everything that waits its name, in order; tells `outcome` what did not succeed. */
  publish(outcome: Pick<Finished, 'unpublished' | 'notKept'>): void {
    const waiting = this.#waiting
    this.#waiting = []
    if (waiting.length === 0) return
    try {
      this.sync()
    } catch (error) {
      const failure = failureOf(error)
      for (const { kind, number, discard } of waiting) {
        outcome.unpublished.push({ kind, number, failure })
        discard?.()
      }
      return
    }
    for (const { kind, number, publish, discard } of waiting) {
      try {
        outcome.notKept.push(...publish())
      } catch (error) {
        outcome.unpublished.push({ kind, number, failure: failureOf(error) })
        discard?.()
      }
    }
  }

  /** Puts everything in the file system of the target on the disk. */
  sync(): void {
    const root = this.#tree.descriptor(this.#tree.root)
    const { syncFileSystem } = syscalls()
    if (syncFileSystem === undefined) fsyncSync(root)
    else syncFileSystem(root)
  }
}
