/**
 * Whether compressing is worth trying, from samples of the bytes' distribution.
 *
 * Media, archives and encrypted files have nearly 8 bits of entropy per byte; source text has about
 * 5, programs 6. Sampling a chunk costs about a hundredth of an attempt to compress it.
 */

const SAMPLES = 8
const SAMPLE_BYTES = 1024
const SAMPLED_BYTES_MAX = SAMPLES * SAMPLE_BYTES
/** Fewer bytes say nothing: 256 kinds of byte cannot be spread evenly over them. */
const BYTES_MIN = 1024
/**
 * The entropy of a sample is below that of its source by (256 - 1) / (2 · ln 2 · n) bits for n
 * bytes (Miller 1955).
 */
const BIAS_BITS = 184
/** Compressed formats measure 7.97 to 8 bits after the bias; anything below 7.9 can gain. */
const MARGIN_BITS = 0.1

/** c · log2(c) of every count that a sample can have. */
const WEIGHTS = Float64Array.from({ length: SAMPLED_BYTES_MAX + 1 }, (_, c) =>
  c === 0 ? 0 : c * Math.log2(c),
)

/** Two, so that runs of one byte do not wait for their own count. */
const even = new Uint16Array(256)
const odd = new Uint16Array(256)

/**
 * True when the bytes are so evenly distributed that compressing them would gain about nothing:
 * entropy, over eight evenly spaced samples of 1 KiB, of more than 8 - 184/n - 0.1 bits for n
 * sampled bytes. False for fewer than 1024 bytes. Costs some 10 µs whatever the length.
 *
 * Blind to order: a repeated block of random bytes looks incompressible. `bytes` may be a view of
 * shared memory.
 */
export function looksIncompressible(bytes: Uint8Array): boolean {
  if (bytes.length < BYTES_MIN) return false
  even.fill(0)
  odd.fill(0)
  const sampled = Math.min(bytes.length - (bytes.length % 2), SAMPLED_BYTES_MAX)
  if (sampled < SAMPLED_BYTES_MAX) {
    count(bytes, 0, sampled)
  } else {
    const last = bytes.length - SAMPLE_BYTES
    for (let i = 0; i < SAMPLES; i++) {
      const from = Math.floor((last * i) / (SAMPLES - 1))
      count(bytes, from, from + SAMPLE_BYTES)
    }
  }
  let sum = 0
  for (let value = 0; value < 256; value++) {
    sum += WEIGHTS[(even[value] as number) + (odd[value] as number)] as number
  }
  const entropy = Math.log2(sampled) - sum / sampled
  return entropy > 8 - BIAS_BITS / sampled - MARGIN_BITS
}

/** Counts the bytes `from` to `to`, an even number of them. */
function count(bytes: Uint8Array, from: number, to: number): void {
  for (let i = from; i < to; i += 2) {
    even[bytes[i] as number] = (even[bytes[i] as number] as number) + 1
    odd[bytes[i + 1] as number] = (odd[bytes[i + 1] as number] as number) + 1
  }
}
