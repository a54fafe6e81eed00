/**
 * Makes shards of a stripe from others, range by range: all that are wanted from one reading of the
 * sources. Holds one range of each source and of each wanted shard.
 */

import { assert, defined, equalBytes, GroupHasher, isMoyaiError, MoyaiError } from '@moyai/protocol'
import type { Codec, StripeDescriptor } from '@moyai/protocol'

import type { ShardRanges } from './repair-reading.ts'
import type { PutSink } from './repair-sink.ts'

/** Coded at a time: 48 of them take 3 ms with the kernel, and 50 ms without WebAssembly. */
const SLICE_BYTES: number = 64 * 1024

/** Where a shard can be read. */
export type RepairSource = { index: number; host: string }

export type RebuildOptions = {
  stripe: StripeDescriptor
  /** Best first; several of one index are fine. */
  sources: readonly RepairSource[]
  /** The puts, by index. */
  sinks: ReadonlyMap<number, PutSink>
  /** Read at a time of each source; a multiple of GROUP_BYTES. */
  rangeBytes: number
  open: (source: RepairSource, offset: number) => Promise<ShardRanges>
  /** A source could not give its shard. */
  onFailed: (source: RepairSource, error: unknown) => Promise<void>
  /** Asked before the last bytes of a shard go: false when its holder is not to have it. */
  mayEnd: (index: number) => Promise<boolean>
  /** Called before each range with the bytes that it moves over the network. */
  pace: (bytes: number) => Promise<void>
  isRemote: (host: string) => boolean
  onFetched: (bytes: number) => void
  codec: Codec
  breathe: () => Promise<unknown>
  signal: AbortSignal
}

type Open = { source: RepairSource; ranges: ShardRanges }

/**
 * Feeds the sinks to their ends. NOT_ENOUGH_SHARDS when sources run out; HASH_MISMATCH when what is
 * made is not what the owner signed, though every source is; ABORTED. After an error no sink has
 * got its last bytes.
 */
export async function rebuildShards(o: RebuildOptions): Promise<void> {
  const reading = new Reading(o)
  const hashers = new Map([...o.sinks.keys()].map((index) => [index, new GroupHasher()]))
  const { shardLength, k, m } = o.stripe
  const { rangeBytes } = o
  const scratch = o.codec.allocate((k + m) * Math.min(SLICE_BYTES, shardLength))
  try {
    for (let offset = 0; offset < shardLength; offset += rangeBytes) {
      o.signal.throwIfAborted()
      const length = Math.min(rangeBytes, shardLength - offset)
      const active = [...o.sinks].filter(([, sink]) => !sink.isSettled)
      if (active.length === 0) return
      await o.pace(reading.remoteBytes(length) + active.length * length)
      const read = await reading.range(offset, length)
      const wanted = active.map(([index]) => index)
      const made = await decode(o, { wanted, read, length, scratch })
      for (const [index, bytes] of made) defined(hashers.get(index), 'a hasher').update(bytes)
      if (offset + length === shardLength) check(o.stripe, wanted, hashers)
      const isLast = offset + length === shardLength
      const pushed = active.map(async ([index, sink]) => {
        if (!isLast || (await o.mayEnd(index))) await sink.push(defined(made.get(index), 'a shard'))
        else sink.fail(new MoyaiError('HOST_REFUSED', 'the holder has another shard by now'))
      })
      await Promise.all(pushed)
    }
    for (const sink of o.sinks.values()) sink.end()
  } finally {
    await reading.close()
  }
}

function check(
  { shardHashes }: StripeDescriptor,
  wanted: readonly number[],
  hashers: ReadonlyMap<number, GroupHasher>,
): void {
  for (const index of wanted) {
    const { root } = defined(hashers.get(index), 'a hasher').digest()
    if (equalBytes(root, defined(shardHashes[index], 'a hash'))) continue
    throw new MoyaiError('HASH_MISMATCH', 'the shards of this stripe do not belong together')
  }
}

