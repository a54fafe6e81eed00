/**
 * The shard protocol without a network: a client whose requests go straight to a handler, and whose
 * answers a test may spoil on their way.
 */

import { MoyaiError } from '@moyai/protocol'
import type { Exchange } from '../exchange.ts'
import type { ExchangeHandler } from '../lane.ts'
import { shardClient } from '../shard/client.ts'
import type { ShardClient } from '../types.ts'

export type Answer = { body: Uint8Array; payload: Uint8Array[] }

export type LoopOptions = {
  /** The holder (hex), and who asks it (32 bytes). */
  host: string
  self: Uint8Array
  pool: Uint8Array
  /** Serves requests without payload. */
  handler: ExchangeHandler
  /** Gets every answer; what it gives is what the asker gets. Or throws the holder's error. */
  spoil?: (request: Uint8Array, answer: Answer) => Promise<Answer> | Answer
}

export function loopClient(o: LoopOptions): ShardClient {
  const violated = (what: string): MoyaiError => new MoyaiError('PROTOCOL_VIOLATION', what)
  return shardClient({
    host: o.host,
    self: o.self,
    pool: () => o.pool,
    request: async ({ body }) => {
      const answered: Answer = { body: new Uint8Array(0), payload: [] }
      const responder = {
        body,
        more: false,
        peer: Buffer.from(o.self).toString('hex'),
        respond: async (head: Uint8Array) => {
          answered.body = head
        },
        send: async (bytes: Uint8Array) => {
          answered.payload.push(bytes.slice())
          return true
        },
        end: async () => {},
        violated,
      }
      await o.handler(responder as unknown as Exchange)
      const answer = (await o.spoil?.(body, answered)) ?? answered
      const payload = [...answer.payload]
      const requester = {
        response: async () => ({ body: answer.body, more: answer.payload.length > 0 }),
        receive: async () => {
          const next = payload.shift()
          return next === undefined ? undefined : [next]
        },
        cancel: () => {},
        violated,
      }
      return requester as unknown as Exchange
    },
  })
}
