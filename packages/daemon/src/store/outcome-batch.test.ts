import assert from 'node:assert/strict'
import { test } from 'node:test'

import { HASH_BYTES } from '@moyai/protocol'
import * as fc from 'fast-check'

import type { FileOutcome } from './content-reader.ts'
import { packOutcomes, unpackOutcomes } from './outcome-batch.ts'

const signed = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const unsigned = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })

const hole = fc.record({ offset: fc.nat(), length: fc.nat() }, { noNullPrototype: true })

const outcome: fc.Arbitrary<FileOutcome> = fc.record(
  {
    stat: fc.record(
      {
        size: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
        mtime: signed,
        ctime: signed,
        inode: unsigned,
        device: unsigned,
      },
      { noNullPrototype: true },
    ),
    ids: fc
      .nat(5)
      .chain((n) => fc.uint8Array({ minLength: n * HASH_BYTES, maxLength: n * HASH_BYTES })),
    holes: fc.array(hole, { minLength: 1 }),
    error: fc.record(
      { code: fc.constant('SOURCE_UNREADABLE' as const), message: fc.string() },
      { noNullPrototype: true },
    ),
  },
  { requiredKeys: [], noNullPrototype: true },
)

test('what was read of a batch arrives as it was sent', () => {
  fc.assert(
    fc.property(fc.array(outcome, { maxLength: 20 }), (outcomes) => {
      const sent = packOutcomes(outcomes)
      const received = structuredClone(sent, { transfer: [sent.bytes.buffer] })
      assert.deepEqual(unpackOutcomes(received), outcomes)
    }),
  )
})
