/** What the pool's log says of hosts that are not there, as liveness takes it. */

import { type PoolState, toHex } from '@moyai/protocol'

import type { SaidAbsence } from './ports.ts'

const said = new WeakMap<PoolState, ReadonlyMap<string, SaidAbsence>>()
const NOTHING: ReadonlyMap<string, SaidAbsence> = new Map()

/** What the pool's log says of hosts' absence, by host (hex): one map for one state. */
export function saidAbsences(state: PoolState | undefined): ReadonlyMap<string, SaidAbsence> {
  if (state === undefined) return NOTHING
  const known = said.get(state)
  if (known !== undefined) return known
  const absences = new Map<string, SaidAbsence>()
  for (const [id, { awayUntil, lost }] of state.hosts) {
    if (awayUntil === undefined && lost === undefined) continue
    absences.set(id, {
      ...(awayUntil === undefined ? {} : { awayUntil }),
      ...(lost === undefined ? {} : { lost: toHex(lost) }),
    })
  }
  said.set(state, absences)
  return absences
}
