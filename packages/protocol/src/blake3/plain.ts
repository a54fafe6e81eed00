/**
 * BLAKE3 in plain JavaScript: oracle of the tests, and what runs where there is no SIMD.
 *
 * Some 100 MB a second. Written after the specification, so that it shares no mistake with the
 * kernel: https://github.com/BLAKE3-team/BLAKE3-specs (section 2 and 5.1).
 */

import { assert } from '../assert.ts'
import { GROUP_BYTES, HASH_BYTES } from '../limits.ts'
import type { BlakeTree } from './blake-tree.ts'

const CHUNK_BYTES = 1024
const BLOCK_BYTES = 64
const GROUP_CHUNKS = GROUP_BYTES / CHUNK_BYTES

const IV = Int32Array.of(
  0x6a09e667,
  0xbb67ae85,
  0x3c6ef372,
  0xa54ff53a,
  0x510e527f,
  0x9b05688c,
  0x1f83d9ab,
  0x5be0cd19,
)
const PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
const CHUNK_START = 1
const CHUNK_END = 2
const PARENT = 4
const ROOT = 8
const KEYED_HASH = 16

/** The state and the message block at hand; nothing of them outlives a compression. */
const state = new Int32Array(16)
const message = new Int32Array(16)
const permuted = new Int32Array(16)

/** The function G of the specification. */
function mix(o: { a: number; b: number; c: number; d: number }, x: number, y: number): void {
  let a = state[o.a] as number
  let b = state[o.b] as number
  let c = state[o.c] as number
  let d = state[o.d] as number
  a = (a + b + x) | 0
  d ^= a
  d = (d >>> 16) | (d << 16)
  c = (c + d) | 0
  b ^= c
  b = (b >>> 12) | (b << 20)
  a = (a + b + y) | 0
  d ^= a
  d = (d >>> 8) | (d << 24)
  c = (c + d) | 0
  b ^= c
  b = (b >>> 7) | (b << 25)
  state[o.a] = a
  state[o.b] = b
  state[o.c] = c
  state[o.d] = d
}

const MIXES: readonly { a: number; b: number; c: number; d: number }[] = [
  { a: 0, b: 4, c: 8, d: 12 },
  { a: 1, b: 5, c: 9, d: 13 },
  { a: 2, b: 6, c: 10, d: 14 },
  { a: 3, b: 7, c: 11, d: 15 },
  { a: 0, b: 5, c: 10, d: 15 },
  { a: 1, b: 6, c: 11, d: 12 },
  { a: 2, b: 7, c: 8, d: 13 },
  { a: 3, b: 4, c: 9, d: 14 },
]

/** Replaces `cv` by its successor after `message`. */
function compress(cv: Int32Array, o: { length: number; counter: number; flags: number }): void {
  state.set(cv)
  state.set(IV.subarray(0, 4), 8)
  state[12] = o.counter | 0
  state[13] = Math.floor(o.counter / 2 ** 32)
  state[14] = o.length
  state[15] = o.flags
  for (let round = 0; round < 7; round++) {
    for (let i = 0; i < MIXES.length; i++) {
      mix(MIXES[i] as (typeof MIXES)[0], message[2 * i] as number, message[2 * i + 1] as number)
    }
    for (let i = 0; i < permuted.length; i++) {
      permuted[i] = message[PERMUTATION[i] as number] as number
    }
    message.set(permuted)
  }
  for (let i = 0; i < cv.length; i++) cv[i] = (state[i] as number) ^ (state[i + 8] as number)
}

/** Fills `message` with at most one block, padded with zeros. */
function loadBlock(bytes: Uint8Array): void {
  message.fill(0)
  for (let i = 0; i < bytes.length; i++) {
    message[i >> 2] = (message[i >> 2] as number) | ((bytes[i] as number) << (8 * (i & 3)))
  }
}

