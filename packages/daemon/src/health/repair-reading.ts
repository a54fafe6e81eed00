/** Reading shards range by range, from this host's store and from others, each byte verified. */

import {
  defined,
  equalBytes,
  GROUP_BYTES,
  groupHashes,
  HASH_BYTES,
  MoyaiError,
} from '@moyai/protocol'
import type { Clock, StripeDescriptor } from '@moyai/protocol'

import type { ShardClient } from '../net/types.ts'
import type { ShardReader } from '../shard-store/index.ts'

/** A source that gives nothing for so long is given up: 256 KiB in it are 4 kB/s. */
const STALL_MS: number = 60 * 1000

/** One shard, read from the front to the end. */
export interface ShardRanges {
  /** The next `length` bytes, verified; a new buffer. What the source or its check throws. */
  next(length: number): Promise<Uint8Array>
  close(): Promise<void>
}

/** A shard of another host, from `offset` on. TIMED_OUT when it stalls. */
export function remoteRanges(o: {
  client: Pick<ShardClient, 'get'>
  stripe: StripeDescriptor
  index: number
  offset: number
  clock: Clock
  signal: AbortSignal
}): ShardRanges {
  const { vault, pack, shardLength, shardHashes } = o.stripe
  const stop = new AbortController()
  const signal = AbortSignal.any([o.signal, stop.signal])
  const root = defined(shardHashes[o.index], 'a shard of the stripe')
  const about = { vault, pack, index: o.index, root, shardLength, signal }
  const source = o.client.get({ ...about, offset: o.offset, length: shardLength - o.offset })
  const iterator = source[Symbol.asyncIterator]()
  let held: Uint8Array = new Uint8Array(0)
  const fill = async (into: Uint8Array): Promise<void> => {
    for (let filled = 0; filled < into.length;) {
      if (held.length === 0) {
        const next = await iterator.next()
        if (next.done === true) throw new MoyaiError('TRUNCATED', 'the shard ended early')
        held = next.value
      }
      const part = held.subarray(0, into.length - filled)
      into.set(part, filled)
      filled += part.length
      held = held.subarray(part.length)
    }
  }
  return {
    async next(length) {
      const into = new Uint8Array(length)
      await withinTime(o.clock, signal, fill(into))
      return into
    },
    async close() {
      stop.abort(new MoyaiError('ABORTED', 'the shard is not needed any more'))
      // a source that hangs must not hold us: its end is not waited for
      iterator.return?.()?.catch(() => undefined)
    },
  }
}

/** `work`, or TIMED_OUT after STALL_MS, or ABORTED when the signal aborts. */
async function withinTime<T>(clock: Clock, signal: AbortSignal, work: Promise<T>): Promise<T> {
  const done = new AbortController()
  const late = clock.sleep(STALL_MS, AbortSignal.any([signal, done.signal])).then(() => {
    throw new MoyaiError('TIMED_OUT', 'the host gives nothing')
  })
  late.catch(() => undefined) // it ends when the work does
  work.catch(() => undefined) // what comes after the time is up has nobody to tell
  try {
    return await Promise.race([work, late])
  } finally {
    done.abort(new MoyaiError('ABORTED', 'in time'))
  }
}

/**
 * A shard of this host's own store, from `offset` on, which is a multiple of GROUP_BYTES, as all
 * lengths but the last are. SHARD_DAMAGED.
 */
export function ownRanges(reader: ShardReader, offset: number): ShardRanges {
  let at = offset
  return {
    async next(length) {
      const bytes = await reader.read(at, length)
      const group = at / GROUP_BYTES
      const hashes = groupHashes(bytes, group)
      const from = group * HASH_BYTES
      if (!equalBytes(hashes, reader.groups.subarray(from, from + hashes.length))) {
        throw new MoyaiError('SHARD_DAMAGED', 'the shard is not what it was')
      }
      at += length
      return bytes
    },
    close: () => reader.close(),
  }
}
