import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'

import { dedupSegment, DedupTable } from './dedup-table.ts'

const id = (n: number): Uint8Array => createHash('sha256').update(String(n)).digest()

test('Goal: a claimed chunk is known, an unclaimed one never, also across growth.', () => {
  const table = new DedupTable([dedupSegment(10)])
  for (let n = 0; n < 60_000; n++) {
    if (table.needsSegment()) table.extend([...table.buffers, dedupSegment(table.count)])
    assert.equal(table.claim(id(n)), true)
  }
  for (let n = 0; n < 60_000; n++) assert.equal(table.claim(id(n)), false)
  for (let n = 60_000; n < 70_000; n++) assert.equal(table.has(id(n)), false)
  assert.equal(table.count, 60_000)
})

test('Goal: a full table forgets, and never calls an unknown chunk known.', () => {
  const table = new DedupTable([dedupSegment(10)])
  let n = 0
  while (!table.needsSegment()) table.claim(id(n++))
  assert.equal(table.claim(id(n)), true)
  assert.equal(table.claim(id(n)), true)
  assert.equal(table.claim(id(0)), false)
})

test('Goal: ids of zeros are ids like others.', () => {
  const table = new DedupTable([dedupSegment(10)])
  assert.equal(table.claim(new Uint8Array(32)), true)
  assert.equal(table.claim(new Uint8Array(32)), false)
})

test('Goal: threads that claim the same ids at once get each at least once.', async () => {
  const table = new DedupTable([dedupSegment(20_000)])
  const source = `
    const { workerData, parentPort } = require('node:worker_threads')
    const { createHash } = require('node:crypto')
    import(workerData.module).then(({ DedupTable }) => {
      const table = new DedupTable(workerData.buffers)
      const won = []
      for (let n = 0; n < 10000; n++) {
        if (table.claim(createHash('sha256').update(String(n)).digest())) won.push(n)
      }
      parentPort.postMessage(won)
    })`
  const module = new URL('./dedup-table.ts', import.meta.url).href
  const wins = await Promise.all(
    [0, 1].map(
      () =>
        new Promise<number[]>((resolve, reject) => {
          const workerData = { module, buffers: table.buffers }
          const worker = new Worker(source, { eval: true, workerData })
          worker.on('message', resolve)
          worker.on('error', reject)
        }),
    ),
  )
  const all = new Set(wins.flat())
  assert.equal(all.size, 10_000)
  assert.ok(wins.flat().length < 10_200, 'duplicates are rare')
})
