/** Holes of sparse files: where a file has no data at all. */

import { fstatSync } from 'node:fs'

import { HOLES_MAX } from '@moyai/protocol'
import type { Hole } from '@moyai/protocol'

import { syscalls } from './syscalls.ts'

/** A hole smaller than a file system block cannot be made again. */
const HOLE_BYTES_MIN = 4096n
const OFFSET_MAX = BigInt(Number.MAX_SAFE_INTEGER)

/** True when a regular file occupies less than its size: only then is it worth asking for holes. */
export function mayHaveHoles(stat: { size: bigint; blocks: bigint }): boolean {
  return stat.blocks * 512n < stat.size
}

/**
 * The holes of the open regular file `fd`: ascending, apart, within its size, HOLES_MAX at most
 * (further ones are read as the zeros that they are). Empty where the platform or the file system
 * cannot tell. Moves the file offset: read with positions.
 */
export function findHoles(fd: number): Hole[] {
  const { seekData, seekHole } = syscalls()
  if (seekData === undefined || seekHole === undefined) return []
  const size = fstatSync(fd, { bigint: true }).size
  const holes: Hole[] = []
  try {
    for (let at = 0n; at < size && holes.length < HOLES_MAX;) {
      const start = seekHole(fd, at) ?? size
      if (start >= size) break
      const end = minimum(seekData(fd, start) ?? size, size)
      // beyond the format, or a file that shrinks meanwhile
      if (end > OFFSET_MAX || end <= at) break
      if (end - start >= HOLE_BYTES_MIN) {
        holes.push({ offset: Number(start), length: Number(end - start) })
      }
      at = end
    }
  } catch {
    return [] // the file system does not know the call: everything is data
  }
  return holes
}

function minimum(a: bigint, b: bigint): bigint {
  return a < b ? a : b
}
