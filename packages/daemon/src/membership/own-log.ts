/**
 * The owner's side of its vault log: appending, and finding the log again after the local state was
 * lost.
 *
 * An entry is on this host's disk before any other host sees it, and counts as confirmed by each
 * host whose signed receipt is here. A host that lost its database must not append before it has
 * heard from a majority of the pool: otherwise it would write a second entry in a place that is
 * taken, and fork its own history.
 */

import {
  equalBytes,
  isErrorCode,
  logEntryId,
  MoyaiError,
  nextPlace,
  printable,
  signLogEntry,
  toMoyaiError,
  utf8,
  type Clock,
  type LogHead,
  type Signer,
} from '@moyai/protocol'

import type { Database, Operation, Table } from '../database/index.ts'
import type { Logger } from '../logger.ts'
import { memberTransport, SyncClient } from '../net/sync/client.ts'
import type { Network } from '../net/types.ts'
import type { AntiEntropy } from './anti-entropy.ts'
import * as events from './events.ts'
import { Serial } from './serial.ts'
import type { VaultLogs } from './vault-logs.ts'

/**
 * A host that has not confirmed an entry after this is reported as not confirming; it may still do
 * so later.
 */
const CONFIRM_MS = 30_000
/** After a majority has confirmed, the others get this long to be counted, too. */
const STRAGGLERS_MS = 2_000
/**
 * Key under which the table `own-log` remembers that nothing of this vault's log is missing here.
 */
const COMPLETE = utf8('complete')

/** How an entry stands on the other hosts. */
export type AppendResult = {
  /** Id of the entry: for a snapshot, its id. */
  id: Uint8Array
  seq: number
  /** Hosts (hex) whose receipts are here. */
  confirmed: string[]
  /** Hosts that were connected and did not confirm, with the reason. */
  unconfirmed: { host: string; error: MoyaiError }[]
  /** Whether more than half of the connected hosts confirmed. */
  majority: boolean
}

/** What was found when the pool was asked for this vault's log. */
export type PullResult = {
  head: LogHead | undefined
  /** Hosts (hex) that answered, and those that did not. */
  heard: string[]
  silent: string[]
  /** Whether enough answered to append to the log. */
  complete: boolean
}

export type OwnLogComponents = {
  pool: () => Uint8Array | undefined
  /** All other hosts of the pool (hex). */
  hosts: () => string[]
  logs: VaultLogs
  sync: AntiEntropy
  network: Pick<Network, 'peers' | 'request'>
  database: Database
  clock: Clock
  logger: Logger
}

/** True when `count` of `all` are more than half; of none, none are needed. */
function isMajority(count: number, all: number): boolean {
  return all === 0 || count > all / 2
}

export class OwnLog {
  readonly #vault: Signer
  readonly #o: OwnLogComponents
  readonly #state: Table
  readonly #serial = new Serial()
  readonly #stop = new AbortController()
  /** Replications under way, by host. */
  readonly #replications = new Map<string, Promise<void>>()
  #complete = false

  constructor(vault: Signer, o: OwnLogComponents) {
    this.#vault = vault
    this.#o = o
    this.#state = o.database.table('own-log')
  }

