/** Holes of sparse files: where a file has no data at all. */

import { fstatSync } from 'node:fs'

import { syscalls } from './syscalls.ts'
import type { Extent } from './syscalls.ts'

/**
 * Holes recorded of one file. A file more scattered than this is kept with its first holes only; the bytes of the
 * others are stored as zeros, which compress to nothing, so content stays exact. 4096 × about 24 B of CBOR is 96 KiB.
 */
export const HOLES_MAX = 4096
/** A hole smaller than a file system block cannot be made again. */
const HOLE_BYTES_MIN = 4096n

/** True when a regular file occupies less than its size: only then is it worth asking for holes. */
export function mayHaveHoles(stat: { size: bigint; blocks: bigint }): boolean {
  return stat.blocks * 512n < stat.size
}

/**
 * The holes of the open regular file `fd`, ascending, not overlapping, within its size. Empty where the platform or
 * the file system cannot tell. Moves the file offset: read with positions.
 */
export function findHoles(fd: number): Extent[] {
  const { seekData, seekHole } = syscalls()
  if (seekData === undefined || seekHole === undefined) return []
  const size = fstatSync(fd, { bigint: true }).size
  const holes: Extent[] = []
  try {
    for (let at = 0n; at < size && holes.length < HOLES_MAX;) {
      const start = seekHole(fd, at) ?? size
      if (start >= size) break
      const end = minimum(seekData(fd, start) ?? size, size)
      if (end - start >= HOLE_BYTES_MIN) holes.push({ offset: start, length: end - start })
      if (end <= at) break // a file that shrinks meanwhile
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
