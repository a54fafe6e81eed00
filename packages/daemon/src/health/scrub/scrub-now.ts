/** `moyai scrub`: everything now, in the names of `--json`. */

import { type Clock, type ScrubStatusEvent, type ScrubSummary, toHex } from '@moyai/protocol'

import type { ScrubService } from './scrub-service.ts'

export async function scrubNow(
  { scrub, clock }: { scrub: ScrubService; clock: Clock },
  o: { signal: AbortSignal; onEvent: (event: ScrubStatusEvent) => void },
): Promise<ScrubSummary> {
  const began = clock.monotonic()
  const found = await scrub.scrub({
    signal: o.signal,
    onProgress: ({ shards, bytes, bytesTotal, damaged }) =>
      o.onEvent({
        message_type: 'status',
        shards_read: shards,
        bytes_read: bytes,
        bytes_total: bytesTotal,
        num_damaged: damaged,
      }),
  })
  return {
    message_type: 'summary',
    shards_read: found.shards,
    bytes_read: found.bytes,
    seconds_elapsed: Math.round((clock.monotonic() - began) / 100) / 10,
    num_damaged: found.damagedCount,
    damaged: found.damaged.map(({ vault, pack, index }) => ({
      vault: toHex(vault),
      pack: toHex(pack),
      index,
    })),
  }
}
