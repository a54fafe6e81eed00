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
import type {
  Clock,
  CopyStanding,
  Random,
  StripeDescriptor,
  SurplusFacts,
  SurplusPlace,
} from '@moyai/protocol'

import type { Logger } from '../logger.ts'
import type { ShardId, ShardReader, ShardStore } from '../shard-store/index.ts'
import { STOPPING } from './enough.ts'
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
type Candidate = {
  vault: Uint8Array
  pack: Uint8Array
  /** Hosts that have a shard that is here, too. */
  others: readonly string[]
  /** Nothing to do before, unless its places change: ms since 1970. */
  dueAt: number
}

/** The pool at one moment, gathered once for many stripes. */
type Facts = Pick<SurplusFacts, 'hosts' | 'policy' | 'standingOf'> & {
  vaults: ReadonlyMap<string, string>
}

type Work = { turn: SurplusTurn; facts: Facts; left: number; signal: AbortSignal }

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
    this.#stopping.abort(STOPPING)
    this.#unsubscribe?.()
    await this.#running
  }

  /**
   * Looks once at everything that is due. Hosts that do not answer, and disks that do not, are
   * passed over; rejects only when `signal` aborts.
   */
  async turn(signal: AbortSignal): Promise<SurplusTurn> {
    this.#listen()
    const turn = { marked: 0, unmarked: 0, trimmed: 0 }
    turn.unmarked = await this.#findCandidates(signal)
    const work = { turn, facts: this.#facts(), left: this.#o.checksPerTurn, signal }
    const now = this.#parts.clock.now()
    for (const [key, one] of this.#candidates) {
      const isDue = one.dueAt <= now
      if (!isDue || !one.others.some((host) => work.facts.standingOf(host) === 'stays')) continue
      signal.throwIfAborted()
      const view = await this.#parts.whereabouts.stripe(one.vault, one.pack)
      if (view === undefined || this.#othersOf(view).length === 0) this.#candidates.delete(key)
      if (view !== undefined) one.dueAt = await this.#look(view, work)
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

  /**
   * Only what changed is looked through: most stripes never have a copy too many. Gives how many
   * markers it removed.
   */
  async #findCandidates(signal: AbortSignal): Promise<number> {
    const isFirst = this.#changed === undefined
    const all = async (): Promise<string[]> =>
      (await this.#parts.whereabouts.vaults()).map((vault) => toHex(vault))
    const changed = (this.#changed ??= new Set(await all()))
    let unmarked = 0
    for (const vault of changed) {
      // Before it is read: what changes meanwhile is looked at again the next time.
      changed.delete(vault)
      try {
        unmarked += await this.#lookThrough(fromHex(vault), { isFirst, signal })
      } catch (error) {
        changed.add(vault)
        throw error
      }
    }
    return unmarked
  }

  async #lookThrough(
    vault: Uint8Array,
    { isFirst, signal }: { isFirst: boolean; signal: AbortSignal },
  ): Promise<number> {
    let unmarked = 0
    for await (const view of this.#parts.whereabouts.stripes(vault)) {
      signal.throwIfAborted()
      const { pack } = view
      const key = `${toHex(vault)}${toHex(pack)}`
      const others = this.#othersOf(view)
      if (others.length > 0) {
        this.#candidates.set(key, { vault, pack, others, dueAt: 0 })
      } else if (this.#candidates.delete(key) || isFirst) {
        // It is the only copy now; it may have been marked, perhaps before a restart.
        unmarked += await this.#unmarkOwn(view, new Set())
      }
    }
    return unmarked
  }

  /** Hosts that are said to have a shard that is here, too. */
  #othersOf({ places }: StripeView): string[] {
    const { self } = this.#parts.pool
    const own = places.filter(({ host }) => host === self)
    if (own.length === 0) return []
    return places.flatMap(({ index, host }) =>
      host !== self && own.some((one) => one.index === index) ? [host] : [],
    )
  }

  /** When this stripe has to be looked at again, at the earliest. */
  async #look(view: StripeView, work: Work): Promise<number> {
    const { self } = this.#parts.pool
    const surplus = this.#surplusOf(view, work.facts).filter((one) => one.host === self)
    work.turn.unmarked += await this.#unmarkOwn(view, new Set(surplus.map(({ index }) => index)))
    let dueAt = surplus.length === 0 ? 0 : Infinity
    for (const one of surplus) {
      try {
        dueAt = Math.min(dueAt, work.left <= 0 ? 0 : await this.#advance(view, { one, work }))
      } catch (error) {
        work.signal.throwIfAborted()
        this.#passOver(error, { view, one })
        dueAt = 0
      }
    }
    return dueAt
  }

  #passOver(error: unknown, o: { view: StripeView; one: SurplusPlace }): void {
    const { code, message } = toMoyaiError(error)
    const { index, stays } = o.one
    const about = { pack: toHex(o.view.pack), index, host: stays, code, error: message }
    const expected = isMoyaiError(error, 'RETAINED', 'HOST_UNREACHABLE', 'STREAM_CLOSED', 'BUSY')
    this.#parts.logger[expected ? 'debug' : 'warn'](about, 'a surplus copy stays for now')
  }

  #facts(): Facts {
    const { pool, liveness, trust } = this.#parts
    const hosts = pool.hosts()
    const [retiring, revoked] = [pool.retiring(), pool.revoked()]
    const members = new Set(hosts.map(({ id }) => id))
    const standings = new Map<string, CopyStanding>()
    const standingOf = (host: string): CopyStanding => {
      const known = standings.get(host)
      if (known !== undefined) return known
      const standing = copyStanding({
        member: members.has(host) && !revoked.has(host),
        state: liveness.stateOf(host),
        retiring: retiring.has(host),
        trusted: trust.isTrusted(host),
      })
      standings.set(host, standing)
      return standing
    }
    return { hosts, policy: pool.policy(), standingOf, vaults: pool.vaults() }
  }

  #surplusOf({ code, pack, places, vault }: StripeView, facts: Facts): SurplusPlace[] {
    const owner = facts.vaults.get(toHex(vault))
    return this.#o.decisions.surplusOf({ ...facts, code, pack, owner, places })
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

  /** The next step of one copy: it is marked, or has to wait, or goes; when the next one is due. */
  async #advance(view: StripeView, o: { one: SurplusPlace; work: Work }): Promise<number> {
    const { store, network, clock } = this.#parts
    const { one, work } = o
    const id: ShardId = { vault: view.vault, pack: view.pack, index: one.index }
    const marker = await store.surplusMarker(id)
    const isMarked =
      marker !== undefined &&
      marker.at <= clock.now() &&
      toHex(openReceipt(marker.receipt).host) === one.stays
    if (isMarked && clock.now() - marker.at < this.#o.waitMs) return marker.at + this.#o.waitMs
    if (!network.isConnected(one.stays)) return 0
    const own = await store.open(id)
    await own.close()
    work.left--
    const ask = (): Promise<Uint8Array> => this.#receiptOf(one.stays, { id, own, work })
    if (!isMarked) {
      const { at } = await store.markSurplus(id, { receipt: await ask() })
      work.turn.marked++
      return at + this.#o.waitMs
    }
    await this.#letGo({ id, own, one, ask, work })
    return 0
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
        const still = view === undefined ? [] : this.#surplusOf(view, this.#facts())
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
