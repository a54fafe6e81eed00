/** What becomes of answers: whereabouts, trust and the counts of the report. */

import { type AuditVerdict, noteVerdict, type Clock } from '@moyai/protocol'

import type { Logger } from '../../logger.ts'
import type { AuditAnswer } from '../../net/types.ts'
import { type HolderState, shardName } from './audit-state.ts'
import type { Whereabouts } from '../ports.ts'
import type { Trust } from './trust.ts'

export type AuditedShard = {
  pack: Uint8Array
  /** Hex of the pack. */
  name: string
  index: number
  /** It was known that the holder does not have it. */
  isRefuted: boolean
  result: AuditAnswer['result'] | 'late' | 'proxied'
}

export type VerdictComponents = {
  whereabouts: Pick<Whereabouts, 'confirm' | 'refute'>
  trust: Pick<Trust, 'note'>
  clock: Clock
  logger: Logger
}

export class AuditVerdicts {
  readonly #vault: Uint8Array
  readonly #c: VerdictComponents
  /** Shards noted so far. */
  asked = 0

  constructor(vault: Uint8Array, components: VerdictComponents) {
    this.#vault = vault
    this.#c = components
  }

  /** Carries out what the answers of one holder mean; its state takes in the counts. */
  async note(state: HolderState, shards: readonly AuditedShard[]): Promise<void> {
    const { whereabouts, trust, clock, logger } = this.#c
    const { host } = state
    const verdicts: { verdict: AuditVerdict; shard: string }[] = []
    for (const { pack, name, index, isRefuted, result } of shards) {
      this.asked++
      const place = { vault: this.#vault, pack, index, host }
      const verdict = verdictOf(result)
      if (verdict === 'proved') await whereabouts.confirm(place)
      else if (verdict !== 'late') {
        await whereabouts.refute(place)
        logger.warn({ host, pack: name, index, result }, 'audit: a shard was not proved')
      }
      // That it still does not have what it did not have is no new failure.
      if (verdict === 'failed' && isRefuted) continue
      const shard = shardName(name, index)
      state.days = noteVerdict(state.days, { verdict, shard, now: clock.now() })
      verdicts.push({ verdict, shard })
    }
    await trust.note(host, verdicts)
  }
}

function verdictOf(result: AuditedShard['result']): AuditVerdict {
  return result === 'proved' || result === 'late' || result === 'proxied' ? result : 'failed'
}
