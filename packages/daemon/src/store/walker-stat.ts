/**
 * What a store asks the file system: the names of a folder, and of every name `lstat` (of what it
 * opens `fstat`) into one record that is used again.
 *
 * On Linux it is `getdents64` and `statx`, called through koffi with buffers that stay. Node's
 * `lstatSync` makes a text of the path, a list of bigints and an object with dates of it, which is
 * as much again as the system call; it is what other platforms have, and what says why a call
 * failed.
 */

import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync } from 'node:fs'
import type { BigIntStats } from 'node:fs'

import { STAMP, STAMP_WORDS } from '@moyai/protocol'

import { openProcess } from '../native/library.ts'
import type { NativeFunction } from '../native/library.ts'
import { fsPath, joinPath } from './byte-path.ts'

/** The record of one name. 64-bit numbers are two signed 32-bit words, high before low. */
export type FileStat = {
  /** Type and permission bits, `st_mode`. */
  mode: number
  uid: number
  gid: number
  links: number
  btimeHigh: number
  btimeLow: number
  /** Times, inode, device and size: see STAMP. */
  readonly stamp: Int32Array
  /** Of 512 bytes, as many as the content takes. */
  blocks: number
  /** False when a time is outside 64 bits of nanoseconds: then the record is not exact. */
  isExact: boolean
}

/** Reads records; one per thread. */
export interface StatReader {
  /** The names in `folder`, in the order of their bytes; throws what `readdirSync` throws. */
  names(folder: string): string[]
  /** What was read last. */
  readonly stat: FileStat
  /** Reads the record of `name` in `folder`; throws what `lstatSync` throws. */
  lstat(folder: string, name: string): void
  /** Reads the record of an open file; throws what `fstatSync` throws. */
  fstat(fd: number): void
  /** False when what `lstat` read last, and nothing after it, has no extended attributes for certain. */
  mayHaveXattrs(): boolean
  /** Lets go of what it keeps open; it can go on afterwards. */
  close(): void
}

const WORD = 0x1_0000_0000

function emptyStat(): FileStat {
  const stamp = new Int32Array(STAMP_WORDS)
  const numbers = { mode: 0, uid: 0, gid: 0, links: 0, btimeHigh: 0, btimeLow: 0, blocks: 0 }
  return { ...numbers, stamp, isExact: true }
}

/** The high word of `value`, which is 64 bits, signed or not. */
function high(value: bigint): number {
  return Number(BigInt.asIntN(32, value >> 32n))
}

function low(value: bigint): number {
  return Number(BigInt.asIntN(32, value))
}

function put(stamp: Int32Array, at: number, value: bigint): void {
  stamp[at] = high(value)
  stamp[at + 1] = low(value)
}

/** The record of what Node found. */
export function recordOf(from: BigIntStats, into: FileStat): void {
  into.mode = Number(from.mode)
  into.uid = Number(from.uid)
  into.gid = Number(from.gid)
  into.links = Number(from.nlink)
  into.blocks = Number(from.blocks)
  into.btimeHigh = high(from.birthtimeNs)
  into.btimeLow = low(from.birthtimeNs)
  const { stamp } = into
  put(stamp, STAMP.mtime, from.mtimeNs)
  put(stamp, STAMP.ctime, from.ctimeNs)
  put(stamp, STAMP.inode, from.ino)
  put(stamp, STAMP.device, from.dev)
  put(stamp, STAMP.size, from.size)
  const { mtimeNs, ctimeNs, birthtimeNs } = from
  into.isExact = [mtimeNs, ctimeNs, birthtimeNs].every((time) => BigInt.asIntN(64, time) === time)
}

/** The stamp of what was read of a file. */
export function stampOf(from: Record<keyof typeof STAMP, bigint>): Int32Array {
  const stamp = new Int32Array(STAMP_WORDS)
  put(stamp, STAMP.mtime, from.mtime)
  put(stamp, STAMP.ctime, from.ctime)
  put(stamp, STAMP.inode, from.inode)
  put(stamp, STAMP.device, from.device)
  put(stamp, STAMP.size, from.size)
  return stamp
}

