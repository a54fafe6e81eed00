/**
 * A lane: one long-lived libp2p stream that carries many requests, opened by the side that asks
 * (spec/wire.md).
 *
 * Opening a stream costs a millisecond of negotiation on both sides, so lanes stay open and
 * requests share them. Frames of several requests interleave; small frames overtake queued payload.
 * The receiving loop never waits for a consumer: credit bounds what it can be made to hold.
 * Whatever breaks a rule ends the lane, and the connection with it.
 *
 * Absent on purpose: timers. The network's one loop calls `tick`.
 */

import {
  assert,
  concatBytes,
  FRAME_BYTES_MAX,
  isMoyaiError,
  MoyaiError,
  toMoyaiError,
  type Clock,
} from '@moyai/protocol'
import { Uint8ArrayList } from 'uint8arraylist'
import type { Rates } from '../bandwidth/rate-limit.ts'
import type { ByteBudget } from './budget.ts'
import { Exchange, type OutgoingFrame } from './exchange.ts'
import {
  decodeFrameHeader,
  encodeFrameHeader,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  type FrameLimits,
} from './frame.ts'
import { decodeError, decodeHello, encodeError, encodeHello, ownHello } from './lane-messages.ts'
import {
  FAREWELL_MS,
  FRAME_STALL_MS,
  HELLO_DEADLINE_MS,
  LANE_IDLE_MS,
  LANE_REQUESTS_MAX,
  LANE_WAITING_MAX,
  READER_HIGH_BYTES,
  REQUEST_ID_MAX,
  REQUEST_IDLE_MS,
  STRAY_FRAMES_MAX,
  STRAY_FRAMES_PER_REQUEST,
} from './limits.ts'
import { StreamReader, StreamWriter, type DuplexStream } from './stream-io.ts'

/** Serves one request: responds, or throws what the requester is told. */
export type ExchangeHandler = (exchange: Exchange) => Promise<void>

/** How a lane ended. `violation`: the peer broke a rule, and loses the connection. */
export type LaneEnd = { error: MoyaiError; violation: boolean }

export type LaneOptions = {
  stream: DuplexStream
  /** The peer's id in hex. */
  peer: string
  limits: FrameLimits
  /** Requests in flight that this side accepts or makes; LANE_REQUESTS_MAX at most. */
  requestsMax?: number
  /** Acceptor: serves requests. Without it this side is the opener, which makes them. */
  handler?: ExchangeHandler
}

export type LaneComponents = { clock: Clock; budget: ByteBudget; rates?: Rates | undefined }

type Queued = { frame: OutgoingFrame; sent: PromiseWithResolvers<void> }

/** What the peer sent wrongly, as opposed to how a stream can break. */
const VIOLATIONS = ['PROTOCOL_VIOLATION', 'TOO_LARGE', 'MALFORMED', 'UNKNOWN_VERSION'] as const

export class Lane {
  readonly peer: string
  /** Resolves, never rejects, when the lane is over. */
  readonly ended: Promise<LaneEnd>
  readonly #options: LaneOptions
  readonly #components: LaneComponents
  readonly #stream: DuplexStream
  readonly #reader: StreamReader
  readonly #writer: StreamWriter
  readonly #exchanges = new Map<number, Exchange>()
  readonly #end = Promise.withResolvers<LaneEnd>()
  readonly #hello = Promise.withResolvers<void>()
  #requestsMax: number
  #frameBytesMax = 0
  #creditBytesMax = 0
  /** Opener: requests in flight, and those about to begin. */
  #placesTaken = 0
  #lastId = 0
  #strayAllowance = 0
  #ending: MoyaiError | undefined
  // sending
  readonly #urgent: Queued[] = []
  readonly #bulk: Queued[] = []
  readonly #waiting: PromiseWithResolvers<void>[] = []
  #pumping: Promise<void> | undefined
  // time
  readonly #openedAt: number
  #movedAt: number
  #usedAt: number
  #helloSeen = false
  #inFrame = false

