/**
 * The stripe reader gives any byte range of a pack, from whichever k hosts have it.
 *
 * Shard i < k is bytes [iS, (i+1)S) of the pack, so a range is first asked from the holders of the
 * shards it lies in. Where one is away, slow, damaged or lies, the same columns of other shards are
 * fetched and the code, which works on each byte column by itself, gives the lost ones. Every byte
 * that enters the decoder was verified against the hash that the vault's key signed, so a wrong
 * answer costs time, never content.
 *
 * With a host gone, ranges rebuilt one by one cost k times their bytes. Where much of a pack is
 * wanted anyway, k whole shards are fetched instead, the pack rebuilt once and kept for the ranges
 * to come: that costs what reading from living hosts does.
 *
 * Three tries, each more stubborn: holders by receipt, not waiting long · the same after asking
 * every host what it has · the same with patience for slow hosts. While a host that was just lost
 * may come back, which over a bad line is a matter of seconds, the last one is repeated. Memory: (k
 * + m) × COLUMNS_MAX for a rebuild, and twice a pack that is rebuilt whole, besides the range.
 */

import { assert, MoyaiError, toHex, toMoyaiError } from '@moyai/protocol'
import type { Clock, StripeDescriptor } from '@moyai/protocol'

import type { HostHealth } from './host-health.ts'
import type { Holders } from './holders.ts'
import type { ShardHosts } from './ports.ts'
import type { RebuiltPacks } from './rebuilt-packs.ts'
import { BRISK, fetchRange, PATIENT } from './shard-fetch.ts'
import type { Patience } from './shard-fetch.ts'
import type { Opening } from './threads/opening-pool.ts'

/** Columns rebuilt at once: 14 shards of it are 3.5 MiB. */
const COLUMNS_MAX = 256 * 1024
/** After this long one more shard is asked for than are needed. */
const HEDGE_MS = 1000
/** Times that hosts which were just lost are waited for; a line that is cut as often is none. */
const RETURNS_MAX = 5

export type StripeReaderComponents = {
  hosts: ShardHosts
  holders: Holders
  health: HostHealth
  rebuilt: RebuiltPacks
  opening: Pick<Opening, 'rebuild'>
  clock: Clock
}

/** Bytes [start, start + bytes.length) of shard `index`. */
type Columns = { index: number; start: number; bytes: Uint8Array }
/** `into`: where they go; memory of their own when absent. */
type Wanted = { index: number; start: number; length: number; into?: Uint8Array }
type Room = { bytes: Uint8Array<ArrayBuffer>; wanted: Required<Wanted>[] }
type Attempt = { stripe: StripeDescriptor; patience: Patience; signal: AbortSignal }

/**
 * A range of a pack; `whole`: so much of the pack is wanted, here and by other calls, that all of
 * it may be fetched when a part is lost.
 */
export type PackRange = { offset: number; length: number; whole?: boolean }

/** See the head of this file. */
export class StripeReader {
  readonly #components: StripeReaderComponents
  #bytesFetched = 0

  constructor(components: StripeReaderComponents) {
    this.#components = components
  }

  /** Verified bytes that came over the network so far. */
  get bytesFetched(): number {
    return this.#bytesFetched
  }

