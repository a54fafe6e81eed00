import assert from 'node:assert/strict'
import { test } from 'node:test'

import * as fc from 'fast-check'

import { HoleLayout } from './hole-layout.ts'
import { metadata } from './testing/fake-vault.ts'

/** A file as alternating data and holes, both longer than 0. */
const runs = fc.array(fc.tuple(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 50 })), {
  maxLength: 20,
})

test('chunks of any lengths land on all data and no hole, in order', () => {
  // Goal: the layout is the inverse of leaving the holes out.
  fc.assert(
    fc.property(
      runs,
      fc.boolean(),
      fc.infiniteStream(fc.integer({ min: 1, max: 80 })),
      (all, startsWithHole, cuts) => {
        const holes: { offset: number; length: number }[] = []
        const data: number[] = []
        let at = 0
        for (const [first, second] of all) {
          const [hole, bytes] = startsWithHole ? [first, second] : [second, first]
          const takeData = (): void => {
            for (let i = 0; i < bytes; i++) data.push(at + i)
            at += bytes
          }
          if (!startsWithHole) takeData()
          holes.push({ offset: at, length: hole })
          at += hole
          if (startsWithHole) takeData()
        }
        const entry = { ...metadata('f', 'file'), size: at, holes }
        const layout = new HoleLayout(entry)
        const covered: number[] = []
        for (let left = data.length; left > 0;) {
          const length = Math.min(left, cuts.next().value ?? 1)
          for (const extent of layout.next(length)) {
            for (let i = 0; i < extent.length; i++) covered.push(extent.offset + i)
          }
          left -= length
        }
        layout.finish()
        assert.deepEqual(covered, data)
        assert.throws(() => layout.next(1), { code: 'MALFORMED' })
      },
    ),
  )
})
