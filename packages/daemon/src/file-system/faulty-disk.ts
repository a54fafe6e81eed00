/** A disk on which chosen operations fail: for tests that break each operation in turn. */

import { MoyaiError } from '@moyai/protocol'
import type { ErrorCode } from '@moyai/protocol'
import type { Disk, DiskAccess, DiskEntry, DiskFile } from './disk.ts'

export type DiskOperation = {
  /** Counts from 1 over all operations of this disk. */
  number: number
  name: keyof Disk | keyof DiskFile
  path: string
}

/** How an operation fails: without effect, with its effect, or (a write) with half of it. */
export type DiskFault = { code: ErrorCode; effect: 'none' | 'whole' | 'half' }

/**
 * For FaultyDisk: operation number `at` fails with `effect`; when `fatal`, everything after it
 * fails without effect, as for a killed process.
 */
export function failingAt(
  at: number,
  o: { effect: DiskFault['effect']; fatal: boolean },
): (operation: DiskOperation) => DiskFault | undefined {
  return ({ number }) => {
    if (number === at) return { code: 'DISK', effect: o.effect }
    return o.fatal && number > at ? { code: 'DISK', effect: 'none' } : undefined
  }
}

export class FaultyDisk implements Disk {
  readonly #inner: Disk
  readonly #decide: (operation: DiskOperation) => DiskFault | undefined
  #count = 0

  /** `decide` is asked before each operation; undefined lets it pass. */
  constructor(inner: Disk, decide: (operation: DiskOperation) => DiskFault | undefined) {
    this.#inner = inner
    this.#decide = decide
  }

  /** Operations so far. */
  get count(): number {
    return this.#count
  }

  async open(path: string, access: DiskAccess, mode?: number): Promise<DiskFile> {
    const file = await this.#try('open', path, () => this.#inner.open(path, access, mode))
    return {
      read: (buffer, position) => this.#try('read', path, () => file.read(buffer, position)),
      write: (bytes, position) =>
        this.#try(
          'write',
          path,
          () => file.write(bytes, position),
          () => file.write(bytes.subarray(0, bytes.length >> 1), position),
        ),
      writeParts: (parts, position) =>
        this.#try(
          'writeParts',
          path,
          () => file.writeParts(parts, position),
          () => file.writeParts(parts.slice(0, parts.length >> 1), position),
        ),
      sync: () => this.#try('sync', path, () => file.sync()),
      size: () => this.#try('size', path, () => file.size()),
      mode: () => this.#try('mode', path, () => file.mode()),
      close: () => this.#try('close', path, () => file.close()),
    }
  }

  rename(from: string, to: string): Promise<void> {
    return this.#try('rename', to, () => this.#inner.rename(from, to))
  }

  unlink(path: string): Promise<void> {
    return this.#try('unlink', path, () => this.#inner.unlink(path))
  }

  makeDirectory(path: string): Promise<boolean> {
    return this.#try('makeDirectory', path, () => this.#inner.makeDirectory(path))
  }

  list(path: string): Promise<DiskEntry[]> {
    return this.#try('list', path, () => this.#inner.list(path))
  }

  size(path: string): Promise<number> {
    return this.#try('size', path, () => this.#inner.size(path))
  }

  freeBytes(path: string): Promise<number> {
    return this.#try('freeBytes', path, () => this.#inner.freeBytes(path))
  }

  syncDirectory(path: string): Promise<void> {
    return this.#try('syncDirectory', path, () => this.#inner.syncDirectory(path))
  }

  async #try<T>(
    name: DiskOperation['name'],
    path: string,
    run: () => Promise<T>,
    runHalf?: () => Promise<unknown>,
  ): Promise<T> {
    this.#count++
    const fault = this.#decide({ number: this.#count, name, path })
    if (fault === undefined) return run()
    if (fault.effect === 'whole') await run()
    if (fault.effect === 'half') await runHalf?.()
    throw new MoyaiError(fault.code, `injected failure of ${name} ${path}`)
  }
}
