/**
 * BLAKE3 in WebAssembly SIMD: four chunks, or four parent nodes, at a time.
 *
 * The hash state of four inputs lies word by word in 16 vectors, lane by lane, so that one vector
 * instruction does a step of four compressions. The 16 words of the four message blocks are
 * transposed into SCRATCH first. A round is a loop whose message order comes from a table:
 * unrolling all seven gained some 6 % and doubled the code. Rotations by 16 and 8 bits are byte
 * swizzles with their orders in memory, which gained 20 % over shifts; i8x16.shuffle did not, for
 * V8 builds its order anew each time. The relaxed swizzle differs between machines only for indices
 * above 15, and ours are below.
 *
 * The tree is built level by level: neighbours are paired, an odd last node moves up as it is. That
 * gives BLAKE3's left-full tree for every count. The host writes bytes at INPUT, calls, and reads
 * results at CVS or OUT. Constants and names: https://github.com/BLAKE3-team/BLAKE3-specs (section
 * 2).
 */

const CHUNK_BYTES: i32 = 1024
const BLOCK_BYTES: i32 = 64
const CV_BYTES: usize = 32

const CHUNK_START: i32 = 1
const CHUNK_END: i32 = 2
const PARENT: i32 = 4
const ROOT: i32 = 8
const KEYED_HASH: i32 = 16

const WINDOW_CHUNKS: i32 = 64
const GROUP_CHUNKS: i32 = 16

const IV: usize = memory.data<u32>(
  [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19],
  16,
)

// prettier-ignore
const WORD_ORDER: usize = memory.data<u8>([
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
  2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8,
  3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1,
  10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6,
  12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4,
  9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7,
  11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13,
], 16)
const ROUNDS: usize = 7

/** Byte orders that rotate the words of a vector right by 16 bits and by 8 bits. */
// prettier-ignore
const TURNS: usize = memory.data<u8>([
  2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13,
  1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12,
], 16)

/** Where round r finds its k-th message vector: addresses into SCRATCH, filled at start. */
const VECTOR_ADDRESSES: usize = memory.data(448, 16)
/** Message vectors of the four blocks at hand. */
const SCRATCH: usize = memory.data(256, 16)
/** The last block of a chunk, padded with zeros. */
const PADDED: usize = memory.data(64, 16)
/** CVs of subtrees not yet paired; 2^32 windows need 32. */
const STACK: usize = memory.data(34 * 32, 16)
let stackDepth: usize = 0

/** The key of keyed hashes: 32 bytes, written by the host. */
export const KEY: usize = memory.data(32, 16)
/** A finished hash: 32 bytes. */
export const OUT: usize = memory.data(32, 16)
/**
 * Chaining values of the window: 64, and 4 for lanes beyond the end, whose results nobody reads.
 */
export const CVS: usize = memory.data(68 * 32, 16)
/** Window of 64 KiB, and 4 KiB that lanes beyond the end may read. */
export const INPUT: usize = memory.data(68 * 1024, 16)

for (let i: usize = 0; i < ROUNDS * 16; i++) {
  store<u32>(VECTOR_ADDRESSES + i * 4, <u32>(SCRATCH + <usize>load<u8>(WORD_ORDER + i) * 16))
}

function add3(a: v128, b: v128, c: v128): v128 {
  // b is the message word, which is known early: adding it first shortens the chain of dependent
  // steps
  return i32x4.add(i32x4.add(a, b), c)
}

function rotate(x: v128, bits: i32): v128 {
  return v128.or(i32x4.shr_u(x, bits), i32x4.shl(x, 32 - bits))
}

// @ts-ignore: decorator
@inline
function turn(x: v128, order: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? i8x16.relaxed_swizzle(x, order) : i8x16.swizzle(x, order)
}

function word(addresses: usize, k: usize): v128 {
  return v128.load(<usize>load<u32>(addresses + k * 4))
}

