/** What an auditor asks for, and which host audits. spec/audit.md §2. */

import { blake3 } from '../blake3/index.ts'
import { compareBytes, concatBytes, fromHex } from '../bytes.ts'
import { GROUP_BYTES } from '../limits.ts'

/**
 * The group of a shard of `shardLength` bytes that `random` (at least 4 bytes, uniform) chooses.
 * The bias of the division is below 2^-24 for the 256 groups of the largest shard.
 */
export function challengedGroup(random: Uint8Array, shardLength: number): number {
  const view = new DataView(random.buffer, random.byteOffset, random.byteLength)
  return view.getUint32(0) % Math.max(1, Math.ceil(shardLength / GROUP_BYTES))
}

/**
 * Who audits, in the owner's absence, the shard of `pack` at `audited`: of the other `holders`
 * (hex, live ones) the one whose hash with the pack is lowest; undefined when there is none.
 */
export function auditorOf(
  pack: Uint8Array,
  holders: readonly string[],
  audited: string,
): string | undefined {
  let first: { host: string; draw: Uint8Array } | undefined
  for (const host of holders) {
    if (host === audited) continue
    const draw = blake3(concatBytes(pack, fromHex(host)))
    if (first === undefined || compareBytes(draw, first.draw) < 0) first = { host, draw }
  }
  return first?.host
}
