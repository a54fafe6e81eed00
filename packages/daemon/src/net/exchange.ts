/**
 * One request and its answer on a lane: two halves, each closed by its own side (spec/wire.md §4).
 *
 * The requester's half is open after a REQUEST with MORE until its END or CANCEL; the responder's
 * half is open until a RESPONSE without MORE, an END, or an ERROR. Payload flows only against
 * credit that its receiver granted for this request, so what a slow consumer leaves unread is
 * bounded whatever the sender does.
 */

import { assert, MoyaiError } from '@moyai/protocol'
import { paced, type Rates } from '../bandwidth/rate-limit.ts'
import type { ByteBudget } from './budget.ts'
import { decodeCredit, encodeCredit, type FrameHeader, type FrameType } from './frame.ts'
import { decodeError, encodeError } from './lane-messages.ts'
import { CREDIT_STEP_BYTES, REQUEST_IDLE_FACTOR_MAX, REQUEST_WINDOW_BYTES } from './limits.ts'

const NOTHING: Uint8Array = new Uint8Array(0)
/** Why `over` aborts: without a reason each would make an error with a stack. */
const OVER = 'over'

/** A frame on its way out. `leave` is asked when its turn comes: false drops it. */
export type OutgoingFrame = {
  type: FrameType
  more: boolean
  request: number
  body: Uint8Array
  leave: () => boolean
}

/** What a lane gives to its exchanges. */
export type ExchangeLink = {
  /** The peer's id in hex: owner of budget and of errors. */
  peer: string
  budget: ByteBudget
  rates: Rates | undefined
  /** From the peer's HELLO: its longest DATA body, and the most credit that it grants. */
  frameBytesMax: number
  creditBytesMax: number
  now: () => number
  /**
   * Resolves when the frame was handed to the transport or dropped; rejects when the lane is
   * closed.
   */
  send: (frame: OutgoingFrame) => Promise<void>
  /** Both halves are closed. */
  done: (exchange: Exchange) => void
  /** The peer broke a rule of the protocol above the lane: it loses the connection. */
  violated: (error: MoyaiError) => void
}

function violation(what: string): never {
  throw new MoyaiError('PROTOCOL_VIOLATION', `lane: ${what}`)
}

export class Exchange {
  readonly id: number
  readonly role: 'requester' | 'responder'
  /** Body of the REQUEST, and whether payload follows it. */
  readonly body: Uint8Array
  readonly more: boolean
  /** The peer's id in hex. */
  readonly peer: string
  readonly #link: ExchangeLink
  readonly #idleMs: number
  // most exchanges never need them, and an abort costs as much as many frames
  #abort: AbortController | undefined
  #over: AbortController | undefined
  #localOpen: boolean
  #remoteOpen: boolean
  #error: MoyaiError | undefined
  #response: { body: Uint8Array; more: boolean } | undefined
  #event = Promise.withResolvers<void>()
  // sending
  #sendCredit = 0
  // receiving: bytes granted and not received; received and not handed out; handed out and perhaps
  // still in use
  #granted = 0
  #queue: Uint8Array[][] = []
  #queuedBytes = 0
  #lentBytes = 0
  #expectedBytes = 0
  #granting = false
  // time
  #waits = 0
  #progressAt: number
  #lingeringSince: number | undefined
  #cancelled = false
  #reported = false

  constructor(
    link: ExchangeLink,
    options: {
      id: number
      role: 'requester' | 'responder'
      body: Uint8Array
      more: boolean
      idleMs: number
    },
  ) {
    this.#link = link
    this.#idleMs = options.idleMs
    this.#progressAt = link.now()
    this.id = options.id
    this.role = options.role
    this.body = options.body
    this.more = options.more
    this.peer = link.peer
    this.#localOpen = options.role === 'responder' || options.more
    this.#remoteOpen = options.role === 'requester' || options.more
  }