/** Words `4q..4q+3` of four blocks, `stride` apart, become four vectors with one block per lane. */
function transpose(from: usize, stride: usize, to: usize): void {
  const a = v128.load(from)
  const b = v128.load(from + stride)
  const c = v128.load(from + 2 * stride)
  const d = v128.load(from + 3 * stride)
  const ab0 = i32x4.shuffle(a, b, 0, 4, 1, 5)
  const ab1 = i32x4.shuffle(a, b, 2, 6, 3, 7)
  const cd0 = i32x4.shuffle(c, d, 0, 4, 1, 5)
  const cd1 = i32x4.shuffle(c, d, 2, 6, 3, 7)
  v128.store(to, i64x2.shuffle(ab0, cd0, 0, 2))
  v128.store(to, i64x2.shuffle(ab0, cd0, 1, 3), 16)
  v128.store(to, i64x2.shuffle(ab1, cd1, 0, 2), 32)
  v128.store(to, i64x2.shuffle(ab1, cd1, 1, 3), 48)
}

function keyOf(flags: i32): usize {
  return flags & KEYED_HASH ? KEY : IV
}

/**
 * Four inputs of `blocks` whole blocks each, `stride` bytes apart: their four CVs go to `out`.
 * Lane i has counter `counter + i * step`. One long function, because only locals live in
 * registers.
 */
function hash4(
  input: usize,
  stride: usize,
  blocks: i32,
  counter: u64,
  step: i32,
  flags: i32,
  first: i32,
  last: i32,
  out: usize,
): void {
  const key = keyOf(flags)
  let h0 = v128.load32_splat(key)
  let h1 = v128.load32_splat(key, 4)
  let h2 = v128.load32_splat(key, 8)
  let h3 = v128.load32_splat(key, 12)
  let h4 = v128.load32_splat(key, 16)
  let h5 = v128.load32_splat(key, 20)
  let h6 = v128.load32_splat(key, 24)
  let h7 = v128.load32_splat(key, 28)
  const low = i32x4.splat(<i32>counter)
  const counterLow = i32x4.add(low, i32x4.mul(i32x4(0, 1, 2, 3), i32x4.splat(step)))
  const carry = v128.lt<u32>(counterLow, low) // all ones, that is -1, where the low word wrapped
  const counterHigh = i32x4.sub(i32x4.splat(<i32>(counter >> 32)), carry)
  let blockFlags = flags | first
  for (let block = 0; block < blocks; block++) {
    if (block == blocks - 1) blockFlags |= last
    const at = input + <usize>(block * BLOCK_BYTES)
    for (let q: usize = 0; q < 4; q++) transpose(at + q * 16, stride, SCRATCH + q * 64)
    let v0 = h0,
      v1 = h1,
      v2 = h2,
      v3 = h3,
      v4 = h4,
      v5 = h5,
      v6 = h6,
      v7 = h7
    let v8 = v128.load32_splat(IV)
    let v9 = v128.load32_splat(IV, 4)
    let v10 = v128.load32_splat(IV, 8)
    let v11 = v128.load32_splat(IV, 12)
    let v12 = counterLow
    let v13 = counterHigh
    let v14 = i32x4.splat(BLOCK_BYTES)
    let v15 = i32x4.splat(blockFlags)
    for (let s = VECTOR_ADDRESSES; s < VECTOR_ADDRESSES + ROUNDS * 64; s += 64) {
      // loaded in each round: V8 keeps them at hand, and would build constants anew each time
      const turn16 = v128.load(TURNS)
      const turn8 = v128.load(TURNS, 16)
      // columns
      v0 = add3(v0, word(s, 0), v4)
      v1 = add3(v1, word(s, 2), v5)
      v2 = add3(v2, word(s, 4), v6)
      v3 = add3(v3, word(s, 6), v7)
      v12 = turn(v128.xor(v12, v0), turn16)
      v13 = turn(v128.xor(v13, v1), turn16)
      v14 = turn(v128.xor(v14, v2), turn16)
      v15 = turn(v128.xor(v15, v3), turn16)
      v8 = i32x4.add(v8, v12)
      v9 = i32x4.add(v9, v13)
      v10 = i32x4.add(v10, v14)
      v11 = i32x4.add(v11, v15)
      v4 = rotate(v128.xor(v4, v8), 12)
      v5 = rotate(v128.xor(v5, v9), 12)
      v6 = rotate(v128.xor(v6, v10), 12)
      v7 = rotate(v128.xor(v7, v11), 12)
      v0 = add3(v0, word(s, 1), v4)
      v1 = add3(v1, word(s, 3), v5)
      v2 = add3(v2, word(s, 5), v6)
      v3 = add3(v3, word(s, 7), v7)
      v12 = turn(v128.xor(v12, v0), turn8)
      v13 = turn(v128.xor(v13, v1), turn8)
      v14 = turn(v128.xor(v14, v2), turn8)
      v15 = turn(v128.xor(v15, v3), turn8)
      v8 = i32x4.add(v8, v12)
      v9 = i32x4.add(v9, v13)
      v10 = i32x4.add(v10, v14)
      v11 = i32x4.add(v11, v15)
      v4 = rotate(v128.xor(v4, v8), 7)
      v5 = rotate(v128.xor(v5, v9), 7)
      v6 = rotate(v128.xor(v6, v10), 7)
      v7 = rotate(v128.xor(v7, v11), 7)
      // diagonals
      v0 = add3(v0, word(s, 8), v5)
      v1 = add3(v1, word(s, 10), v6)
      v2 = add3(v2, word(s, 12), v7)
      v3 = add3(v3, word(s, 14), v4)
      v15 = turn(v128.xor(v15, v0), turn16)
      v12 = turn(v128.xor(v12, v1), turn16)
      v13 = turn(v128.xor(v13, v2), turn16)
      v14 = turn(v128.xor(v14, v3), turn16)
      v10 = i32x4.add(v10, v15)
      v11 = i32x4.add(v11, v12)
      v8 = i32x4.add(v8, v13)
      v9 = i32x4.add(v9, v14)
      v5 = rotate(v128.xor(v5, v10), 12)
      v6 = rotate(v128.xor(v6, v11), 12)
      v7 = rotate(v128.xor(v7, v8), 12)
      v4 = rotate(v128.xor(v4, v9), 12)
      v0 = add3(v0, word(s, 9), v5)
      v1 = add3(v1, word(s, 11), v6)
      v2 = add3(v2, word(s, 13), v7)
      v3 = add3(v3, word(s, 15), v4)
      v15 = turn(v128.xor(v15, v0), turn8)
      v12 = turn(v128.xor(v12, v1), turn8)
      v13 = turn(v128.xor(v13, v2), turn8)
      v14 = turn(v128.xor(v14, v3), turn8)
      v10 = i32x4.add(v10, v15)
      v11 = i32x4.add(v11, v12)
      v8 = i32x4.add(v8, v13)
      v9 = i32x4.add(v9, v14)
      v5 = rotate(v128.xor(v5, v10), 7)
      v6 = rotate(v128.xor(v6, v11), 7)
      v7 = rotate(v128.xor(v7, v8), 7)
      v4 = rotate(v128.xor(v4, v9), 7)
    }
    h0 = v128.xor(v0, v8)
    h1 = v128.xor(v1, v9)
    h2 = v128.xor(v2, v10)
    h3 = v128.xor(v3, v11)
    h4 = v128.xor(v4, v12)
    h5 = v128.xor(v5, v13)
    h6 = v128.xor(v6, v14)
    h7 = v128.xor(v7, v15)
    blockFlags = flags
  }
  v128.store(SCRATCH, h0)
  v128.store(SCRATCH, h1, 16)
  v128.store(SCRATCH, h2, 32)
  v128.store(SCRATCH, h3, 48)
  v128.store(SCRATCH, h4, 64)
  v128.store(SCRATCH, h5, 80)
  v128.store(SCRATCH, h6, 96)
  v128.store(SCRATCH, h7, 112)
  untranspose(SCRATCH, out)
  untranspose(SCRATCH + 64, out + 16)
}