  /**
   * The bytes of the pack's range, in memory of their own. UNRECOVERABLE when fewer than k shards
   * could be had; its message says why each was not. ABORTED by the signal.
   */
  async read(
    stripe: StripeDescriptor,
    range: PackRange,
    signal: AbortSignal,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const rebuilt = await this.#fromWhole(stripe, range, signal)
    if (rebuilt !== undefined) return rebuilt
    const { bytes, wanted } = roomFor(stripe, range)
    const found: Columns[] = []
    const tries: { patience: Patience; discover: boolean }[] = [
      { patience: BRISK, discover: false },
      { patience: BRISK, discover: true },
      { patience: PATIENT, discover: true },
    ]
    let returns = 0
    let failure: MoyaiError | undefined
    for (let next = tries.shift(); next !== undefined; next = tries.shift()) {
      const { patience, discover } = next
      if (discover) await this.#components.holders.discover(stripe, signal)
      const missing = wanted.filter(({ index }) => !found.some((one) => one.index === index))
      try {
        found.push(...(await this.#attempt({ stripe, patience, signal }, missing, found)))
        return assemble({ bytes, wanted }, found)
      } catch (error) {
        if (signal.aborted) throw toMoyaiError(signal.reason, 'ABORTED')
        failure = toMoyaiError(error)
        if (failure.code !== 'UNRECOVERABLE') throw failure
        if (tries.length > 0 || returns++ >= RETURNS_MAX) continue
        const someone = await this.#components.hosts.returning(signal)
        if (someone) tries.push({ patience: PATIENT, discover: true })
      }
    }
    throw failure ?? new MoyaiError('UNRECOVERABLE', 'the pack could not be read')
  }

  /**
   * The range from a rebuilt pack, when one of its shards is away; undefined when the range is to
   * be read by itself, as it is where nothing is known to be wrong.
   */
  async #fromWhole(
    stripe: StripeDescriptor,
    range: PackRange,
    signal: AbortSignal,
  ): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const { rebuilt } = this.#components
    const key = toHex(stripe.pack)
    const length = stripe.k * stripe.shardLength
    if (!rebuilt.has(key)) {
      if (range.whole !== true || !rebuilt.takes(length)) return undefined
      if (!(await this.#isAway(stripe))) return undefined
    }
    const make = (): Promise<Uint8Array> => this.#readWhole({ stripe, patience: BRISK, signal })
    try {
      return await rebuilt.read(key, range, { length, make, signal })
    } catch (error) {
      if (signal.aborted) throw toMoyaiError(signal.reason, 'ABORTED')
      if (toMoyaiError(error).code === 'INTERNAL') throw error
      return undefined // the stubborn way may still find this range
    }
  }

  /** True when a data shard has holders and none of them is worth asking. */
  async #isAway({ k, pack, ...rest }: StripeDescriptor): Promise<boolean> {
    const { holders, health } = this.#components
    for (let index = 0; index < k; index++) {
      const hosts = await holders.of({ k, pack, ...rest }, index)
      if (hosts.length > 0 && hosts.every((host) => health.avoids(host, pack, index))) return true
    }
    return false
  }

  /** All data of the pack, from whichever k shards answer. */
  async #readWhole(attempt: Attempt): Promise<Uint8Array> {
    const { k, shardLength } = attempt.stripe
    const shards = new Map<number, Uint8Array>()
    const order = await this.#components.holders.order(attempt.stripe, new Set())
    await this.#gather(attempt, { start: 0, length: shardLength }, order, shards, new Map())
    const found = Array.from(shards, ([index, bytes]): Columns => ({ index, start: 0, bytes }))
    const lost = Array.from({ length: k }, (_, index) => index)
      .filter((index) => !shards.has(index))
      .map((index): Wanted => ({ index, start: 0, length: shardLength }))
    if (lost.length > 0) found.push(...(await this.#rebuildAll(attempt, lost, found, new Map())))
    return assemble(roomFor(attempt.stripe, { offset: 0, length: k * shardLength }), found)
  }

  /**
   * All of `wanted`: directly where a holder answers, rebuilt where not. `found` is used and added
   * to.
   */
  async #attempt(attempt: Attempt, wanted: Wanted[], found: Columns[]): Promise<Columns[]> {
    const reasons = new Map<number, string>()
    const direct = await Promise.all(
      wanted.map((one) =>
        this.#fetch(attempt, one).catch((error: unknown) => {
          reasons.set(one.index, toMoyaiError(error).message)
          return undefined
        }),
      ),
    )
    attempt.signal.throwIfAborted()
    const got = direct.filter((columns) => columns !== undefined)
    found.push(...got)
    const lost = wanted.filter((_, i) => direct[i] === undefined)
    if (lost.length === 0) return []
    return this.#rebuildAll(attempt, lost, found, reasons)
  }

  /** One range of one shard, from the first of its holders that gives it. */
  async #fetch({ stripe, patience, signal }: Attempt, wanted: Wanted): Promise<Columns> {
    const { hosts, holders, health, clock } = this.#components
    const { index, start, length, into } = wanted
    const bytes = into ?? new Uint8Array(length)
    const known = await holders.of(stripe, index)
    const reasons: string[] = []
    const isBrisk = patience === BRISK
    for (const host of known) {
      if (isBrisk && health.avoids(host, stripe.pack, index)) {
        reasons.push(`${host.slice(0, 8)} failed a moment ago`)
        continue
      }
      try {
        const source = hosts.shards(host)
        const isHeldBack = hosts.isHeldBack?.bind(hosts)
        const what = { source, stripe, index, offset: start, length }
        await fetchRange({ ...what, clock, patience, isHeldBack, signal }, bytes)
        this.#bytesFetched += length
        health.worked(host)
        return { index, start, bytes }
      } catch (error) {
        if (signal.aborted) throw toMoyaiError(signal.reason, 'ABORTED')
        health.failed(host, stripe.pack, index, error)
        reasons.push(`${host.slice(0, 8)}: ${toMoyaiError(error).message}`)
      }
    }
    const why = reasons.length === 0 ? 'no host is known to have it' : reasons.join(', ')
    throw new MoyaiError('NOT_FOUND', `shard ${index} (${why})`)
  }

  async #rebuildAll(
    attempt: Attempt,
    lost: Wanted[],
    found: Columns[],
    reasons: Map<number, string>,
  ): Promise<Columns[]> {
    const rebuilt = lost.map(({ index, start, length, into }): Columns => ({
      index,
      start,
      bytes: into ?? new Uint8Array(length),
    }))
    const from = Math.min(...lost.map(({ start }) => start))
    const to = Math.max(...lost.map(({ start, length }) => start + length))
    for (let start = from; start < to; start += COLUMNS_MAX) {
      const length = Math.min(COLUMNS_MAX, to - start)
      const shards = await this.#rebuild(attempt, { start, length }, lost, found, reasons)
      for (const columns of rebuilt) copyColumns(shards, { start, length }, columns)
    }
    return rebuilt
  }

  /** All shards of the columns [start, start + length), one after another. */
  async #rebuild(
    attempt: Attempt,
    range: { start: number; length: number },
    lost: Wanted[],
    found: Columns[],
    reasons: Map<number, string>,
  ): Promise<Uint8Array> {
    const { k, m } = attempt.stripe
    const { start, length } = range
    const gathered = new Map<number, Uint8Array>()
    for (const { index, start: begin, bytes } of found) {
      const end = begin + bytes.length
      if (begin > start || end < start + length || gathered.size === k) continue
      gathered.set(index, bytes.subarray(start - begin, start - begin + length))
    }
    const skip = new Set([...gathered.keys(), ...lost.map(({ index }) => index)])
    const candidates = await this.#components.holders.order(attempt.stripe, skip)
    await this.#gather(attempt, range, candidates, gathered, reasons)
    const shards = new Uint8Array((k + m) * length)
    for (const [index, bytes] of gathered) shards.set(bytes, index * length)
    const present = Array.from({ length: k + m }, (_, index) => gathered.has(index))
    return this.#components.opening.rebuild({ code: { k, m }, length, shards, present })
  }

  /**
   * Fetches the columns of `candidates` until `gathered` has k shards. One more is asked for each
   * that fails, and for each HEDGE_MS that pass: a host that stalls is gone round, not waited for.
   */
  async #gather(
    attempt: Attempt,
    { start, length }: { start: number; length: number },
    candidates: number[],
    gathered: Map<number, Uint8Array>,
    reasons: Map<number, string>,
  ): Promise<void> {
    const { k } = attempt.stripe
    const { clock } = this.#components
    const enough = new AbortController()
    const signal = AbortSignal.any([attempt.signal, enough.signal])
    const running = new Map<number, Promise<void>>()
    const ask = (): void => {
      const index = candidates.shift()
      if (index === undefined) return
      const fetching = this.#fetch({ ...attempt, signal }, { index, start, length })
        .then(({ bytes }) => void gathered.set(index, bytes))
        .catch((error: unknown) => void reasons.set(index, toMoyaiError(error).message))
        .finally(() => running.delete(index))
      running.set(index, fetching)
    }
    try {
      while (gathered.size < k) {
        while (running.size < k - gathered.size && candidates.length > 0) ask()
        if (running.size === 0) throw tooFew(attempt.stripe, gathered.size, reasons)
        const settled = Promise.race(running.values())
        const hedge = new AbortController()
        const waited = clock.sleep(HEDGE_MS, AbortSignal.any([signal, hedge.signal])).then(
          () => true,
          () => false,
        )
        const isLate = await Promise.race([settled.then(() => false), waited])
        hedge.abort()
        attempt.signal.throwIfAborted()
        if (isLate) ask()
      }
    } finally {
      enough.abort(new MoyaiError('ABORTED', 'enough shards are here'))
      await Promise.all(running.values())
    }
  }
}

