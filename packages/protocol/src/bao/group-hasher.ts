/** Hashing a payload while it streams past. spec/hash.md §3. */

import { assert } from '../assert.ts'
import { sharedKernel } from '../blake3/kernel.ts'
import { GROUP_BYTES, HASH_BYTES, HASHED_PAYLOAD_BYTES_MAX } from '../limits.ts'
import { MoyaiError } from '../errors.ts'
import { groupHashes, rootFromGroups } from './tree.ts'

const GROUPS_INITIAL = 256

/**
 * Root and group hashes of a payload that arrives in pieces of any size. Holds one group of bytes
 * and the hashes so far; whole groups are hashed where they lie.
 */
export class GroupHasher {
  /** Bytes of the group that is not complete yet. */
  readonly #partial = new Uint8Array(GROUP_BYTES)
  #groups = new Uint8Array(GROUPS_INITIAL * HASH_BYTES)
  #groupCount = 0
  #length = 0
  #finished = false

  /** Bytes so far. */
  get length(): number {
    return this.#length
  }

  /** Takes the next bytes; TOO_LARGE beyond HASHED_PAYLOAD_BYTES_MAX. */
  update(bytes: Uint8Array): void {
    assert(!this.#finished, 'no update after digest')
    if (bytes.length > HASHED_PAYLOAD_BYTES_MAX - this.#length) {
      throw new MoyaiError('TOO_LARGE', 'the payload is longer than a hash tree may cover')
    }
    let rest = bytes
    const held = this.#length % GROUP_BYTES
    if (held > 0) {
      const taken = Math.min(GROUP_BYTES - held, rest.length)
      this.#partial.set(rest.subarray(0, taken), held)
      if (held + taken === GROUP_BYTES) this.#append(this.#partial)
      rest = rest.subarray(taken)
    }
    const whole = rest.length - (rest.length % GROUP_BYTES)
    if (whole > 0) this.#append(rest.subarray(0, whole))
    // a group that is still being filled leaves nothing in `rest`
    if (rest.length > whole) this.#partial.set(rest.subarray(whole))
    this.#length += bytes.length
  }

  /** The payload's BLAKE3 hash, and its group hashes (32 bytes each). Ends the hasher. */
  digest(): { root: Uint8Array; groups: Uint8Array } {
    assert(!this.#finished, 'one digest')
    this.#finished = true
    const partial = this.#partial.subarray(0, this.#length % GROUP_BYTES)
    if (partial.length > 0 || this.#length === 0) this.#append(partial)
    const groups = this.#groups.slice(0, this.#groupCount * HASH_BYTES)
    if (this.#groupCount > 1) return { root: rootFromGroups(groups, this.#length), groups }
    // a payload of exactly one group was hashed elsewhere than in #partial, unless it came in
    // pieces
    return { root: sharedKernel().hash(this.#partial.subarray(0, this.#length)), groups }
  }

  #append(bytes: Uint8Array): void {
    const hashes = groupHashes(bytes, this.#groupCount)
    const end = this.#groupCount * HASH_BYTES + hashes.length
    if (end > this.#groups.length) {
      const larger = new Uint8Array(Math.max(2 * this.#groups.length, end))
      larger.set(this.#groups)
      this.#groups = larger
    }
    this.#groups.set(hashes, end - hashes.length)
    this.#groupCount += hashes.length / HASH_BYTES
    // a first and only group must be hashed again as root
    if (this.#groupCount === 1) this.#partial.set(bytes.subarray(0, GROUP_BYTES))
  }
}
