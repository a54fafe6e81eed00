/** `moyai repair`: what the daemon does by itself, now. */

import { MoyaiError, toHex } from '@moyai/protocol'
import type { Clock, RepairStatusEvent, RepairSummary } from '@moyai/protocol'

import type { RepairService } from './repair-service.ts'

/** Lost stripes named in a summary. */
const LOST_LISTED_MAX = 100

export type RepairNowComponents = {
  /** Absent while this host is in no pool. */
  repair?: Pick<RepairService, 'now' | 'stats'> | undefined
  clock: Clock
}

/** Repairs what can be repaired at once. NO_POOL; ABORTED. */
export async function repairNow(
  { repair, clock }: RepairNowComponents,
  o: { signal: AbortSignal; onEvent: (event: RepairStatusEvent) => void },
): Promise<RepairSummary> {
  if (repair === undefined) throw new MoyaiError('NO_POOL', 'this host is in no pool yet')
  const begun = clock.monotonic()
  const before = repair.stats()
  const figures = (): Omit<RepairStatusEvent, 'message_type'> => {
    const { repaired, shards, bytesFetched, bytesPlaced, queue } = repair.stats()
    return {
      stripes_repaired: repaired - before.repaired,
      shards_placed: shards - before.shards,
      bytes_fetched: bytesFetched - before.bytesFetched,
      bytes_placed: bytesPlaced - before.bytesPlaced,
      stripes_left: queue,
    }
  }
  await repair.now({
    signal: o.signal,
    onProgress: () => o.onEvent({ message_type: 'status', ...figures() }),
  })
  const { lost } = repair.stats()
  return {
    message_type: 'summary',
    ...figures(),
    seconds_elapsed: Math.round((clock.monotonic() - begun) / 100) / 10,
    stripes_lost: lost.count,
    lost: lost.stripes.slice(0, LOST_LISTED_MAX).map(({ vault, pack, have, need }) => {
      return { vault: toHex(vault), pack: toHex(pack), have, need }
    }),
  }
}
