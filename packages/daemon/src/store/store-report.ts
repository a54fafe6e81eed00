/**
 * What a store tells: progress while it runs, a summary at its end. Names are those of `--json`.
 */

import { toHex } from '@moyai/protocol'
import type { CodePlan, StoreStatusEvent, StoreSummary } from '@moyai/protocol'

import type { Appended } from './ports.ts'
import type { SharedState } from './shared-state.ts'
import type { WalkCounts } from './walk-counts.ts'

/** The codes of a store; undefined in a dry run. */
export type Codes = { data: CodePlan; meta: CodePlan }

export type Progress = {
  counts: WalkCounts
  state: SharedState
  seconds: number
  bytesSent: number
  current: string
  phase: StoreStatusEvent['phase']
  /** Whether all files are known. */
  walked: boolean
}

export function statusEvent(o: Progress): StoreStatusEvent {
  const { counts, state, seconds, walked } = o
  const read = state.read('bytesRead')
  const done = Math.min(counts.bytes, counts.bytes - counts.bytesToRead + read)
  const share = walked || counts.bytes === 0 ? 1 : done / counts.bytes
  const rate = read / Math.max(0.001, seconds)
  return {
    message_type: 'status',
    seconds_elapsed: Math.round(seconds * 10) / 10,
    seconds_remaining: walked && rate > 0 ? Math.round((counts.bytes - done) / rate) : null,
    percent_done: walked ? share : null,
    total_files: counts.files,
    files_done: counts.filesDone,
    total_bytes: counts.bytes,
    bytes_done: done,
    bytes_sent: o.bytesSent,
    error_count: counts.errors,
    current_files: o.current === '' ? [] : [o.current],
    phase: o.phase,
  }
}

export type Outcome = {
  counts: WalkCounts
  state: SharedState
  /** ms since the epoch. */
  began: number
  ended: number
  seconds: number
  bytesSent: number
  shardsSent: number
  /** Shards of this vault that no host keeps yet. */
  missing: number
  codes: Codes | undefined
  appended: Appended | undefined
}

export function summaryOf(o: Outcome): StoreSummary {
  const { counts, state, codes, appended } = o
  const added = state.read('dataBytesAdded') + state.read('treeBytesAdded')
  const confirmed = appended?.confirmed.length ?? 0
  return {
    message_type: 'summary',
    dry_run: codes === undefined,
    files_new: counts.filesNew,
    files_changed: counts.filesChanged,
    files_unmodified: counts.filesUnmodified,
    dirs_new: counts.dirsNew,
    dirs_changed: counts.dirsChanged,
    dirs_unmodified: counts.dirsUnmodified,
    data_blobs: state.read('dataBlobs'),
    tree_blobs: state.read('treeBlobs'),
    data_added: codes === undefined ? counts.bytesToRead : added,
    data_added_packed: state.read('packedBytes'),
    total_files_processed: counts.files,
    total_bytes_processed: counts.bytes,
    bytes_sent: o.bytesSent,
    shards_sent: o.shardsSent,
    packs_added: state.read('packs'),
    error_count: counts.errors,
    backup_start: new Date(o.began).toISOString(),
    backup_end: new Date(o.ended).toISOString(),
    total_duration: o.seconds,
    snapshot_id: appended === undefined ? null : toHex(appended.id),
    state: stateOf(o),
    missing_shards: o.missing,
    confirmed_by: confirmed,
    reachable_hosts: confirmed + (appended?.unconfirmed.length ?? 0),
    code: codes === undefined ? '' : `${codes.data.code.k}+${codes.data.code.m}`,
  }
}

/** The word for what was committed: evidence only, never what was intended. */
function stateOf(o: Outcome): StoreSummary['state'] {
  const { missing, codes, appended } = o
  if (codes === undefined || appended === undefined) return 'empty'
  if (missing > 0 || !appended.majority) return 'settling'
  return codes.data.met && codes.meta.met ? 'protected' : 'degraded'
}
