/**
 * The system calls that Node lacks, through koffi: exact file times, extended attributes, special
 * files and holes.
 *
 * `fs.utimes` is wrong by up to 1.2 µs and turns a time before 1970 into the present without an
 * error; extended attributes, mknod and SEEK_HOLE are absent. All calls here are synchronous and
 * about 1 µs, so worker threads use them directly. Where koffi or a symbol is missing `syscalls()`
 * lacks that function, and the callers *report* what they could not keep: nothing is dropped in
 * silence.
 */

import { constants as fsConstants } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'

import { MoyaiError } from '@moyai/protocol'

/**
 * Native calls; a member is undefined where the platform has no such call. Paths are raw bytes
 * without NUL.
 */
export type Syscalls = {
  /**
   * Sets access and modification time, in ns since 1970 (may be negative); never follows a symlink.
   */
  setTimes?: (path: Uint8Array, atime: bigint, mtime: bigint) => void
  /**
   * Makes the regular file `name`, which must not be there, in an open directory, and opens it for
   * writing; returns its descriptor. `name` is a single component. Much cheaper than a path through
   * /proc.
   */
  createIn?: (directory: number, name: Uint8Array, mode: number) => number
  /**
   * Closes what `createIn` opened, of which Node keeps no account; a network disk may fail here.
   */
  closeFile?: (fd: number) => void
  /** Sets both times of an open file, in ns since 1970 (may be negative). */
  setTimesOf?: (fd: number, atime: bigint, mtime: bigint) => void
  /** Names of the extended attributes; never follows a symlink. */
  listXattrs?: (path: Uint8Array) => Uint8Array[]
  /** Value of one attribute; undefined when it is gone. */
  getXattr?: (path: Uint8Array, name: Uint8Array) => Uint8Array | undefined
  setXattr?: (path: Uint8Array, name: Uint8Array, value: Uint8Array) => void
  /** Makes a device, socket or fifo: `mode` has the type bits, `rdev` is the raw device number. */
  makeNode?: (path: Uint8Array, mode: number, rdev: bigint) => void
  makeFifo?: (path: Uint8Array, mode: number) => void
  /** Offset of the first byte of data at or after `offset`; undefined when only a hole follows. */
  seekData?: (fd: number, offset: bigint) => bigint | undefined
  /** Offset of the first hole at or after `offset` (the end of the file counts as one). */
  seekHole?: (fd: number, offset: bigint) => bigint | undefined
  /** Writes everything of the file system that holds `fd` to its disk: one wait for many files. */
  syncFileSystem?: (fd: number) => void
  /** The same in a thread of libuv's. Resolves whether it succeeded or not. */
  startSyncFileSystem?: (fd: number) => Promise<void>
}

/**
 * The kernel's own bounds (XATTR_LIST_MAX, XATTR_SIZE_MAX): one reused buffer of this size reads
 * any answer.
 */
const XATTR_BYTES_MAX = 64 * 1024

const NAME_BYTES_MAX = 255
const LINUX_CLOSE_ON_EXEC = 0x80000
const NS_PER_SECOND = 1_000_000_000n

type Platform = {
  atFdcwd: number
  noFollow: number
  seekData: number
  seekHole: number
  signatures: Record<'list' | 'get' | 'set' | 'mknod', string>
  /** Arguments that macOS has behind ours: position and XATTR_NOFOLLOW. */
  xattrTail: { list: number[]; get: number[]; set: number[] }
}

const LINUX: Platform = {
  atFdcwd: -100,
  noFollow: 0x100,
  seekData: 3,
  seekHole: 4,
  signatures: {
    list: 'int64_t llistxattr(const uint8_t *path, _Out_ uint8_t *list, size_t size)',
    get:
      'int64_t lgetxattr(const uint8_t *path, ' +
      'const uint8_t *name, _Out_ uint8_t *value, size_t size)',
    set:
      'int lsetxattr(const uint8_t *path, const uint8_t *name, ' +
      'const uint8_t *value, size_t size, int flags)',
    mknod: 'int mknod(const uint8_t *path, uint32_t mode, uint64_t dev)',
  },
  xattrTail: { list: [], get: [], set: [0] },
}

