/**
 * Where the bytes of a file's chunks go: its content with the holes left out, laid over the file in
 * order.
 */

import { MoyaiError } from '@moyai/protocol'
import type { Entry, Hole } from '@moyai/protocol'

/** Hands out file ranges for successive chunks; a chunk is divided where a hole is in its way. */
export class HoleLayout {
  readonly #size: bigint
  readonly #holes: readonly Hole[]
  #hole = 0
  #at = 0

  constructor(entry: Entry) {
    this.#size = BigInt(entry.size)
    this.#holes = entry.holes ?? []
    this.#skipHoles()
  }

  /**
   * Ranges for the next `length` bytes of content. MALFORMED when they would go beyond the file's
   * size.
   */
  next(length: number): Hole[] {
    const extents: Hole[] = []
    for (let rest = length; rest > 0;) {
      const end = this.#holes[this.#hole]?.offset ?? Number.POSITIVE_INFINITY
      const part = Math.min(rest, end - this.#at)
      extents.push({ offset: this.#at, length: part })
      this.#at += part
      rest -= part
      this.#skipHoles()
    }
    const last = extents.at(-1)
    if (last !== undefined && BigInt(last.offset + last.length) > this.#size) {
      throw new MoyaiError('MALFORMED', 'the chunks of the file are longer than the file')
    }
    return extents
  }

  /** MALFORMED unless the chunks so far fill the file. */
  finish(): void {
    if (BigInt(this.#at) !== this.#size) {
      throw new MoyaiError('MALFORMED', 'the chunks of the file are shorter than the file')
    }
  }

  #skipHoles(): void {
    const hole = this.#holes[this.#hole]
    if (hole === undefined || hole.offset !== this.#at) return
    this.#at += hole.length
    this.#hole += 1
  }
}
