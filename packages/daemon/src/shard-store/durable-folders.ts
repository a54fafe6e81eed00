/**
 * Names made durable: folders that are made when they are needed, and the fsync of a folder shared
 * by all who wait for it.
 *
 * An fsync that began before a rename says nothing of it, so whoever comes while one is under way
 * waits for the next one, together with all others who came. There is no timer: one caller alone
 * waits for nothing but its own.
 */

import { MoyaiError } from '@moyai/protocol'
import type { Disk } from '../file-system/index.ts'

export class DurableFolders {
  readonly #disk: Disk
  readonly #running = new Map<string, Promise<void>>()
  readonly #next = new Map<string, Promise<void>>()
  /** Folders whose own name is durable, or on its way. */
  readonly #made = new Map<string, Promise<void>>()
  #tainted: unknown

  constructor(disk: Disk) {
    this.#disk = disk
  }

  get isTainted(): boolean {
    return this.#tainted !== undefined
  }

  /**
   * STORE_TAINTED once an fsync has failed: what the disk still holds is unknown, and a retry would
   * not tell.
   */
  check(): void {
    if (this.#tainted === undefined) return
    throw new MoyaiError('STORE_TAINTED', 'the disk failed to store something', {
      cause: this.#tainted,
      hint: 'check the disk, then restart the daemon; shards can still be read',
    })
  }

  /** Runs an fsync; when it fails, nothing is acknowledged any more. */
  async sync(run: () => Promise<void>): Promise<void> {
    this.check()
    try {
      await run()
    } catch (error) {
      this.#tainted ??= error
      this.check()
    }
    // Another fsync may have failed meanwhile, and with it what this one was to follow.
    this.check()
  }

  /** Resolves when all names that are in the folder now are durable. */
  syncFolder(path: string): Promise<void> {
    const running = this.#running.get(path)
    if (running === undefined) return this.#start(path)
    let next = this.#next.get(path)
    if (next === undefined) {
      const start = (): Promise<void> => {
        this.#next.delete(path)
        return this.#start(path)
      }
      next = running.then(start, start)
      this.#next.set(path, next)
    }
    return next
  }

  #start(path: string): Promise<void> {
    const run = async (): Promise<void> => {
      try {
        await this.sync(() => this.#disk.syncDirectory(path))
      } finally {
        if (this.#running.get(path) === promise) this.#running.delete(path)
      }
    }
    const promise = run()
    this.#running.set(path, promise)
    return promise
  }

  /** Makes `root`/`parts[0]`/`parts[1]`… and their names durable. `root` itself must be there. */
  async ensure(root: string, parts: readonly string[]): Promise<string> {
    let path = root
    for (const part of parts) {
      const parent = path
      path = `${parent}/${part}`
      let made = this.#made.get(path)
      if (made === undefined) {
        made = this.#make(parent, path)
        this.#made.set(path, made)
      }
      try {
        await made
      } catch (error) {
        this.#made.delete(path)
        throw error
      }
    }
    return path
  }

  /** Forgets which folders are there: somebody has removed one. */
  forget(): void {
    this.#made.clear()
  }

  /**
   * Also of a folder that is there already: an earlier run may have been cut off before it was
   * durable.
   */
  async #make(parent: string, path: string): Promise<void> {
    await this.#disk.makeDirectory(path)
    await this.syncFolder(parent)
  }
}
