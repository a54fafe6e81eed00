/**
 * Compression of blobs: zstd, when it is worth it (spec/pack.md §4).
 *
 * What is already compressed is recognised from a sample of its bytes, which costs some
 * microseconds where a try would cost a millisecond. The options follow measurements: with the
 * right chunk size Node's one-shot calls do not fall back to zstd's slower streaming path.
 */

import { constants, zstdCompressSync, zstdDecompressSync, type ZstdOptions } from 'node:zlib'
import { assert } from '../assert.ts'
import { MoyaiError } from '../errors.ts'
import { CHUNK_BYTES_MAX } from '../limits.ts'
import type { Compression } from './directory.ts'

/** Less gain than this is not worth decompressing for. */
const GAIN_MIN = 0.03
const SAMPLES = 8
const SAMPLE_BYTES = 1024
/** Below this a try is as cheap as a look. */
const SAMPLED_BYTES_MIN = 4 * SAMPLES * SAMPLE_BYTES
/**
 * Bits per byte at which a sample counts as noise. A sample of n random bytes falls short of 8 bits
 * by about 184/n (255 / (2 n ln 2)); 0.1 more leaves text encodings and executables below.
 */
const NOISE_BITS = 8 - 184 / (SAMPLES * SAMPLE_BYTES) - 0.1
/** Node refuses smaller working buffers. */
const WORKING_BYTES_MIN = 64
/**
 * log2 of the largest window: chunks are below 4 MiB, so none needs more, and no frame may ask for
 * more.
 */
const WINDOW_LOG_MAX = 22

assert(CHUNK_BYTES_MAX <= 2 ** WINDOW_LOG_MAX, 'every chunk fits the largest window')

/** True when a sample of `bytes` looks random: compressed or encrypted already. */
function looksRandom(bytes: Uint8Array): boolean {
  if (bytes.length < SAMPLED_BYTES_MIN) return false
  const counts = new Uint32Array(256)
  const step = Math.floor((bytes.length - SAMPLE_BYTES) / (SAMPLES - 1))
  for (let sample = 0; sample < SAMPLES; sample++) {
    const start = sample * step
    for (let i = start; i < start + SAMPLE_BYTES; i++) {
      const byte = bytes[i] as number
      counts[byte] = (counts[byte] as number) + 1
    }
  }
  const total = SAMPLES * SAMPLE_BYTES
  let bits = 0
  for (const count of counts) if (count > 0) bits -= (count / total) * Math.log2(count / total)
  return bits > NOISE_BITS
}

/**
 * `raw` compressed by zstd, or `raw` itself (not a copy) when that is not at least 3 % smaller.
 * `level` is zstd's, 1 to 19; -1 is refused because Node reads it as "default".
 */
export function compressBlob(
  raw: Uint8Array,
  level: number,
): { compression: Compression; bytes: Uint8Array } {
  assert(raw.length > 0 && raw.length <= CHUNK_BYTES_MAX, 'a blob has 1 to CHUNK_BYTES_MAX bytes')
  assert(Number.isInteger(level) && level >= 1 && level <= 19, 'zstd levels are 1 to 19')
  if (looksRandom(raw)) return { compression: 'none', bytes: raw }
  const compressed = zstdCompressSync(raw, {
    chunkSize: raw.length + (raw.length >> 8) + 1024,
    pledgedSrcSize: raw.length,
    params: { [constants.ZSTD_c_compressionLevel]: level },
  })
  if (compressed.length > raw.length * (1 - GAIN_MIN)) return { compression: 'none', bytes: raw }
  const { buffer, byteOffset, length } = compressed
  return { compression: 'zstd', bytes: new Uint8Array(buffer, byteOffset, length) }
}

/** What Node gives with `info: true`; `bytesWritten` counts the input that was used. */
type Decompressed = { buffer: Uint8Array; engine: { bytesWritten: number } }

/**
 * The `rawLength` bytes (at most CHUNK_BYTES_MAX) behind zstd-compressed `bytes`; MALFORMED for any
 * other outcome.
 */
export function decompressBlob(bytes: Uint8Array, rawLength: number): Uint8Array {
  assert(rawLength > 0 && rawLength <= CHUNK_BYTES_MAX, 'the raw length was checked')
  let result: Decompressed
  try {
    const options: ZstdOptions = {
      chunkSize: Math.max(rawLength, WORKING_BYTES_MIN),
      maxOutputLength: rawLength,
      params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX },
      info: true,
    }
    // The type of `info: true` is missing from Node's declarations.
    result = zstdDecompressSync(bytes, options) as unknown as Decompressed
  } catch (cause) {
    throw new MoyaiError('MALFORMED', 'blob does not decompress to its stated length', { cause })
  }
  const raw = result.buffer
  if (raw.length !== rawLength) {
    throw new MoyaiError('MALFORMED', 'blob is shorter than its stated length')
  }
  if (result.engine.bytesWritten !== bytes.length) {
    throw new MoyaiError('MALFORMED', 'bytes after the compressed blob')
  }
  return new Uint8Array(raw.buffer, raw.byteOffset, raw.length)
}