const DARWIN: Platform = {
  atFdcwd: -2,
  noFollow: 0x20,
  seekData: 4,
  seekHole: 3,
  signatures: {
    list: 'int64_t listxattr(const uint8_t *path, _Out_ uint8_t *list, size_t size, int opt)',
    get:
      'int64_t getxattr(const uint8_t *path, const uint8_t *name, ' +
      '_Out_ uint8_t *value, size_t size, uint32_t position, int options)',
    set:
      'int setxattr(const uint8_t *path, const uint8_t *name, ' +
      'const uint8_t *value, size_t size, uint32_t position, int options)',
    mknod: 'int mknod(const uint8_t *path, uint16_t mode, int32_t dev)',
  },
  xattrTail: { list: [1], get: [0, 1], set: [0, 1] },
}

const PLATFORMS: Partial<Record<NodeJS.Platform, Platform>> = { linux: LINUX, darwin: DARWIN }

type NativeFunction = ((...args: unknown[]) => number | bigint) & {
  /** In a thread of libuv's; the last argument hears of the end. */
  async: (...args: unknown[]) => void
}
type Library = { func(signature: string): NativeFunction }
type Koffi = { load(path: string | null): Library; errno(): number }

const ERRNO_NAMES = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]))

function fail(call: string, path: Uint8Array | number, errno: number): never {
  const name = ERRNO_NAMES.get(errno) ?? `errno ${errno}`
  const cause = Object.assign(new Error(`${name}: ${call}`), { code: name, errno, path })
  throw new MoyaiError('DISK', `${call} failed: ${name}`, { cause })
}

function terminated(bytes: Uint8Array): Uint8Array {
  const text = new Uint8Array(bytes.length + 1)
  text.set(bytes)
  return text
}

function splitNames(list: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = []
  for (let start = 0; start < list.length;) {
    const end = list.indexOf(0, start)
    if (end < 0) break
    names.push(list.slice(start, end))
    start = end + 1
  }
  return names
}

function pathCalls(koffi: Koffi, libc: Library, platform: Platform): Syscalls {
  const bind = (signature: string): NativeFunction | undefined => {
    try {
      return libc.func(signature)
    } catch {
      return undefined // this libc has no such symbol
    }
  }
  const found: Syscalls = {}
  const utimensat = bind(
    'int utimensat(int dirfd, const uint8_t *path, const int64_t *times, int flags)',
  )
  if (utimensat !== undefined) {
    found.setTimes = (path, atime, mtime) => {
      const times = new BigInt64Array([...splitTime(atime), ...splitTime(mtime)])
      const result = utimensat(platform.atFdcwd, terminated(path), times, platform.noFollow)
      if (result !== 0) fail('utimensat', path, koffi.errno())
    }
  }
  addDescriptorCalls(found, koffi, bind)
  const mknod = bind(platform.signatures.mknod)
  if (mknod !== undefined) {
    found.makeNode = (path, mode, rdev) => {
      if (mknod(terminated(path), mode, rdev) !== 0) fail('mknod', path, koffi.errno())
    }
  }
  const mkfifo = bind(`int mkfifo(const uint8_t *path, uint32_t mode)`)
  if (mkfifo !== undefined) {
    found.makeFifo = (path, mode) => {
      if (mkfifo(terminated(path), mode) !== 0) fail('mkfifo', path, koffi.errno())
    }
  }
  return found
}

/** Calls for many small files: nothing is allocated. */
function addDescriptorCalls(
  found: Syscalls,
  koffi: Koffi,
  bind: (signature: string) => NativeFunction | undefined,
): void {
  // elsewhere the last argument, which C declares as optional, may be passed in another way
  const isLinux = process.platform === 'linux'
  const openat = isLinux
    ? bind('int openat(int dirfd, const uint8_t *path, int flags, uint32_t mode)')
    : undefined
  if (openat !== undefined) {
    const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = fsConstants
    const flags = O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | LINUX_CLOSE_ON_EXEC
    const text = new Uint8Array(NAME_BYTES_MAX + 1)
    found.createIn = (directory, name, mode) => {
      if (name.length > NAME_BYTES_MAX) fail('openat', name, constants.errno.ENAMETOOLONG)
      text.set(name)
      text[name.length] = 0
      const fd = openat(directory, text, flags, mode)
      if (fd < 0) fail('openat', name, koffi.errno())
      return Number(fd)
    }
  }
  const close = bind('int close(int fd)')
  if (close !== undefined) {
    found.closeFile = (fd) => {
      if (close(fd) !== 0) fail('close', fd, koffi.errno())
    }
  }
  const futimens = bind('int futimens(int fd, const int64_t *times)')
  if (futimens !== undefined) {
    const times = new BigInt64Array(4)
    found.setTimesOf = (fd, atime, mtime) => {
      setTime(times, 0, atime)
      setTime(times, 2, mtime)
      if (futimens(fd, times) !== 0) fail('futimens', fd, koffi.errno())
    }
  }
}

