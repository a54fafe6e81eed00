/**
 * Keeps the C library from holding on to memory that nobody uses.
 *
 * glibc gives each of a daemon's many threads an arena of its own, and returns to the system only
 * what is at an arena's end; freed buffers of packs and pages then stay resident for good. Few
 * arenas, mappings of their own for large buffers, and a trim from time to time keep the daemon's
 * memory near what it uses. A daemon on another C library does without.
 */

import { createRequire } from 'node:module'

const M_TRIM_THRESHOLD = -1
const M_MMAP_THRESHOLD = -3
const M_ARENA_MAX = -8

/** Threads wait little for an arena: what they allocate often is in V8's heap. */
const ARENAS_MAX = 2
/** Buffers from here on are mapped alone and go back to the system when they are freed. */
const MAPPED_BYTES_MIN = 128 * 1024
/** Free bytes at the end of the main arena that are given back at once. */
const TRIM_BYTES_MIN = 1024 * 1024
/** While somebody works; one trim takes 1 to 40 ms of the calling thread. */
const TRIM_MS = 2000
/** While nothing is to be done: connections and messages leave some MiB in pieces. */
const IDLE_TRIM_MS = 5 * 60 * 1000
/** After the start, which compiles and connects. */
const FIRST_TRIM_MS = 20 * 1000

type NativeFunction = (...args: unknown[]) => unknown
type Glibc = { mallopt: NativeFunction; trim: NativeFunction }

let glibc: Glibc | undefined
let working = 0
let timer: NodeJS.Timeout | undefined

/**
 * Sets the limits of this process: once, before threads are started. Changes nothing where the C
 * library is not glibc or cannot be reached.
 */
export function limitAllocator(): void {
  if (process.platform !== 'linux') return
  try {
    const koffi = createRequire(import.meta.url)('koffi') as {
      load(path: string | null): { func(signature: string): NativeFunction }
    }
    const libc = koffi.load(null)
    libc.func('const char *gnu_get_libc_version()') // other C libraries know no such symbol
    glibc = {
      mallopt: libc.func('int mallopt(int what, int value)'),
      trim: libc.func('int malloc_trim(size_t pad)'),
    }
  } catch {
    return
  }
  glibc.mallopt(M_ARENA_MAX, ARENAS_MAX)
  glibc.mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES_MIN)
  glibc.mallopt(M_TRIM_THRESHOLD, TRIM_BYTES_MIN)
  setTimeout(trim, FIRST_TRIM_MS).unref()
  setInterval(trim, IDLE_TRIM_MS).unref()
}

/** Gives free memory back to the system while `work` runs, and once more when it has ended. */
export async function trimmed<T>(work: () => Promise<T>): Promise<T> {
  working += 1
  timer ??= setInterval(trim, TRIM_MS).unref()
  try {
    return await work()
  } finally {
    working -= 1
    if (working === 0) {
      clearInterval(timer)
      timer = undefined
    }
    trim()
  }
}

function trim(): void {
  glibc?.trim(0)
}
