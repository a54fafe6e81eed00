/**
 * Content-defined chunking: FastCDC with a secret gear table and normalisation level 2.
 * spec/chunking.md.
 *
 * A cut depends only on the 32 bytes before it and on where its chunk began, so after an insertion
 * the cuts soon fall on the same content again. Absent on purpose: state between calls;
 * whoever reads decides about windows.
 */

import { CHUNK_BYTES_AVERAGE, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN } from '../limits.ts'
import { EASY_THRESHOLD, HARD_THRESHOLD, type Scan } from './gear.ts'
import { bestScan } from './kernel-scan.ts'

/**
 * Finds chunk after chunk with one gear table; one per thread is enough, for calls keep no state.
 */
export class Chunker {
  readonly #scan: Scan

  /** `gear` has 256 words, of `gearTable`. `scan` is for tests. */
  constructor(gear: Uint32Array, scan: Scan = bestScan(gear)) {
    this.#scan = scan
  }

  /**
   * Length of the chunk at the start of `bytes`, from CHUNK_BYTES_MIN (less only for the last one)
   * to CHUNK_BYTES_MAX; 0 when more bytes are needed, which happens only below CHUNK_BYTES_MAX
   * bytes and never when `isLast`, unless `bytes` is empty. `bytes` may be a view of shared memory.
   * A call after 0 scans again from the start: a window of twice CHUNK_BYTES_MAX and more keeps
   * that rare.
   */
  next(bytes: Uint8Array, isLast: boolean): number {
    const end = Math.min(bytes.length, CHUNK_BYTES_MAX)
    if (end > CHUNK_BYTES_MIN) {
      const middle = Math.min(end, CHUNK_BYTES_AVERAGE)
      const hard = this.#scan({ bytes, from: CHUNK_BYTES_MIN, to: middle }, HARD_THRESHOLD)
      if (hard > 0) return hard
      const easy = this.#scan({ bytes, from: middle, to: end }, EASY_THRESHOLD)
      if (easy > 0) return easy
    }
    return isLast || end === CHUNK_BYTES_MAX ? end : 0
  }
}
