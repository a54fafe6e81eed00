/** Gear table, masks, and the scan byte by byte that defines the cuts. spec/chunking.md §2-3. */

import { assert } from '../assert.ts'
import { blake3Keyed } from '../blake3/index.ts'
import { HASH_BYTES } from '../limits.ts'

const TABLE_WORDS = 256
const WORD_BYTES = 4
const BLOCK_WORDS = HASH_BYTES / WORD_BYTES

/** The hash has 32 bits, so that what is older than 32 bytes has been shifted out of it. */
export const HISTORY_BYTES = 32

/**
 * A place is a cut when the hash is below the threshold. Below the average size the chance per byte
 * is 2^-22, beyond it 2^-18: level 2 normalisation around the average of 2^20, which gathers the
 * sizes near it (FastCDC 2016 §4.3). "The top 22 bits are zero" and "below 2^10" say the same.
 */
export const HARD_THRESHOLD: number = 2 ** (32 - 22)
export const EASY_THRESHOLD: number = 2 ** (32 - 18)

/**
 * The 256 words of a vault's gear table, from a secret seed of 32 bytes: block i of the expansion
 * is `blake3Keyed(seed, u32le(i))` and holds eight little-endian words. Secret, so that the places
 * of cuts tell nobody which known file was stored.
 */
export function gearTable(seed: Uint8Array): Uint32Array {
  assert(seed.length === HASH_BYTES, 'a gear seed has 32 bytes')
  const table = new Uint32Array(TABLE_WORDS)
  const counter = new DataView(new ArrayBuffer(WORD_BYTES))
  for (let block = 0; block < TABLE_WORDS / BLOCK_WORDS; block++) {
    counter.setUint32(0, block, true)
    const words = new DataView(blake3Keyed(seed, new Uint8Array(counter.buffer)).buffer)
    for (let i = 0; i < BLOCK_WORDS; i++) {
      table[block * BLOCK_WORDS + i] = words.getUint32(i * WORD_BYTES, true)
    }
  }
  return table
}

/** A stretch of `bytes` to scan: [from, to), with at least 32 bytes before it. */
export type Stretch = { bytes: Uint8Array; from: number; to: number }

/**
 * The first cut in (from, to]: the hash over the 32 bytes before it is below `threshold`. 0 when
 * there is none.
 */
export type Scan = (stretch: Stretch, threshold: number) => number

/** The scan in plain JavaScript: slow, and the definition that the kernel is tested against. */
export function plainScan(gear: Uint32Array): Scan {
  return ({ bytes, from, to }, threshold) => {
    let hash = 0
    for (let i = from - HISTORY_BYTES; i < to; i++) {
      hash = ((hash << 1) + (gear[bytes[i] as number] as number)) >>> 0
      if (i >= from && hash < threshold) return i + 1
    }
    return 0
  }
}