function setTime(times: BigInt64Array, at: number, ns: bigint): void {
  const rest = ((ns % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND
  times[at] = (ns - rest) / NS_PER_SECOND
  times[at + 1] = rest
}

/** [seconds, nanoseconds 0…999 999 999] of a time in ns, rounding down also before 1970. */
function splitTime(ns: bigint): [bigint, bigint] {
  const times = new BigInt64Array(2)
  setTime(times, 0, ns)
  return [times[0] as bigint, times[1] as bigint]
}

function xattrCalls(koffi: Koffi, libc: Library, platform: Platform): Syscalls {
  const { errno } = constants
  const gone = new Set([errno.ENODATA, process.platform === 'darwin' ? 93 /* ENOATTR */ : -1])
  const unsupported = new Set([errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS])
  const scratch = new Uint8Array(XATTR_BYTES_MAX)
  let list: NativeFunction, get: NativeFunction, set: NativeFunction
  try {
    list = libc.func(platform.signatures.list)
    get = libc.func(platform.signatures.get)
    set = libc.func(platform.signatures.set)
  } catch {
    return {}
  }
  const tail = platform.xattrTail
  return {
    listXattrs(path) {
      const length = Number(list(terminated(path), scratch, scratch.length, ...tail.list))
      if (length >= 0) return length === 0 ? [] : splitNames(scratch.subarray(0, length))
      // a file system without attributes has none to lose
      if (unsupported.has(koffi.errno())) return []
      return fail('listxattr', path, koffi.errno())
    },
    getXattr(path, name) {
      const nameText = terminated(name)
      const length = Number(get(terminated(path), nameText, scratch, scratch.length, ...tail.get))
      if (length >= 0) return scratch.slice(0, length)
      if (gone.has(koffi.errno())) return undefined
      return fail('getxattr', path, koffi.errno())
    },
    setXattr(path, name, value) {
      // koffi passes an empty array as NULL, which is right for a value of no bytes
      const args = [terminated(path), terminated(name), value, value.length, ...tail.set]
      if (set(...args) !== 0) fail('setxattr', path, koffi.errno())
    },
  }
}

function seekCalls(koffi: Koffi, libc: Library, platform: Platform): Syscalls {
  let lseek: NativeFunction
  try {
    lseek = libc.func('int64_t lseek(int fd, int64_t offset, int whence)')
  } catch {
    return {}
  }
  const seek = (fd: number, offset: bigint, whence: number): bigint | undefined => {
    const at = BigInt(lseek(fd, offset, whence))
    if (at >= 0n) return at
    if (koffi.errno() === constants.errno.ENXIO) return undefined
    return fail('lseek', fd, koffi.errno())
  }
  return {
    seekData: (fd, offset) => seek(fd, offset, platform.seekData),
    seekHole: (fd, offset) => seek(fd, offset, platform.seekHole),
  }
}

function syncCalls(koffi: Koffi, libc: Library): Syscalls {
  if (process.platform !== 'linux') return {}
  const syncfs = libc.func('int syncfs(int fd)')
  return {
    syncFileSystem(fd) {
      if (syncfs(fd) !== 0) fail('syncfs', fd, koffi.errno())
    },
    startSyncFileSystem: (fd) => new Promise((resolve) => syncfs.async(fd, () => resolve())),
  }
}

let loaded: Syscalls | undefined

/** The calls that this machine has; loads koffi at the first use, once per thread. Never throws. */
export function syscalls(): Syscalls {
  loaded ??= load()
  return loaded
}

function load(): Syscalls {
  const platform = PLATFORMS[process.platform]
  if (platform === undefined) return {}
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi
    const libc = koffi.load(null) // the process's own symbols: whichever libc Node runs on
    return {
      ...pathCalls(koffi, libc, platform),
      ...xattrCalls(koffi, libc, platform),
      ...seekCalls(koffi, libc, platform),
      ...syncCalls(koffi, libc),
    }
  } catch {
    return {} // no prebuilt koffi for this platform: callers report what they cannot keep
  }
}
