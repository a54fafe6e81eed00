/**
 * Sums of products in GF(2^8) over whole shards, in WebAssembly SIMD: what encoding and
 * reconstructing have in common. Which field: spec/code.md §2; which factors: the host says.
 *
 * A product with a fixed factor is linear, so it is the sum of the products of the low and of the
 * high four bits of a byte: two look-ups in tables of 16 bytes, which a swizzle does for 16 bytes
 * at once. The relaxed swizzle differs between machines only for indices above 15, and ours are
 * below. Up to four rows of the matrix are summed in one pass over the sources, 32 bytes at a time:
 * eight sums, the mask, the tables and the bytes at hand just fit the 16 registers that V8 uses.
 * The sums of low halves come before those of high halves for the same reason. The mask is loaded
 * from memory, because V8 builds constants anew wherever they are used, which cost a third.
 */

const STEP_BYTES: usize = 32
/** Both tables of one factor: products of 0..15, then of 0, 16, .. 240. */
const TABLE_BYTES: usize = 32
const ROWS_MAX: i32 = 4
/** Sources are read again for each pass: 32 of these stay in a second-level cache. */
const BLOCK_BYTES: usize = 16384

// prettier-ignore
const MASK: usize = memory.data<u8>([15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15], 16)

/** Addresses of up to 32 source shards, and of up to 16 target shards. */
export const SOURCES: usize = memory.data(32 * 4, 16)
export const TARGETS: usize = memory.data(16 * 4, 16)
/**
 * Tables of the factors, pass after pass; in a pass source after source, of a source row after row.
 */
export const TABLES: usize = memory.data(32 * 16 * 32, 16)
/** Behind all data of the kernel. */
export const END: usize = memory.data(16, 16)

// @ts-ignore: decorator
@inline
function lookup(table: v128, indices: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD
    ? i8x16.relaxed_swizzle(table, indices)
    : i8x16.swizzle(table, indices)
}

// @ts-ignore: decorator
@inline
function add(sum: v128, table: v128, indices: v128): v128 {
  return v128.xor(sum, lookup(table, indices))
}

// @ts-ignore: decorator
@inline
function high(bytes: v128, mask: v128): v128 {
  return v128.and(i16x8.shr_u(bytes, 4), mask)
}

// @ts-ignore: decorator
@inline
function put(targets: usize, offset: usize, a: v128, b: v128): void {
  const at = <usize>load<u32>(targets) + offset
  v128.store(at, a)
  v128.store(at, b, 16)
}

/** One row for bytes `from` to `to` of all shards; `last` is behind the last source's address. */
function row1(last: usize, targets: usize, tables: usize, from: usize, to: usize): void {
  const mask = v128.load(MASK)
  for (let offset = from; offset < to; offset += STEP_BYTES) {
    let a0 = i32x4.splat(0)
    let b0 = i32x4.splat(0)
    let table = tables
    let source = SOURCES
    do {
      const at = <usize>load<u32>(source) + offset
      const x = v128.load(at)
      const y = v128.load(at, 16)
      let t = v128.load(table)
      a0 = add(a0, t, v128.and(x, mask))
      b0 = add(b0, t, v128.and(y, mask))
      t = v128.load(table, 16)
      a0 = add(a0, t, high(x, mask))
      b0 = add(b0, t, high(y, mask))
      table += TABLE_BYTES
      source += 4
    } while (source < last)
    put(targets, offset, a0, b0)
  }
}

/** Two rows; see `row1`. */
function row2(last: usize, targets: usize, tables: usize, from: usize, to: usize): void {
  const mask = v128.load(MASK)
  for (let offset = from; offset < to; offset += STEP_BYTES) {
    let a0 = i32x4.splat(0)
    let b0 = i32x4.splat(0)
    let a1 = i32x4.splat(0)
    let b1 = i32x4.splat(0)
    let table = tables
    let source = SOURCES
    do {
      const at = <usize>load<u32>(source) + offset
      const x = v128.load(at)
      const y = v128.load(at, 16)
      const xl = v128.and(x, mask)
      const yl = v128.and(y, mask)
      let t = v128.load(table)
      a0 = add(a0, t, xl)
      b0 = add(b0, t, yl)
      t = v128.load(table, 32)
      a1 = add(a1, t, xl)
      b1 = add(b1, t, yl)
      const xh = high(x, mask)
      const yh = high(y, mask)
      t = v128.load(table, 16)
      a0 = add(a0, t, xh)
      b0 = add(b0, t, yh)
      t = v128.load(table, 48)
      a1 = add(a1, t, xh)
      b1 = add(b1, t, yh)
      table += 2 * TABLE_BYTES
      source += 4
    } while (source < last)
    put(targets, offset, a0, b0)
    put(targets + 4, offset, a1, b1)
  }
}