/** Four vectors of one word each back to four rows of four words, one row per CV. */
function untranspose(from: usize, to: usize): void {
  const a = v128.load(from)
  const b = v128.load(from, 16)
  const c = v128.load(from, 32)
  const d = v128.load(from, 48)
  const ab0 = i32x4.shuffle(a, b, 0, 4, 1, 5)
  const ab1 = i32x4.shuffle(a, b, 2, 6, 3, 7)
  const cd0 = i32x4.shuffle(c, d, 0, 4, 1, 5)
  const cd1 = i32x4.shuffle(c, d, 2, 6, 3, 7)
  v128.store(to, i64x2.shuffle(ab0, cd0, 0, 2))
  v128.store(to + CV_BYTES, i64x2.shuffle(ab0, cd0, 1, 3))
  v128.store(to + 2 * CV_BYTES, i64x2.shuffle(ab1, cd1, 0, 2))
  v128.store(to + 3 * CV_BYTES, i64x2.shuffle(ab1, cd1, 1, 3))
}

/**
 * Message words a, b, c, d of one block as the lanes of a vector; `order` is the round's row of
 * WORD_ORDER.
 */
function gather(block: usize, order: usize, a: usize, b: usize, c: usize, d: usize): v128 {
  let x = v128.load32_zero(block + <usize>load<u8>(order + a) * 4)
  x = v128.load_lane<u32>(block + <usize>load<u8>(order + b) * 4, x, 1)
  x = v128.load_lane<u32>(block + <usize>load<u8>(order + c) * 4, x, 2)
  return v128.load_lane<u32>(block + <usize>load<u8>(order + d) * 4, x, 3)
}

