/**
 * Bounded reading and writing of one libp2p stream.
 *
 * js-libp2p 3 streams lose data or memory when used as its documentation suggests: `for await` and
 * `pipe` buffer without end, `onDrain()` waits only the first time, a `pause()` inside a message
 * listener is undone by the `resume()` that is flushing, and a peer that was killed looks like a
 * clean end. These two classes use only what was found to hold: events, `send`, `pause` and
 * `resume`. The regression tests are in stream-io.test.ts.
 *
 * Absent on purpose: framing and completeness. An end of stream proves nothing; frames carry
 * lengths (frame.ts).
 */

import type { Stream } from '@libp2p/interface'
import { assert, MoyaiError } from '@moyai/protocol'
import { Uint8ArrayList } from 'uint8arraylist'
import { READER_HIGH_BYTES, READER_LOW_BYTES } from './limits.ts'

/** What the reader and writer need of a libp2p stream. */
export type DuplexStream = Pick<
  Stream,
  | 'send'
  | 'pause'
  | 'resume'
  | 'close'
  | 'abort'
  | 'addEventListener'
  | 'status'
  | 'readStatus'
  | 'writeStatus'
  | 'remoteWriteStatus'
  | 'readBufferLength'
  | 'writeBufferLength'
  | 'writableNeedsDrain'
>

function closedError(cause: unknown): MoyaiError {
  return new MoyaiError('STREAM_CLOSED', 'the connection to the other host was lost', { cause })
}

/** Wakes everybody who waits for the next event of a stream. */
class Signal {
  #waiting: PromiseWithResolvers<void> | undefined

  wait(): Promise<void> {
    this.#waiting ??= Promise.withResolvers<void>()
    return this.#waiting.promise
  }

  wake(): void {
    this.#waiting?.resolve()
    this.#waiting = undefined
  }
}

/**
 * Reads exact lengths from a stream, keeping at most `highBytes` (+ what one message brings) in
 * memory: above, the stream is paused and the sender runs into its window. One `read` at a time.
 */
export class StreamReader {
  readonly #stream: DuplexStream
  readonly #highBytes: number
  readonly #lowBytes: number
  readonly #onBytes: (length: number) => void
  readonly #list = new Uint8ArrayList()
  readonly #event = new Signal()
  #error: MoyaiError | undefined
  #paused = false
  /**
   * True while `resume()` hands over what was buffered: a pause must wait until it has returned.
   */
  #resuming = false
  #reading = false

  constructor(
    stream: DuplexStream,
    options: { highBytes?: number; lowBytes?: number; onBytes?: (length: number) => void } = {},
  ) {
    this.#stream = stream
    this.#highBytes = options.highBytes ?? READER_HIGH_BYTES
    this.#lowBytes = options.lowBytes ?? Math.min(READER_LOW_BYTES, this.#highBytes >> 1)
    this.#onBytes = options.onBytes ?? ((): void => {})
    assert(this.#lowBytes < this.#highBytes, 'the reader resumes below its high mark')
    stream.addEventListener('message', (event) => {
      this.#list.append(event.data)
      this.#onBytes(event.data.byteLength)
      if (!this.#resuming) this.#pauseIfFull()
      this.#event.wake()
    })
    stream.addEventListener('remoteCloseWrite', () => this.#event.wake())
    stream.addEventListener('close', (event) => {
      if (event.error !== undefined) this.#error ??= closedError(event.error)
      this.#event.wake()
    })
  }

  /** Bytes received and not yet read. */
  get bufferedBytes(): number {
    return this.#list.byteLength
  }

  /**
   * The next `length` bytes (at most the high mark), without copying; undefined when the stream
   * ended before the first of them. TRUNCATED when it ended within them, STREAM_CLOSED when it
   * broke.
   */
  read(length: number): Promise<Uint8ArrayList | undefined> {
    return this.#take(length, length)
  }

  /** What has arrived, from 1 to `lengthMax` bytes, waiting for the first; else as `read`. */
  readSome(lengthMax: number): Promise<Uint8ArrayList | undefined> {
    return this.#take(1, lengthMax)
  }

  async #take(lengthMin: number, lengthMax: number): Promise<Uint8ArrayList | undefined> {
    assert(lengthMin > 0 && lengthMax <= this.#highBytes, 'a read fits the reader')
    assert(!this.#reading, 'one read at a time')
    this.#reading = true
    try {
      while (this.#list.byteLength < lengthMin) {
        if (this.#error !== undefined) throw this.#error
        if (this.#ended()) {
          if (this.#list.byteLength === 0) return undefined
          throw new MoyaiError('TRUNCATED', 'the stream ended in the middle of a frame')
        }
        const next = this.#event.wait()
        this.#resume()
        await next
      }
      const length = Math.min(lengthMax, this.#list.byteLength)
      const bytes = this.#list.sublist(0, length)
      this.#list.consume(length)
      if (this.#list.byteLength <= this.#lowBytes) this.#resume()
      return bytes
    } finally {
      this.#reading = false
    }
  }

  #ended(): boolean {
    const closed = this.#stream.remoteWriteStatus === 'closed' || this.#stream.status !== 'open'
    return closed && this.#stream.readBufferLength === 0
  }

  #pauseIfFull(): void {
    // pause() throws on a closed stream, and a paused one stays so.
    if (this.#list.byteLength < this.#highBytes || this.#stream.readStatus !== 'readable') return
    this.#paused = true
    this.#stream.pause()
  }

  #resume(): void {
    if (!this.#paused) return
    this.#paused = false
    if (this.#stream.readStatus !== 'paused') return
    this.#resuming = true
    try {
      this.#stream.resume()
    } finally {
      this.#resuming = false
    }
    this.#pauseIfFull()
  }
}

/**
 * Writes to a stream, one message after the other; `write` resolves when libp2p has handed
 * everything to the socket layer, so that at most one message is queued. The bytes must not change
 * until the peer acknowledged them: lower layers keep references.
 */
export class StreamWriter {
  readonly #stream: DuplexStream
  readonly #event = new Signal()
  readonly #onProgress: () => void
  #error: MoyaiError | undefined
  #closed = false
  #writing = false

  constructor(stream: DuplexStream, options: { onProgress?: () => void } = {}) {
    this.#stream = stream
    this.#onProgress = options.onProgress ?? ((): void => {})
    stream.addEventListener('drain', () => {
      this.#onProgress()
      // libp2p sends the rest of its queue in a microtask that it queued before this one.
      queueMicrotask(() => this.#event.wake())
    })
    stream.addEventListener('idle', () => this.#event.wake())
    stream.addEventListener('close', (event) => {
      this.#closed = true
      this.#error ??= closedError(event.error)
      this.#event.wake()
    })
  }

  /**
   * Sends `data` and waits until nothing of it is queued. STREAM_CLOSED when the stream is or gets
   * closed.
   */
  async write(data: Uint8Array | Uint8ArrayList): Promise<void> {
    assert(!this.#writing, 'one write at a time')
    this.#writing = true
    try {
      this.#throwIfClosed()
      try {
        this.#stream.send(data)
      } catch (cause) {
        throw closedError(cause)
      }
      // Not onDrain(): it resolves at once for ever after the first time.
      while (this.#stream.writeBufferLength > 0 || this.#stream.writableNeedsDrain) {
        this.#throwIfClosed()
        await this.#event.wait()
      }
      this.#throwIfClosed()
    } finally {
      this.#writing = false
    }
  }

  #throwIfClosed(): void {
    if (this.#error !== undefined) throw this.#error
    if (this.#closed || this.#stream.status !== 'open') throw closedError(undefined)
  }
}
