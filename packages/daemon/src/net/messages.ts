/**
 * Messages: small requests and responses of a protocol, over exchanges (spec/wire.md §5).
 *
 * A message of one frame or less is the body of its REQUEST or RESPONSE. A longer one travels as
 * payload, and the body is its length (u32, big-endian): then it is counted against a budget before
 * any of it is granted credit.
 */

import { assert, concatBytes, FRAME_BYTES_MAX, isMoyaiError, MoyaiError } from '@moyai/protocol'
import type { ByteBudget } from './budget.ts'
import type { Exchange } from './exchange.ts'
import type { ExchangeHandler } from './lane.ts'
import type { MessageHandler } from './types.ts'

const LENGTH_BYTES = 4

/** Longest body of the frame that begins a message of at most `bytesMax`. */
export function messageFrameBytesMax(bytesMax: number): number {
  return Math.max(LENGTH_BYTES, Math.min(bytesMax, FRAME_BYTES_MAX))
}

/** Body of the frame that begins `message`, and whether the message follows as payload. */
export function messageHead(message: Uint8Array): { body: Uint8Array; more: boolean } {
  if (message.length <= FRAME_BYTES_MAX) return { body: message, more: false }
  const body = new Uint8Array(LENGTH_BYTES)
  new DataView(body.buffer).setUint32(0, message.length)
  return { body, more: true }
}

function lengthOf(exchange: Exchange, body: Uint8Array, bytesMax: number): number {
  const view = new DataView(body.buffer, body.byteOffset, body.length)
  const length = body.length === LENGTH_BYTES ? view.getUint32(0) : 0
  if (length <= FRAME_BYTES_MAX || length > bytesMax) {
    throw exchange.violated(`message of ${length} bytes, at most ${bytesMax}`)
  }
  return length
}

/**
 * Calls `use` with the message that began with `body`; its bytes are in the budget until `use` is
 * over.
 */
export async function withMessage<T>(
  o: {
    exchange: Exchange
    body: Uint8Array
    more: boolean
    bytesMax: number
    budget: ByteBudget
  },
  use: (message: Uint8Array) => Promise<T>,
): Promise<T> {
  const { exchange, budget } = o
  if (!o.more) return use(o.body)
  const length = lengthOf(exchange, o.body, o.bytesMax)
  await budget.acquire(exchange.peer, length, exchange.signal)
  try {
    const parts: Uint8Array[] = []
    exchange.expect(length)
    for (;;) {
      const more = await exchange.receive()
      if (more === undefined) break
      parts.push(...more)
    }
    const message = concatBytes(...parts)
    if (message.length !== length) throw exchange.violated('a message ended early')
    return await use(message)
  } finally {
    budget.release(exchange.peer, length)
  }
}

/** Serves exchanges with a function from message to message. */
export function serveMessages(
  handler: MessageHandler,
  options: { requestBytesMax: number; responseBytesMax: number; budget: ByteBudget },
): ExchangeHandler {
  return async (exchange) => {
    const { body, more } = exchange
    const request = {
      exchange,
      body,
      more,
      bytesMax: options.requestBytesMax,
      budget: options.budget,
    }
    await withMessage(request, async (bytes) => {
      const { peer: host, signal } = exchange
      const response = await answer(exchange, () => handler({ host, bytes, signal }))
      assert(response.length <= options.responseBytesMax, 'a response within its limit')
      const head = messageHead(response)
      await exchange.respond(head.body, head.more)
      if (!head.more) return
      await exchange.send(response)
      await exchange.end()
    })
  }
}

/** What a handler finds malformed breaks the protocol as much as a bad frame does. */
async function answer(exchange: Exchange, act: () => Promise<Uint8Array>): Promise<Uint8Array> {
  try {
    return await act()
  } catch (error) {
    if (!isMoyaiError(error, 'MALFORMED', 'PROTOCOL_VIOLATION')) throw error
    throw exchange.violated(error.message, error)
  }
}

/**
 * The response to a request that was sent as `messageHead` says; the exchange is over afterwards.
 */
export async function askMessage(
  exchange: Exchange,
  o: { message: Uint8Array; responseBytesMax: number; budget: ByteBudget },
): Promise<Uint8Array> {
  try {
    if (exchange.more) {
      await exchange.send(o.message)
      await exchange.end()
    }
    const { body, more } = await exchange.response()
    const { responseBytesMax: bytesMax, budget } = o
    return await withMessage({ exchange, body, more, bytesMax, budget }, async (bytes) => bytes)
  } finally {
    exchange.cancel(new MoyaiError('ABORTED', 'the request was given up'))
  }
}