/** One compression, its state as four rows: the CV at `cv` is replaced by the next one. */
function compress(cv: usize, block: usize, blockLength: i32, counter: u64, flags: i32): void {
  let r0 = v128.load(cv)
  let r1 = v128.load(cv, 16)
  let r2 = v128.load(IV)
  let r3 = i64x2.splat(<i64>counter)
  r3 = i32x4.replace_lane(i32x4.replace_lane(r3, 2, blockLength), 3, flags)
  const turn16 = v128.load(TURNS)
  const turn8 = v128.load(TURNS, 16)
  for (let order = WORD_ORDER; order < WORD_ORDER + ROUNDS * 16; order += 16) {
    r0 = add3(r0, gather(block, order, 0, 2, 4, 6), r1)
    r3 = turn(v128.xor(r3, r0), turn16)
    r2 = i32x4.add(r2, r3)
    r1 = rotate(v128.xor(r1, r2), 12)
    r0 = add3(r0, gather(block, order, 1, 3, 5, 7), r1)
    r3 = turn(v128.xor(r3, r0), turn8)
    r2 = i32x4.add(r2, r3)
    r1 = rotate(v128.xor(r1, r2), 7)
    // turn the rows, so that the diagonals stand as columns
    r1 = i32x4.shuffle(r1, r1, 1, 2, 3, 0)
    r2 = i32x4.shuffle(r2, r2, 2, 3, 0, 1)
    r3 = i32x4.shuffle(r3, r3, 3, 0, 1, 2)
    r0 = add3(r0, gather(block, order, 8, 10, 12, 14), r1)
    r3 = turn(v128.xor(r3, r0), turn16)
    r2 = i32x4.add(r2, r3)
    r1 = rotate(v128.xor(r1, r2), 12)
    r0 = add3(r0, gather(block, order, 9, 11, 13, 15), r1)
    r3 = turn(v128.xor(r3, r0), turn8)
    r2 = i32x4.add(r2, r3)
    r1 = rotate(v128.xor(r1, r2), 7)
    r1 = i32x4.shuffle(r1, r1, 3, 0, 1, 2)
    r2 = i32x4.shuffle(r2, r2, 2, 3, 0, 1)
    r3 = i32x4.shuffle(r3, r3, 1, 2, 3, 0)
  }
  v128.store(cv, v128.xor(r0, r2))
  v128.store(cv, v128.xor(r1, r3), 16)
}

/** One chunk of 0..1024 bytes; `last` is ROOT when it is the whole message. */
function hashChunk(
  input: usize,
  length: i32,
  counter: u64,
  flags: i32,
  last: i32,
  out: usize,
): void {
  memory.copy(out, keyOf(flags), CV_BYTES)
  let at = input
  let left = length
  let blockFlags = flags | CHUNK_START
  while (left > BLOCK_BYTES) {
    compress(out, at, BLOCK_BYTES, counter, blockFlags)
    blockFlags = flags
    at += BLOCK_BYTES
    left -= BLOCK_BYTES
  }
  memory.fill(PADDED, 0, BLOCK_BYTES)
  memory.copy(PADDED, at, left)
  compress(out, PADDED, left, counter, blockFlags | CHUNK_END | last)
}

/** The parent of the two CVs at `pair`; `last` is ROOT at the top of the tree. */
function hashParent(pair: usize, flags: i32, last: i32, out: usize): void {
  memory.copy(PADDED, pair, BLOCK_BYTES)
  memory.copy(out, keyOf(flags), CV_BYTES)
  compress(out, PADDED, BLOCK_BYTES, 0, flags | PARENT | last)
}

