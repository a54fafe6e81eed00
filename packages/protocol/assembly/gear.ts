/**
 * Gear scan in WebAssembly SIMD: finds the first place where the rolling hash falls below a
 * threshold.
 *
 * The gear hash `h = 2h + table[byte]` over 32 bits knows only the last 32 bytes. So a block of 16
 * KiB is cut into four stretches of 4 KiB, each the lane of a vector, warmed with the 32 bytes
 * before it; the running minimum over eight steps tells whether any lane fell below. Then the block
 * is scanned again byte by byte for the first such place: results equal those of a scan byte by
 * byte.
 */

const BLOCK_BYTES: i32 = 16384
const STRETCH_BYTES: usize = 4096
const HISTORY_BYTES: usize = 32

/** 256 words of gear table, written by the host. */
export const TABLE: usize = memory.data(1024, 16)
/** The 32 bytes before the window, then up to 64 KiB of window. */
export const HISTORY: usize = memory.data(32 + 65536, 16)
const INPUT: usize = HISTORY + HISTORY_BYTES

function gear(at: usize): u32 {
  return load<u32>(TABLE + ((<usize>load<u8>(at)) << 2))
}

/** Hash of the 32 bytes before `at`. */
function warm(at: usize): u32 {
  let hash: u32 = 0
  for (let p = at - HISTORY_BYTES; p < at; p++) hash = (hash << 1) + gear(p)
  return hash
}

/** The table's words for the next byte of each lane; the stretches stand at `at`. */
function words(at: usize): v128 {
  let found = v128.load32_zero(TABLE + ((<usize>load<u8>(at)) << 2))
  found = v128.load_lane<u32>(TABLE + ((<usize>load<u8>(at, STRETCH_BYTES)) << 2), found, 1)
  found = v128.load_lane<u32>(TABLE + ((<usize>load<u8>(at, 2 * STRETCH_BYTES)) << 2), found, 2)
  return v128.load_lane<u32>(TABLE + ((<usize>load<u8>(at, 3 * STRETCH_BYTES)) << 2), found, 3)
}

/** The hashes after `first`. */
// @ts-ignore: decorator
@inline
function one(hash: v128, first: v128): v128 {
  return i32x4.add(i32x4.add(hash, hash), first)
}

/**
 * The hashes after `first` and `second`, not by way of those after `first`: the next step then waits
 * for one addition and one shift where it would wait for four additions, which gained 40 % where
 * an addition takes two cycles.
 */
// @ts-ignore: decorator
@inline
function two(hash: v128, first: v128, second: v128): v128 {
  return i32x4.add(i32x4.shl(hash, 2), i32x4.add(i32x4.add(first, first), second))
}

/** True when the hash falls below the threshold somewhere in the block. */
function blockHasCut(block: usize, threshold: v128): bool {
  let hash = i32x4(
    warm(block),
    warm(block + STRETCH_BYTES),
    warm(block + 2 * STRETCH_BYTES),
    warm(block + 3 * STRETCH_BYTES),
  )
  for (let at = block, end = block + STRETCH_BYTES; at < end; at += 8) {
    let a = words(at)
    let b = words(at + 1)
    let least = one(hash, a)
    hash = two(hash, a, b)
    least = v128.min<u32>(least, hash)
    a = words(at + 2)
    b = words(at + 3)
    least = v128.min<u32>(least, one(hash, a))
    hash = two(hash, a, b)
    least = v128.min<u32>(least, hash)
    a = words(at + 4)
    b = words(at + 5)
    least = v128.min<u32>(least, one(hash, a))
    hash = two(hash, a, b)
    least = v128.min<u32>(least, hash)
    a = words(at + 6)
    b = words(at + 7)
    least = v128.min<u32>(least, one(hash, a))
    hash = two(hash, a, b)
    least = v128.min<u32>(least, hash)
    if (v128.any_true(v128.lt<u32>(least, threshold))) return true
  }
  return false
}

/**
 * Bytes from `from` up to and with the first one that brings the hash below `threshold`; 0 if none
 * before `end`.
 */
function scanBytes(from: usize, end: usize, threshold: u32): i32 {
  let hash = warm(from)
  for (let p = from; p < end; p++) {
    hash = (hash << 1) + gear(p)
    if (hash < threshold) return <i32>(p - INPUT) + 1
  }
  return 0
}

/**
 * How many bytes of the window's `length` to take so that the hash after the last of them is below
 * `threshold`; the first such place, or 0 if there is none.
 */
export function scan(length: i32, threshold: u32): i32 {
  const thresholds = i32x4.splat(threshold)
  let done: i32 = 0
  for (; done + BLOCK_BYTES <= length; done += BLOCK_BYTES) {
    const block = INPUT + <usize>done
    if (blockHasCut(block, thresholds)) {
      return scanBytes(block, block + <usize>BLOCK_BYTES, threshold)
    }
  }
  return scanBytes(INPUT + <usize>done, INPUT + <usize>length, threshold)
}
