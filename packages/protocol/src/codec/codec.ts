/**
 * The port of the erasure code, and what every implementation of it checks first.
 *
 * A stripe is `k` data and `m` parity shards of one length; any `k` of them give all others. Which
 * field, which matrix: spec/code.md. Implementations agree byte for byte, so they can take over
 * from one another.
 */

import { assert } from '../assert.ts'
import { MoyaiError } from '../errors.ts'
import { CODE_K_MAX, CODE_M_MAX } from '../limits.ts'

/**
 * `k` data shards and `m` parity shards: spec/code.md §1. 1 ≤ k ≤ CODE_K_MAX, 0 ≤ m ≤ CODE_M_MAX.
 */
export type Code = { readonly k: number; readonly m: number }

/**
 * An implementation of the code of spec/code.md. Works in place and synchronously; callers choose
 * the thread.
 */
export interface Codec {
  /**
   * Computes the parity of one stripe.
   *
   * `shards` is (k+m) × `shardLength` bytes, shard after shard; the first `k` are filled, the last
   * `m` are overwritten.
   */
  encode(code: Code, shardLength: number, shards: Uint8Array): void
  /**
   * Rebuilds every missing shard in place, data and parity. `present[i]` says that shard `i` is
   * there **and verified**: a wrong byte in a shard called present makes wrong bytes elsewhere,
   * silently.
   *
   * `wanted`: the missing ones that are asked for; of the others nobody knows then what they hold.
   *
   * NOT_ENOUGH_SHARDS when fewer than `k` are present; `shards` is unchanged then.
   */
  reconstruct(
    code: Code,
    shardLength: number,
    shards: Uint8Array,
    present: readonly boolean[],
    wanted?: readonly number[],
  ): void
  /**
   * Zeroed memory in which this implementation works fastest; any other buffer gives the same
   * bytes.
   */
  allocate(bytes: number): Uint8Array
}

/** True when both numbers are integers within the limits of spec/code.md §1. */
export function isCode(code: Code): boolean {
  const { k, m } = code
  return (
    Number.isInteger(k) &&
    Number.isInteger(m) &&
    k >= 1 &&
    k <= CODE_K_MAX &&
    m >= 0 &&
    m <= CODE_M_MAX
  )
}

/**
 * Asserts what `encode` and `reconstruct` have in common: the caller has validated what peers sent.
 */
export function assertStripe(code: Code, shardLength: number, shards: Uint8Array): void {
  assert(isCode(code), 'a code within the limits')
  assert(Number.isInteger(shardLength) && shardLength > 0, 'a positive shard length')
  assert(shards.length === (code.k + code.m) * shardLength, 'shards fill the buffer exactly')
}

/**
 * Asserts the shape of `present`, and refuses with NOT_ENOUGH_SHARDS when fewer than `k` shards are
 * there.
 */
export function checkPresent(code: Code, present: readonly boolean[]): void {
  assert(present.length === code.k + code.m, 'one flag per shard')
  const count = present.filter(Boolean).length
  if (count < code.k) {
    throw new MoyaiError('NOT_ENOUGH_SHARDS', `${count} shards are there, ${code.k} are needed`, {
      data: { present: count, needed: code.k },
    })
  }
}
