/**
 * Decisions of the daemon, broken on purpose: each has to make the simulator fail, or its checkers
 * are worth nothing. Those of surplus copies are broken in the store (store.ts, world.ts).
 */

import type { RepairDecisions } from '@moyai/daemon'
import { repairTargets } from '@moyai/protocol'

import type { World } from './world.ts'

/** `cap`: repairs put shards wherever there is room, two or more at one place. */
export function repairDecisions(world: World): Partial<RepairDecisions> {
  if (world.o.mutation !== 'cap') return {}
  const policy = { host: 1, site: 0, provider: 0, org: 0 }
  return { targets: (o) => repairTargets({ ...o, policy }) }
}
