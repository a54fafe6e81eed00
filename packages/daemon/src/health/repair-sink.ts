/** One put whose payload is still being made: the other end of a repair. */

import type { ShardClient } from '../net/types.ts'

/** Begins a put; `payload` is called when the holder wants the bytes. */
export type BeginPut = (payload: () => AsyncIterable<Uint8Array>) => ReturnType<ShardClient['put']>

type Answer = Awaited<ReturnType<ShardClient['put']>>

/**
 * Bytes pushed on one side come out as payload on the other, one piece at a time, so that a slow
 * holder slows the making.
 */
export class PutSink {
  /** Resolves when the holder wants the bytes or has the shard already; rejects when it refuses. */
  readonly accepted: Promise<unknown>
  /** The put's end; settles after `end` or `fail`. */
  readonly answer: Promise<Answer>
  readonly #wanted = Promise.withResolvers<void>()
  #piece: Uint8Array | undefined
  #ended = false
  #error: unknown
  #settled = false
  #changed = Promise.withResolvers<void>()

  constructor(begin: BeginPut) {
    this.answer = begin(() => this.#payload()).finally(() => {
      this.#settled = true
      this.#wake()
    })
    this.answer.catch(() => undefined) // read by whoever waits for it
    this.accepted = Promise.race([this.#wanted.promise, this.answer])
    this.accepted.catch(() => undefined)
  }

  /** Hands over a piece, which must not change after; resolves when there is room for the next. */
  async push(piece: Uint8Array): Promise<void> {
    while (this.#piece !== undefined && !this.#settled) await this.#changed.promise
    if (this.#settled) return
    this.#piece = piece
    this.#wake()
  }

  /** No more bytes. */
  end(): void {
    this.#ended = true
    this.#wake()
  }

  /** The payload breaks off: the holder keeps nothing. */
  fail(error: unknown): void {
    this.#error = error
    this.#wake()
  }

  /** True when the put has ended: had already, or refused. */
  get isSettled(): boolean {
    return this.#settled
  }

  async *#payload(): AsyncGenerator<Uint8Array> {
    for (;;) {
      this.#wanted.resolve()
      if (this.#error !== undefined) throw this.#error
      const piece = this.#piece
      if (piece !== undefined) {
        this.#piece = undefined
        this.#wake()
        yield piece
      } else if (this.#ended) return
      else await this.#changed.promise
    }
  }

  #wake(): void {
    const { resolve } = this.#changed
    this.#changed = Promise.withResolvers<void>()
    resolve()
  }
}
