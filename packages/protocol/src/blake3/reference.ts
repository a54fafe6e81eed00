/**
 * BLAKE3 as its specification reads, slowly: the oracle of the kernel's tests, which run where
 * native code cannot be loaded. https://github.com/BLAKE3-team/BLAKE3-specs (section 2 and 5.1).
 */

const IV = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
]
const PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
const MIXES = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
]
const CHUNK_START = 1
const CHUNK_END = 2
const PARENT = 4
const ROOT = 8
const KEYED_HASH = 16

type Words = number[]

function at(words: Words, index: number): number {
  return words[index] as number
}

function rotate(value: number, bits: number): number {
  return (value >>> bits) | (value << (32 - bits))
}

function compress(o: {
  cv: Words
  block: Words
  length: number
  counter: number
  flags: number
}): Words {
  const high = Math.floor(o.counter / 2 ** 32)
  const v = [...o.cv, ...IV.slice(0, 4), o.counter | 0, high, o.length, o.flags]
  let message = o.block
  for (let round = 0; round < 7; round++) {
    for (const [i, [a, b, c, d]] of (MIXES as [number, number, number, number][]).entries()) {
      for (const [word, first, second] of [
        [at(message, 2 * i), 16, 12],
        [at(message, 2 * i + 1), 8, 7],
      ] as [number, number, number][]) {
        v[a] = (at(v, a) + at(v, b) + word) | 0
        v[d] = rotate(at(v, d) ^ at(v, a), first)
        v[c] = (at(v, c) + at(v, d)) | 0
        v[b] = rotate(at(v, b) ^ at(v, c), second)
      }
    }
    message = PERMUTATION.map((from) => at(message, from))
  }
  return v.slice(0, 8).map((word, i) => word ^ at(v, i + 8))
}

/** The words of at most one block, padded with zeros. */
function toWords(bytes: Uint8Array): Words {
  const padded = new Uint8Array(64)
  padded.set(bytes)
  const view = new DataView(padded.buffer)
  return Array.from({ length: padded.length / 4 }, (_, i) => view.getInt32(4 * i, true))
}

function toBytes(words: Words): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 * words.length))
  for (const [i, word] of words.entries()) view.setInt32(4 * i, word, true)
  return new Uint8Array(view.buffer)
}

function chunkValue(key: Words, bytes: Uint8Array, counter: number, flags: number): Words {
  let cv = key
  const blocks = Math.max(1, Math.ceil(bytes.length / 64))
  for (let i = 0; i < blocks; i++) {
    const part = bytes.subarray(64 * i, 64 * i + 64)
    const block = toWords(part)
    const start = i === 0 ? CHUNK_START : 0
    const end = i === blocks - 1 ? CHUNK_END | (flags & ROOT) : 0
    const blockFlags = (flags & ~ROOT) | start | end
    cv = compress({ cv, block, length: part.length, counter, flags: blockFlags })
  }
  return cv
}

function subtree(key: Words, bytes: Uint8Array, counter: number, flags: number): Words {
  if (bytes.length <= 1024) return chunkValue(key, bytes, counter, flags)
  const chunks = Math.ceil(bytes.length / 1024)
  const leftChunks = 2 ** (Math.ceil(Math.log2(chunks)) - 1)
  const left = bytes.subarray(0, leftChunks * 1024)
  const right = bytes.subarray(leftChunks * 1024)
  const block = [
    ...subtree(key, left, counter, flags & ~ROOT),
    ...subtree(key, right, counter + leftChunks, flags & ~ROOT),
  ]
  return compress({ cv: key, block, length: 64, counter: 0, flags: flags | PARENT })
}

/** BLAKE3 of `bytes`, keyed when there is a key of 32 bytes: 32 bytes. */
export function referenceBlake3(bytes: Uint8Array, key?: Uint8Array): Uint8Array {
  return key === undefined
    ? toBytes(subtree(IV, bytes, 0, ROOT))
    : toBytes(subtree(toWords(key).slice(0, 8), bytes, 0, ROOT | KEYED_HASH))
}

/**
 * Chaining value, never as root, of the subtree of `bytes` whose first chunk has number `counter`.
 */
export function referenceSubtree(bytes: Uint8Array, counter: number): Uint8Array {
  return toBytes(subtree(IV, bytes, counter, 0))
}