/** The unsigned number at word `at` of a stamp. */
export function stampBits(stamp: Int32Array, at: number): bigint {
  const upper = BigInt((stamp[at] as number) >>> 0)
  return (upper << 32n) | BigInt((stamp[at + 1] as number) >>> 0)
}

/**
 * Sorts `names` in place and gives each once: of a folder that changes while it is listed, POSIX lets
 * a name come twice.
 */
export function inOrder(names: string[]): string[] {
  names.sort()
  const isRepeated = names.some((name, i) => name === names[i + 1])
  return isRepeated ? [...new Set(names)] : names
}

class NodeStats implements StatReader {
  readonly stat: FileStat = emptyStat()

  names(folder: string): string[] {
    return inOrder(readdirSync(fsPath(folder), { encoding: 'latin1' }))
  }

  lstat(folder: string, name: string): void {
    recordOf(lstatSync(fsPath(joinPath(folder, name)), { bigint: true }), this.stat)
  }

  fstat(fd: number): void {
    recordOf(fstatSync(fd, { bigint: true }), this.stat)
  }

  mayHaveXattrs(): boolean {
    return true
  }

  close(): void {
    // every call stands alone
  }
}

/** Of the kernel's `struct statx`, the same on every processor: offsets in bytes. */
const STATX = {
  bytes: 256,
  links: 16,
  uid: 20,
  gid: 24,
  mode: 28,
  inode: 32,
  size: 40,
  blocks: 48,
  btime: 80,
  ctime: 96,
  mtime: 112,
  deviceMajor: 136,
  deviceMinor: 140,
} as const
const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const AT_NO_AUTOMOUNT = 0x800
const LSTAT_FLAGS: number = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT
const AT_EMPTY_PATH = 0x1000
/** An empty text of C. */
const NO_PATH = new Uint8Array(1)
/** STATX_BASIC_STATS and STATX_BTIME. */
const MASK = 0xfff
/** The kernel takes paths of up to 4096 bytes, the NUL at the end included. */
const PATH_BYTES_MAX = 4096
const PATH_AT = STATX.bytes
const SLASH = 0x2f
const DOT = 0x2e
/** A folder as a place to start from, which need not be readable. */
const O_PATH = 0o10000000
/**
 * Names of one folder after which it is opened: the kernel then finds further ones without going
 * its whole path, which saves a quarter of the call and costs the time of some eight.
 */
const NAMES_BEFORE_OPEN = 16
const NO_FOLDER = -1
/** 2 · 2^32 seconds are 272 years: as nanoseconds less than 2^63, which are 292. */
const SECONDS_HIGH_MAX = 2

const times = new Int32Array(2)

/** Of the kernel's `struct linux_dirent64`: offsets in bytes. */
const DIRENT = { length: 16, name: 19 } as const
/** Some thousand names in one call. */
const NAMES_BYTES = 64 * 1024

type Calls = { statx: NativeFunction; llistxattr: NativeFunction; getdents: NativeFunction }

/** Appends the names of the records in the first `length` bytes of `from`, but `.` and `..`. */
function takeNames(from: Buffer, length: number, names: string[]): void {
  for (let at = 0; at < length;) {
    const start = at + DIRENT.name
    let end = start
    while (end < length && from[end] !== 0) end++
    const isDots =
      from[start] === DOT && (end === start + 1 || (end === start + 2 && from[start + 1] === DOT))
    if (!isDots) names.push(from.toString('latin1', start, end))
    at += (from[at + DIRENT.length] as number) | ((from[at + DIRENT.length + 1] as number) << 8)
  }
}

