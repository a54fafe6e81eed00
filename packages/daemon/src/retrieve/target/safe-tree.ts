/**
 * Directories of the target, each opened once without following symlinks.
 *
 * A restore must not write outside its target, whatever is planted there before or meanwhile. So a
 * child is opened only through its parent's descriptor with O_DIRECTORY and O_NOFOLLOW
 * (`/proc/self/fd/N/name` is openat), and what the descriptor names cannot be swapped for a symlink
 * afterwards. Without /proc the same opens check each component by its path. At most OPEN_MAX
 * descriptors are held; a closed one is opened again the same way.
 *
 * A directory that this restore makes has a temporary name until it is complete (`publish`): so
 * what is below it can be written under its own names, and still nothing half-written is ever found
 * under a path of the snapshot. Only the uppermost such directory needs that. What an interrupted
 * run left under the temporary name is taken up again: it is known by its owner and a mode that no
 * other directory has, and nobody else can enter it.
 *
 * Synchronous: it lives in worker threads.
 */

import { createHash } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  realpathSync,
  renameSync,
  rmdirSync,
  statSync,
  unlinkSync,
} from 'node:fs'
import type { BigIntStats, Stats } from 'node:fs'
import { dirname } from 'node:path'

import { assert, MoyaiError, printable } from '@moyai/protocol'

/** Open directories; the soft limit of descriptors is 1024 on most systems. */
const OPEN_MAX = 128
const OPEN_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
const SLASH = Buffer.from('/')
/** Of what is not complete: its owner's alone, and sticky, which is of no use to anybody there. */
const HIDDEN_MODE = 0o1700
/** The set-group-id bit comes from the parent. */
const MODE_BITS = 0o5777
const OWNER_BITS = 0o700

