/** BLAKE3: our kernel, Node's SHA-256 (which uses the processor's instructions), native BLAKE3. */

import { hash } from 'node:crypto'

import { assert, equalBytes, portableHasher } from '@moyai/protocol'

import { native } from '../../scripts/native-blake3.ts'
import { contest, inThread, noise } from './contest.ts'
import type { Row } from './contest.ts'

const LENGTHS: readonly number[] = [64 * 1024, 1024 * 1024]

/** Rows of hashing whole buffers. */
export function hashRows(): Row[] {
  return LENGTHS.map((length) => {
    const bytes = noise(length)
    const expected = new Uint8Array(native.blake3(bytes))
    assert(equalBytes(portableHasher.hash(bytes), expected), 'both give the same hash')
    return contest({
      row: `BLAKE3, ${length / 1024} KiB`,
      moyai: inThread('moyai', length, () => portableHasher.hash(bytes)),
      peers: [
        inThread('node sha256', length, () => hash('sha256', bytes, 'buffer')),
        inThread('native BLAKE3', length, () => native.blake3(bytes)),
      ],
      target: { 'node sha256': 1 },
    })
  })
}
