/** The scan for cuts: our kernel, the same in plain JavaScript. */

import { assert, Chunker, gearTable, plainScan } from '@moyai/protocol'

import { contest, inThread, noise, textLike } from './contest.ts'
import type { Row } from './contest.ts'

const LENGTH = 32 * 1024 * 1024

function cuts(chunker: Chunker, bytes: Uint8Array): number[] {
  const found: number[] = []
  for (let at = 0; at < bytes.length;) {
    at += chunker.next(bytes.subarray(at), true)
    found.push(at)
  }
  return found
}

/** Rows of cutting noise and text. */
export function gearRows(): Row[] {
  const gear = gearTable(noise(32, 5))
  const kernel = new Chunker(gear)
  const plain = new Chunker(gear, plainScan(gear))
  const kinds: [string, Uint8Array][] = [
    ['noise', noise(LENGTH)],
    ['text', textLike(LENGTH)],
  ]
  return kinds.map(([kind, bytes]) => {
    const expected = cuts(plain, bytes)
    assert(cuts(kernel, bytes).join() === expected.join(), 'both cut at the same places')
    return contest({
      row: `gear scan, ${kind}`,
      moyai: inThread('moyai', LENGTH, () => cuts(kernel, bytes)),
      peers: [inThread('plain JavaScript', LENGTH, () => cuts(plain, bytes))],
      target: { 'plain JavaScript': 3.5 },
    })
  })
}
