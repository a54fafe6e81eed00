/**
 * Which chunks are known: an open-addressing table in shared memory that all threads of a store
 * read and write.
 *
 * A lookup costs 0.3 µs; asking the main thread or the database would cost 25 to 120. Ids are keyed
 * hashes, so 128 of their 256 bits are enough (2⁻⁶⁴ at 2³² chunks) and nobody outside can aim at a
 * collision. Two threads that meet the same new chunk at the same moment may both store it:
 * wasteful, never wrong. The contrary, taking an unknown chunk for known, cannot happen, because
 * all four words have to be equal.
 *
 * The table grows by further segments, each about as large as all before it.
 */

import { assert } from '@moyai/protocol'

const WORDS = 4
const HEADER_WORDS = 4
const COUNT = 0
/**
 * Beyond this share probing gets long; new chunks are then simply not remembered until a segment is
 * added.
 */
const LOAD_MAX = 0.8
const SLOTS_MIN = 1 << 14

/** A new segment for about `entries` ids: 16 bytes per slot, a power of two of slots. */
export function dedupSegment(entries: number): SharedArrayBuffer {
  let slots = SLOTS_MIN
  while (slots * 0.6 < entries) slots *= 2
  return new SharedArrayBuffer((HEADER_WORDS + slots * WORDS) * 4)
}

type Words = [number, number, number, number]

function wordsOf(id: Uint8Array): Words {
  const word = (at: number): number =>
    (id[at] as number) |
    ((id[at + 1] as number) << 8) |
    ((id[at + 2] as number) << 16) |
    ((id[at + 3] as number) << 24)
  // zero marks a free slot
  return [word(0) === 0 ? 1 : word(0), word(4), word(8), word(12)]
}

class Segment {
  readonly buffer: SharedArrayBuffer
  readonly #cells: Int32Array
  readonly #mask: number
  readonly #countMax: number

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer
    this.#cells = new Int32Array(buffer)
    const slots = (this.#cells.length - HEADER_WORDS) / WORDS
    assert(Number.isInteger(Math.log2(slots)), 'a segment has a power of two of slots')
    this.#mask = slots - 1
    this.#countMax = Math.floor(slots * LOAD_MAX)
  }

  get count(): number {
    return Atomics.load(this.#cells, COUNT)
  }

  get full(): boolean {
    return this.count >= this.#countMax
  }

  has(words: Words): boolean {
    for (let slot = words[1] & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const at = HEADER_WORDS + slot * WORDS
      const first = Atomics.load(this.#cells, at)
      if (first === 0) return false
      if (first === words[0] && this.#same(at, words)) return true
    }
  }

  /** False when it is there already. */
  insert(words: Words): boolean {
    for (let slot = words[1] & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const at = HEADER_WORDS + slot * WORDS
      const first = Atomics.compareExchange(this.#cells, at, 0, words[0])
      if (first === 0) {
        for (let i = 1; i < WORDS; i++) Atomics.store(this.#cells, at + i, words[i] as number)
        Atomics.add(this.#cells, COUNT, 1)
        return true
      }
      if (first === words[0] && this.#same(at, words)) return false
    }
  }

  #same(at: number, words: Words): boolean {
    return (
      Atomics.load(this.#cells, at + 1) === words[1] &&
      Atomics.load(this.#cells, at + 2) === words[2] &&
      Atomics.load(this.#cells, at + 3) === words[3]
    )
  }
}

/** One thread's view of the shared table. */
export class DedupTable {
  readonly #segments: Segment[] = []

  constructor(buffers: readonly SharedArrayBuffer[]) {
    this.extend(buffers)
  }

  /** Takes over segments that were added elsewhere; `buffers` are all segments in order. */
  extend(buffers: readonly SharedArrayBuffer[]): void {
    for (const buffer of buffers.slice(this.#segments.length)) {
      this.#segments.push(new Segment(buffer))
    }
    assert(this.#segments.length > 0, 'a table has a segment')
  }

  get buffers(): SharedArrayBuffer[] {
    return this.#segments.map((segment) => segment.buffer)
  }

  get count(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.count, 0)
  }

  /** Whether a further segment is due: the last one forgets new chunks. */
  needsSegment(): boolean {
    return this.#last.full
  }

  has(id: Uint8Array): boolean {
    const words = wordsOf(id)
    return this.#segments.some((segment) => segment.has(words))
  }

  /**
   * True when `id` was not known: the caller stores the chunk, everybody else takes it for known
   * from now on.
   */
  claim(id: Uint8Array): boolean {
    const words = wordsOf(id)
    const last = this.#last
    for (const segment of this.#segments) {
      if (segment !== last && segment.has(words)) return false
    }
    return last.full ? !last.has(words) : last.insert(words)
  }

  get #last(): Segment {
    const last = this.#segments.at(-1)
    assert(last !== undefined, 'a table has a segment')
    return last
  }
}