/**
 * Room for a range of the pack, and the columns of data shards that belong into it. With a range
 * that lies in one shard, as most do, and holders that answer, nothing is copied twice.
 */
function roomFor(
  stripe: StripeDescriptor,
  { offset, length }: { offset: number; length: number },
): Room {
  const { k, shardLength } = stripe
  assert(length > 0 && offset >= 0 && offset + length <= k * shardLength, 'a range of the pack')
  const bytes = new Uint8Array(length)
  const wanted: Required<Wanted>[] = []
  for (let at = offset; at < offset + length;) {
    const index = Math.floor(at / shardLength)
    const end = Math.min(offset + length, (index + 1) * shardLength)
    const into = bytes.subarray(at - offset, end - offset)
    wanted.push({ index, start: at - index * shardLength, length: end - at, into })
    at = end
  }
  return { bytes, wanted }
}

/** The room with all of `found` in it. */
function assemble({ bytes, wanted }: Room, found: readonly Columns[]): Uint8Array<ArrayBuffer> {
  for (const { index, start, length, into } of wanted) {
    const columns = found.find((one) => one.index === index && one.start === start)
    assert(columns !== undefined && columns.bytes.length === length, 'every part was found')
    if (columns.bytes !== into) into.set(columns.bytes)
  }
  return bytes
}

/** Copies what `range` and the lost `columns` have in common. */
function copyColumns(
  shards: Uint8Array,
  range: { start: number; length: number },
  columns: Columns,
): void {
  const from = Math.max(range.start, columns.start)
  const to = Math.min(range.start + range.length, columns.start + columns.bytes.length)
  if (from >= to) return
  const base = columns.index * range.length - range.start
  columns.bytes.set(shards.subarray(base + from, base + to), from - columns.start)
}

function tooFew(
  stripe: StripeDescriptor,
  have: number,
  reasons: ReadonlyMap<number, string>,
): MoyaiError {
  const why = [...reasons.values()].join('; ')
  return new MoyaiError(
    'UNRECOVERABLE',
    `pack ${toHex(stripe.pack).slice(0, 8)}: ${have} of ${stripe.k} shards could be read: ${why}`,
    { hint: 'bring back a host that holds shards of this vault and try again' },
  )
}
