/**
 * Spans: how the threads of a store share one large file.
 *
 * Where a file is cut depends on all of it before, so one thread looks for the cuts, at some GB/s;
 * hashing, compressing and sealing the chunks between them is ten times as much work and needs no
 * order. The thread that has the file offers spans of some chunks to the others and takes those
 * that nobody has claimed itself: it never waits for a thread that has not begun. The ids come back
 * through shared memory, because a thread that works does not look at its messages.
 */

import { HASH_BYTES } from '@moyai/protocol'

const OPEN = 0
const CLAIMED = 1
const DONE = 2
const FAILED = 3
/** State, padded to the alignment of the ids. */
const HEAD_BYTES = 16
/** A thread that waits looks up this often whether the store was cancelled. */
const WAIT_MS = 500

export type FileStat = {
  size: bigint
  mtime: bigint
  ctime: bigint
  inode: bigint
  device: bigint
}

export type Hole = { offset: number; length: number }

/** Some chunks of a file, one after another, as a message to another thread. */
export type Span = {
  path: string
  /** What the file must still be when it is opened again. */
  stat: FileStat
  holes: Hole[]
  /** Where in the file the first chunk begins. */
  start: number
  /** Bytes of each chunk, holes not counted. */
  lengths: Uint32Array
  shared: SharedArrayBuffer
}

/** Memory for the state and the ids of `count` chunks. */
export function spanMemory(count: number): SharedArrayBuffer {
  return new SharedArrayBuffer(HEAD_BYTES + count * HASH_BYTES)
}

/** A span's state and ids, seen by any of the threads. */
export class SpanProgress {
  readonly #state: Int32Array
  /** One id per chunk, complete once the span is done. */
  readonly ids: Uint8Array

  constructor(shared: SharedArrayBuffer) {
    this.#state = new Int32Array(shared, 0, 1)
    this.ids = new Uint8Array(shared, HEAD_BYTES)
  }

  /** True for the one thread that is to read the span. */
  claim(): boolean {
    return Atomics.compareExchange(this.#state, 0, OPEN, CLAIMED) === OPEN
  }

  get isOpen(): boolean {
    return Atomics.load(this.#state, 0) === OPEN
  }

  /** `isRead`: false when the file was not what it should be. */
  end(isRead: boolean): void {
    Atomics.store(this.#state, 0, isRead ? DONE : FAILED)
    Atomics.notify(this.#state, 0)
  }

  /** Waits for the thread that claimed it; whether the span was read. Calls `check` meanwhile. */
  wait(check: () => void): boolean {
    for (;;) {
      const state = Atomics.load(this.#state, 0)
      if (state === DONE || state === FAILED) return state === DONE
      check()
      Atomics.wait(this.#state, 0, state, WAIT_MS)
    }
  }
}
