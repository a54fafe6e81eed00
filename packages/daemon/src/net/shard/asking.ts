/** What all requests of the shard protocol share on the asking side. */

import { isMoyaiError, MoyaiError } from '@moyai/protocol'
import type { Exchange } from '../exchange.ts'
import type { LaneRequest } from '../lane-pool.ts'

export type ShardClientOptions = {
  /** The holder's id in hex. */
  host: string
  /** Id of this host, 32 bytes. */
  self: Uint8Array
  pool: () => Uint8Array | undefined
  request: (request: LaneRequest) => Promise<Exchange>
}

export const GIVEN_UP = new MoyaiError('ABORTED', 'the request was given up')

/** Decodes what the holder answered; what is malformed costs it the connection. */
export function decoded<T>(
  exchange: Exchange,
  body: Uint8Array,
  decode: (bytes: Uint8Array) => T,
): T {
  try {
    return decode(body)
  } catch (error) {
    if (!isMoyaiError(error)) throw error
    throw exchange.violated(error.message, error)
  }
}
