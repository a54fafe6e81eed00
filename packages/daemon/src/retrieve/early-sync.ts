/**
 * Begins to put on the disk what a restore has written, while it goes on.
 *
 * What a restore waits for at its end is mostly the disk: begun early, that is done beside the
 * work. Nothing rests on it. The syncs after which files get their names are the target writer's
 * own, and they learn of every error since the restore began, also of one that was met here,
 * because the kernel counts errors for each open file apart (syncfs(2)).
 */

import { closeSync, openSync } from 'node:fs'

import { syscalls } from '../files/index.ts'

/** See the head of this file. */
export class EarlySync {
  readonly #target: string
  #running: Promise<void> | undefined

  constructor(target: string) {
    this.#target = target
  }

  /** Begins a sync in another thread, unless one is under way; never throws. */
  begin(): void {
    const { startSyncFileSystem } = syscalls()
    if (startSyncFileSystem === undefined || this.#running !== undefined) return
    let fd: number
    try {
      fd = openSync(this.#target, 'r')
    } catch {
      return // whether the target can be used is the writer's to say
    }
    this.#running = startSyncFileSystem(fd).finally(() => {
      closeSync(fd)
      this.#running = undefined
    })
  }

  /** Resolves when nothing is under way any more. */
  async end(): Promise<void> {
    await this.#running
  }
}
