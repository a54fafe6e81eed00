/**
 * The BLAKE3 tree above groups of 16 KiB. spec/hash.md §3.
 *
 * Level 0 are the groups' chaining values; each level above pairs neighbours, and an odd last node
 * moves up as it is. The root has no chaining value of its own: it is compressed with a flag, and
 * its output is the plain BLAKE3 hash of the payload.
 */

import { sharedKernel } from '../blake3/kernel.ts'
import { MoyaiError } from '../errors.ts'
import { GROUP_BYTES, HASH_BYTES, HASHED_PAYLOAD_BYTES_MAX } from '../limits.ts'

/** A stretch of a payload, in bytes. */
export type ByteRange = { offset: number; length: number }

/** Groups of a payload; an empty one has one empty group. */
export function groupCount(payloadLength: number): number {
  return Math.max(1, Math.ceil(payloadLength / GROUP_BYTES))
}

/** Levels above the groups: 0 for one group, 1 for two, 2 for three or four. */
export function treeHeight(groups: number): number {
  return Math.ceil(Math.log2(groups))
}

/** A node by its place: it covers the groups from `index * 2^level` on. */
export type TreeNode = { level: number; index: number }

/**
 * The nodes below `node` (of level 1 or more); an odd last node has only itself below it, and no
 * compression.
 */
export function nodesBelow(node: TreeNode, groups: number): TreeNode[] {
  const level = node.level - 1
  const left = { level, index: 2 * node.index }
  const right = { level, index: 2 * node.index + 1 }
  const width = Math.ceil(groups / 2 ** level)
  return right.index < width ? [left, right] : [left]
}

/** First and last group (inclusive) of a stretch. */
export type GroupSpan = { first: number; last: number }

/** True when `node` covers a group of `span`. */
export function covers(node: TreeNode, span: GroupSpan): boolean {
  const size = 2 ** node.level
  return node.index * size <= span.last && (node.index + 1) * size > span.first
}

/** TOO_LARGE or MALFORMED unless it is a length that a hash tree may have. */
export function checkPayloadLength(payloadLength: number): void {
  if (!Number.isSafeInteger(payloadLength) || payloadLength < 0) {
    throw new MoyaiError('MALFORMED', 'the payload length is not a whole number of bytes')
  }
  if (payloadLength > HASHED_PAYLOAD_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', 'the payload is longer than a hash tree may cover')
  }
}

/** MALFORMED unless `range` is a stretch of at least one byte within a valid payload length. */
export function checkRange(range: ByteRange, payloadLength: number): void {
  checkPayloadLength(payloadLength)
  const { offset, length } = range
  const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length)
  if (!whole || offset < 0 || length < 1 || length > payloadLength - offset) {
    throw new MoyaiError('MALFORMED', 'the range is not within the payload')
  }
}

/** MALFORMED unless `groups` holds one hash for each group of the payload. */
export function checkGroups(groups: Uint8Array, payloadLength: number): void {
  checkPayloadLength(payloadLength)
  if (groups.length !== groupCount(payloadLength) * HASH_BYTES) {
    throw new MoyaiError('MALFORMED', 'the group hashes are not one for each group')
  }
}

/** The groups that `range`, already checked, touches. */
export function spanOf(range: ByteRange): GroupSpan {
  return {
    first: Math.floor(range.offset / GROUP_BYTES),
    last: Math.floor((range.offset + range.length - 1) / GROUP_BYTES),
  }
}

/**
 * The smallest stretch of whole groups around `range`: what has to be read to verify it. The
 * payload's last group may be shorter than 16 KiB. MALFORMED when the range is empty or not within
 * the payload.
 */
export function alignedRange(range: ByteRange, payloadLength: number): ByteRange {
  checkRange(range, payloadLength)
  const { first, last } = spanOf(range)
  const offset = first * GROUP_BYTES
  return { offset, length: Math.min((last + 1) * GROUP_BYTES, payloadLength) - offset }
}

/**
 * Chaining values, never as root, of the 16 KiB groups of `bytes`, 32 bytes each. `bytes` begins
 * with the payload's group number `firstGroup`; only the payload's last group may be shorter than
 * 16 KiB.
 */
export function groupHashes(bytes: Uint8Array, firstGroup = 0): Uint8Array {
  return sharedKernel().groupHashes(bytes, firstGroup)
}

/**
 * All levels of the tree from `groups` up to the one with two nodes (or one, for a single group).
 */
export function treeLevels(groups: Uint8Array): Uint8Array[] {
  const levels = [groups]
  let level = groups
  while (level.length > 2 * HASH_BYTES) {
    level = sharedKernel().parentLevel(level)
    levels.push(level)
  }
  return levels
}

/**
 * The BLAKE3 hash of a payload from its group hashes. The payload must be longer than one group
 * (MALFORMED), because a shorter one has no node above its group's, which is never hashed as root
 * here.
 */
export function rootFromGroups(groups: Uint8Array, payloadLength: number): Uint8Array {
  checkGroups(groups, payloadLength)
  if (payloadLength <= GROUP_BYTES) {
    throw new MoyaiError('MALFORMED', 'a payload of one group has no root above its group hash')
  }
  let level = groups
  while (level.length > 2 * HASH_BYTES) level = sharedKernel().parentLevel(level)
  return sharedKernel().rootOfPair(level)
}
