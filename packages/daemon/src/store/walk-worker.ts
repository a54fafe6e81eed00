/**
 * The walking thread: names, metadata and directory pages; it hands changed files on to be read,
 * and packs the pages and the index itself.
 */

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'

import { assert, decodeRootEntry, encodeRootEntry, equalBytes } from '@moyai/protocol'
import type { BlobKind } from '@moyai/protocol'

import { systemClock } from '../clock.ts'
import { DedupTable } from './dedup-table.ts'
import { Excludes } from './exclude.ts'
import type { FromWalker, Outcomes, TableAnswer, ToWalker, WalkSetup } from './messages.ts'
import { loadHasher } from './native-hasher.ts'
import { unpackOutcomes } from './outcome-batch.ts'
import type { PackWriter } from './pack-writer.ts'
import { PageCache, PageCacheWriter } from './page-cache.ts'
import { SharedState } from './shared-state.ts'
import { TreeEmitter } from './tree-emitter.ts'
import { Walker } from './walker.ts'
import { failureOf, makePackWriter } from './worker-kit.ts'

assert(parentPort !== null, 'this module runs in a worker thread')
const port = parentPort
const setup = workerData as WalkSetup
const state = new SharedState(setup.state)
const hasher = loadHasher()
const { chunkIdKey } = setup.bundle
const post = (message: FromWalker): void => port.postMessage(message)
let table: DedupTable | undefined
let indexing = false
let writer: PackWriter | undefined

/** Made for the first page that is new: a walk that finds nothing needs no codec and no keys. */
function packWriter(): PackWriter {
  writer ??= makePackWriter(setup, {
    packClass: 'meta',
    hasher,
    state,
    onPack: (pack) => post({ type: 'pack', pack, index: indexing }),
  })
  return writer
}

/** The table of known chunks; asked for at the first chunk that the last snapshot does not have. */
function knownChunks(): DedupTable {
  if (table !== undefined) return table
  post({ type: 'table' })
  state.awaitTable()
  const received = receiveMessageOnPort(setup.tablePort)
  assert(received !== undefined, 'the table was sent before its flag was raised')
  const answer = received.message as TableAnswer
  table = new DedupTable(answer.table)
  return table
}

function store(chunk: { kind: BlobKind; id: Uint8Array; bytes: Uint8Array }): void {
  if (knownChunks().claim(chunk.id)) packWriter().add(chunk)
}

function openPrevious(): PageCache | undefined {
  const cache = PageCache.open(setup.cache, (page) => hasher.keyedHash(chunkIdKey, page))
  if (cache === undefined || equalBytes(cache.info.generation, setup.generation)) return cache
  cache.close()
  return undefined
}

async function walk(): Promise<void> {
  // by the clock that stamps files, before the first of them is looked at
  const began = systemClock.now()
  const previous = openPrevious()
  const cache = setup.dryRun ? undefined : new PageCacheWriter(setup.cache)
  const emitter =
    cache === undefined
      ? undefined
      : new TreeEmitter({ hasher, chunkIdKey, previous, cache, store })
  const { excludes, plan, ownHome, dryRun, batchesMax, generation } = setup
  const walker = new Walker(
    {
      plan,
      excludes: new Excludes(excludes, plan.children === undefined ? plan.path : ''),
      ownHome,
      dryRun,
      batchesMax,
    },
    {
      previous,
      emitter,
      state,
      submit: (batch) => post({ type: 'batch', batch }),
      problem: (problem) => post({ type: 'problem', ...problem }),
      breathe: () => new Promise((resolve) => setImmediate(resolve)),
      progress: reportSometimes(),
    },
  )
  listen(walker)
  const root = await walker.run()
  const encoded = encodeRootEntry(root)
  cache?.end({ generation, began, root: encoded })
  const unchanged = previous !== undefined && equalBytes(encoded, previous.info.root)
  previous?.close()
  post({ type: 'walked', root: decodeRootEntry(encoded), counts: walker.counts, unchanged })
}

/** Progress goes out at most five times a second. */
function reportSometimes(): (counts: Walker['counts'], current: string) => void {
  let last = 0
  return (counts, current) => {
    const now = performance.now()
    if (now - last < 200) return
    last = now
    post({ type: 'progress', counts, current })
  }
}

/** What a compute thread read goes into the entries that wait for it. */
function take(walker: Walker, message: Outcomes): void {
  if (message.type === 'ids') walker.deliverIds(message)
  else if (message.type === 'restart') walker.restart(message)
  else walker.deliver(message.id, unpackOutcomes(message.batch))
}

function guarded(work: () => void): void {
  try {
    work()
  } catch (error) {
    post(failureOf(error))
  }
}

function listen(walker: Walker): void {
  port.on('message', (message: ToWalker) =>
    guarded(() => {
      switch (message.type) {
        case 'compute':
          message.port.on('message', (outcome: Outcomes) => guarded(() => take(walker, outcome)))
          break
        case 'table':
          table?.extend(message.table)
          break
        case 'index':
          indexing = true
          for (const bytes of message.segments) {
            packWriter().add({ kind: 'index', id: hasher.keyedHash(chunkIdKey, bytes), bytes })
          }
          post({ type: 'indexed' })
          break
        case 'flush':
          writer?.flush()
          post({ type: 'flushed' })
          break
      }
    }),
  )
}

walk().catch((error: unknown) => post(failureOf(error)))
