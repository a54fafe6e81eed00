/**
 * Anti-entropy: what one host of the pool knows, all come to know.
 *
 * Every host pulls: from each peer that connects, from each that says it has news, and from all of
 * them every SYNC_POLL_MS, which finds what was missed. Pulling what is here already costs one
 * small message. Nothing depends on who passes a thing on, because everything is signed.
 */

import {
  equalBytes,
  isMoyaiError,
  MoyaiError,
  toHex,
  toMoyaiError,
  type Clock,
} from '@moyai/protocol'

import type { Logger } from '../logger.ts'
import { memberTransport, SyncClient } from '../net/sync/client.ts'
import { pullEntries } from '../net/sync/handler.ts'
import type { Summary } from '../net/sync/messages.ts'
import type { SyncState } from '../net/sync/state.ts'
import type { Network } from '../net/types.ts'
import { Turns } from '../turns.ts'
import * as events from './events.ts'

/** How often peers are asked what they have, those first that were not asked for longest. */
export const SYNC_POLL_MS = 30_000
/**
 * Peers asked in one turn: news is told to all at once, and what a host missed reaches it within a
 * few turns however large the pool is. In a pool of forty all of them, every turn, were half of
 * what an idle daemon did.
 */
const SYNC_PEERS_PER_POLL = 8
/**
 * Ids asked for in one message: 512 statements of some 900 bytes exceed a page, the rest is asked
 * for again.
 */
const STATEMENTS_PER_REQUEST = 512
/** Statements held in memory before they are judged: a pool of 40 hosts has some 100 KiB in all. */
const STATEMENTS_BATCH_BYTES: number = 8 * 1024 * 1024
/** A clock that is further from ours than this is worth a line in the log and an alarm. */
export const CLOCK_SKEW_MS_MAX = 600_000

export type AntiEntropyComponents = {
  state: SyncState
  network: Pick<Network, 'peers' | 'request' | 'on'>
  /** This host's newest address record. */
  ownAddress: () => Uint8Array | undefined
  clock: Clock
  logger: Logger
}

export class AntiEntropy {
  readonly #o: AntiEntropyComponents
  /** Pulls under way, by host; `again` asks for another one behind it. */
  readonly #pulls = new Map<string, { done: Promise<void>; again: boolean }>()
  readonly #skews = new Map<string, number>()
  readonly #stop = new AbortController()
  #polling: Promise<void> | undefined
  #unsubscribe: () => void = () => undefined

  constructor(o: AntiEntropyComponents) {
    this.#o = o
  }

