/**
 * Writes the vectors of spec/hash.md and spec/chunking.md: test/vectors/{blake3,bao,chunker}.
 * Hashes come from the native library and cuts from a scan of its own, so that the vectors do not
 * merely repeat what the kernels think.
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { alignedRange, groupHashes, sliceProof, toHex } from '@moyai/protocol'
import { native } from './native-blake3.ts'

function keyedHash(key: Uint8Array, bytes: Uint8Array): Uint8Array {
  return native.Blake3Hasher.newKeyed(Buffer.from(key)).update(bytes).digestBuffer()
}

const KIB = 1024
const MIB = 1024 * KIB
const GROUP = 16 * KIB

/** The input of the official BLAKE3 vectors: byte i is i mod 251. */
function counting(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i % 251)
}

function write(path: string, value: unknown): void {
  const url = new URL(`../test/vectors/${path}`, import.meta.url)
  mkdirSync(new URL('.', url), { recursive: true })
  writeFileSync(url, `${JSON.stringify(value, null, 2)}\n`)
}

function blake3Vectors(): void {
  const lengths = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 2048, 2049, 3072, 3073,
    4096, 4097, 5120, 5121, 6144, 6145, 7168, 7169, 8192, 8193, 16384, 31744, 65535, 65536, 65537,
    102400, 131072, 131073, 196608, 200000,
  ]
  const key = 'whats the Elvish word for friend'
  const keyBytes = new Uint8Array(Buffer.from(key))
  write('blake3/hashes.json', {
    comment:
      'byte i of the input is i mod 251; hash and keyedHash are the first 32 bytes of output',
    key,
    cases: lengths.map((inputLength) => {
      const input = counting(inputLength)
      return {
        inputLength,
        hash: toHex(native.blake3(input)),
        keyedHash: toHex(keyedHash(keyBytes, input)),
      }
    }),
  })
}

type SliceCase = {
  name: string
  payloadLength: number
  offset: number
  length: number
  root: string
  proof: string
  /** Bytes of the payload that are sent: [offset, offset + length). */
  sent: { offset: number; length: number; flipBitAt?: number }
  expect: string
}

function sliceCase(
  name: string,
  payloadLength: number,
  range: { offset: number; length: number },
): SliceCase {
  const payload = counting(payloadLength)
  return {
    name,
    payloadLength,
    ...range,
    root: toHex(native.blake3(payload)),
    proof: toHex(sliceProof(groupHashes(payload), payloadLength, range)),
    sent: alignedRange(range, payloadLength),
    expect: 'ok',
  }
}

function baoVectors(): void {
  const lengths = [1, GROUP, GROUP + 1, 2 * GROUP, 3 * GROUP, 5 * GROUP + 7, 65536, 150_000]
  const good = sliceCase('tampered', 5 * GROUP + 7, { offset: 20_000, length: 30_000 })
  const pair = 128
  const swapped = good.proof.slice(pair, 2 * pair) + good.proof.slice(0, pair)
  write('bao/slices.json', {
    comment: 'byte i of a payload is i mod 251; flipBitAt counts from the first byte sent',
    roots: lengths.map((payloadLength) => ({
      payloadLength,
      root: toHex(native.blake3(counting(payloadLength))),
      groups: toHex(groupHashes(counting(payloadLength))),
    })),
    slices: [
      sliceCase('one group', 100, { offset: 3, length: 5 }),
      sliceCase('exactly one group', GROUP, { offset: 0, length: GROUP }),
      sliceCase('first byte of two groups', GROUP + 1, { offset: 0, length: 1 }),
      sliceCase('last byte of two groups', GROUP + 1, { offset: GROUP, length: 1 }),
      sliceCase('odd last group', 5 * GROUP + 7, { offset: 5 * GROUP, length: 7 }),
      sliceCase('across groups', 5 * GROUP + 7, { offset: 20_000, length: 30_000 }),
      sliceCase('everything', 65_536, { offset: 0, length: 65_536 }),
      {
        ...good,
        name: 'bit flipped',
        sent: { ...good.sent, flipBitAt: 40_000 },
        expect: 'HASH_MISMATCH',
      },
      {
        ...good,
        name: 'last byte missing',
        sent: { ...good.sent, length: good.sent.length - 1 },
        expect: 'TRUNCATED',
      },
      { ...good, name: 'nothing sent', sent: { offset: 0, length: 0 }, expect: 'TRUNCATED' },
      {
        ...good,
        name: 'one byte more',
        sent: { ...good.sent, length: good.sent.length + 1 },
        expect: 'MALFORMED',
      },
      { ...good, name: 'other groups', sent: { ...good.sent, offset: 0 }, expect: 'HASH_MISMATCH' },
      { ...good, name: 'other root', root: '00'.repeat(32), expect: 'HASH_MISMATCH' },
      {
        ...good,
        name: 'other payload length',
        payloadLength: 4 * GROUP,
        expect: 'HASH_MISMATCH',
      },
      { ...good, name: 'proof empty', proof: '', expect: 'MALFORMED' },
      {
        ...good,
        name: 'proof one byte short',
        proof: good.proof.slice(2),
        expect: 'HASH_MISMATCH',
      },
      {
        ...good,
        name: 'proof one pair short',
        proof: good.proof.slice(0, -pair),
        expect: 'MALFORMED',
      },
      { ...good, name: 'proof one byte long', proof: `${good.proof}00`, expect: 'MALFORMED' },
      {
        ...good,
        name: 'pairs swapped',
        proof: swapped + good.proof.slice(2 * pair),
        expect: 'HASH_MISMATCH',
      },
      { ...good, name: 'range beyond the end', length: 5 * GROUP, expect: 'MALFORMED' },
      { ...good, name: 'empty range', length: 0, expect: 'MALFORMED' },
      { ...good, name: 'negative offset', offset: -1, expect: 'MALFORMED' },
      { ...good, name: 'fractional offset', offset: 0.5, expect: 'MALFORMED' },
      { ...good, name: 'payload beyond the limit', payloadLength: 2 ** 40, expect: 'TOO_LARGE' },
    ],
  })
}

