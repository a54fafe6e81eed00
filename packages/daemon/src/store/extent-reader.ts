/** The data of a file between its holes. */

import { readSync } from 'node:fs'

import type { Hole } from './span.ts'

/** One read call: larger ones are not faster. */
const READ_BYTES = 1024 * 1024

/** Reads the data of a file in order, holes left out. */
export class ExtentReader {
  readonly #fd: number
  readonly #size: number
  readonly #holes: Hole[]
  #position = 0
  #hole = 0
  done = false

  /** `start`: the offset of the first byte to read, 0 when absent. */
  constructor(fd: number, o: { size: number; holes: Hole[]; start?: number }) {
    this.#fd = fd
    this.#size = o.size
    this.#holes = o.holes
    this.#position = o.start ?? 0
    this.#skipHoles()
  }

  /** Where the file ends: its size, or less when it shrank. */
  get end(): number {
    return this.#position
  }

  /** Fills `into` as far as there is data; sets `done` at the end. Returns the count of bytes. */
  fill(into: Uint8Array): number {
    let filled = 0
    while (filled < into.length && !this.done) {
      const limit = this.#holes[this.#hole]?.offset ?? this.#size
      const wanted = Math.min(into.length - filled, limit - this.#position, READ_BYTES)
      const count = readSync(this.#fd, into, filled, wanted, this.#position)
      filled += count
      this.#position += count
      if (count === 0) this.done = true
      else this.#skipHoles()
    }
    return filled
  }

  #skipHoles(): void {
    for (;;) {
      const hole = this.#holes[this.#hole]
      if (hole === undefined || hole.offset > this.#position) break
      this.#position = Math.max(this.#position, hole.offset + hole.length)
      this.#hole++
    }
    if (this.#position >= this.#size) this.done = true
  }
}

/** The offset at which the data ends that begins at `start` and has `length` bytes beside holes. */
export function afterData(start: number, length: number, holes: readonly Hole[]): number {
  let at = start + length
  for (const hole of holes) {
    if (hole.offset < start) continue
    if (hole.offset > at) break
    at += hole.length
  }
  return at
}