/** CVs of the chunks of INPUT[0..length), the first with `counter`, into CVS; returns how many. */
function hashChunks(length: i32, counter: u64, flags: i32): i32 {
  const whole = length / CHUNK_BYTES
  let done = 0
  // two or three whole chunks cost less as four lanes, of which some work for nothing, than one by
  // one
  for (; whole - done >= 2; done += 4) {
    hash4(
      INPUT + <usize>(done * CHUNK_BYTES),
      CHUNK_BYTES,
      16,
      counter + <u64>done,
      1,
      flags,
      CHUNK_START,
      CHUNK_END,
      CVS + <usize>done * CV_BYTES,
    )
  }
  done = min(done, whole)
  while (done == 0 || done * CHUNK_BYTES < length) {
    const at = done * CHUNK_BYTES
    const chunkLength = min(length - at, CHUNK_BYTES)
    hashChunk(
      INPUT + <usize>at,
      chunkLength,
      counter + <u64>done,
      flags,
      0,
      CVS + <usize>done * CV_BYTES,
    )
    done++
  }
  return done
}

/** One level up, in place: `count` CVs at `cvs` become half as many, an odd last one unchanged. */
function pairUp(cvs: usize, count: i32, flags: i32): i32 {
  const pairs = count >> 1
  let done = 0
  // writing lags reading, so results, even those of lanes beyond the end, never reach the odd last
  // CV
  for (; pairs - done >= 2; done += 4) {
    hash4(
      cvs + <usize>(done * 2) * CV_BYTES,
      2 * CV_BYTES,
      1,
      0,
      0,
      flags | PARENT,
      0,
      0,
      cvs + <usize>done * CV_BYTES,
    )
  }
  if (done < pairs) {
    hashParent(cvs + <usize>(done * 2) * CV_BYTES, flags, 0, cvs + <usize>done * CV_BYTES)
  }
  if (count & 1) {
    memory.copy(cvs + <usize>pairs * CV_BYTES, cvs + <usize>(count - 1) * CV_BYTES, CV_BYTES)
  }
  return pairs + (count & 1)
}

/** The hash of the message INPUT[0..length), of 64 KiB at most, at OUT. */
export function hashWindow(length: i32, flags: i32): void {
  if (length <= CHUNK_BYTES) {
    hashChunk(INPUT, length, 0, flags, ROOT, OUT)
    return
  }
  let count = hashChunks(length, 0, flags)
  while (count > 2) count = pairUp(CVS, count, flags)
  hashParent(CVS, flags, ROOT, OUT)
}

/**
 * Window number `window` of a longer message: its CV goes on the stack, and `merges` times the top
 * two become one (the number of trailing zero bits of the windows so far; none for the last window,
 * for `finish` has the rest).
 */
export function absorbWindow(length: i32, window: u32, flags: i32, merges: i32): void {
  if (window == 0) stackDepth = 0
  let count = hashChunks(length, <u64>window * WINDOW_CHUNKS, flags)
  while (count > 1) count = pairUp(CVS, count, flags)
  memory.copy(STACK + stackDepth * CV_BYTES, CVS, CV_BYTES)
  stackDepth++
  for (; merges > 0; merges--) mergeTop(flags, 0, STACK + (stackDepth - 2) * CV_BYTES)
}

function mergeTop(flags: i32, last: i32, out: usize): void {
  hashParent(STACK + (stackDepth - 2) * CV_BYTES, flags, last, out)
  stackDepth--
}

/** The hash of two or more absorbed windows, at OUT. */
export function finish(flags: i32): void {
  while (stackDepth > 2) mergeTop(flags, 0, STACK + (stackDepth - 2) * CV_BYTES)
  mergeTop(flags, ROOT, OUT)
}

/**
 * CVs of the groups of 16 chunks of INPUT[0..length), never as root, into CVS; returns how many.
 */
export function hashGroups(length: i32, firstGroup: u32): i32 {
  let count = hashChunks(length, <u64>firstGroup * GROUP_CHUNKS, 0)
  for (let size = 1; size < GROUP_CHUNKS; size <<= 1) count = pairUp(CVS, count, 0)
  return count
}

/** One level of parents over `count` CVs at INPUT, in place; returns how many remain. */
export function pairLevel(count: i32): i32 {
  return pairUp(INPUT, count, 0)
}

/** The root over the two CVs at INPUT, at OUT. */
export function rootOfPair(): void {
  hashParent(INPUT, 0, ROOT, OUT)
}
