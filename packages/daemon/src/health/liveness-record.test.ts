import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'

import { isMoyaiError, livenessTable, patternOf, recallHost, WEEK_HOURS } from '@moyai/protocol'
import type { LivenessTable } from '@moyai/protocol'

import { decodeLiveness, encodeLiveness } from './liveness-record.ts'

const NOW = Date.UTC(2026, 0, 5)
const hexOf = (i: number): string => i.toString(16).padStart(64, '0')

function tableOf(ids: readonly number[]): LivenessTable {
  const hosts = ids.map((i) => {
    const labels = { org: 'o', site: `${i}`, provider: 'self', alwaysOn: false }
    return { id: hexOf(i), ...labels, online: false, freeBytes: 0 }
  })
  return livenessTable({ self: hexOf(0), hosts, now: NOW })
}

const memory = fc.record({
  pattern: fc.uint8Array({ minLength: WEEK_HOURS, maxLength: WEEK_HOURS }),
  knownSince: fc.nat(NOW),
  seenAt: fc.nat(NOW),
  absentHours: fc.double({ min: 0, max: 1000, noNaN: true }),
  presumedLost: fc.boolean(),
  lostAt: fc.nat(NOW),
})

function seen(table: LivenessTable, i: number): unknown {
  const slot = table.slots.get(hexOf(i)) as number
  const { knownSince, seenAt, absentHours, verdict, lostAt, expectedHours } = table
  const columns = [knownSince, seenAt, absentHours, verdict, lostAt, expectedHours]
  return [[...patternOf(table, slot)], ...columns.map((column) => column[slot])]
}

test('liveness record: what was written is read, by a pool that has changed', () => {
  fc.assert(
    fc.property(fc.array(memory, { minLength: 2, maxLength: 5 }), (memories) => {
      const before = tableOf(memories.map((_, i) => i + 1))
      memories.forEach((one, i) => {
        recallHost(before, before.slots.get(hexOf(i + 1)) as number, one)
      })
      const refuted = new Map([[hexOf(1), 'ab'.repeat(32)]])
      const encoded = encodeLiveness(before, { savedAt: NOW + 5, refuted })
      // The first host has left, another one has joined.
      const after = tableOf([...memories.map((_, i) => i + 1).slice(1), 99])
      assert.deepEqual(decodeLiveness(encoded, after), { savedAt: NOW + 5, refuted })
      for (let i = 2; i <= memories.length; i++) assert.deepEqual(seen(after, i), seen(before, i))
      assert.equal(after.seenAt[after.slots.get(hexOf(99)) as number], 0)
    }),
    { numRuns: 50 },
  )
})

test('liveness record: damage is refused, and then nothing is taken', () => {
  const before = tableOf([1, 2, 3])
  const good = encodeLiveness(before, { savedAt: NOW, refuted: new Map() })
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bad = good.slice()
      bad[at] = (bad[at] as number) ^ flip
      const table = tableOf([1, 2, 3])
      try {
        decodeLiveness(bad, table)
      } catch (error) {
        assert.ok(isMoyaiError(error))
        assert.deepEqual(table, tableOf([1, 2, 3]))
      }
      for (const column of [table.seenAt, table.knownSince, table.absentHours]) {
        assert.ok(column.every((value) => value >= 0 && Number.isFinite(value)))
      }
      assert.throws(() => decodeLiveness(good.subarray(0, at), tableOf([1])), isMoyaiError)
    }),
    { numRuns: 300 },
  )
})