/** A directory of the target. */
export type SafeDirectory = {
  readonly parent: SafeDirectory | undefined
  /** What it is called on the disk now: raw bytes, empty for the root. */
  name: Uint8Array
  /** Which directory it is, wherever it is: device and number. */
  readonly identity: string
  /** True when this run made it. */
  readonly made: boolean
  /** It, or one above it, has a temporary name: nobody looks for anything here yet. */
  readonly hidden: boolean
  /** What it will be called when it is complete, where that differs. */
  finalName: Uint8Array | undefined
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
      const what = isTaken ? 'something that is no folder is in its place' : code
      const hint = 'name a folder that may be written to, or one that is not there yet'
      const text = `the target folder cannot be used: ${what}`
      throw new MoyaiError(isTaken ? 'TARGET_EXISTS' : 'DISK', text, { cause, hint })
    }
    this.#openMax = openMax
    this.root = {
      parent: undefined,
      name: new Uint8Array(),
      identity: identityOf(fstatSync(this.#rootFd, { bigint: true })),
      made,
      hidden: false,
      finalName: undefined,
    }
  }

  /**
   * The directory `name` in `parent`; when it is not there, one is made with a temporary name, and
   * below such a one with its own. TARGET_UNSAFE when a symlink is in its place, TARGET_EXISTS when
   * anything else is.
   */
  child(parent: SafeDirectory, name: Uint8Array): SafeDirectory {
    assert(name.length > 0 && !name.includes(0x2f), 'a single component')
    if (parent.hidden) {
      const made = makeInside(this.path(parent, name))
      return this.#add({ parent, name, made, hidden: true, finalName: undefined })
    }
    try {
      return this.#add({ parent, name, made: false, hidden: false, finalName: undefined })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
    return this.#hidden(parent, name) ?? this.#visible(parent, name)
  }

  /** A directory that another tree of the same target told of; opened when it is needed. */
  known(parent: SafeDirectory, name: Uint8Array, identity: string): SafeDirectory {
    const { hidden } = parent
    return { parent, name, identity, made: false, hidden, finalName: undefined }
  }

  /**
   * Gives a complete directory its name. TARGET_EXISTS when something took that name meanwhile:
   * then all stays under the temporary one. TARGET_UNSAFE when another is there under that.
   */
  publish(directory: SafeDirectory): void {
    const { parent, name, finalName } = directory
    if (parent === undefined || finalName === undefined) return
    const path = this.path(parent, name)
    const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false })
    if (stat === undefined || identityOf(stat) !== directory.identity) throw replaced(name)
    try {
      renameSync(path, this.path(parent, finalName))
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? ''
      if (!['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(code)) throw error
      const left = printable(name)
      throw new MoyaiError('TARGET_EXISTS', `its name was taken meanwhile; it stays "${left}"`)
    }
    directory.name = finalName
    directory.finalName = undefined
  }

  /** Undefined where it would not be ours alone. */
  #hidden(parent: SafeDirectory, finalName: Uint8Array): SafeDirectory | undefined {
    const name = temporaryFolderName(finalName)
    const made = makeHidden(this.path(parent, name))
    const directory = this.#add({ parent, name, made, hidden: true, finalName })
    const stat = fstatSync(this.descriptor(directory))
    if (isPrivate(stat)) return directory
    this.forget(directory)
    removeEmpty(this.path(parent, name), stat)
    return undefined
  }

  #visible(parent: SafeDirectory, name: Uint8Array): SafeDirectory {
    mkdirSync(this.path(parent, name), { mode: OWNER_BITS })
    return this.#add({ parent, name, made: true, hidden: false, finalName: undefined })
  }

  #add(found: Omit<SafeDirectory, 'identity'>): SafeDirectory {
    const fd = openDirectory(this.path(found.parent as SafeDirectory, found.name), found.name)
    const directory = { ...found, identity: identityOf(fstatSync(fd, { bigint: true })) }
    this.#keep(directory, fd)
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

  /** Closes a directory that is not needed any more. */
  forget(directory: SafeDirectory): void {
    const fd = this.#open.get(directory)
    this.#open.delete(directory)
    if (fd !== undefined) closeSync(fd)
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
        const next = openKnown(path, step)
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

/** Hidden, and of a fixed length; files in the making have names of another form. */
export function temporaryFolderName(name: Uint8Array): Buffer {
  const tag = createHash('sha256').update(name).digest('hex').slice(0, 24)
  return Buffer.from(`.moyai-${tag}.folder`)
}

/** True when one was made; what an interrupted run left there stays. */
function makeHidden(path: Buffer): boolean {
  for (;;) {
    try {
      mkdirSync(path, { mode: HIDDEN_MODE })
      break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const stat = lstatSync(path)
    if (stat.isDirectory() && isPrivate(stat)) return false
    removeEmpty(path, stat)
  }
  return true
}

/** False also where the file system keeps no modes or owners, as FAT. */
function isPrivate({ uid, mode }: Stats): boolean {
  return uid === (process.geteuid?.() ?? uid) && (mode & MODE_BITS) === HIDDEN_MODE
}

/** Makes room for a folder in the making; no folder with content is removed for it. */
function removeEmpty(path: Buffer, stat: Stats): void {
  if (!stat.isDirectory()) return unlinkSync(path)
  try {
    rmdirSync(path)
  } catch (cause) {
    const text = 'another folder has the name of one in the making'
    const hint = 'remove folders whose names begin with ".moyai-" from the target'
    throw new MoyaiError('TARGET_UNSAFE', text, { cause, hint })
  }
}

/**
 * Like `makeHidden`, where only we can have left anything: what is no directory goes, and of one
 * that was complete already the mode may keep even us out.
 */
function makeInside(path: Buffer): boolean {
  for (;;) {
    try {
      mkdirSync(path, { mode: OWNER_BITS })
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const stat = lstatSync(path)
    if (stat.isDirectory()) {
      if ((stat.mode & OWNER_BITS) !== OWNER_BITS) chmodSync(path, OWNER_BITS)
      return false
    }
    unlinkSync(path)
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

function openKnown(path: Buffer, { name, identity }: SafeDirectory): number {
  const fd = openDirectory(path, name)
  if (identityOf(fstatSync(fd, { bigint: true })) === identity) return fd
  closeSync(fd)
  throw replaced(name)
}

/** Device and number of a file: which one it is, whatever it is called. */
export function identityOf(stat: BigIntStats): string {
  return `${stat.dev}:${stat.ino}`
}

function replaced(name: Uint8Array): MoyaiError {
  return new MoyaiError('TARGET_UNSAFE', `somebody replaced the folder "${printable(name)}"`)
}