  async stop(): Promise<void> {
    this.#stop.abort(new MoyaiError('ABORTED', 'the daemon is stopping'))
    await this.#serial.idle()
    await Promise.allSettled(this.#replications.values())
  }

  /**
   * What remembers, once it is on the disk, that nothing is missing here: for a vault of which no
   * host can have entries.
   */
  declaringNew(): Operation {
    return this.#state.putting(COMPLETE, Uint8Array.of(1))
  }

  /** Whether the log here is known to be whole. */
  async isComplete(): Promise<boolean> {
    this.#complete ||= (await this.#state.get(COMPLETE)) !== undefined
    return this.#complete
  }

  /** Envelopes of the log's entries, oldest first. */
  entries(): AsyncIterableIterator<Uint8Array> {
    return this.#o.logs.entries(this.#vault.publicKey)
  }

  /** Where the log ends here, and the hosts (hex) that confirmed it. */
  async head(): Promise<{ head: LogHead; confirmed: string[] } | undefined> {
    const head = await this.#o.logs.head(this.#vault.publicKey)
    if (head === undefined) return undefined
    return { head, confirmed: await this.#o.logs.confirmations(head.vault, head.seq) }
  }

  /**
   * Asks every other host for this vault's log and takes the longest valid one. When a majority of
   * them has answered, the log counts as whole, now and after restarts.
   */
  async pullHeads(): Promise<PullResult> {
    const hosts = this.#o.hosts()
    const heard: string[] = []
    const silent: string[] = []
    const ask = async (host: string): Promise<void> => {
      try {
        const transport = memberTransport(this.#o.network, host)
        await this.#o.sync.pullFrom(host, new SyncClient(transport, this.#stop.signal))
        heard.push(host)
      } catch (error) {
        events.pullFailed(this.#o.logger, host, toMoyaiError(error))
        silent.push(host)
      }
    }
    await Promise.all(hosts.map(ask))
    const complete = isMajority(heard.length, hosts.length)
    if (complete && !(await this.isComplete())) await this.#o.database.batch([this.declaringNew()])
    return { head: await this.#o.logs.head(this.#vault.publicKey), heard, silent, complete }
  }

  /**
   * Appends one entry: seals it for its place, puts it on the disk, sends it to every connected
   * host and waits for their receipts. Rejects only when nothing was appended: NO_POOL;
   * TOO_FEW_HOSTS when the local log was lost and too few hosts could be asked for it; DISK, after
   * which the entry may or may not be there.
   */
  append(o: {
    kind: string
    /** The sealed body for the entry at this place. */
    seal: (place: { seq: number; prev: Uint8Array }) => Uint8Array
  }): Promise<AppendResult> {
    return this.#serial.run(async () => {
      const pool = this.#o.pool()
      if (pool === undefined) throw new MoyaiError('NO_POOL', 'this host is in no pool yet')
      await this.#ensureComplete()
      const vault = this.#vault.publicKey
      const place = nextPlace(await this.#o.logs.head(vault))
      const at = this.#o.clock.now()
      const sealed = o.seal(place)
      const envelope = signLogEntry({ vault, ...place, at, kind: o.kind, sealed }, this.#vault)
      const taken = await this.#o.logs.accept(envelope, { vault, seq: place.seq, pool })
      if ('refused' in taken) {
        throw new MoyaiError(taken.refused, 'the new entry does not follow the log on this host')
      }
      return this.#confirm({ vault, seq: place.seq, id: logEntryId(envelope) })
    })
  }

  async #ensureComplete(): Promise<void> {
    if (await this.isComplete()) return
    const { complete, heard, silent } = await this.pullHeads()
    if (complete) return
    const asked = `${heard.length} of ${heard.length + silent.length} hosts`
    throw new MoyaiError(
      'TOO_FEW_HOSTS',
      `this host lost its state, and only ${asked} could be asked for the log of its vault`,
      { hint: 'wait until more than half of the other hosts are switched on' },
    )
  }

  async #confirm(head: LogHead): Promise<AppendResult> {
    const connected = this.#connected()
    const failures = new Map<string, MoyaiError>()
    let confirmed = 0
    const enough = Promise.withResolvers<void>()
    const each = connected.map(async (host) => {
      try {
        await this.replicate(host)
        confirmed++
        if (isMajority(confirmed, connected.length)) enough.resolve()
      } catch (error) {
        failures.set(host, toMoyaiError(error))
      }
    })
    await this.#race(Promise.all(each), enough.promise)
    const hosts = await this.#o.logs.confirmations(head.vault, head.seq)
    const late = new MoyaiError('TIMED_OUT', 'the host has not confirmed yet')
    return {
      id: head.id,
      seq: head.seq,
      confirmed: hosts,
      unconfirmed: connected
        .filter((host) => !hosts.includes(host))
        .map((host) => ({ host, error: failures.get(host) ?? late })),
      majority: isMajority(
        connected.filter((host) => hosts.includes(host)).length,
        connected.length,
      ),
    }
  }

  /** Waits for all; from the majority on only a little longer, and never for ever. */
  async #race(all: Promise<unknown>, majority: Promise<void>): Promise<void> {
    const done = new AbortController()
    const pause = async (milliseconds: number): Promise<void> => {
      await this.#o.clock.sleep(milliseconds, AbortSignal.any([done.signal, this.#stop.signal]))
    }
    const stragglers = majority.then(() => pause(STRAGGLERS_MS))
    const waits = [stragglers, pause(CONFIRM_MS)].map((wait) => wait.catch(() => undefined))
    await Promise.race([all, ...waits])
    done.abort()
  }

  #connected(): string[] {
    const members = new Set(this.#o.hosts())
    const peers = this.#o.network.peers()
    return peers.filter((peer) => peer.connected && members.has(peer.host)).map(({ host }) => host)
  }

  /**
   * Sends the head to those of `hosts` (all that are connected unless given) that have not
   * confirmed it. What goes wrong with a host is logged; DISK.
   */
  async replicateTo(hosts: readonly string[] = this.#connected()): Promise<void> {
    const head = await this.#o.logs.head(this.#vault.publicKey)
    if (head === undefined || this.#o.pool() === undefined) return
    const confirmed = await this.#o.logs.confirmations(this.#vault.publicKey, head.seq)
    const missing = hosts.filter((host) => !confirmed.includes(host))
    await Promise.all(
      missing.map((host) =>
        this.replicate(host).catch((error: unknown) => {
          events.headNotReplicated(this.#o.logger, host, toMoyaiError(error))
        }),
      ),
    )
  }

  /**
   * Brings the present head of this vault's log to `host` and keeps its receipt. HOST_REFUSED with
   * the host's reason, LOG_FORK when it has another history, and whatever the network says.
   */
  async replicate(host: string): Promise<void> {
    const running = this.#replications.get(host)
    const next = (running ?? Promise.resolve()).catch(() => undefined).then(() => this.#send(host))
    this.#replications.set(host, next)
    try {
      await next
    } finally {
      if (this.#replications.get(host) === next) this.#replications.delete(host)
    }
  }

  async #send(host: string): Promise<void> {
    const vault = this.#vault.publicKey
    const head = await this.#o.logs.head(vault)
    if (head === undefined) return
    const envelope = await this.#o.logs.entry(vault, head.seq)
    const response = await this.#withDeadline(async (signal) =>
      new SyncClient(memberTransport(this.#o.network, host), signal).ask({
        kind: 'append',
        ...head,
        ...(envelope === undefined ? {} : { envelope }),
      }),
    )
    if (response.receipt !== undefined) {
      const receipt = await this.#o.logs.keepReceipt(response.receipt, host)
      if (equalBytes(receipt.entry, head.id)) return
      throw new MoyaiError('HOST_REFUSED', 'the host confirmed another entry')
    }
    const code = response.refused ?? 'HOST_REFUSED'
    throw new MoyaiError(
      isErrorCode(code) ? code : 'HOST_REFUSED',
      `the host did not take the log entry (${printable(code, 40)})`,
      { data: { host, theirs: response.head?.seq ?? -1, ours: head.seq } },
    )
  }

  /** Aborts `work` with TIMED_OUT after CONFIRM_MS, or when the daemon stops. */
  async #withDeadline<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const done = new AbortController()
    const late = new AbortController()
    const waiting = this.#o.clock.sleep(CONFIRM_MS, done.signal).then(
      () => late.abort(new MoyaiError('TIMED_OUT', 'the host took too long to answer')),
      () => undefined,
    )
    try {
      return await work(AbortSignal.any([this.#stop.signal, late.signal]))
    } finally {
      done.abort()
      await waiting
    }
  }
}
