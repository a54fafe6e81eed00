/**
 * The walking thread: names, metadata and directory pages; it hands changed files on to be read,
 * and packs the pages and the index itself. It walks for one store after another: what the compiler
 * learnt in a walk is half the cost of the next one.
 */

import { parentPort, receiveMessageOnPort } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'

import { assert, decodeRootEntry, encodeRootEntry, equalBytes } from '@moyai/protocol'

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
import type { TreeEmitterComponents } from './tree-emitter.ts'
import { Walker } from './walker.ts'
import { failureOf, makePackWriter } from './worker-kit.ts'

assert(parentPort !== null, 'this module runs in a worker thread')
const port = parentPort
const hasher = loadHasher()
const post = (message: FromWalker): void => port.postMessage(message)
let current: Walk | undefined

/** What one store has of this thread. */
class Walk {
  readonly #setup: WalkSetup
  readonly #state: SharedState
  readonly #computePorts: MessagePort[] = []
  #walker: Walker | undefined
  #table: DedupTable | undefined
  #writer: PackWriter | undefined
  #indexing = false

  constructor(setup: WalkSetup) {
    this.#setup = setup
    this.#state = new SharedState(setup.state)
  }

  /** Walks; posts what it finds, and `walked` at the end. */
  async run(): Promise<void> {
    // by the clock that stamps files, before the first of them is looked at
    const began = systemClock.now()
    const { cache: path, dryRun, generation } = this.#setup
    const previous = this.#openPrevious()
    const cache = dryRun ? undefined : new PageCacheWriter(path)
    const walker = this.#makeWalker(previous, cache)
    this.#walker = walker
    const root = await walker.run()
    const encoded = encodeRootEntry(root)
    cache?.end({ generation, began, root: encoded })
    const unchanged = previous !== undefined && equalBytes(encoded, previous.info.root)
    previous?.close()
    post({ type: 'walked', root: decodeRootEntry(encoded), counts: walker.counts, unchanged })
  }

  /** Does what the store asks for beside the walk. */
  take(message: Exclude<ToWalker, { type: 'walk' | 'end' }>): void {
    switch (message.type) {
      case 'compute':
        this.#computePorts.push(message.port)
        message.port.on('message', (outcome: Outcomes) => guarded(() => this.#deliver(outcome)))
        break
      case 'table':
        this.#table?.extend(message.table)
        break
      case 'index':
        this.#indexing = true
        for (const bytes of message.segments) {
          const id = hasher.keyedHash(this.#setup.bundle.chunkIdKey, bytes)
          this.#packWriter().add({ kind: 'index', id, bytes })
        }
        post({ type: 'indexed' })
        break
      case 'flush':
        this.#writer?.flush()
        post({ type: 'flushed' })
        break
    }
  }

  /** After a walk that ended well. */
  close(): void {
    for (const one of this.#computePorts) one.close()
    this.#setup.tablePort.close()
  }

  #makeWalker(previous: PageCache | undefined, cache: PageCacheWriter | undefined): Walker {
    const { excludes, plan, ownHome, dryRun, batchesMax, bundle } = this.#setup
    const { chunkIdKey } = bundle
    const store: TreeEmitterComponents['store'] = (chunk) => {
      if (this.#knownChunks().claim(chunk.id)) this.#packWriter().add(chunk)
    }
    const emitter =
      cache === undefined
        ? undefined
        : new TreeEmitter({ hasher, chunkIdKey, previous, cache, store })
    return new Walker(
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
        state: this.#state,
        submit: (batch) => post({ type: 'batch', batch }),
        problem: (problem) => post({ type: 'problem', ...problem }),
        breathe: () => new Promise((resolve) => setImmediate(resolve)),
        progress: reportSometimes(),
      },
    )
  }

  #openPrevious(): PageCache | undefined {
    const { cache: path, bundle, generation } = this.#setup
    const cache = PageCache.open(path, (page) => hasher.keyedHash(bundle.chunkIdKey, page))
    if (cache === undefined || equalBytes(cache.info.generation, generation)) return cache
    cache.close()
    return undefined
  }

  /** Made for the first page that is new: a walk that finds nothing needs no codec and no keys. */
  #packWriter(): PackWriter {
    this.#writer ??= makePackWriter(this.#setup, {
      packClass: 'meta',
      hasher,
      state: this.#state,
      onPack: (pack) => post({ type: 'pack', pack, index: this.#indexing }),
    })
    return this.#writer
  }

  /** The table of known chunks; asked for at the first chunk that the last snapshot lacks. */
  #knownChunks(): DedupTable {
    if (this.#table !== undefined) return this.#table
    post({ type: 'table' })
    this.#state.awaitTable()
    const received = receiveMessageOnPort(this.#setup.tablePort)
    assert(received !== undefined, 'the table was sent before its flag was raised')
    const answer = received.message as TableAnswer
    this.#table = new DedupTable(answer.table)
    return this.#table
  }

  /** What a compute thread read goes into the entries that wait for it. */
  #deliver(message: Outcomes): void {
    const walker = this.#walker
    assert(walker !== undefined, 'compute threads start when the walk has begun')
    if (message.type === 'ids') walker.deliverIds(message)
    else if (message.type === 'restart') walker.restart(message)
    else walker.deliver(message.id, unpackOutcomes(message.batch))
  }
}

/** Progress goes out at most five times a second. */
function reportSometimes(): (counts: Walker['counts'], current: string) => void {
  let last = 0
  return (counts, path) => {
    const now = performance.now()
    if (now - last < 200) return
    last = now
    post({ type: 'progress', counts, current: path })
  }
}

function guarded(work: () => void): void {
  try {
    work()
  } catch (error) {
    post(failureOf(error))
  }
}

port.on('message', (message: ToWalker) =>
  guarded(() => {
    if (message.type === 'walk') {
      assert(current === undefined, 'one walk at a time')
      current = new Walk(message.setup)
      current.run().catch((error: unknown) => post(failureOf(error)))
      return
    }
    assert(current !== undefined, 'a walk has begun')
    if (message.type !== 'end') {
      current.take(message)
      return
    }
    current.close()
    current = undefined
  }),
)
