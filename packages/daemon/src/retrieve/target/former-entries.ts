/**
 * What an interrupted run left in a directory that still has its temporary name.
 *
 * It may be half-written, belong to another snapshot or not be wanted this time, and would be found
 * under its own name once the directory gets its own. So what this run does not restore, or fails
 * to, is removed before that. Only a restore can have put it there: the directory is private.
 */

import { lstatSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs'

import type { SafeDirectory, SafeTree } from './safe-tree.ts'

/**
 * About 30 MB of names; what is beyond is removed at once, and restored like all that is absent.
 */
const ENTRIES_MAX = 262_144

/** See the head of this file. */
export class FormerEntries {
  readonly #tree: SafeTree
  readonly #directory: SafeDirectory
  /** As latin1, which has all bytes. */
  readonly #names: Set<string>

  constructor(tree: SafeTree, directory: SafeDirectory) {
    this.#tree = tree
    this.#directory = directory
    const names = namesIn(tree, directory)
    for (const name of names.splice(ENTRIES_MAX)) removeEntry(tree, directory, name)
    this.#names = new Set(names)
  }

  /** This run restored `name`, or what is there is right. */
  keep(name: Uint8Array): void {
    this.#names.delete(Buffer.from(name).toString('latin1'))
  }

  /** Removes what was not kept. */
  removeRest(): void {
    for (const name of this.#names) removeEntry(this.#tree, this.#directory, name)
    this.#names.clear()
  }
}

function namesIn(tree: SafeTree, directory: SafeDirectory): string[] {
  return readdirSync(tree.path(directory), { encoding: 'latin1' })
}

/** Below a private directory nobody else changes anything, so that what is found stays so. */
function removeEntry(tree: SafeTree, directory: SafeDirectory, text: string): void {
  const name = Uint8Array.from(Buffer.from(text, 'latin1'))
  const stat = lstatSync(tree.path(directory, name), { throwIfNoEntry: false })
  if (stat === undefined) return // a temporary file that has its name now
  if (!stat.isDirectory()) return unlinkSync(tree.path(directory, name))
  const below = tree.child(directory, name)
  for (const inside of namesIn(tree, below)) removeEntry(tree, below, inside)
  tree.forget(below)
  rmdirSync(tree.path(directory, name))
}
