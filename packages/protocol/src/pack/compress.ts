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
import type { Compressor } from '../ports.ts'
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

/** Node's own zlib: what a machine without a native library uses. */
export const nodeCompressor: Compressor = {
  compress(raw, level, target) {
    const compressed = zstdCompressSync(raw, {
      chunkSize: raw.length + (raw.length >> 8) + 1024,
      pledgedSrcSize: raw.length,
      params: { [constants.ZSTD_c_compressionLevel]: level },
    })
    if (compressed.length > target.length) return undefined
    target.set(compressed)
    return compressed.length
  },
  decompress(frame, target) {
    let result: Decompressed
    try {
      const options: ZstdOptions = {
        chunkSize: Math.max(target.length, WORKING_BYTES_MIN),
        maxOutputLength: target.length,
        params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX },
        info: true,
      }
      // The type of `info: true` is missing from Node's declarations.
      result = zstdDecompressSync(frame, options) as unknown as Decompressed
    } catch {
      return false
    }
    if (result.engine.bytesWritten !== frame.length) return false
    if (result.buffer.length !== target.length) return false
    target.set(result.buffer)
    return true
  },
}

/** What Node gives with `info: true`; `bytesWritten` counts the input that was used. */
type Decompressed = { buffer: Uint8Array; engine: { bytesWritten: number } }

/** What became of a blob: a count of bytes at the start of the target. */
export type Compressed = { compression: Compression; length: number }

/**
 * `raw` compressed by zstd, or `raw` itself when that is not at least 3 % smaller, at the start of
 * `target` (room for `raw.length` bytes). `level` is zstd's, 1 to 19; -1 is refused because Node
 * reads it as "default".
 */
export function compressBlob(
  raw: Uint8Array,
  o: { level: number; target: Uint8Array; compressor?: Compressor },
): Compressed {
  const { level, target } = o
  assert(raw.length > 0 && raw.length <= CHUNK_BYTES_MAX, 'a blob has 1 to CHUNK_BYTES_MAX bytes')
  assert(Number.isInteger(level) && level >= 1 && level <= 19, 'zstd levels are 1 to 19')
  assert(target.length >= raw.length, 'room for the blob as it is')
  if (!looksRandom(raw)) {
    const room = target.subarray(0, Math.floor(raw.length * (1 - GAIN_MIN)))
    const length = (o.compressor ?? nodeCompressor).compress(raw, level, room)
    if (length !== undefined) return { compression: 'zstd', length }
  }
  target.set(raw)
  return { compression: 'none', length: raw.length }
}

/**
 * The `rawLength` bytes (at most CHUNK_BYTES_MAX) behind zstd-compressed `bytes`; MALFORMED for any
 * other outcome.
 */
export function decompressBlob(
  bytes: Uint8Array,
  rawLength: number,
  compressor: Compressor = nodeCompressor,
): Uint8Array<ArrayBuffer> {
  assert(rawLength > 0 && rawLength <= CHUNK_BYTES_MAX, 'the raw length was checked')
  const raw = new Uint8Array(rawLength)
  decompressBlobInto(bytes, raw, compressor)
  return raw
}

/** Like `decompressBlob`, to all of `raw`. */
export function decompressBlobInto(
  bytes: Uint8Array,
  raw: Uint8Array,
  compressor: Compressor = nodeCompressor,
): void {
  if (!compressor.decompress(bytes, raw)) {
    throw new MoyaiError('MALFORMED', 'blob does not decompress to exactly its stated length')
  }
}
