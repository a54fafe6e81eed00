/** Every connected host gets its turn, whatever becomes of the asking. */

import assert from 'node:assert/strict'
import { test } from 'node:test'

import * as fc from 'fast-check'

import { Turns } from './turns.ts'

test('goal: nobody waits longer than a round, and nobody who is away is asked', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 0, max: 40 }), (most, count) => {
      const peers = Array.from({ length: count }, (_, i) => ({
        host: `host ${i}`,
        connected: i % 5 !== 4,
      }))
      const connected = peers.filter((peer) => peer.connected).map(({ host }) => host)
      const turns = new Turns(most)
      const asked = Array.from({ length: Math.ceil(connected.length / most) }, () =>
        turns.next(peers),
      )
      assert.ok(asked.every((turn) => turn.length <= most))
      assert.deepEqual(new Set(asked.flat()), new Set(connected))
    }),
  )
})
