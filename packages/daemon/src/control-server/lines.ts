/** Newline-delimited text out of a stream of bytes, with a bound on the length of a line. */

import { concatBytes, fromUtf8, MoyaiError } from '@moyai/protocol'

const NEWLINE = 0x0a

/**
 * Collects bytes and gives whole lines; never holds more than one line of at most `lineBytesMax`.
 */
export class LineSplitter {
  readonly #lineBytesMax: number
  #parts: Uint8Array[] = []
  #length = 0

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax
  }

  /** The lines that `bytes` completes, without their newline. TOO_LARGE, MALFORMED (not UTF-8). */
  push(bytes: Uint8Array): string[] {
    const lines: string[] = []
    let start = 0
    for (;;) {
      const end = bytes.indexOf(NEWLINE, start)
      const part = bytes.subarray(start, end === -1 ? bytes.length : end)
      this.#length += part.length
      if (this.#length > this.#lineBytesMax) {
        throw new MoyaiError('TOO_LARGE', `a line is longer than ${this.#lineBytesMax} bytes`)
      }
      this.#parts.push(part)
      if (end === -1) return lines
      lines.push(fromUtf8(concatBytes(...this.#parts)))
      this.#parts = []
      this.#length = 0
      start = end + 1
    }
  }
}