/** The bytes of this range of each of `wanted`. */
async function decode(
  o: RebuildOptions,
  range: {
    wanted: readonly number[]
    read: ReadonlyMap<number, Uint8Array>
    length: number
    scratch: Uint8Array
  },
): Promise<Map<number, Uint8Array>> {
  const { k, m } = o.stripe
  const { wanted, read, length } = range
  const made = new Map<number, Uint8Array>()
  for (const index of wanted) made.set(index, read.get(index) ?? new Uint8Array(length))
  if (wanted.every((index) => read.has(index))) return made
  const present = Array.from({ length: k + m }, (_, index) => read.has(index))
  const slice = Math.min(SLICE_BYTES, length)
  for (let at = 0; at < length; at += slice) {
    const step = Math.min(slice, length - at)
    const work = range.scratch.subarray(0, (k + m) * step)
    for (const [index, bytes] of read) work.set(bytes.subarray(at, at + step), index * step)
    o.codec.reconstruct({ k, m }, step, work, present, wanted)
    for (const [index, bytes] of made) {
      if (!read.has(index)) bytes.set(work.subarray(index * step, (index + 1) * step), at)
    }
    if (at + step < length) await o.breathe()
  }
  return made
}

/** The sources in use: `k` of them, or the very shards that are wanted; others where one fails. */
class Reading {
  readonly #o: RebuildOptions
  readonly #spare: RepairSource[]
  #open: Open[] = []

  constructor(o: RebuildOptions) {
    this.#o = o
    this.#spare = [...o.sources]
  }

  /** Bytes that the next range takes from other hosts, about. */
  remoteBytes(length: number): number {
    if (this.#open.length === 0) return this.#o.stripe.k * length
    return this.#open.filter(({ source }) => this.#o.isRemote(source.host)).length * length
  }

  /** That range of as many different shards as are needed, by index. */
  async range(offset: number, length: number): Promise<Map<number, Uint8Array>> {
    const read = new Map<number, Uint8Array>()
    for (;;) {
      await this.#ensure(offset)
      const todo = this.#open.filter(({ source }) => !read.has(source.index))
      if (todo.length === 0) return read
      await Promise.all(todo.map((one) => this.#next(one, length, read)))
    }
  }

  async #next(one: Open, length: number, read: Map<number, Uint8Array>): Promise<void> {
    const o = this.#o
    try {
      const bytes = await one.ranges.next(length)
      assert(bytes.length === length, 'the range that was asked for')
      read.set(one.source.index, bytes)
      if (o.isRemote(one.source.host)) o.onFetched(length)
    } catch (error) {
      o.signal.throwIfAborted()
      this.#open = this.#open.filter((other) => other !== one)
      await one.ranges.close()
      await o.onFailed(one.source, error)
    }
  }

  /** Opens sources at `offset` until there are enough. */
  async #ensure(offset: number): Promise<void> {
    const { k } = this.#o.stripe
    for (;;) {
      const have = new Set(this.#open.map(({ source }) => source.index))
      const wanted = [...this.#o.sinks.keys()]
      if (wanted.length <= k && wanted.every((index) => have.has(index))) return
      if (have.size >= k) return
      const at = this.#choose(have, wanted)
      if (at < 0) {
        throw new MoyaiError('NOT_ENOUGH_SHARDS', 'too few holders can be read now', {
          data: { present: have.size, needed: k },
        })
      }
      const [source] = this.#spare.splice(at, 1)
      await this.#tryOpen(defined(source, 'a source'), offset)
    }
  }

  /** Shards that are wanted are copied where they can be read; else the best source. */
  #choose(have: ReadonlySet<number>, wanted: readonly number[]): number {
    const isNew = ({ index }: RepairSource): boolean => !have.has(index)
    const copy = this.#spare.findIndex((one) => isNew(one) && wanted.includes(one.index))
    return copy >= 0 ? copy : this.#spare.findIndex(isNew)
  }

  async #tryOpen(source: RepairSource, offset: number): Promise<void> {
    try {
      this.#open.push({ source, ranges: await this.#o.open(source, offset) })
    } catch (error) {
      this.#o.signal.throwIfAborted()
      await this.#o.onFailed(source, error)
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#open.map(({ ranges }) => ranges.close()))
    this.#open = []
  }
}

/** Whether an error says that a host does not have the shard it was asked for. */
export function isSourceAtFault(error: unknown): boolean {
  return isMoyaiError(error, 'HASH_MISMATCH', 'TRUNCATED', 'NOT_FOUND', 'SHARD_DAMAGED')
}