  constructor(options: LaneOptions, components: LaneComponents) {
    assert(options.limits.requestBytesMax <= READER_HIGH_BYTES, 'bodies fit the reader')
    this.#options = options
    this.#components = components
    this.#stream = options.stream
    this.#requestsMax = options.requestsMax ?? LANE_REQUESTS_MAX
    this.peer = options.peer
    this.ended = this.#end.promise
    const now = components.clock.monotonic()
    this.#openedAt = now
    this.#movedAt = now
    this.#usedAt = now
    const moved = (): void => {
      this.#movedAt = components.clock.monotonic()
    }
    this.#reader = new StreamReader(options.stream, { onBytes: moved })
    this.#writer = new StreamWriter(options.stream, { onProgress: moved })
    // Nobody may be waiting for it.
    this.#hello.promise.catch(() => {})
    const hello = encodeHello(ownHello(this.#requestsMax))
    const frame = { type: 'hello', more: false, request: 0, body: hello, leave: yes } as const
    this.#send(frame).catch(() => {})
    void this.#receive()
  }

  /** Resolves when the peer's HELLO is here; rejects when the lane ended before. */
  async opened(): Promise<void> {
    await this.#hello.promise
  }

  get isOpen(): boolean {
    return this.#ending === undefined
  }

  /** Requests in flight and waiting for their turn. */
  get load(): number {
    return Math.max(this.#exchanges.size, this.#placesTaken) + this.#waiting.length
  }

  /** Bytes granted to the peer or buffered for requests here: what the lane's credit bounds. */
  get heldBytes(): number {
    let bytes = 0
    for (const exchange of this.#exchanges.values()) bytes += exchange.heldBytes
    return bytes
  }

  /**
   * Opener: sends a REQUEST when one of the lane's places is free. `more`: payload and `end()`
   * follow; `expect`: bytes of payload that the answer will carry, for which credit is granted at
   * once; `idleMs`: how long the peer may be silent when it is its turn. Aborting `signal` cancels
   * the request. BUSY, ABORTED, or why the lane ended.
   */
  async request(o: {
    body: Uint8Array
    more?: boolean
    expect?: number
    idleMs?: number
    signal?: AbortSignal
  }): Promise<Exchange> {
    assert(this.#options.handler === undefined, 'the opener of a lane makes its requests')
    await this.opened()
    await this.#place(o.signal)
    // The place is taken: from here to `#begin` nothing may wait.
    if (this.#ending !== undefined) throw this.#ending
    if (this.#lastId >= REQUEST_ID_MAX) {
      const error = new MoyaiError('STREAM_CLOSED', 'the lane has used up its request ids')
      this.#finish(error, false)
      throw error
    }
    this.#lastId += 1
    const exchange = this.#begin('requester', this.#lastId, o.body, o.more ?? false, o.idleMs)
    this.#cancelOnAbort(exchange, o.signal)
    const frame = {
      type: 'request',
      more: o.more ?? false,
      request: exchange.id,
      body: o.body,
      leave: yes,
    } as const
    const sent = this.#send(frame)
    if (o.expect !== undefined && o.expect > 0) exchange.expect(o.expect)
    await sent
    return exchange
  }

  #begin(
    role: 'requester' | 'responder',
    id: number,
    body: Uint8Array,
    more: boolean,
    idleMs: number = REQUEST_IDLE_MS,
  ): Exchange {
    const link = {
      peer: this.peer,
      budget: this.#components.budget,
      rates: this.#components.rates,
      frameBytesMax: this.#frameBytesMax,
      creditBytesMax: this.#creditBytesMax,
      now: () => this.#components.clock.monotonic(),
      send: (frame: OutgoingFrame) => this.#send(frame),
      done: (exchange: Exchange) => this.#done(exchange),
      violated: (error: MoyaiError) => this.#finish(error, true),
    }
    const exchange = new Exchange(link, { id, role, body, more, idleMs })
    this.#exchanges.set(id, exchange)
    this.#usedAt = this.#components.clock.monotonic()
    return exchange
  }

  #cancelOnAbort(exchange: Exchange, signal: AbortSignal | undefined): void {
    if (signal === undefined) return
    const cancel = (): void => {
      const reason = isMoyaiError(signal.reason)
        ? signal.reason
        : new MoyaiError('ABORTED', 'the request was cancelled', { cause: signal.reason })
      exchange.cancel(reason)
    }
    if (signal.aborted) return cancel()
    // The listener goes when the request is over, so that long-lived signals gather none.
    signal.addEventListener('abort', cancel, { once: true, signal: exchange.over })
  }

  /** Waits until a request may begin, and takes its place. */
  async #place(signal: AbortSignal | undefined): Promise<void> {
    while (this.#placesTaken >= this.#requestsMax && this.#ending === undefined) {
      if (signal?.aborted === true) throw new MoyaiError('ABORTED', 'the request was cancelled')
      if (this.#waiting.length >= LANE_WAITING_MAX) {
        throw new MoyaiError('BUSY', 'too many requests wait for this host')
      }
      const turn = Promise.withResolvers<void>()
      this.#waiting.push(turn)
      const wake = (): void => turn.resolve()
      signal?.addEventListener('abort', wake, { once: true })
      try {
        await turn.promise
      } finally {
        signal?.removeEventListener('abort', wake)
        const at = this.#waiting.indexOf(turn)
        if (at >= 0) this.#waiting.splice(at, 1)
      }
    }
    if (signal?.aborted === true) {
      // It may have been woken for a place that it does not want any more.
      this.#waiting.shift()?.resolve()
      throw new MoyaiError('ABORTED', 'the request was cancelled')
    }
    this.#placesTaken += 1
  }

  #done(exchange: Exchange): void {
    this.#exchanges.delete(exchange.id)
    this.#usedAt = this.#components.clock.monotonic()
    this.#strayAllowance = Math.min(
      STRAY_FRAMES_MAX,
      this.#strayAllowance + STRAY_FRAMES_PER_REQUEST,
    )
    if (exchange.role === 'requester') this.#placesTaken -= 1
    this.#waiting.shift()?.resolve()
  }

  // ---- sending ----------------------------------------------------------------------------------

  #send(frame: OutgoingFrame): Promise<void> {
    if (this.#ending !== undefined) return Promise.reject(this.#ending)
    const sent = Promise.withResolvers<void>()
    const bulk = frame.type === 'data' || frame.type === 'end'
    const queue = bulk ? this.#bulk : this.#urgent
    queue.push({ frame, sent })
    this.#pumping ??= this.#pump()
    return sent.promise
  }

  /** Writes what is queued, in batches: all urgent frames, then payload up to one full frame. */
  async #pump(): Promise<void> {
    try {
      // Frames queued in the same turn leave together.
      await Promise.resolve()
      while (this.#urgent.length + this.#bulk.length > 0) {
        const leaving: Queued[] = []
        const bytes = new Uint8ArrayList()
        while (bytes.byteLength < FRAME_BYTES_MAX) {
          const queued = this.#urgent.shift() ?? this.#bulk.shift()
          if (queued === undefined) break
          leaving.push(queued)
          if (queued.frame.leave()) appendFrame(bytes, queued.frame)
        }
        try {
          if (bytes.byteLength > 0) await this.#writer.write(bytes)
        } catch (error) {
          for (const queued of leaving) queued.sent.reject(error)
          throw error
        }
        for (const queued of leaving) queued.sent.resolve()
      }
    } catch (error) {
      this.#finish(toMoyaiError(error, 'STREAM_CLOSED'), false)
    } finally {
      this.#pumping = undefined
    }
  }

