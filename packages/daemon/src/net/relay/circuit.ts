/**
 * One circuit: bytes of two streams handed to one another, unread, with bounded buffers.
 *
 * libp2p's own relay server keeps every byte of one direction until the circuit ends and buffers
 * the other without limit; this one stops a sender whose receiver is slow.
 */

import { type Clock, toMoyaiError } from '@moyai/protocol'
import type { DuplexStream, StreamReader, StreamWriter } from '../stream-io.ts'
import { CIRCUIT_CHUNK_BYTES, CIRCUIT_IDLE_MS, RELAY_HANDSHAKE_MS } from './constants.ts'

/** One end of a circuit. */
export type CircuitEnd = {
  /** Host in hex. */
  host: string
  stream: DuplexStream
  reader: StreamReader
  writer: StreamWriter
}

export class Circuit {
  readonly from: CircuitEnd
  readonly to: CircuitEnd
  /** Resolves, never rejects, when both directions have ended. */
  readonly ended: Promise<void>
  readonly #clock: Clock
  #movedAt: number

  constructor(ends: { from: CircuitEnd; to: CircuitEnd }, components: { clock: Clock }) {
    this.from = ends.from
    this.to = ends.to
    this.#clock = components.clock
    this.#movedAt = components.clock.monotonic()
    this.ended = this.#run()
  }

  get isIdle(): boolean {
    return this.#clock.monotonic() - this.#movedAt > CIRCUIT_IDLE_MS
  }

  cut(why: string): void {
    for (const { stream } of [this.from, this.to]) stream.abort(new Error(why))
  }

  async #run(): Promise<void> {
    try {
      await Promise.all([this.#pump(this.from, this.to), this.#pump(this.to, this.from)])
    } catch (error) {
      // One side broke: the other must not wait for it.
      this.cut(toMoyaiError(error).message)
    }
  }

  async #pump(source: CircuitEnd, target: CircuitEnd): Promise<void> {
    for (;;) {
      const bytes = await source.reader.readSome(CIRCUIT_CHUNK_BYTES)
      this.#movedAt = this.#clock.monotonic()
      if (bytes === undefined) break
      await target.writer.write(bytes)
      this.#movedAt = this.#clock.monotonic()
    }
    await target.stream.close({ signal: AbortSignal.timeout(RELAY_HANDSHAKE_MS) })
  }
}
