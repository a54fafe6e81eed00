/**
 * Directories of the target, each opened once without following symlinks.
 *
 * A restore must not write outside its target, whatever is planted there before or meanwhile. So a
 * child is opened only through its parent's descriptor with O_DIRECTORY and O_NOFOLLOW
 * (`/proc/self/fd/N/name` is openat), and what the descriptor names cannot be swapped for a symlink
 * afterwards. Without /proc the same opens check each component by its path. At most OPEN_MAX
 * descriptors are held; a closed one is opened again the same way.
 *
 * Synchronous: it lives in the writer's worker thread.
 */

import {
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  realpathSync,
  statSync,
} from 'node:fs'
import { dirname } from 'node:path'

import { assert, MoyaiError, printable } from '@moyai/protocol'

/** Open directories; the soft limit of descriptors is 1024 on most systems. */
const OPEN_MAX = 128
const OPEN_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
const SLASH = Buffer.from('/')

/** A directory of the target; `name` is raw bytes, empty for the root. */
export type SafeDirectory = {
  readonly parent: SafeDirectory | undefined
  readonly name: Uint8Array
  /** True when this run made it. */
  readonly made: boolean
}

/** See the head of this file. */
export class SafeTree {
  readonly root: SafeDirectory
  readonly #rootPath: Buffer
  readonly #rootFd: number
  readonly #openMax: number
  readonly #hasProc = process.platform === 'linux' && existsSync('/proc/self/fd')
  readonly #open = new Map<SafeDirectory, number>()

  /**
   * Makes the directory `path` if need be and opens it; symlinks in `path` itself are the caller's
   * wish. TARGET_EXISTS when something else is there, DISK when it cannot be made or opened.
   */
  constructor(path: string, openMax: number = OPEN_MAX) {
    const made = !existsSync(path)
    try {
      makeFolders(path)
      this.#rootPath = realpathSync(path, { encoding: 'buffer' })
      this.#rootFd = openSync(this.#rootPath, OPEN_FLAGS)
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code ?? 'error'
      const isTaken = code === 'EEXIST' || code === 'ENOTDIR'
      const text = `the target folder cannot be used: ${code}`
      throw new MoyaiError(isTaken ? 'TARGET_EXISTS' : 'DISK', text, { cause })
    }
    this.#openMax = openMax
    this.root = { parent: undefined, name: new Uint8Array(), made }
  }

  /**
   * The directory `name` in `parent`, made (0700) when it is not there. TARGET_UNSAFE when a
   * symlink is in its place, TARGET_EXISTS when anything else is.
   */
  child(parent: SafeDirectory, name: Uint8Array): SafeDirectory {
    assert(name.length > 0 && !name.includes(0x2f), 'a single component')
    const path = this.path(parent, name)
    let made = true
    try {
      mkdirSync(path, { mode: 0o700 })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      made = false
    }
    const directory = { parent, name, made }
    this.#keep(directory, openDirectory(path, name))
    return directory
  }

  /**
   * A path for `name` in `directory` (or for the directory itself), good until the next OPEN_MAX
   * calls: use it at once. TARGET_UNSAFE when the directory was replaced by a symlink meanwhile.
   */
  path(directory: SafeDirectory, name?: Uint8Array): Buffer {
    const fd = this.descriptor(directory)
    const last = name ?? Buffer.from('.')
    if (this.#hasProc) return Buffer.concat([Buffer.from(`/proc/self/fd/${fd}/`), last])
    return Buffer.concat([this.#plainPath(directory), SLASH, last])
  }

  /** An open descriptor of `directory`, owned by this tree. */
  descriptor(directory: SafeDirectory): number {
    if (directory === this.root) return this.#rootFd
    const open = this.#open.get(directory)
    if (open !== undefined) {
      this.#open.delete(directory) // to the end: least recently used goes first
      this.#open.set(directory, open)
      return open
    }
    const fd = this.#reopen(directory)
    this.#keep(directory, fd)
    return fd
  }

  close(): void {
    for (const fd of this.#open.values()) closeSync(fd)
    this.#open.clear()
    closeSync(this.#rootFd)
  }

  #keep(directory: SafeDirectory, fd: number): void {
    this.#open.set(directory, fd)
    if (this.#open.size <= this.#openMax) return
    const [oldest, oldestFd] = this.#open.entries().next().value as [SafeDirectory, number]
    this.#open.delete(oldest)
    closeSync(oldestFd)
  }

  /** Opens step by step from the nearest open ancestor; the steps between are closed again. */
  #reopen(directory: SafeDirectory): number {
    const chain: SafeDirectory[] = []
    let at: SafeDirectory | undefined = directory
    while (at !== undefined && at !== this.root && !this.#open.has(at)) {
      chain.push(at)
      at = at.parent
    }
    assert(at !== undefined, 'every directory is below the root')
    let fd = at === this.root ? this.#rootFd : (this.#open.get(at) as number)
    let owned = false
    for (const step of chain.toReversed()) {
      const path = this.#hasProc
        ? Buffer.concat([Buffer.from(`/proc/self/fd/${fd}/`), step.name])
        : this.#plainPath(step)
      try {
        const next = openDirectory(path, step.name)
        if (owned) closeSync(fd)
        fd = next
      } catch (error) {
        if (owned) closeSync(fd)
        throw error
      }
      owned = true
    }
    return fd
  }

  #plainPath(directory: SafeDirectory): Buffer {
    const parts: Uint8Array[] = []
    for (let at: SafeDirectory | undefined = directory; at?.parent !== undefined; at = at.parent) {
      parts.unshift(SLASH, at.name)
    }
    return Buffer.concat([this.#rootPath, ...parts])
  }
}

/** Like `mkdir -p`. Node's own does not end where a folder refuses every child, as /proc does. */
function makeFolders(path: string): void {
  try {
    mkdirSync(path)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EEXIST' && statSync(path).isDirectory()) return
    if (code !== 'ENOENT' || dirname(path) === path || existsSync(dirname(path))) throw error
    makeFolders(dirname(path))
    mkdirSync(path)
  }
}

function openDirectory(path: Buffer, name: Uint8Array): number {
  try {
    return openSync(path, OPEN_FLAGS)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code !== 'ELOOP' && code !== 'ENOTDIR') throw error
    const shown = printable(name)
    if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true) {
      throw new MoyaiError('TARGET_UNSAFE', `"${shown}" in the target is a symlink`, {
        hint: 'restore into another folder, or remove the symlink',
      })
    }
    throw new MoyaiError('TARGET_EXISTS', `"${shown}" in the target is not a directory`)
  }
}