/** Three rows; see `row1`. */
function row3(last: usize, targets: usize, tables: usize, from: usize, to: usize): void {
  const mask = v128.load(MASK)
  for (let offset = from; offset < to; offset += STEP_BYTES) {
    let a0 = i32x4.splat(0)
    let b0 = i32x4.splat(0)
    let a1 = i32x4.splat(0)
    let b1 = i32x4.splat(0)
    let a2 = i32x4.splat(0)
    let b2 = i32x4.splat(0)
    let table = tables
    let source = SOURCES
    do {
      const at = <usize>load<u32>(source) + offset
      const x = v128.load(at)
      const y = v128.load(at, 16)
      const xl = v128.and(x, mask)
      const yl = v128.and(y, mask)
      let t = v128.load(table)
      a0 = add(a0, t, xl)
      b0 = add(b0, t, yl)
      t = v128.load(table, 32)
      a1 = add(a1, t, xl)
      b1 = add(b1, t, yl)
      t = v128.load(table, 64)
      a2 = add(a2, t, xl)
      b2 = add(b2, t, yl)
      const xh = high(x, mask)
      const yh = high(y, mask)
      t = v128.load(table, 16)
      a0 = add(a0, t, xh)
      b0 = add(b0, t, yh)
      t = v128.load(table, 48)
      a1 = add(a1, t, xh)
      b1 = add(b1, t, yh)
      t = v128.load(table, 80)
      a2 = add(a2, t, xh)
      b2 = add(b2, t, yh)
      table += 3 * TABLE_BYTES
      source += 4
    } while (source < last)
    put(targets, offset, a0, b0)
    put(targets + 4, offset, a1, b1)
    put(targets + 8, offset, a2, b2)
  }
}

/** Four rows; see `row1`. */
function row4(last: usize, targets: usize, tables: usize, from: usize, to: usize): void {
  const mask = v128.load(MASK)
  for (let offset = from; offset < to; offset += STEP_BYTES) {
    let a0 = i32x4.splat(0)
    let b0 = i32x4.splat(0)
    let a1 = i32x4.splat(0)
    let b1 = i32x4.splat(0)
    let a2 = i32x4.splat(0)
    let b2 = i32x4.splat(0)
    let a3 = i32x4.splat(0)
    let b3 = i32x4.splat(0)
    let table = tables
    let source = SOURCES
    do {
      const at = <usize>load<u32>(source) + offset
      const x = v128.load(at)
      const y = v128.load(at, 16)
      const xl = v128.and(x, mask)
      const yl = v128.and(y, mask)
      let t = v128.load(table)
      a0 = add(a0, t, xl)
      b0 = add(b0, t, yl)
      t = v128.load(table, 32)
      a1 = add(a1, t, xl)
      b1 = add(b1, t, yl)
      t = v128.load(table, 64)
      a2 = add(a2, t, xl)
      b2 = add(b2, t, yl)
      t = v128.load(table, 96)
      a3 = add(a3, t, xl)
      b3 = add(b3, t, yl)
      const xh = high(x, mask)
      const yh = high(y, mask)
      t = v128.load(table, 16)
      a0 = add(a0, t, xh)
      b0 = add(b0, t, yh)
      t = v128.load(table, 48)
      a1 = add(a1, t, xh)
      b1 = add(b1, t, yh)
      t = v128.load(table, 80)
      a2 = add(a2, t, xh)
      b2 = add(b2, t, yh)
      t = v128.load(table, 112)
      a3 = add(a3, t, xh)
      b3 = add(b3, t, yh)
      table += 4 * TABLE_BYTES
      source += 4
    } while (source < last)
    put(targets, offset, a0, b0)
    put(targets + 4, offset, a1, b1)
    put(targets + 8, offset, a2, b2)
    put(targets + 12, offset, a3, b3)
  }
}

/** All rows for bytes `from` to `to`, whose number is a multiple of STEP_BYTES. */
function block(sources: i32, targets: i32, from: usize, to: usize): void {
  const last = SOURCES + (<usize>sources << 2)
  let target = TARGETS
  let tables = TABLES
  for (let left = targets; left > 0; ) {
    // evenly, for 3 and 3 rows cost less than 4 and 2
    const passes = (left + ROWS_MAX - 1) / ROWS_MAX
    const rows = (left + passes - 1) / passes
    if (rows == 4) row4(last, target, tables, from, to)
    else if (rows == 3) row3(last, target, tables, from, to)
    else if (rows == 2) row2(last, target, tables, from, to)
    else row1(last, target, tables, from, to)
    target += <usize>rows << 2
    tables += <usize>(sources * rows) * TABLE_BYTES
    left -= rows
  }
}

/**
 * Each target becomes the sum of the sources, each times its factor. `sources` is 1 to 32,
 * `targets` 1 to 16, `length` the bytes of a shard, STEP_BYTES at least. Targets are no sources.
 */
export function combine(sources: i32, targets: i32, length: usize): void {
  const whole = length & ~(STEP_BYTES - 1)
  for (let at: usize = 0; at < whole; at += BLOCK_BYTES) {
    block(sources, targets, at, min(at + BLOCK_BYTES, whole))
  }
  // the last step overlaps the one before: the same bytes are written once more
  if (whole < length) block(sources, targets, length - STEP_BYTES, length)
}
