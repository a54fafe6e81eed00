/**
 * Slice proofs: what a holder sends before a stretch of a payload, so that the receiver can verify
 * it group by group. spec/hash.md §4.
 *
 * A proof is a list of pairs and carries no structure of its own: both sides walk the tree in the
 * same order, so that each proof has exactly one valid length.
 */

import { sharedKernel } from '../blake3/kernel.ts'
import { compareBytes, concatBytes } from '../bytes.ts'
import { MoyaiError } from '../errors.ts'
import { HASH_BYTES } from '../limits.ts'
import {
  type ByteRange,
  checkGroups,
  checkRange,
  covers,
  type GroupSpan,
  groupCount,
  nodesBelow,
  spanOf,
  treeHeight,
  treeLevels,
  type TreeNode,
} from './tree.ts'

const PAIR_BYTES = 2 * HASH_BYTES

/**
 * The proof for `range` of a payload: for each parent node above a touched group, in pre-order, the
 * two chaining values below it (64 bytes). Empty for a payload of one group. `groups` are all group
 * hashes of the payload. MALFORMED when their count or the range does not fit `payloadLength`,
 * TOO_LARGE when that is beyond HASHED_PAYLOAD_BYTES_MAX.
 */
export function sliceProof(
  groups: Uint8Array,
  payloadLength: number,
  range: ByteRange,
): Uint8Array {
  checkGroups(groups, payloadLength)
  checkRange(range, payloadLength)
  const levels = treeLevels(groups)
  const span = spanOf(range)
  const pairs: Uint8Array[] = []
  const collect = (node: TreeNode): void => {
    if (node.level === 0 || !covers(node, span)) return
    const below = nodesBelow(node, groupCount(payloadLength))
    if (below.length === 2) {
      const at = node.index * PAIR_BYTES
      pairs.push((levels[node.level - 1] as Uint8Array).subarray(at, at + PAIR_BYTES))
    }
    below.forEach(collect)
  }
  collect({ level: treeHeight(groupCount(payloadLength)), index: 0 })
  return concatBytes(...pairs)
}

/**
 * The hashes of the groups of `range` (already checked) that `proof` proves to lie under `root`. A
 * payload of one group has an empty proof and no other hash than the root, which is then returned
 * itself. HASH_MISMATCH when a pair does not hash to what is above it, MALFORMED when the proof is
 * shorter or longer than its one valid length.
 */
export function provenGroups(o: {
  root: Uint8Array
  payloadLength: number
  range: ByteRange
  proof: Uint8Array
}): Uint8Array {
  const groups = groupCount(o.payloadLength)
  const span: GroupSpan = spanOf(o.range)
  const proven = new Uint8Array((span.last - span.first + 1) * HASH_BYTES)
  let at = 0
  const descend = (node: TreeNode, hash: Uint8Array, isRoot: boolean): void => {
    if (!covers(node, span)) return
    if (node.level === 0) {
      proven.set(hash, (node.index - span.first) * HASH_BYTES)
      return
    }
    const below = nodesBelow(node, groups)
    if (below.length === 1) {
      below.forEach((only) => descend(only, hash, isRoot))
      return
    }
    const pair = o.proof.subarray(at, at + PAIR_BYTES)
    if (pair.length < PAIR_BYTES) throw new MoyaiError('MALFORMED', 'the proof is too short')
    at += PAIR_BYTES
    const actual = isRoot ? sharedKernel().rootOfPair(pair) : sharedKernel().parentLevel(pair)
    if (compareBytes(actual, hash) !== 0) {
      throw new MoyaiError('HASH_MISMATCH', 'the proof does not lead to the root')
    }
    below.forEach((child, side) =>
      descend(child, pair.subarray(side * HASH_BYTES, (side + 1) * HASH_BYTES), false),
    )
  }
  descend({ level: treeHeight(groups), index: 0 }, o.root, true)
  if (at !== o.proof.length) throw new MoyaiError('MALFORMED', 'the proof is too long')
  return proven
}
