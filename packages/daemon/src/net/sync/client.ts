/** Asking a host over `/moyai/sync/1`. */

import { equalBytes, logEntryId } from '@moyai/protocol'

import type { Network } from '../types.ts'
import { SYNC_PROTOCOL } from './constants.ts'
import {
  decodeSyncResponse,
  encodeSyncRequest,
  type SyncAsk,
  type SyncKind,
  type SyncResponses,
} from './messages.ts'

/** Sends one request to one host and gives its response. */
export type SyncTransport = (
  bytes: Uint8Array,
  signal: AbortSignal | undefined,
) => Promise<Uint8Array>

/** A member, over the network's persistent lane. */
export function memberTransport(network: Pick<Network, 'request'>, host: string): SyncTransport {
  return (bytes, signal) =>
    network.request(host, SYNC_PROTOCOL, bytes, signal === undefined ? {} : { signal })
}

/**
 * One host as it answers; every response is checked for its shape, and envelopes by whoever takes
 * them.
 */
export class SyncClient {
  readonly #transport: SyncTransport
  readonly #signal: AbortSignal | undefined

  constructor(transport: SyncTransport, signal?: AbortSignal) {
    this.#transport = transport
    this.#signal = signal
  }

  async ask<K extends SyncKind>(request: Extract<SyncAsk, { kind: K }>): Promise<SyncResponses[K]> {
    const kind: K = request.kind
    const bytes = await this.#transport(encodeSyncRequest(request), this.#signal)
    return decodeSyncResponse(kind, bytes)
  }
}

/** True when `envelope` is the entry with this id. */
export function isEntry(envelope: Uint8Array, id: Uint8Array): boolean {
  return equalBytes(logEntryId(envelope), id)
}
