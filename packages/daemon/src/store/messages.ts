/**
 * What the threads of a store say to one another. Few and large messages: a small one costs 50 to
 * 120 µs, so there is none per file or chunk. Everything in them is plain data that structured
 * cloning copies.
 */

import type { MessagePort } from 'node:worker_threads'

import type { Code, Entry, ErrorCode, StripeClass, VaultBundle } from '@moyai/protocol'

import type { OutcomeBatch } from './outcome-batch.ts'
import type { PackNotice } from './pack-writer.ts'
import type { PathPlan } from './path-plan.ts'
import type { Span } from './span.ts'
import type { WalkCounts } from './walk-counts.ts'
import type { WalkBatch } from './walker.ts'

/** What every worker of a store is started with. */
export type WorkerSetup = {
  bundle: VaultBundle
  /** Shared counters and credit. */
  state: SharedArrayBuffer
  outbox: string
  code: Code
  stripeClass: StripeClass
  created: number
  protectedUntil: number
  compressionLevel: number
}

export type ComputeSetup = WorkerSetup & {
  table: SharedArrayBuffer[]
  /** Straight to the walker: what was read would only be garbage in the main thread. */
  toWalker: MessagePort
  /** True when other compute threads can take part of a large file. */
  shares: boolean
}

export type ToCompute =
  | { type: 'batch'; batch: WalkBatch; table: SharedArrayBuffer[] }
  /** Part of a file that another thread has; answered by `done`. */
  | { type: 'span'; span: Span; table: SharedArrayBuffer[] }
  /** Write what is left; answered by `flushed`. */
  | { type: 'flush' }

export type FromCompute =
  | { type: 'pack'; pack: PackNotice }
  /** A batch or span is done; a batch's outcomes went to the walker. */
  | { type: 'done' }
  /** For any thread that has time. */
  | { type: 'span'; span: Span }
  | { type: 'flushed' }
  | Failure

/** From a compute thread to the walker. */
export type Outcomes =
  | { type: 'ids'; id: number; index: number; ids: Uint8Array }
  | { type: 'restart'; id: number; index: number }
  | { type: 'outcomes'; id: number; batch: OutcomeBatch }

export type WalkSetup = WorkerSetup & {
  plan: PathPlan
  excludes: string[]
  ownHome: { device: bigint; inode: bigint } | undefined
  dryRun: boolean
  batchesMax: number
  /** Path of this source's page cache. */
  cache: string
  /** The generation of the index; a cache of another one is not used. */
  generation: Uint8Array
  /** For `TableAnswer`: the walker waits for it synchronously. */
  tablePort: MessagePort
}

export type ToWalker =
  /** A store begins; `setup.tablePort` moves with it. */
  | { type: 'walk'; setup: WalkSetup }
  /** A compute thread was started; `port` gives its `Outcomes`. */
  | { type: 'compute'; port: MessagePort }
  /** The table of known chunks has grown. */
  | { type: 'table'; table: SharedArrayBuffer[] }
  /** Index segments of packs that no snapshot names yet; answered by `indexed`. */
  | { type: 'index'; segments: Uint8Array[] }
  /** Write what is left; answered by `flushed`. */
  | { type: 'flush' }
  /** The store has ended, and has everything; the next message begins another. */
  | { type: 'end' }

export type FromWalker =
  | { type: 'batch'; batch: WalkBatch }
  | { type: 'table' }
  | { type: 'problem'; path: string; code: ErrorCode; message: string }
  | { type: 'progress'; counts: WalkCounts; current: string }
  | { type: 'pack'; pack: PackNotice; index: boolean }
  | { type: 'walked'; root: Entry; counts: WalkCounts; unchanged: boolean }
  | { type: 'indexed' }
  | { type: 'flushed' }
  | Failure

/** A worker cannot go on. */
export type Failure = { type: 'failed'; code: ErrorCode; message: string; hint?: string }

/** Sent over `tablePort` before the table's ready flag is raised. */
export type TableAnswer = { table: SharedArrayBuffer[] }