  /** Aborts when the peer cancelled, or the lane broke. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController()
    if (this.#error !== undefined) this.#abort.abort(this.#error)
    return this.#abort.signal
  }

  /** Aborts when both halves are closed, however they were. */
  get over(): AbortSignal {
    this.#over ??= new AbortController()
    if (this.#reported) this.#over.abort(OVER)
    return this.#over.signal
  }

  /** Bytes granted to the peer or buffered here: never above REQUEST_WINDOW_BYTES. */
  get heldBytes(): number {
    return this.#granted + this.#queuedBytes + this.#lentBytes
  }

  get isDone(): boolean {
    return !this.#localOpen && !this.#remoteOpen
  }

  /** True once nothing can be sent any more: ended, cancelled, or failed. */
  get isLocalClosed(): boolean {
    return !this.#localOpen
  }

  // ---- sending ----------------------------------------------------------------------------------

  /** Waits until the peer grants credit (true), or answers without wanting any payload (false). */
  async wanted(): Promise<boolean> {
    while (this.#sendCredit === 0 && this.#mayStillSend()) await this.#peerEvent()
    return this.#mayStillSend()
  }

  /**
   * Sends payload as the peer grants credit. False when the peer has answered already and wants no
   * more (its answer says why). The bytes must not change before the exchange is done. Rejects when
   * the exchange failed.
   */
  async send(bytes: Uint8Array): Promise<boolean> {
    for (let offset = 0; offset < bytes.length;) {
      if (!(await this.wanted())) return false
      const most = Math.min(bytes.length - offset, this.#sendCredit, this.#link.frameBytesMax)
      const length = await paced(this.#link.rates?.upload, most, () => this.signal)
      this.#sendCredit -= length
      await this.#sendFrame('data', bytes.subarray(offset, offset + length))
      offset += length
    }
    return this.#mayStillSend()
  }

  /** Ends the payload. */
  async end(): Promise<void> {
    if (this.#mayStillSend()) await this.#sendFrame('end', NOTHING)
  }

  /** Responder: answers; with `more`, payload and `end` must follow. */
  async respond(body: Uint8Array, more = false): Promise<void> {
    assert(this.role === 'responder' && this.#response === undefined, 'one response per request')
    if (this.#error !== undefined) throw this.#error
    this.#response = { body, more }
    await this.#sendFrame('response', body, more)
  }

  /**
   * Responder: refuses, or gives up in the middle of an answer. Nothing happens when the answer is
   * complete.
   */
  refuse(error: MoyaiError): void {
    assert(this.role === 'responder', 'only a responder refuses')
    this.#giveUp(error, 'error', encodeError(error))
  }

  /**
   * Requester: wants nothing more; waiting calls reject with `reason`. Nothing happens when all is
   * done.
   */
  cancel(reason: MoyaiError): void {
    assert(this.role === 'requester', 'only a requester cancels')
    this.#giveUp(reason, 'cancel', NOTHING)
  }

  /**
   * The peer broke a rule of the protocol that this request belongs to: the lane and its connection
   * end.
   */
  violated(what: string, cause?: unknown): MoyaiError {
    const error = new MoyaiError('PROTOCOL_VIOLATION', what, { cause })
    this.#link.violated(error)
    return error
  }

  #giveUp(reason: MoyaiError, type: 'error' | 'cancel', body: Uint8Array): void {
    const useful = type === 'error' ? this.#localOpen : !this.isDone
    if (!useful || this.#lingeringSince !== undefined) return
    this.#localOpen = false
    this.#lingeringSince = this.#link.now()
    this.#stop(reason)
    this.#tell(type, body)
    this.#checkDone()
  }

  #mayStillSend(): boolean {
    if (this.#error !== undefined) throw this.#error
    return this.#localOpen && (this.role === 'responder' || this.#response === undefined)
  }

  async #sendFrame(
    type: 'data' | 'end' | 'response',
    body: Uint8Array,
    more = false,
  ): Promise<void> {
    const last = type === 'end' || (type === 'response' && !more)
    const leave = (): boolean => {
      if (!this.#localOpen) return false
      if (last) {
        // Closed, and its place free, before the bytes leave: the peer may send its next request as
        // soon as it has them, which can be before the transport says that they are gone.
        this.#localOpen = false
        this.#checkDone()
      }
      return true
    }
    await this.#waiting(this.#link.send({ type, more, request: this.id, body, leave }))
    this.#progressed()
  }

  // ---- receiving --------------------------------------------------------------------------------

  /** Sets how many payload bytes the peer is to send in all, and grants the first of them. */
  expect(bytes: number): void {
    assert(this.#expectedBytes === 0, 'the expected length is set once')
    this.#expectedBytes = bytes
    this.#grant()
  }

  /**
   * The parts of the next DATA frame, or undefined after the END. What the previous call returned
   * must not be used any more: its place in the window is given to the peer again.
   */
  async receive(): Promise<Uint8Array[] | undefined> {
    this.#free(this.#lentBytes)
    this.#lentBytes = 0
    this.#grant()
    for (;;) {
      if (this.#error !== undefined) throw this.#error
      const parts = this.#queue.shift()
      if (parts !== undefined) {
        for (const part of parts) this.#lentBytes += part.length
        this.#queuedBytes -= this.#lentBytes
        return parts
      }
      if (!this.#remoteOpen) return undefined
      await this.#peerEvent()
    }
  }

  /** Requester: the answer's head; rejects with the peer's error or why the exchange failed. */
  async response(): Promise<{ body: Uint8Array; more: boolean }> {
    assert(this.role === 'requester', 'a responder gives the response')
    for (;;) {
      if (this.#error !== undefined) throw this.#error
      if (this.#response !== undefined) return this.#response
      await this.#peerEvent()
    }
  }

  /**
   * Tops the peer's credit up to the window, in steps worth a frame, once the budget has the bytes.
   */
  #grant(): void {
    const wanted = Math.min(REQUEST_WINDOW_BYTES - this.heldBytes, this.#expectedBytes)
    const worthwhile = wanted >= CREDIT_STEP_BYTES || wanted === this.#expectedBytes
    if (wanted <= 0 || !worthwhile || this.#granting || !this.#remoteOpen) return
    if (this.#error !== undefined) return
    this.#granting = true
    void this.#grantWhenPossible(wanted)
  }

  async #grantWhenPossible(wanted: number): Promise<void> {
    let bytes = 0
    try {
      bytes = await paced(this.#link.rates?.download, wanted, () => this.signal)
      await this.#link.budget.acquire(this.peer, bytes, this.signal)
    } catch {
      // Stopped while waiting for the budget: there is nothing to grant any more.
      return
    } finally {
      this.#granting = false
    }
    if (!this.#remoteOpen || this.#error !== undefined) {
      this.#link.budget.release(this.peer, bytes)
      return
    }
    this.#granted += bytes
    this.#expectedBytes -= bytes
    this.#progressed()
    const frame: OutgoingFrame = {
      type: 'credit',
      more: false,
      request: this.id,
      body: encodeCredit(bytes),
      leave: () => this.#remoteOpen,
    }
    // The lane's own failure reaches this exchange through `fail`.
    this.#link.send(frame).catch(() => {})
  }

  #free(bytes: number): void {
    if (bytes > 0) this.#link.budget.release(this.peer, bytes)
  }

  // ---- frames of the peer -----------------------------------------------------------------------

  /** Whether a frame with this header may come now; asked before its body is read. */
  check(header: FrameHeader): void {
    const requester = this.role === 'requester'
    switch (header.type) {
      case 'data':
      case 'end':
        if (!this.#remoteOpen) violation(`${header.type} after the end`)
        if (requester && this.#response?.more !== true)
          violation(`${header.type} before a response`)
        if (header.length > this.#granted) violation('more data than credit')
        return
      case 'response':
        if (!requester || this.#response !== undefined) violation('unexpected response')
        return
      case 'error':
        if (!requester || !this.#remoteOpen) violation('unexpected error')
        return
      case 'cancel':
        if (requester || this.#cancelled) violation('unexpected cancel')
        return
      case 'credit':
        return
      case 'hello':
      case 'request':
        violation(`unexpected ${header.type}`)
    }
  }

  /** Takes in a frame that `check` let pass. */
  accept(header: FrameHeader, parts: Uint8Array[], body: () => Uint8Array): void {
    this.#progressed()
    switch (header.type) {
      case 'data':
        this.#acceptData(header.length, parts)
        break
      case 'end':
        this.#remoteOpen = false
        break
      case 'response':
        this.#response = { body: body(), more: header.more }
        if (!header.more) this.#remoteOpen = false
        break
      case 'error': {
        const error = decodeError(body())
        this.#remoteOpen = false
        this.#stop(error)
        break
      }
      case 'cancel':
        this.#cancelled = true
        this.#remoteOpen = false
        if (this.#localOpen) this.#stop(new MoyaiError('ABORTED', 'the other host cancelled'))
        break
      case 'credit':
        this.#sendCredit += decodeCredit(body())
        if (this.#sendCredit > this.#link.creditBytesMax) violation('too much credit')
        break
      case 'hello':
      case 'request':
        violation(`unexpected ${header.type}`)
    }
    this.#wake()
    this.#checkDone()
  }

  #acceptData(length: number, parts: Uint8Array[]): void {
    this.#granted -= length
    if (this.#error !== undefined) {
      // Given up: what was on its way is dropped, and its bytes are free again.
      this.#free(length)
      return
    }
    this.#queue.push(parts)
    this.#queuedBytes += length
  }

  // ---- ends -------------------------------------------------------------------------------------

  /** The lane broke: both halves are closed. */
  fail(error: MoyaiError): void {
    this.#localOpen = false
    this.#remoteOpen = false
    this.#stop(error)
    this.#checkDone()
  }

  /**
   * Waiting calls reject; what is buffered is dropped. Credit on its way stays accounted until the
   * peer's half ends.
   */
  #stop(error: MoyaiError): void {
    this.#error ??= error
    this.#queue = []
    this.#free(this.#queuedBytes + this.#lentBytes)
    this.#queuedBytes = 0
    this.#lentBytes = 0
    this.#abort?.abort(this.#error)
    this.#wake()
  }

  #checkDone(): void {
    if (!this.#remoteOpen) {
      // No data can come any more: unused credit is worth nothing.
      this.#free(this.#granted)
      this.#granted = 0
      if (this.#localOpen && this.role === 'requester' && this.#isAnswered()) {
        // Answered before all was sent: the rest is unwanted.
        this.#localOpen = false
        this.#tell('cancel', NOTHING)
      }
    } else if (!this.#localOpen && this.role === 'responder') {
      this.#lingeringSince ??= this.#link.now()
    }
    if (!this.isDone || this.#reported) return
    this.#reported = true
    this.#over?.abort(OVER)
    this.#link.done(this)
  }

  #isAnswered(): boolean {
    return this.#error !== undefined || this.#response !== undefined
  }

  #tell(type: 'error' | 'cancel', body: Uint8Array): void {
    const frame = { type, more: false, request: this.id, body, leave: () => true }
    // The lane's own failure reaches this exchange through `fail`.
    this.#link.send(frame).catch(() => {})
  }

  // ---- time -------------------------------------------------------------------------------------

  /**
   * What a deadline says at `now`: `request` when it was the peer's turn for too long, `lane` when
   * the peer does not even end a request that was given up. `laneIdleMs`: time since anything moved
   * on the lane.
   */
  overdue(now: number, laneIdleMs: number): 'request' | 'lane' | undefined {
    if (this.#lingeringSince !== undefined) {
      return now - this.#lingeringSince > this.#idleMs ? 'lane' : undefined
    }
    if (this.#waits === 0) return undefined
    const idleMs = now - this.#progressAt
    // A slow link moves other requests' frames meanwhile: that is not silence, up to a point.
    const silent = idleMs > this.#idleMs && laneIdleMs > this.#idleMs / 4
    return silent || idleMs > REQUEST_IDLE_FACTOR_MAX * this.#idleMs ? 'request' : undefined
  }

  #progressed(): void {
    this.#progressAt = this.#link.now()
  }

  async #waiting(promise: Promise<void>): Promise<void> {
    if (this.#waits === 0) this.#progressed()
    this.#waits += 1
    try {
      await promise
    } finally {
      this.#waits -= 1
    }
  }

  async #peerEvent(): Promise<void> {
    await this.#waiting(this.#event.promise)
  }

  #wake(): void {
    this.#event.resolve()
    this.#event = Promise.withResolvers<void>()
  }
}
