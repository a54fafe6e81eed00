/** Verifying a slice of a payload while it streams in. spec/hash.md §4. */

import { sharedKernel } from '../blake3/kernel.ts'
import { compareBytes } from '../bytes.ts'
import { MoyaiError } from '../errors.ts'
import { GROUP_BYTES, HASH_BYTES } from '../limits.ts'
import { provenGroups } from './slice-proof.ts'
import { alignedRange, type ByteRange, groupHashes } from './tree.ts'

/** What a verifier needs to know before the first byte. */
export type SliceOptions = {
  /** BLAKE3 hash of the payload, from a source that is trusted: 32 bytes. */
  root: Uint8Array
  /** Length of the payload, trusted as well. */
  payloadLength: number
  offset: number
  length: number
  /** From whoever sends the bytes; not trusted. */
  proof: Uint8Array
}

/**
 * Takes the bytes of `alignedRange` in order and gives back those of the asked range once their
 * group is verified. Nothing unverified leaves it. After its first error it refuses everything with
 * that error.
 *
 * Verified bytes are views of what was pushed wherever a group came in one piece: a pushed buffer
 * belongs to the verifier, and must be neither reused nor shared memory.
 */
export class SliceVerifier {
  readonly #range: ByteRange
  readonly #cover: ByteRange
  readonly #payloadLength: number
  /** Trusted hashes of the covered groups; the root itself for a payload of one group. */
  readonly #expected: Uint8Array
  /** Bytes of the cover that are verified. */
  #verified = 0
  /** A group that arrives in pieces, and how much of it is there. */
  #partial: Uint8Array = new Uint8Array(0)
  #held = 0
  #failure: MoyaiError | undefined

  /**
   * Verifies the whole proof. MALFORMED when the range is not within the payload or the proof has
   * not exactly the length it must have, HASH_MISMATCH when it does not lead to `root`, TOO_LARGE
   * beyond HASHED_PAYLOAD_BYTES_MAX.
   */
  constructor(options: SliceOptions) {
    const { root, payloadLength, offset, length, proof } = options
    this.#range = { offset, length }
    this.#cover = alignedRange(this.#range, payloadLength)
    this.#payloadLength = payloadLength
    if (root.length !== HASH_BYTES) throw new MoyaiError('MALFORMED', 'a root has 32 bytes')
    this.#expected = provenGroups({ root, payloadLength, range: this.#range, proof })
  }

  /**
   * Takes the next bytes of the cover, in any split; gives the parts of the asked range that they
   * complete, in order. HASH_MISMATCH at the first bad group (what was good before it in the same
   * call is withheld, too), MALFORMED when bytes follow the end of the cover.
   */
  push(bytes: Uint8Array): Uint8Array[] {
    if (this.#failure !== undefined) throw this.#failure
    if (bytes.length > this.#cover.length - this.#verified - this.#held) {
      throw this.#fail('MALFORMED', 'more bytes than the range has')
    }
    const good: Uint8Array[] = []
    let rest = bytes
    while (rest.length > 0) {
      const group = this.#groupLength()
      if (this.#held === 0 && rest.length >= group) {
        const whole = this.#wholeGroups(rest.length)
        this.#verify(rest.subarray(0, whole), good)
        rest = rest.subarray(whole)
        continue
      }
      if (this.#held === 0) this.#partial = new Uint8Array(group)
      const taken = Math.min(group - this.#held, rest.length)
      this.#partial.set(rest.subarray(0, taken), this.#held)
      this.#held += taken
      rest = rest.subarray(taken)
      if (this.#held === group) this.#verify(this.#partial, good)
    }
    return good
  }

  /** Ends the slice: TRUNCATED unless all bytes of the cover came and were verified. */
  finish(): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#verified < this.#cover.length) {
      throw this.#fail('TRUNCATED', 'the range ends before its last byte')
    }
  }

  /** Length of the group that begins after the verified bytes. */
  #groupLength(): number {
    return Math.min(GROUP_BYTES, this.#cover.length - this.#verified)
  }

  /**
   * How many of `available` bytes are whole groups; the cover's last one counts whatever its
   * length.
   */
  #wholeGroups(available: number): number {
    const isAll = available === this.#cover.length - this.#verified
    return isAll ? available : available - (available % GROUP_BYTES)
  }

  /**
   * Verifies whole groups, which follow the verified bytes, and adds what was asked of them to
   * `good`.
   */
  #verify(bytes: Uint8Array, good: Uint8Array[]): void {
    const offset = this.#cover.offset + this.#verified
    const at = (this.#verified / GROUP_BYTES) * HASH_BYTES
    const hashes =
      this.#payloadLength <= GROUP_BYTES
        ? sharedKernel().hash(bytes)
        : groupHashes(bytes, offset / GROUP_BYTES)
    if (compareBytes(hashes, this.#expected.subarray(at, at + hashes.length)) !== 0) {
      throw this.#fail('HASH_MISMATCH', 'received bytes are not those of the payload')
    }
    this.#verified += bytes.length
    this.#held = 0
    const from = Math.max(this.#range.offset - offset, 0)
    const to = Math.min(this.#range.offset + this.#range.length - offset, bytes.length)
    good.push(bytes.subarray(from, to))
  }

  #fail(code: 'HASH_MISMATCH' | 'MALFORMED' | 'TRUNCATED', message: string): MoyaiError {
    this.#failure = new MoyaiError(code, message)
    return this.#failure
  }
}
