/**
 * Witnessing: what a host may accept into its copy of a vault's log, and what proves that a vault
 * forked it (spec/vault-log.md §3–4). Decisions only; persisting and signing receipts is for
 * services.
 */

import { equalBytes } from '../bytes.ts'
import { MoyaiError } from '../errors.ts'
import { logEntryId, NO_ENTRY, openLogEntry, type LogEntry } from './entry.ts'

/** The last entry of a vault's log. */
export type LogHead = { vault: Uint8Array; seq: number; id: Uint8Array }

/** Why an entry is not accepted: codes of errors.ts. */
export type WitnessRefusal = 'LOG_GAP' | 'LOG_FORK' | 'LOG_KNOWN'

export type WitnessDecision =
  | { accept: true; entry: LogEntry; id: Uint8Array }
  | { accept: false; refuse: WitnessRefusal; entry: LogEntry; id: Uint8Array }

function refusal(o: {
  head: LogHead | undefined
  entry: LogEntry
  id: Uint8Array
  stored: Uint8Array | undefined
}): WitnessRefusal | undefined {
  const { head, entry, id, stored } = o
  if (head === undefined) return entry.seq === 0 ? undefined : 'LOG_GAP'
  if (entry.seq > head.seq + 1) return 'LOG_GAP'
  if (entry.seq === head.seq + 1) return equalBytes(entry.prev, head.id) ? undefined : 'LOG_FORK'
  const kept = entry.seq === head.seq ? head.id : stored
  return kept === undefined || equalBytes(kept, id) ? 'LOG_KNOWN' : 'LOG_FORK'
}

/**
 * Whether `envelope` is the next entry after `head` (undefined: nothing is known of its vault).
 * `stored` is the id that the host keeps at the entry's `seq`, if that is below the head: it tells
 * a fork in the past from an entry that is known. Throws what `openLogEntry` throws, and MALFORMED
 * when head and entry are of different vaults.
 */
export function witness(o: {
  head: LogHead | undefined
  envelope: Uint8Array
  stored?: Uint8Array | undefined
}): WitnessDecision {
  const entry = openLogEntry(o.envelope)
  const id = logEntryId(o.envelope)
  if (o.head !== undefined && !equalBytes(o.head.vault, entry.vault)) {
    throw new MoyaiError('MALFORMED', 'vault-log entry: of another vault than its head')
  }
  const refuse = refusal({ head: o.head, entry, id, stored: o.stored })
  return refuse === undefined ? { accept: true, entry, id } : { accept: false, refuse, entry, id }
}

/**
 * True when the two envelopes prove that their vault signed two histories: different entries at one
 * place, or an entry that does not follow the one at the place before. Anybody can check it; order
 * does not matter. Throws what `openLogEntry` throws.
 */
export function isForkProof(a: Uint8Array, b: Uint8Array): boolean {
  const first = { entry: openLogEntry(a), id: logEntryId(a) }
  const second = { entry: openLogEntry(b), id: logEntryId(b) }
  if (!equalBytes(first.entry.vault, second.entry.vault)) return false
  if (first.entry.seq === second.entry.seq) return !equalBytes(first.id, second.id)
  const [older, newer] = first.entry.seq < second.entry.seq ? [first, second] : [second, first]
  return older.entry.seq + 1 === newer.entry.seq && !equalBytes(newer.entry.prev, older.id)
}

/**
 * The entries of `vault` in consecutive envelopes from `after` on (undefined: from the first), each
 * checked against the one before. Stops with the refusal at the first that does not follow. Throws
 * what `witness` throws.
 */
export function followChain(
  vault: Uint8Array,
  after: LogHead | undefined,
  envelopes: readonly Uint8Array[],
): { accepted: { entry: LogEntry; id: Uint8Array }[]; refused?: WitnessRefusal } {
  const accepted: { entry: LogEntry; id: Uint8Array }[] = []
  let head = after
  for (const envelope of envelopes) {
    const decision = witness({ head, envelope })
    if (!equalBytes(decision.entry.vault, vault)) {
      throw new MoyaiError('MALFORMED', 'vault-log entry: of another vault than was asked for')
    }
    if (!decision.accept) return { accepted, refused: decision.refuse }
    accepted.push({ entry: decision.entry, id: decision.id })
    head = { vault, seq: decision.entry.seq, id: decision.id }
  }
  return { accepted }
}

/** Where the next entry after `head` goes: `seq` and `prev` of it. */
export function nextPlace(head: LogHead | undefined): { seq: number; prev: Uint8Array } {
  return head === undefined ? { seq: 0, prev: NO_ENTRY } : { seq: head.seq + 1, prev: head.id }
}
