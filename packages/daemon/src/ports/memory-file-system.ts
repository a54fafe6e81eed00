/**
 * A file system in memory that can lose power: what was not synced is gone after `crash()`. For
 * tests of code that must leave whole files behind whenever it is interrupted.
 */

import { dirname } from 'node:path'

import { MoyaiError } from '@moyai/protocol'

import type { FileSystem } from './file-system.ts'

type File = { bytes: Uint8Array; mode: number }

function base(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/**
 * Names become durable with `syncDirectory`, bytes are durable once `createFile` returned (it
 * syncs).
 */
export class MemoryFileSystem implements FileSystem {
  /** What the running system sees. */
  #now = new Map<string, File>()
  /** What is on the disk. */
  readonly #durable = new Map<string, File>()
  readonly #directories = new Set<string>(['/'])

  /** Power fails: only synced names remain. */
  crash(): void {
    this.#now = new Map(this.#durable)
  }

  /** Every path that is there, for assertions. */
  paths(): string[] {
    return [...this.#now.keys()].sort()
  }

  async readFile(path: string, bytesMax: number): Promise<{ bytes: Uint8Array; mode: number }> {
    const file = this.#get(path)
    if (file.bytes.length > bytesMax) throw new MoyaiError('TOO_LARGE', `${path} is too long`)
    return { bytes: file.bytes.slice(), mode: file.mode }
  }

  async createFile(path: string, bytes: Uint8Array, mode: number): Promise<void> {
    this.#directory(dirname(path))
    if (this.#now.has(path)) throw new MoyaiError('TARGET_EXISTS', `${path} is already there`)
    this.#now.set(path, { bytes: bytes.slice(), mode })
  }

  async rename(from: string, to: string): Promise<void> {
    this.#now.set(to, this.#get(from))
    this.#now.delete(from)
  }

  async syncDirectory(path: string): Promise<void> {
    this.#directory(path)
    const inside = (name: string): boolean => dirname(name) === path
    for (const name of this.#durable.keys()) {
      if (inside(name) && !this.#now.has(name)) this.#durable.delete(name)
    }
    for (const [name, file] of this.#now) if (inside(name)) this.#durable.set(name, file)
  }

  async makeDirectory(path: string): Promise<void> {
    for (let at = path; !this.#directories.has(at); at = dirname(at)) this.#directories.add(at)
  }

  async removeFile(path: string): Promise<void> {
    this.#now.delete(path)
  }

  async list(path: string): Promise<string[]> {
    this.#directory(path)
    const all = [...this.#now.keys(), ...this.#directories].filter((name) => name !== path)
    return all
      .filter((name) => dirname(name) === path)
      .map(base)
      .sort()
  }

  #get(path: string): File {
    const file = this.#now.get(path)
    if (file === undefined) throw new MoyaiError('NOT_FOUND', `${path} is not there`)
    return file
  }

  #directory(path: string): void {
    if (!this.#directories.has(path)) throw new MoyaiError('NOT_FOUND', `${path} is not there`)
  }
}

/**
 * Which call fails: before or after it took effect, and whether everything after it fails, as for a
 * killed process.
 */
export type FileFault = { at: number; done: boolean; fatal: boolean }

/** A file system whose Nth call fails. */
export class FaultyFileSystem implements FileSystem {
  readonly #inner: FileSystem
  readonly #fault: FileFault
  #calls = 0

  constructor(inner: FileSystem, fault: FileFault) {
    this.#inner = inner
    this.#fault = fault
  }

  /** Calls so far; below `fault.at` nothing has failed. */
  get calls(): number {
    return this.#calls
  }

  async #run<T>(call: () => Promise<T>): Promise<T> {
    this.#calls++
    const after = this.#calls - this.#fault.at
    if (after < 0 || (after > 0 && !this.#fault.fatal)) return call()
    if (after === 0 && this.#fault.done) await call()
    throw new MoyaiError('DISK', `injected: file operation ${this.#calls}`)
  }

  readFile(path: string, bytesMax: number): Promise<{ bytes: Uint8Array; mode: number }> {
    return this.#run(() => this.#inner.readFile(path, bytesMax))
  }

  createFile(path: string, bytes: Uint8Array, mode: number): Promise<void> {
    return this.#run(() => this.#inner.createFile(path, bytes, mode))
  }

  rename(from: string, to: string): Promise<void> {
    return this.#run(() => this.#inner.rename(from, to))
  }

  syncDirectory(path: string): Promise<void> {
    return this.#run(() => this.#inner.syncDirectory(path))
  }

  makeDirectory(path: string, mode: number): Promise<void> {
    return this.#run(() => this.#inner.makeDirectory(path, mode))
  }

  removeFile(path: string): Promise<void> {
    return this.#run(() => this.#inner.removeFile(path))
  }

  list(path: string): Promise<string[]> {
    return this.#run(() => this.#inner.list(path))
  }
}