/** The chaining value of one chunk of 0 to 1024 bytes. */
function chunkValue(o: { key: Int32Array; counter: number; flags: number }, bytes: Uint8Array) {
  const cv = o.key.slice()
  const blocks = Math.max(1, Math.ceil(bytes.length / BLOCK_BYTES))
  for (let i = 0; i < blocks; i++) {
    const block = bytes.subarray(BLOCK_BYTES * i, BLOCK_BYTES * (i + 1))
    const start = i === 0 ? CHUNK_START : 0
    const end = i === blocks - 1 ? CHUNK_END | (o.flags & ROOT) : 0
    loadBlock(block)
    const flags = (o.flags & ~ROOT) | start | end
    compress(cv, { length: block.length, counter: o.counter, flags })
  }
  return cv
}

/** The chaining value above two others. */
function parentValue(
  o: { key: Int32Array; flags: number },
  left: Int32Array,
  right: Int32Array,
): Int32Array {
  message.set(left)
  message.set(right, 8)
  const cv = o.key.slice()
  compress(cv, { length: BLOCK_BYTES, counter: 0, flags: o.flags | PARENT })
  return cv
}

/** The chaining value of any number of bytes, whose first chunk has number `counter`. */
function subtree(
  o: { key: Int32Array; counter: number; flags: number },
  bytes: Uint8Array,
): Int32Array {
  if (bytes.length <= CHUNK_BYTES) return chunkValue(o, bytes)
  const chunks = Math.ceil(bytes.length / CHUNK_BYTES)
  const leftChunks = 2 ** (Math.ceil(Math.log2(chunks)) - 1)
  const below = { ...o, flags: o.flags & ~ROOT }
  const left = subtree(below, bytes.subarray(0, leftChunks * CHUNK_BYTES))
  const right = subtree(
    { ...below, counter: o.counter + leftChunks },
    bytes.subarray(leftChunks * CHUNK_BYTES),
  )
  return parentValue(o, left, right)
}

function toWords(bytes: Uint8Array): Int32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Int32Array.from({ length: bytes.length / 4 }, (_, i) => view.getInt32(4 * i, true))
}

function toBytes(words: Int32Array): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 * words.length))
  for (const [i, word] of words.entries()) view.setInt32(4 * i, word, true)
  return new Uint8Array(view.buffer)
}

/** BLAKE3 and its tree without WebAssembly. */
export class PlainBlake implements BlakeTree {
  hash(bytes: Uint8Array): Uint8Array {
    return toBytes(subtree({ key: IV, counter: 0, flags: ROOT }, bytes))
  }

  keyedHash(key: Uint8Array, bytes: Uint8Array): Uint8Array {
    assert(key.length === HASH_BYTES, 'a BLAKE3 key has 32 bytes')
    return toBytes(subtree({ key: toWords(key), counter: 0, flags: ROOT | KEYED_HASH }, bytes))
  }

  groupHashes(bytes: Uint8Array, firstGroup: number): Uint8Array {
    const groups = Math.max(1, Math.ceil(bytes.length / GROUP_BYTES))
    const hashes = new Uint8Array(groups * HASH_BYTES)
    for (let group = 0; group < groups; group++) {
      const part = bytes.subarray(group * GROUP_BYTES, (group + 1) * GROUP_BYTES)
      const counter = (firstGroup + group) * GROUP_CHUNKS
      hashes.set(toBytes(subtree({ key: IV, counter, flags: 0 }, part)), group * HASH_BYTES)
    }
    return hashes
  }

  parentLevel(cvs: Uint8Array): Uint8Array {
    assert(cvs.length % HASH_BYTES === 0, 'whole chaining values')
    const parents = new Uint8Array(Math.ceil(cvs.length / (2 * HASH_BYTES)) * HASH_BYTES)
    for (let at = 0, out = 0; at < cvs.length; at += 2 * HASH_BYTES, out += HASH_BYTES) {
      const pair = cvs.subarray(at, at + 2 * HASH_BYTES)
      parents.set(pair.length === HASH_BYTES ? pair : toBytes(valueOfPair(pair, 0)), out)
    }
    return parents
  }

  rootOfPair(pair: Uint8Array): Uint8Array {
    assert(pair.length === 2 * HASH_BYTES, 'two chaining values')
    return toBytes(valueOfPair(pair, ROOT))
  }
}

function valueOfPair(pair: Uint8Array, flags: number): Int32Array {
  const words = toWords(pair)
  return parentValue({ key: IV, flags }, words.subarray(0, 8), words.subarray(8))
}