/**
 * Inputs that any language can make: constants, and the top bytes of a linear congruential
 * generator.
 */
function chunkerInput(kind: string, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  if (kind === 'zeros') return bytes
  let state = 1
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[i] = kind === 'text' ? 97 + ((state >>> 24) % 4) : state >>> 24
  }
  return bytes
}

/** spec/chunking.md §2, with the native library. */
function gearWords(seed: Uint8Array): number[] {
  return Array.from({ length: 32 }, (_, i) => {
    const block = Buffer.from(keyedHash(seed, Uint8Array.of(i, 0, 0, 0)))
    return Array.from({ length: 8 }, (__, word) => block.readUInt32LE(4 * word))
  }).flat()
}

/** spec/chunking.md §3, byte by byte and in the plainest way. */
function chunkLengths(gear: number[], bytes: Uint8Array): number[] {
  const lengths: number[] = []
  let start = 0
  let hash = 0
  for (let i = 0; i < bytes.length; i++) {
    hash = ((hash << 1) + (gear[bytes[i] as number] as number)) >>> 0
    const length = i + 1 - start
    const threshold = length > MIB ? 2 ** 14 : 2 ** 10
    const isCut = length > 256 * KIB && hash < threshold
    if (!isCut && length < 4 * MIB - 64 * KIB && i + 1 < bytes.length) continue
    lengths.push(length)
    start = i + 1
  }
  return lengths
}

function chunkerVectors(): void {
  const seed = counting(32)
  const gear = gearWords(seed)
  const inputs: [string, number][] = [
    ['noise', 1],
    ['noise', 256 * KIB - 1],
    ['noise', 256 * KIB],
    ['noise', 256 * KIB + 1],
    ['noise', 12 * MIB],
    ['text', 8 * MIB],
    ['zeros', 4 * MIB - 64 * KIB],
    ['zeros', 9 * MIB],
  ]
  write('chunker/cuts.json', {
    comment:
      'noise: byte i is the top byte of s(i+1), s(0) = 1, s(n+1) = 1664525 s(n) + 1013904223 mod 2^32; ' +
      'text: 97 + top byte mod 4',
    seed: toHex(seed),
    gear: gear.map((word) => word.toString(16).padStart(8, '0')).join(' '),
    cases: inputs.map(([kind, length]) => {
      const bytes = chunkerInput(kind, length)
      return {
        kind,
        length,
        hash: toHex(native.blake3(bytes)),
        chunks: chunkLengths(gear, bytes),
      }
    }),
  })
}

blake3Vectors()
baoVectors()
chunkerVectors()
