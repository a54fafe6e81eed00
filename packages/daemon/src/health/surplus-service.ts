/**
 * Lets go of shards that this host keeps in vain: spec/surplus.md §3.
 *
 * Once a day it looks at the stripes of which this host has a shard that another host has, too.
 * Which copy is to go is decided in protocol/surplus; whether it may go, in the shard store. What
 * is done here may be wrong, slow or stopped at any point: then copies stay longer.
 */

import {
  GROUP_BYTES,
  MoyaiError,
  SURPLUS_WAIT_MS,
  copyStanding,
  defined,
  equalBytes,
  fromHex,
  isMoyaiError,
  openReceipt,
  surplusOf,
  toHex,
  toMoyaiError,
} from '@moyai/protocol'
import type { Clock, Random, StripeDescriptor, SurplusPlace } from '@moyai/protocol'

import type { Logger } from '../logger.ts'
import type { ShardId, ShardReader, ShardStore } from '../shard-store/index.ts'
import type {
  HealthNetwork,
  HealthPool,
  LivenessView,
  StripeView,
  TrustView,
  Whereabouts,
} from './ports.ts'

const DAY_MS = 86_400_000
/**
 * Copies that are checked with another host in a day: each makes that host read a whole shard, so
 * this is 4 GiB of reading at most, less than a minute of a disk's day.
 */
const CHECKS_PER_TURN = 1000

export type SurplusServiceOptions = {
  /** From one turn to the next; a day unless given. */
  intervalMs?: number
  checksPerTurn?: number
  /** As in the shard store, which keeps it; here it only saves asking too early. */
  waitMs?: number
  /** What is decided by; the protocol's rules unless a test breaks them. */
  decisions?: { surplusOf: typeof surplusOf }
}

export type SurplusServiceComponents = {
  store: Pick<ShardStore, 'open' | 'markSurplus' | 'surplusMarker' | 'unmark' | 'trim'>
  pool: HealthPool
  liveness: Pick<LivenessView, 'stateOf'>
  trust: TrustView
  whereabouts: Whereabouts
  network: Pick<HealthNetwork, 'isConnected' | 'shards' | 'tell'>
  clock: Clock
  random: Random
  logger: Logger
}

/** What a turn did, in shards. */
export type SurplusTurn = { marked: number; unmarked: number; trimmed: number }

/** A stripe with copies, one of them here; the key is vault and pack in hex. */
type Candidate = { vault: Uint8Array; pack: Uint8Array }

type Work = { turn: SurplusTurn; left: number; signal: AbortSignal }

export class SurplusService {
  readonly #o: Required<SurplusServiceOptions>
  readonly #parts: SurplusServiceComponents
  /** Vaults (hex) whose stripes have to be looked through; undefined: all of them. */
  #changed: Set<string> | undefined
  readonly #candidates = new Map<string, Candidate>()
  readonly #stopping = new AbortController()
  #running: Promise<void> | undefined
  #unsubscribe: (() => void) | undefined

