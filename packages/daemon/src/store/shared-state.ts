/**
 * What the threads of one store share besides the table of chunks: disk credit, the cancel flag,
 * and counters.
 *
 * Workers run synchronously; a worker that finds no credit sleeps in `Atomics.wait` until the
 * sender has emptied part of the outbox, so the outbox and with it the whole pipeline stays bounded
 * without a message.
 */

import { MoyaiError } from '@moyai/protocol'

const CREDIT = 0
const CANCELLED = 1
const TABLE = 2
const CELLS = 4

/** Outbox bytes that one unit of credit stands for: 32-bit cells then count to 128 TiB. */
const CREDIT_UNIT_BYTES = 64 * 1024
const WAIT_MS = 1000

/** Counters, in the order of their cells. Bytes count plaintext, `packedBytes` whole packs. */
export const COUNTERS = [
  'bytesRead',
  'filesRead',
  'dataBlobs',
  'dataBytesAdded',
  'treeBlobs',
  'treeBytesAdded',
  'packs',
  'packedBytes',
] as const
export type Counter = (typeof COUNTERS)[number]

/** See the head of this file. Made once by the main thread, and from `buffer` in every worker. */
export class SharedState {
  readonly buffer: SharedArrayBuffer
  readonly #cells: Int32Array
  readonly #counters: BigInt64Array

  constructor(buffer?: SharedArrayBuffer) {
    this.buffer = buffer ?? new SharedArrayBuffer(CELLS * 4 + COUNTERS.length * 8)
    this.#cells = new Int32Array(this.buffer, 0, CELLS)
    this.#counters = new BigInt64Array(this.buffer, CELLS * 4, COUNTERS.length)
  }

  /** Gives back (or first grants) room for `bytes` in the outbox. */
  give(bytes: number): void {
    Atomics.add(this.#cells, CREDIT, Math.ceil(bytes / CREDIT_UNIT_BYTES))
    Atomics.notify(this.#cells, CREDIT)
  }

  /**
   * Takes room for `bytes`, sleeping until there is some. ABORTED once the store is cancelled.
   * Workers only.
   */
  take(bytes: number): void {
    const units = Math.ceil(bytes / CREDIT_UNIT_BYTES)
    for (;;) {
      this.check()
      const credit = Atomics.load(this.#cells, CREDIT)
      if (credit < units) {
        Atomics.wait(this.#cells, CREDIT, credit, WAIT_MS)
        continue
      }
      if (Atomics.compareExchange(this.#cells, CREDIT, credit, credit - units) === credit) return
    }
  }

  /** Says that the table of known chunks was posted. */
  tableReady(): void {
    Atomics.store(this.#cells, TABLE, 1)
    Atomics.notify(this.#cells, TABLE)
  }

  /** Sleeps until `tableReady`. ABORTED once the store is cancelled. Workers only. */
  awaitTable(): void {
    while (Atomics.load(this.#cells, TABLE) === 0) {
      this.check()
      Atomics.wait(this.#cells, TABLE, 0, WAIT_MS)
    }
  }

  cancel(): void {
    Atomics.store(this.#cells, CANCELLED, 1)
    Atomics.notify(this.#cells, CREDIT)
  }

  /** ABORTED once the store is cancelled: called once per chunk. */
  check(): void {
    if (Atomics.load(this.#cells, CANCELLED) !== 0) {
      throw new MoyaiError('ABORTED', 'the store was cancelled')
    }
  }

  add(counter: Counter, amount: number): void {
    Atomics.add(this.#counters, COUNTERS.indexOf(counter), BigInt(amount))
  }

  read(counter: Counter): number {
    return Number(Atomics.load(this.#counters, COUNTERS.indexOf(counter)))
  }
}
