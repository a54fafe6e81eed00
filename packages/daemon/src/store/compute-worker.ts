/**
 * A compute thread: reads batches of files, chunks, names, compresses, seals, codes and writes
 * packs to the outbox. Each batch runs to completion; the answer is one message.
 */

import { parentPort, workerData } from 'node:worker_threads'

import { assert, Chunker, gearSeed, gearTable } from '@moyai/protocol'

import { ContentReader } from './content-reader.ts'
import type { FileOutcome } from './content-reader.ts'
import { DedupTable } from './dedup-table.ts'
import type { ComputeSetup, FromCompute, Outcomes, ToCompute } from './messages.ts'
import { loadHasher } from './native-hasher.ts'
import { packOutcomes } from './outcome-batch.ts'
import { SharedState } from './shared-state.ts'
import type { WalkBatch } from './walker.ts'
import { failureOf, makePackWriter } from './worker-kit.ts'

assert(parentPort !== null, 'this module runs in a worker thread')
const port = parentPort
const setup = workerData as ComputeSetup
const state = new SharedState(setup.state)
const table = new DedupTable(setup.table)
const hasher = loadHasher()
const post = (message: FromCompute): void => port.postMessage(message)
const tell = (message: Outcomes): void => setup.toWalker.postMessage(message)
const onPack = (pack: { pack: Uint8Array; payloadBytes: number }): void =>
  post({ type: 'pack', pack })
const writer = makePackWriter(setup, { packClass: 'data', hasher, state, onPack })
const chunker = new Chunker(gearTable(gearSeed(setup.bundle)))
const { chunkIdKey } = setup.bundle
const reader = new ContentReader({
  hasher,
  chunker,
  chunkIdKey,
  table,
  writer,
  state,
  ...(setup.shares ? { offer: (span) => post({ type: 'span', span }) } : {}),
})

function read(batch: WalkBatch): void {
  const { id, paths } = batch
  const outcomes: FileOutcome[] = paths.map((path, index) => {
    state.check()
    const outcome = reader.read(
      { path },
      {
        ids: (ids) => tell({ type: 'ids', id, index, ids }),
        restart: () => tell({ type: 'restart', id, index }),
      },
    )
    state.add('filesRead', 1)
    return outcome
  })
  const packed = packOutcomes(outcomes)
  setup.toWalker.postMessage({ type: 'outcomes', id, batch: packed } satisfies Outcomes, [
    packed.bytes.buffer,
  ])
  post({ type: 'done' })
}

port.on('message', (message: ToCompute) => {
  try {
    if (message.type === 'batch') {
      table.extend(message.table)
      read(message.batch)
    } else if (message.type === 'span') {
      table.extend(message.table)
      reader.readSpan(message.span)
      post({ type: 'done' })
    } else {
      writer.flush()
      post({ type: 'flushed' })
    }
  } catch (error) {
    post(failureOf(error))
  }
})