  constructor(options: SurplusServiceOptions, components: SurplusServiceComponents) {
    this.#o = {
      intervalMs: DAY_MS,
      checksPerTurn: CHECKS_PER_TURN,
      waitMs: SURPLUS_WAIT_MS,
      decisions: { surplusOf },
      ...options,
    }
    this.#parts = components
  }

  /** A turn at a random hour of each day, so that not all hosts ask one another at once. */
  start(): void {
    this.#listen()
    this.#running ??= this.#run(this.#stopping.signal)
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#unsubscribe?.()
    await this.#running
  }

  /**
   * Looks once at everything that is due. Hosts that do not answer, and disks that do not, are
   * passed over; rejects only when `signal` aborts.
   */
  async turn(signal: AbortSignal): Promise<SurplusTurn> {
    this.#listen()
    await this.#findCandidates(signal)
    const work = {
      turn: { marked: 0, unmarked: 0, trimmed: 0 },
      left: this.#o.checksPerTurn,
      signal,
    }
    for (const [key, one] of this.#candidates) {
      signal.throwIfAborted()
      const view = await this.#parts.whereabouts.stripe(one.vault, one.pack)
      if (view === undefined || !this.#hasOwnCopy(view)) this.#candidates.delete(key)
      if (view !== undefined) await this.#look(view, work)
    }
    return work.turn
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, random, logger } = this.#parts
    const [first = 0] = random.bytes(1)
    let wait = (this.#o.intervalMs * (first + 1)) / 256
    while (!signal.aborted) {
      try {
        await clock.sleep(wait, signal)
        wait = this.#o.intervalMs
        const turn = await this.turn(signal)
        if (turn.trimmed > 0) logger.info(turn, 'surplus copies let go')
      } catch (error) {
        if (signal.aborted) return
        const { code, message } = toMoyaiError(error)
        logger.error({ code, error: message }, 'surplus copies could not be looked at')
      }
    }
  }

  #listen(): void {
    this.#unsubscribe ??= this.#parts.whereabouts.onChange((vault) => this.#changed?.add(vault))
  }

  /** Only what changed is looked through: most stripes never have a copy too many. */
  async #findCandidates(signal: AbortSignal): Promise<void> {
    const { whereabouts } = this.#parts
    const isFirst = this.#changed === undefined
    const vaults =
      this.#changed === undefined
        ? await whereabouts.vaults()
        : [...this.#changed].map((vault) => fromHex(vault))
    this.#changed ??= new Set()
    for (const vault of vaults) {
      // Before it is read: what changes meanwhile is looked at again the next time.
      this.#changed.delete(toHex(vault))
      for await (const view of whereabouts.stripes(vault)) {
        signal.throwIfAborted()
        const key = `${toHex(view.vault)}${toHex(view.pack)}`
        const isCandidate = this.#hasOwnCopy(view)
        if (isCandidate) this.#candidates.set(key, { vault: view.vault, pack: view.pack })
        // What was marked before a restart, and is the only copy now.
        else if (isFirst) await this.#unmarkOwn(view, new Set())
      }
    }
  }

  /** Whether a shard that is here is said to be elsewhere, too. */
  #hasOwnCopy({ places }: StripeView): boolean {
    const { self } = this.#parts.pool
    return places.some(
      (own) =>
        own.host === self &&
        places.some((other) => other.index === own.index && other.host !== self),
    )
  }

  async #look(view: StripeView, work: Work): Promise<void> {
    const { self } = this.#parts.pool
    const surplus = this.#surplusOf(view).filter((one) => one.host === self)
    work.turn.unmarked += await this.#unmarkOwn(view, new Set(surplus.map(({ index }) => index)))
    for (const one of surplus) {
      if (work.left <= 0) return
      try {
        await this.#advance(view, { one, work })
      } catch (error) {
        work.signal.throwIfAborted()
        this.#passOver(error, { view, one })
      }
    }
  }

  #passOver(error: unknown, o: { view: StripeView; one: SurplusPlace }): void {
    const { code, message } = toMoyaiError(error)
    const { index, stays } = o.one
    const about = { pack: toHex(o.view.pack), index, host: stays, code, error: message }
    const expected = isMoyaiError(error, 'RETAINED', 'HOST_UNREACHABLE', 'STREAM_CLOSED', 'BUSY')
    this.#parts.logger[expected ? 'debug' : 'warn'](about, 'a surplus copy stays for now')
  }

  #surplusOf(view: StripeView): SurplusPlace[] {
    const { pool, liveness, trust } = this.#parts
    const { code, pack, places } = view
    const hosts = pool.hosts()
    const [retiring, revoked] = [pool.retiring(), pool.revoked()]
    const members = new Set(hosts.map(({ id }) => id))
    return this.#o.decisions.surplusOf({
      code,
      pack,
      owner: pool.vaults().get(toHex(view.vault)),
      places,
      hosts,
      policy: pool.policy(),
      standingOf: (host) =>
        copyStanding({
          member: members.has(host) && !revoked.has(host),
          state: liveness.stateOf(host),
          retiring: retiring.has(host),
          trusted: trust.isTrusted(host),
        }),
    })
  }

  /** Ends the waiting time of shards that are here and not (any more) surplus. */
  async #unmarkOwn(view: StripeView, surplus: ReadonlySet<number>): Promise<number> {
    const { store, pool } = this.#parts
    let count = 0
    for (const { index, host } of view.places) {
      if (host !== pool.self || surplus.has(index)) continue
      const id = { vault: view.vault, pack: view.pack, index }
      try {
        if ((await store.surplusMarker(id)) === undefined) continue
        await store.unmark(id)
        count++
      } catch (error) {
        const { code, message } = toMoyaiError(error)
        this.#parts.logger.warn({ code, error: message }, 'a marker could not be removed')
      }
    }
    return count
  }

  /** The next step of one copy: it is marked, or has to wait, or goes. */
  async #advance(view: StripeView, o: { one: SurplusPlace; work: Work }): Promise<void> {
    const { store, network } = this.#parts
    const { one, work } = o
    const id: ShardId = { vault: view.vault, pack: view.pack, index: one.index }
    const marker = await store.surplusMarker(id)
    const isMarked = marker !== undefined && toHex(openReceipt(marker.receipt).host) === one.stays
    if (isMarked && this.#parts.clock.now() - marker.at < this.#o.waitMs) return
    if (!network.isConnected(one.stays)) return
    const own = await store.open(id)
    await own.close()
    work.left--
    const ask = (): Promise<Uint8Array> => this.#receiptOf(one.stays, { id, own, work })
    if (!isMarked) {
      await store.markSurplus(id, { receipt: await ask() })
      work.turn.marked++
      return
    }
    await this.#letGo({ id, own, one, ask, work })
  }

  /** The second check, and the end of the copy. */
  async #letGo(o: {
    id: ShardId
    own: ShardReader
    one: SurplusPlace
    ask: () => Promise<Uint8Array>
    work: Work
  }): Promise<void> {
    const { store, whereabouts, pool } = this.#parts
    const { id, own, one, work } = o
    let receipt: Uint8Array | undefined
    await store.trim(id, {
      prove: async () => {
        await whereabouts.refresh({ host: one.stays, signal: work.signal })
        const view = await whereabouts.stripe(id.vault, id.pack)
        const still = view === undefined ? [] : this.#surplusOf(view)
        const is = (other: SurplusPlace): boolean =>
          other.index === one.index && other.host === one.host && other.stays === one.stays
        if (!still.some(is)) throw new MoyaiError('RETAINED', 'it is not surplus any more')
        await this.#audit(one.stays, { id, stripe: own.descriptor, work })
        receipt = await o.ask()
        return receipt
      },
    })
    work.turn.trimmed++
    await whereabouts.refute({ ...id, host: pool.self })
    await this.#tell(id, { receipt: defined(receipt, 'a receipt by which it was let go'), work })
  }

  /** Reads a random group of the copy that stays, verified by its hash. */
  async #audit(
    host: string,
    o: { id: ShardId; stripe: StripeDescriptor; work: Work },
  ): Promise<void> {
    const { network, random } = this.#parts
    const { shardLength, shardHashes } = o.stripe
    const groups = Math.ceil(shardLength / GROUP_BYTES)
    const draw = new DataView(random.bytes(4).slice().buffer).getUint32(0)
    const offset = (draw % groups) * GROUP_BYTES
    const length = Math.min(GROUP_BYTES, shardLength - offset)
    const root = defined(shardHashes[o.id.index], 'the hash of a shard that was opened')
    const signal = o.work.signal
    let got = 0
    for await (const bytes of network
      .shards(host)
      .get({ ...o.id, offset, length, root, shardLength, signal })) {
      got += bytes.length
    }
    if (got !== length) throw new MoyaiError('TRUNCATED', `${got} of ${length} bytes of a group`)
  }

  /** The receipt of a host that has the shard already; it reads all of it for that. */
  async #receiptOf(
    host: string,
    o: { id: ShardId; own: ShardReader; work: Work },
  ): Promise<Uint8Array> {
    const { envelope } = o.own
    const answer = await this.#parts.network.shards(host).put({
      envelope,
      index: o.id.index,
      payload: nothing,
      signal: o.work.signal,
    })
    if (!equalBytes(openReceipt(answer.receipt).host, fromHex(host))) {
      throw new MoyaiError('HOST_REFUSED', 'the receipt is of another host')
    }
    return answer.receipt
  }

  /** Those whom it concerns learn at once; all others from the next inventory. */
  async #tell(id: ShardId, o: { receipt: Uint8Array; work: Work }): Promise<void> {
    const { network, pool, whereabouts, logger } = this.#parts
    const view = await whereabouts.stripe(id.vault, id.pack)
    const hosts = new Set((view?.places ?? []).map(({ host }) => host))
    const owner = pool.vaults().get(toHex(id.vault))
    if (owner !== undefined) hosts.add(owner)
    hosts.delete(pool.self)
    for (const host of hosts) {
      if (!network.isConnected(host)) continue
      try {
        const news = { changed: [id.vault], placed: [o.receipt] }
        await network.tell(host, news, o.work.signal)
      } catch (error) {
        o.work.signal.throwIfAborted()
        logger.debug({ host, error: toMoyaiError(error).message }, 'news not delivered')
      }
    }
  }
}

/** The payload of a shard that the host has to have: it is not sent to one that has not. */
async function* nothing(): AsyncGenerator<Uint8Array> {
  yield* []
  throw new MoyaiError('NOT_FOUND', 'the shard is not there')
}