  start(): void {
    this.#unsubscribe = this.#o.network.on('peer:up', (host) => {
      // who asks for it may reach another machine with a copy of this one's identity
      void this.#tell(host)
      void this.pull(host)
    })
    // the network runs already: some may have connected before anybody listened
    this.announce()
    this.#polling = this.#poll()
  }

  async stop(): Promise<void> {
    this.#stop.abort(new MoyaiError('ABORTED', 'the daemon is stopping'))
    this.#unsubscribe()
    await this.#polling
    await Promise.all([...this.#pulls.values()].map((pull) => pull.done))
  }

  /**
   * Tells every connected peer that there is news here; those that do not hear it find it when they
   * poll.
   */
  announce(): void {
    for (const { host, connected } of this.#o.network.peers()) {
      if (connected) void this.#tell(host)
    }
  }

  /**
   * Pulls from `host`; resolves when what it had at the time of the call is here, or could not be
   * had.
   */
  pull(host: string): Promise<void> {
    const running = this.#pulls.get(host)
    if (running !== undefined) {
      running.again = true
      return running.done
    }
    const pull = { done: Promise.resolve(), again: true }
    pull.done = this.#pullWhileAsked(host, pull)
    this.#pulls.set(host, pull)
    return pull.done
  }

  /**
   * How far peers' clocks are from ours, in ms (positive: theirs is ahead), as of the last pull.
   */
  clockSkews(): ReadonlyMap<string, number> {
    return this.#skews
  }

  async #poll(): Promise<void> {
    const { signal } = this.#stop
    const turns = new Turns(SYNC_PEERS_PER_POLL)
    while (!signal.aborted) {
      const hosts = turns.next(this.#o.network.peers())
      await Promise.all(hosts.map((host) => this.pull(host)))
      try {
        await this.#o.clock.sleep(SYNC_POLL_MS, signal)
      } catch {
        // Interrupted: the daemon stops.
        return
      }
    }
  }

  async #tell(host: string): Promise<void> {
    try {
      const address = this.#o.ownAddress()
      await this.#client(host).ask({ kind: 'changed', ...(address && { address }) })
    } catch (error) {
      events.peerNotTold(this.#o.logger, host, toMoyaiError(error))
    }
  }

  async #pullWhileAsked(host: string, pull: { again: boolean }): Promise<void> {
    try {
      while (pull.again && !this.#stop.signal.aborted) {
        pull.again = false
        await this.pullFrom(host, this.#client(host))
      }
    } catch (error) {
      const known = toMoyaiError(error)
      if (!isMoyaiError(known, 'ABORTED')) events.pullFailed(this.#o.logger, host, known)
    } finally {
      this.#pulls.delete(host)
    }
  }

  #client(host: string): SyncClient {
    return new SyncClient(memberTransport(this.#o.network, host), this.#stop.signal)
  }

  /** One round: everything that `host` has and this host has not. Rejects with the first error. */
  async pullFrom(host: string, client: SyncClient): Promise<void> {
    const summary = await client.ask({ kind: 'summary' })
    const pool = this.#o.state.pool()
    if (pool === undefined || !equalBytes(pool, summary.pool)) {
      throw new MoyaiError('NOT_A_MEMBER', 'the other host is in another pool')
    }
    this.#noteClock(host, summary.now)
    await this.#pullStatements(client, summary)
    await this.#pullAddresses(client, summary)
    for (const head of summary.heads) await this.#pullLog({ host, client, pool, head })
  }

  #noteClock(host: string, now: number): void {
    const skew = now - this.#o.clock.now()
    const before = this.#skews.get(host)
    this.#skews.set(host, skew)
    const wrong = Math.abs(skew) > CLOCK_SKEW_MS_MAX
    const wasWrong = before !== undefined && Math.abs(before) > CLOCK_SKEW_MS_MAX
    if (wrong && !wasWrong) events.clockDisagrees(this.#o.logger, host, skew)
  }

  async #pullStatements(client: SyncClient, summary: Summary): Promise<void> {
    const { statements } = this.#o.state
    if (equalBytes(summary.statements, statements.digest())) return
    const { ids } = await client.ask({ kind: 'statement-ids' })
    const missing = ids.filter((id) => !statements.has(id))
    await this.#fetchStatements(client, missing)
  }

  async #fetchStatements(client: SyncClient, missing: readonly Uint8Array[]): Promise<void> {
    // As many as possible are judged together: a statement counts only with those it rests on. One
    // that came before those is not kept, and comes again with the next pull.
    let batch: Uint8Array[] = []
    let bytes = 0
    for (let next = 0; next < missing.length;) {
      const ids = missing.slice(next, next + STATEMENTS_PER_REQUEST)
      const { envelopes } = await client.ask({ kind: 'statements', ids })
      if (envelopes.length === 0 || envelopes.length > ids.length) break
      next += envelopes.length
      batch.push(...envelopes)
      for (const envelope of envelopes) bytes += envelope.length
      if (bytes < STATEMENTS_BATCH_BYTES) continue
      await this.#o.state.statements.add(batch)
      batch = []
      bytes = 0
    }
    if (batch.length > 0) await this.#o.state.statements.add(batch)
  }

  async #pullAddresses(client: SyncClient, summary: Summary): Promise<void> {
    const known = new Map(
      this.#o.state.addresses.list().map(({ host, seq }) => [toHex(host), seq] as const),
    )
    const newer = summary.addresses.filter(({ host, seq }) => (known.get(toHex(host)) ?? -1) < seq)
    if (newer.length === 0) return
    const hosts = newer.map(({ host }) => host)
    const { envelopes } = await client.ask({ kind: 'addresses', hosts })
    await this.#o.state.addresses.add(envelopes)
  }

  async #pullLog(o: {
    host: string
    client: SyncClient
    pool: Uint8Array
    head: Summary['heads'][number]
  }): Promise<void> {
    const { logs } = this.#o.state
    const { vault, seq, id } = o.head
    if (!this.#o.state.isVault(toHex(vault))) return
    const here = await logs.head(vault)
    let from = here === undefined ? 0 : here.seq + 1
    if (here !== undefined && seq <= here.seq) {
      if ((await logs.has(vault, seq, id)) || (await logs.isFork(vault, seq, id))) return
      // Another entry in the same place: it is fetched and kept as the proof of a fork.
      from = seq
    }
    const { refused } = await pullEntries({
      logs,
      pool: o.pool,
      sender: o.client,
      vault,
      from,
      to: { seq, id },
    })
    if (refused !== undefined) events.logNotFollowed(this.#o.logger, o.host, vault, refused)
  }
}
