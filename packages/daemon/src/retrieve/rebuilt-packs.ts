/**
 * Rebuilt packs, kept for the ranges to come.
 *
 * A restore reads from some ten packs at a time. In memory they would be most of what the daemon
 * needs; so each is in a file of the state directory without a name, which is gone when the daemon
 * is. What is in it is as sealed as on the hosts.
 */

import { randomUUID } from 'node:crypto'
import { mkdir, open, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

import { MoyaiError } from '@moyai/protocol'

import { ByteBudget } from './byte-budget.ts'

/** Files kept: some twenty packs of usual size. */
const KEPT_BYTES_MAX = 384 * 1024 * 1024
/**
 * Packs in the making, which are in memory two times: one of usual size. Larger ones are not made.
 */
const MAKING_BYTES_MAX = 16 * 1024 * 1024

/** The disk is given back when nothing was read for so long. */
const IDLE_MS = 20_000

type Kept = { length: number; file: Promise<FileHandle> }

/** How a pack that is not kept is made. */
export type Making = { length: number; make: () => Promise<Uint8Array>; signal: AbortSignal }

/** See the head of this file. `close` must be called. */
export class RebuiltPacks {
  readonly #folder: string
  readonly #budget = new ByteBudget(MAKING_BYTES_MAX)
  /** Least recently used first, with those in the making. */
  readonly #kept = new Map<string, Kept>()
  #isUsable = true
  #idle: NodeJS.Timeout | undefined

  /** `folder` is made when it is needed; others may use it, too. */
  constructor(folder: string) {
    this.#folder = folder
  }

  has(key: string): boolean {
    return this.#kept.has(key)
  }

  /** False when a pack is too large, or the disk was full once. */
  takes(length: number): boolean {
    return this.#isUsable && length <= MAKING_BYTES_MAX
  }

  /**
   * A range of the pack `key`, in memory of its own; the pack is made when it is not kept. DISK,
   * what `make` throws.
   */
  async read(
    key: string,
    { offset, length }: { offset: number; length: number },
    making: Making,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const kept = this.#kept.get(key) ?? this.#add(making)
    this.#kept.delete(key) // to the end: least recently used goes first
    this.#kept.set(key, kept)
    this.#forgetOldest()
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => void this.#forgetAll(), IDLE_MS).unref()
    try {
      return await readAll(await kept.file, offset, length)
    } catch (error) {
      if (this.#kept.get(key) === kept) this.#forget(key, kept)
      throw error
    }
  }

  async close(): Promise<void> {
    this.#isUsable = false
    clearTimeout(this.#idle)
    await this.#forgetAll()
  }

  async #forgetAll(): Promise<void> {
    const all = [...this.#kept.values()]
    this.#kept.clear()
    await Promise.all(all.map(closeFile))
  }

  #add({ length, make, signal }: Making): Kept {
    const file = this.#make({ length, make, signal })
    file.catch(() => undefined) // whoever reads is told
    return { length, file }
  }

  async #make({ length, make, signal }: Making): Promise<FileHandle> {
    await this.#budget.take(length, signal)
    try {
      return await this.#write(await make())
    } finally {
      this.#budget.give(length)
    }
  }

  async #write(bytes: Uint8Array): Promise<FileHandle> {
    const path = join(this.#folder, `rebuilt-${randomUUID()}`)
    let file: FileHandle | undefined
    try {
      await mkdir(this.#folder, { recursive: true })
      file = await open(path, 'wx+', 0o600)
      await unlink(path)
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await file.write(bytes, done, bytes.length - done, done)
        done += bytesWritten
      }
      return file
    } catch (cause) {
      // without room each range is rebuilt by itself: making whole packs for it would be worse
      this.#isUsable = false
      await file?.close()
      throw new MoyaiError('DISK', 'a rebuilt pack could not be kept', { cause })
    }
  }

  #forgetOldest(): void {
    let total = 0
    for (const { length } of this.#kept.values()) total += length
    for (const [key, kept] of this.#kept) {
      if (total <= KEPT_BYTES_MAX) return
      this.#forget(key, kept)
      total -= kept.length
    }
  }

  #forget(key: string, kept: Kept): void {
    this.#kept.delete(key)
    void closeFile(kept)
  }
}

/** Waits for what is being read from it. */
async function closeFile({ file }: Kept): Promise<void> {
  try {
    await (await file).close()
  } catch {
    // it could not be made, which its readers were told
  }
}

async function readAll(
  file: FileHandle,
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length)
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done).catch(gone)
    if (bytesRead === 0) throw new MoyaiError('DISK', 'a rebuilt pack is shorter than it was')
    done += bytesRead
  }
  return bytes
}

/** The disk failed, or the pack was given up meanwhile. */
function gone(cause: unknown): never {
  throw new MoyaiError('DISK', 'a rebuilt pack could not be read', { cause })
}
