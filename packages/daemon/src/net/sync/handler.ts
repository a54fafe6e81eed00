/**
 * Answering over `/moyai/sync/1`. Only members get here; what they send is checked by its own
 * signatures.
 */

import { MoyaiError, toHex, unreachable, type Clock } from '@moyai/protocol'

import type { MessageHandler, MessageRequest } from '../types.ts'
import { isEntry, type SyncClient } from './client.ts'
import { SYNC_PAGE_BYTES_MAX, SYNC_PAGE_ITEMS_MAX } from './constants.ts'
import {
  decodeSyncRequest,
  encodeSyncResponse,
  firstPage,
  type AppendResponse,
  type SyncRequest,
  type SyncResponses,
} from './messages.ts'
import type { SyncState } from './state.ts'

export type SyncHandlerComponents = {
  state: SyncState
  clock: Clock
  /** Asks the sender of a request, to fetch what an append leaves out. */
  ask: (host: string, signal: AbortSignal) => SyncClient
  /** The host (hex) has news. */
  onChanged: (host: string) => void
}

type Ask<K extends SyncRequest['kind']> = Extract<SyncRequest, { kind: K }>

class SyncHandler {
  readonly #o: SyncHandlerComponents

  constructor(o: SyncHandlerComponents) {
    this.#o = o
  }

  async handle(request: MessageRequest): Promise<Uint8Array> {
    const ask = decodeSyncRequest(request.bytes)
    switch (ask.kind) {
      case 'summary':
        return encodeSyncResponse('summary', await this.#summary())
      case 'statement-ids': {
        const ids = this.#o.state.statements.ids()
        return encodeSyncResponse('statement-ids', { ids })
      }
      case 'statements': {
        const { statements } = this.#o.state
        const found = ask.ids.flatMap((id) => statements.get(id) ?? [])
        return encodeSyncResponse('statements', { envelopes: firstPage(found) })
      }
      case 'addresses': {
        const asked = new Set(ask.hosts.map(toHex))
        const records = this.#o.state.addresses.list().filter(({ host }) => asked.has(toHex(host)))
        const envelopes = firstPage(records.map(({ envelope }) => envelope))
        return encodeSyncResponse('addresses', { envelopes })
      }
      case 'entries':
        return encodeSyncResponse('entries', await this.#entries(ask))
      case 'append':
        return encodeSyncResponse('append', await this.#append(ask, request))
      case 'changed':
        if (ask.address !== undefined) await this.#o.state.addresses.add([ask.address])
        this.#o.onChanged(request.host)
        return encodeSyncResponse('changed', {})
      case 'leaving': {
        const remaining = await this.#o.state.leaving(ask.hosts)
        return encodeSyncResponse('leaving', { remaining })
      }
      default:
        return unreachable(ask)
    }
  }

  #pool(): Uint8Array {
    const pool = this.#o.state.pool()
    if (pool !== undefined) return pool
    throw new MoyaiError('NO_POOL', 'this host is in no pool yet')
  }

  async #summary(): Promise<SyncResponses['summary']> {
    const { state, clock } = this.#o
    return {
      pool: this.#pool(),
      now: clock.now(),
      statements: state.statements.digest(),
      addresses: state.addresses.list().map(({ host, seq }) => ({ host, seq })),
      heads: await state.logs.heads(),
    }
  }

  async #entries(ask: Ask<'entries'>): Promise<SyncResponses['entries']> {
    const page: Uint8Array[] = []
    let bytes = 0
    for await (const envelope of this.#o.state.logs.entries(ask.vault, ask.from)) {
      bytes += envelope.length
      if (bytes > SYNC_PAGE_BYTES_MAX || page.length >= SYNC_PAGE_ITEMS_MAX) break
      page.push(envelope)
    }
    return { envelopes: page }
  }

  /** Takes the entry, and first what is missing before it, which the sender has. */
  async #append(ask: Ask<'append'>, request: MessageRequest): Promise<AppendResponse> {
    const { state } = this.#o
    const pool = this.#pool()
    if (!state.isVault(toHex(ask.vault))) {
      throw new MoyaiError('NOT_A_MEMBER', 'this vault belongs to no host of the pool')
    }
    const response = await this.#take(ask, request, pool)
    const head = await state.logs.head(ask.vault)
    if (head === undefined) return response
    return { ...response, head: { seq: head.seq, id: head.id } }
  }

  async #take(
    ask: Ask<'append'>,
    request: MessageRequest,
    pool: Uint8Array,
  ): Promise<AppendResponse> {
    const { logs } = this.#o.state
    const here = await logs.head(ask.vault)
    const next = here === undefined ? 0 : here.seq + 1
    if (ask.envelope !== undefined && ask.seq <= next) {
      if (!isEntry(ask.envelope, ask.id)) {
        throw new MoyaiError('MALFORMED', 'append: the envelope is not the entry that was named')
      }
      const { vault, seq } = ask
      const taken = await logs.accept(ask.envelope, { vault, seq, pool })
      return 'refused' in taken ? { refused: taken.refused } : { receipt: taken.receipt }
    }
    const sender = this.#o.ask(request.host, request.signal)
    return pullEntries({
      logs,
      pool,
      sender,
      vault: ask.vault,
      from: Math.min(ask.seq, next),
      to: ask,
    })
  }
}

/**
 * Fetches the entries of `vault` from number `from` to `to` and takes each; the receipt is for the
 * last one. Ends with `refused` at the first that is not taken, or LOG_GAP when the sender ends
 * early or shows another entry.
 */
export async function pullEntries(o: {
  logs: SyncState['logs']
  pool: Uint8Array
  sender: SyncClient
  vault: Uint8Array
  from: number
  to: { seq: number; id: Uint8Array }
}): Promise<{ receipt?: Uint8Array; refused?: string }> {
  for (let from = o.from; from <= o.to.seq;) {
    const page = (await o.sender.ask({ kind: 'entries', vault: o.vault, from })).envelopes
    if (page.length === 0) return { refused: 'LOG_GAP' }
    for (const envelope of page) {
      const taken = await o.logs.accept(envelope, { vault: o.vault, pool: o.pool, seq: from })
      if ('refused' in taken) return { refused: taken.refused }
      if (isEntry(envelope, o.to.id)) return { receipt: taken.receipt }
      from++
    }
  }
  return { refused: 'LOG_GAP' }
}

/** The handler to register for SYNC_PROTOCOL. */
export function createSyncHandler(o: SyncHandlerComponents): MessageHandler {
  const handler = new SyncHandler(o)
  return (request) => handler.handle(request)
}