class NativeStats implements StatReader {
  readonly stat: FileStat = emptyStat()
  readonly #calls: Calls
  readonly #bytes = new Uint8Array(STATX.bytes + PATH_BYTES_MAX)
  readonly #words = new Int32Array(this.#bytes.buffer, 0, STATX.bytes / 4)
  readonly #text = Buffer.from(this.#bytes.buffer)
  readonly #path = this.#bytes.subarray(PATH_AT)
  readonly #records = Buffer.allocUnsafeSlow(NAMES_BYTES)
  readonly #slow = new NodeStats()
  #folder = ''
  /** Where names of the folder begin; no room behind it when the folder is too long a path. */
  #nameAt: number = PATH_AT
  /** The folder, when it was listed or it is worth while, and the path from there. */
  #fd = NO_FOLDER
  #name: Uint8Array = NO_PATH
  #names = 0
  /** True when `#path` is that of what `lstat` read last. */
  #hasPath = false

  constructor(calls: Calls) {
    this.#calls = calls
  }

  names(folder: string): string[] {
    this.#enter(folder)
    this.#open(constants.O_RDONLY)
    const names: string[] = []
    for (;;) {
      const isOpen = this.#fd !== NO_FOLDER
      const count = isOpen ? this.#calls.getdents(this.#fd, this.#records, NAMES_BYTES) : -1
      if (count === 0) return inOrder(names)
      if (count < 0) return this.#slow.names(folder)
      takeNames(this.#records, Number(count), names)
    }
  }

  lstat(folder: string, name: string): void {
    if (folder !== this.#folder) this.#enter(folder)
    const end = this.#nameAt + name.length
    this.#hasPath = end < this.#bytes.length
    if (this.#hasPath) {
      this.#text.write(name, this.#nameAt, 'latin1')
      this.#bytes[end] = 0
      if (++this.#names === NAMES_BEFORE_OPEN && this.#fd === NO_FOLDER) this.#open(O_PATH)
      const isOpen = this.#fd !== NO_FOLDER
      const from = isOpen ? this.#fd : AT_FDCWD
      const path = isOpen ? this.#name : this.#path
      const { statx } = this.#calls
      if (statx(from, path, LSTAT_FLAGS, MASK, this.#bytes) === 0 && this.#take()) return
    }
    this.#slow.lstat(folder, name)
    this.#takeSlow()
  }

  fstat(fd: number): void {
    this.#hasPath = false
    const { statx } = this.#calls
    if (statx(fd, NO_PATH, AT_EMPTY_PATH, MASK, this.#bytes) === 0 && this.#take()) return
    this.#slow.fstat(fd)
    this.#takeSlow()
  }

  #takeSlow(): void {
    const { stat } = this.#slow
    this.stat.stamp.set(stat.stamp)
    Object.assign(this.stat, { ...stat, stamp: this.stat.stamp })
  }

  mayHaveXattrs(): boolean {
    return !this.#hasPath || this.#calls.llistxattr(this.#path, this.#bytes, 0) !== 0
  }

  close(): void {
    if (this.#fd !== NO_FOLDER) closeSync(this.#fd)
    this.#fd = NO_FOLDER
    this.#names = 0
  }

  #open(flag: number): void {
    try {
      this.#fd = openSync(fsPath(this.#folder), flag | constants.O_DIRECTORY)
      this.#name = this.#bytes.subarray(this.#nameAt)
    } catch {
      this.#fd = NO_FOLDER // the whole path will do, or say what is wrong
    }
  }

  #enter(folder: string): void {
    this.close()
    this.#folder = folder
    this.#nameAt = this.#bytes.length // a folder that does not fit has no names that do
    if (folder.length + 1 >= PATH_BYTES_MAX) return
    this.#text.write(folder, PATH_AT, 'latin1')
    this.#nameAt = PATH_AT + folder.length
    if (folder.endsWith('/')) return
    this.#bytes[this.#nameAt] = SLASH
    this.#nameAt++
  }

  #word(at: number): number {
    return this.#words[at >> 2] as number
  }

  /** Takes the kernel's record; false when it does not fit into ours. */
  #take(): boolean {
    if (!this.#fits(STATX.mtime) || !this.#fits(STATX.ctime) || !this.#fits(STATX.btime))
      return false
    const { stat } = this
    stat.isExact = true
    const { stamp } = stat
    stat.links = this.#word(STATX.links) >>> 0
    stat.uid = this.#word(STATX.uid) >>> 0
    stat.gid = this.#word(STATX.gid) >>> 0
    stat.mode = this.#word(STATX.mode) & 0xffff
    stat.blocks = this.#word(STATX.blocks + 4) * WORD + (this.#word(STATX.blocks) >>> 0)
    stamp[STAMP.inode] = this.#word(STATX.inode + 4)
    stamp[STAMP.inode + 1] = this.#word(STATX.inode)
    stamp[STAMP.size] = this.#word(STATX.size + 4)
    stamp[STAMP.size + 1] = this.#word(STATX.size)
    // as `makedev` of the C library puts them together
    const major = this.#word(STATX.deviceMajor)
    const minor = this.#word(STATX.deviceMinor)
    stamp[STAMP.device] = (major & 0xfffff000) | (minor >>> 20)
    stamp[STAMP.device + 1] = ((major & 0xfff) << 8) | (minor & 0xff) | ((minor & ~0xff) << 12)
    this.#time(STATX.mtime, stamp, STAMP.mtime)
    this.#time(STATX.ctime, stamp, STAMP.ctime)
    this.#time(STATX.btime, times, 0)
    stat.btimeHigh = times[0] as number
    stat.btimeLow = times[1] as number
    return true
  }

  /** Whether the seconds at `at`, as nanoseconds, are 64 bits for certain. */
  #fits(at: number): boolean {
    const upper = this.#word(at + 4)
    return upper >= -SECONDS_HIGH_MAX && upper < SECONDS_HIGH_MAX
  }

  /**
   * Seconds and nanoseconds as nanoseconds, in exact arithmetic of doubles: the seconds are taken
   * apart at 17 bits, so no product has more than 48.
   */
  #time(at: number, into: Int32Array, index: number): void {
    const seconds = this.#word(at + 4) * WORD + (this.#word(at) >>> 0)
    const upper = Math.floor(seconds / 0x2_0000)
    const lower = seconds - upper * 0x2_0000
    const product = upper * 1e9
    const whole = Math.floor(product / 0x8000)
    const rest = (product - whole * 0x8000) * 0x2_0000 + lower * 1e9 + (this.#word(at + 8) >>> 0)
    const carry = Math.floor(rest / WORD)
    into[index] = whole + carry
    into[index + 1] = rest - carry * WORD
  }
}

function agrees(reader: StatReader): boolean {
  const node = new NodeStats()
  return [process.execPath, '/', '/dev/null', '/proc/self/exe'].every((path) => {
    const at = path.lastIndexOf('/')
    const folder = path.slice(0, at + 1)
    const name = path === '/' ? '.' : path.slice(at + 1)
    node.lstat(folder, name)
    reader.lstat(folder, name)
    // the clock of /proc runs on, whatever file it is
    const skip = path.startsWith('/proc') ? STAMP.inode : 0
    const stamps = [node, reader].map(({ stat }) => stat.stamp.subarray(skip).join())
    return (
      stamps[0] === stamps[1] &&
      JSON.stringify({ ...node.stat, stamp: 0 }) === JSON.stringify({ ...reader.stat, stamp: 0 })
    )
  })
}

/** The reader of the calling thread; never throws. */
export function loadStatReader(): StatReader {
  const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1
  if (process.platform !== 'linux' || !littleEndian) return new NodeStats()
  try {
    const library = openProcess()
    const statx = library.func(
      'int statx(int folder, const void *path, int flags, uint32_t mask, void *into)',
    )
    const llistxattr = library.func(
      'int64_t llistxattr(const void *path, const void *into, size_t size)',
    )
    const getdents = library.func('int64_t getdents64(int fd, void *into, size_t size)')
    const reader = new NativeStats({ statx, llistxattr, getdents })
    return agrees(reader) ? reader : new NodeStats()
  } catch {
    return new NodeStats() // no such library here
  }
}

/** `lstat` of Node: what another platform uses, and what tests compare with. */
export function nodeStatReader(): StatReader {
  return new NodeStats()
}
