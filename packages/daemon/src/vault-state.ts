/**
 * Brings what is local of this host's vault in line with the pool: the log, when it was lost, and
 * the index, when it lacks what the log names. Nothing local is precious; this is where that is
 * made true.
 */

import {
  isMoyaiError,
  openLogEntry,
  openSnapshot,
  toHex,
  type VaultBundle,
  vaultSigner,
} from '@moyai/protocol'

import type { Logger } from './logger.ts'
import type { Membership } from './membership/index.ts'
import type { VaultLog } from './retrieve/index.ts'
import type { IndexRebuilder, VaultIndex } from './store/index.ts'

export type VaultStateComponents = {
  membership: Membership
  index: VaultIndex
  rebuilder: IndexRebuilder
  logger: Logger
}

export class VaultState {
  readonly #bundle: VaultBundle
  readonly #vault: Uint8Array
  readonly #c: VaultStateComponents
  /** Entries below this number are known to be in the index. */
  #indexedTo = 0
  #running: Promise<void> | undefined

  constructor(bundle: VaultBundle, components: VaultStateComponents) {
    this.#bundle = bundle
    this.#vault = vaultSigner(bundle).publicKey
    this.#c = components
  }

  /** The log of this vault as it is on this disk, oldest entry first. */
  get log(): VaultLog {
    return { entries: () => this.#entries(0) }
  }

  #entries(from: number): AsyncIterable<Uint8Array> {
    return this.#c.membership.logs.entries(this.#vault, from)
  }

  /** Hosts (hex) whose receipts for the newest entry are here. */
  async confirmations(): Promise<string[]> {
    const { logs } = this.#c.membership
    const head = await logs.head(this.#vault)
    return head === undefined ? [] : logs.confirmations(this.#vault, head.seq)
  }

  /**
   * Pulls the log when it was lost and rebuilds the index when the log names packs that it does not
   * know. What cannot be reached is left out and tried again next time. One at a time; callers at
   * once share it. Resolves with whether the log here is known to be whole.
   */
  async ensure(signal: AbortSignal): Promise<boolean> {
    for (;;) {
      this.#running ??= this.#ensure(signal).finally(() => {
        this.#running = undefined
      })
      try {
        await this.#running
        break
      } catch (error) {
        // The caller that began it went away; the others still need it.
        if (signal.aborted || !isMoyaiError(error, 'ABORTED')) throw error
      }
    }
    const { membership } = this.#c
    return membership.state() === undefined || membership.ownLog.isComplete()
  }

  async #ensure(signal: AbortSignal): Promise<void> {
    const { membership, index, rebuilder } = this.#c
    if (membership.state() === undefined) return
    if (!(await membership.ownLog.isComplete())) await membership.ownLog.pullHeads()
    let seq = this.#indexedTo
    for await (const envelope of this.#entries(seq)) {
      const entry = openLogEntry(envelope)
      const snapshot = openSnapshot(this.#bundle, entry)
      for (const pack of snapshot.indexPacks) {
        if ((await index.stripe(pack)) !== undefined) continue
        this.#c.logger.warn({ seq, pack: toHex(pack) }, 'the index lacks what the log names')
        const { missing } = await rebuilder.rebuild({ entries: this.#entries(0), signal })
        if (missing.length === 0) this.#indexedTo = entry.seq
        return
      }
      seq = entry.seq + 1
    }
    this.#indexedTo = seq
  }
}
