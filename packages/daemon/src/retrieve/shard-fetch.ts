/** One range of one shard from one host, with a limit on how long to wait for it. */

import { assert, MoyaiError, toMoyaiError } from '@moyai/protocol'
import type { Clock, StripeDescriptor } from '@moyai/protocol'

import type { ShardSource } from './ports.ts'

/**
 * How long a host may take: `stallMs` without a byte; `bytesPerSecond` is the slowest whole answer.
 */
export type Patience = { stallMs: number; bytesPerSecond: number }

/** While others could answer instead. */
export const BRISK: Patience = { stallMs: 3000, bytesPerSecond: 16 * 1024 }
/** When nobody else can. */
export const PATIENT: Patience = { stallMs: 30_000, bytesPerSecond: 0 }

export type ShardFetch = {
  source: ShardSource
  stripe: StripeDescriptor
  index: number
  offset: number
  length: number
  clock: Clock
  patience: Patience
  /** As `ShardHosts.isHeldBack`. */
  isHeldBack?: (() => boolean) | undefined
  signal: AbortSignal
}

/** How often the watch looks. */
const TICK_MS = 500

/**
 * Fills `into` with the bytes of the range, verified by the source against the stripe's signed hash
 * of that shard. TIMED_OUT when the host is slower than `patience`; otherwise what the source
 * throws.
 */
export async function fetchRange(o: ShardFetch, into: Uint8Array): Promise<void> {
  assert(into.length === o.length, 'room for the range')
  let filled = 0
  await streamRange(o, (part) => {
    if (filled + part.length > into.length) {
      throw new MoyaiError('PROTOCOL_VIOLATION', 'more bytes than were asked for')
    }
    into.set(part, filled)
    filled += part.length
  })
}

/** Like `fetchRange`, but keeps nothing: each verified part goes to `onPart`. */
export async function streamRange(
  o: ShardFetch,
  onPart: (part: Uint8Array) => void,
): Promise<void> {
  const { stripe, index, offset, length, clock, patience } = o
  const root = stripe.shardHashes[index]
  assert(root !== undefined, 'a shard of the stripe')
  const stop = new AbortController()
  const signal = AbortSignal.any([o.signal, stop.signal])
  const begun = clock.monotonic()
  const watch = { at: begun, total: deadline(begun, length, patience) }
  const watching = watchStall(o, watch, stop)
  const { vault, pack, shardLength } = stripe
  let got = 0
  const range = { vault, pack, index, offset, length, root, shardLength, signal }
  const iterator = o.source.get(range)[Symbol.asyncIterator]()
  const aborted = rejectOnAbort(signal)
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted.promise])
      if (next.done === true) break
      watch.at = clock.monotonic()
      got += next.value.length
      onPart(next.value)
    }
    if (got !== length) throw new MoyaiError('TRUNCATED', 'fewer bytes than were asked for')
  } catch (error) {
    throw stop.signal.aborted && !o.signal.aborted ? toMoyaiError(stop.signal.reason) : error
  } finally {
    aborted.stop()
    stop.abort(new MoyaiError('ABORTED', 'the range is complete'))
    // a source that hangs must not hold us: its end is not waited for
    iterator.return?.().catch(() => undefined)
    await watching
  }
}

function deadline(begun: number, length: number, patience: Patience): number {
  if (patience.bytesPerSecond === 0) return Number.POSITIVE_INFINITY
  return begun + patience.stallMs + (1000 * length) / patience.bytesPerSecond
}

async function watchStall(
  { clock, patience, isHeldBack }: ShardFetch,
  watch: { at: number; total: number },
  stop: AbortController,
): Promise<void> {
  try {
    for (;;) {
      const before = clock.monotonic()
      await clock.sleep(TICK_MS, stop.signal)
      const now = clock.monotonic()
      if (isHeldBack?.() === true) {
        watch.at = now
        watch.total += now - before
      }
      if (now - watch.at < patience.stallMs && now < watch.total) continue
      stop.abort(new MoyaiError('TIMED_OUT', 'the host is too slow'))
      return
    }
  } catch {
    // the range ended: nothing left to watch
  }
}

function rejectOnAbort(signal: AbortSignal): { promise: Promise<never>; stop: () => void } {
  let onAbort: () => void = () => undefined
  const promise = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(toMoyaiError(signal.reason, 'ABORTED'))
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
  promise.catch(() => undefined) // an abort after the race is no unhandled rejection
  return { promise, stop: () => signal.removeEventListener('abort', onAbort) }
}