  // ---- receiving --------------------------------------------------------------------------------

  async #receive(): Promise<void> {
    try {
      for (;;) {
        this.#inFrame = false
        const head = await this.#reader.read(FRAME_HEADER_BYTES)
        if (head === undefined) break
        this.#inFrame = true
        const header = decodeFrameHeader(head.subarray(), this.#options.limits)
        const exchange = this.#check(header)
        const list = header.length === 0 ? undefined : await this.#reader.read(header.length)
        if (list === undefined && header.length > 0) {
          throw new MoyaiError('TRUNCATED', 'the stream ended in the middle of a frame')
        }
        const parts: Uint8Array[] = list === undefined ? [] : [...list]
        // A copy, because what is kept of a small body must not pin the transport's large buffers.
        this.#accept(header, exchange, parts, () => concatBytes(...parts))
      }
      this.#finish(new MoyaiError('STREAM_CLOSED', 'the other host closed the lane'), false)
    } catch (error) {
      const cause = toMoyaiError(error)
      // A refusal that the peer sent for the whole lane is no violation, whatever its code.
      const violation = isMoyaiError(cause, ...VIOLATIONS) && cause.data?.['remote'] !== true
      this.#finish(cause, violation)
    }
  }

  /**
   * Refuses a frame that must not come now, before its body is read; the exchange it belongs to, if
   * any.
   */
  #check(header: FrameHeader): Exchange | undefined {
    const acceptor = this.#options.handler !== undefined
    if (header.type === 'hello' ? this.#helloSeen : !this.#helloSeen && header.type !== 'error') {
      throw new MoyaiError('PROTOCOL_VIOLATION', `lane: ${header.type} at the wrong time`)
    }
    if (header.request === 0) return undefined
    if (header.type === 'request') {
      if (!acceptor) throw new MoyaiError('PROTOCOL_VIOLATION', 'lane: the acceptor asks')
      if (header.request <= this.#lastId) {
        throw new MoyaiError('PROTOCOL_VIOLATION', 'lane: request ids must grow')
      }
      if (this.#exchanges.size >= this.#requestsMax) {
        throw new MoyaiError('PROTOCOL_VIOLATION', 'lane: too many requests at once')
      }
      return undefined
    }
    const exchange = this.#exchanges.get(header.request)
    if (exchange !== undefined) exchange.check(header)
    else this.#excuse(header)
    return exchange
  }

  /**
   * A CREDIT or CANCEL can cross the end of its request on the wire; anything else, or too many,
   * cannot.
   */
  #excuse(header: FrameHeader): void {
    const late = header.type === 'credit' || header.type === 'cancel'
    const acceptor = this.#options.handler !== undefined
    if (!late || !acceptor || header.request > this.#lastId || this.#strayAllowance === 0) {
      throw new MoyaiError('PROTOCOL_VIOLATION', `lane: ${header.type} for no request`)
    }
    this.#strayAllowance -= 1
  }

  #accept(
    header: FrameHeader,
    exchange: Exchange | undefined,
    parts: Uint8Array[],
    body: () => Uint8Array,
  ): void {
    if (exchange !== undefined) return exchange.accept(header, parts, body)
    if (header.type === 'hello') {
      const hello = decodeHello(body())
      this.#helloSeen = true
      this.#requestsMax = Math.min(this.#requestsMax, hello.requests)
      this.#frameBytesMax = Math.min(FRAME_BYTES_MAX, hello.frame)
      this.#creditBytesMax = hello.credit
      this.#hello.resolve()
    } else if (header.type === 'error') {
      throw decodeError(body())
    } else if (header.type === 'request') {
      this.#lastId = header.request
      const begun = this.#begin('responder', header.request, body(), header.more)
      void this.#serve(begun)
    }
  }

  async #serve(exchange: Exchange): Promise<void> {
    try {
      await this.#options.handler?.(exchange)
      exchange.refuse(new MoyaiError('INTERNAL', 'the handler gave no answer'))
    } catch (error) {
      exchange.refuse(toMoyaiError(error))
    }
  }

  // ---- time and end -----------------------------------------------------------------------------

  /** Looks at all deadlines; called about every TICK_MS. */
  tick(): void {
    if (this.#ending !== undefined) return
    const now = this.#components.clock.monotonic()
    const quietMs = now - this.#movedAt
    if (!this.#helloSeen && now - this.#openedAt > HELLO_DEADLINE_MS) {
      return this.#finish(new MoyaiError('TIMED_OUT', 'the other host did not say hello'), false)
    }
    if (this.#inFrame && quietMs > FRAME_STALL_MS) {
      return this.#finish(new MoyaiError('TIMED_OUT', 'a frame did not go on'), false)
    }
    for (const exchange of this.#exchanges.values()) {
      const overdue = exchange.overdue(now, quietMs)
      if (overdue === undefined) continue
      const error = new MoyaiError('TIMED_OUT', 'the other host did not answer in time')
      if (overdue === 'lane') return this.#finish(error, false)
      if (exchange.role === 'requester') exchange.cancel(error)
      else exchange.refuse(error)
    }
    const idleMs = this.#options.handler === undefined ? LANE_IDLE_MS : 2 * LANE_IDLE_MS
    if (this.load === 0 && now - this.#usedAt > idleMs) void this.close()
  }

  /** Ends the lane; requests in flight fail with STREAM_CLOSED. */
  async close(): Promise<void> {
    this.#finish(new MoyaiError('STREAM_CLOSED', 'the lane was closed'), false)
    await this.ended
  }

  #finish(error: MoyaiError, violation: boolean): void {
    if (this.#ending !== undefined) return
    this.#ending = error
    this.#hello.reject(error)
    for (const exchange of this.#exchanges.values()) exchange.fail(laneError(error))
    for (const turn of this.#waiting.splice(0)) turn.resolve()
    for (const queued of [...this.#urgent.splice(0), ...this.#bulk.splice(0)]) {
      queued.sent.reject(laneError(error))
    }
    void this.#farewell(error, violation)
  }

  /** Tells the peer why, if it listens, and lets go of the stream. */
  async #farewell(reason: MoyaiError, violation: boolean): Promise<void> {
    const { clock } = this.#components
    const done = new AbortController()
    const told =
      violation || reason.code === 'TIMED_OUT' ? this.#lastWord(reason) : Promise.resolve()
    try {
      await Promise.race([told, clock.sleep(FAREWELL_MS, done.signal)])
      if (!violation && this.#stream.status === 'open') {
        await Promise.race([this.#stream.close(), clock.sleep(FAREWELL_MS, done.signal)])
      }
    } catch {
      // The stream is gone already: there is nobody to tell.
    } finally {
      done.abort()
      this.#stream.abort(reason)
      this.#end.resolve({ error: reason, violation })
    }
  }

  async #lastWord(reason: MoyaiError): Promise<void> {
    await this.#pumping
    const body = encodeError(reason)
    const bytes = new Uint8ArrayList()
    appendFrame(bytes, { type: 'error', more: false, request: 0, body, leave: yes })
    await this.#writer.write(bytes)
  }
}

function yes(): boolean {
  return true
}

function appendFrame(list: Uint8ArrayList, frame: OutgoingFrame): void {
  const { type, more, request, body } = frame
  list.append(encodeFrameHeader({ type, more, request, length: body.length }))
  if (body.length > 0) list.append(body)
}

/** What a request in flight is told when its lane ends. */
function laneError(error: MoyaiError): MoyaiError {
  if (error.code === 'STREAM_CLOSED' || error.code === 'TIMED_OUT') return error
  return new MoyaiError('STREAM_CLOSED', error.message, { cause: error })
}
