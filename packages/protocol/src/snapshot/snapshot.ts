/**
 * Snapshots: one state of a source (spec/snapshot.md §1). A snapshot is the sealed body of a
 * vault-log entry; its id is that entry's.
 */

import { decodeAs, encodeCbor, fields, s, type CborMap, type Schema } from '../cbor/index.ts'
import { MoyaiError } from '../errors.ts'
import {
  EXCLUDE_LENGTH_MAX,
  HASH_BYTES,
  LABEL_LENGTH_MAX,
  PATH_BYTES_MAX,
  SNAPSHOT_BYTES_MAX,
  SNAPSHOT_EXCLUDES_MAX,
  SNAPSHOT_INDEX_PACKS_MAX,
  SNAPSHOT_PATHS_MAX,
  SNAPSHOT_TAGS_MAX,
  TIME_MAX,
  TREE_ENTRY_BYTES_MAX,
} from '../limits.ts'
import { decodeRootEntry, encodeRootEntry, type Entry } from '../tree/index.ts'

/** What a run met and did. Counts and bytes; absent means not counted. */
export type SnapshotStats = {
  files: number
  directories: number
  /** Symlinks, fifos, sockets and devices. */
  others: number
  /** Content of all files, holes included. */
  bytes: number
  /** Entries whose content or metadata is incomplete (their `error` says why). */
  errors: number
  filesNew?: number
  filesChanged?: number
  filesUnmodified?: number
  /** Content in chunks that the vault did not have. */
  bytesNew?: number
  /** The same after compression and sealing, before coding. */
  bytesSealed?: number
  /** Milliseconds that the run took. */
  duration?: number
}

/** One state of a source. */
export type Snapshot = {
  /** When the run began, ms since the epoch by the owner's clock: a claim. */
  time: number
  /** Name of the source; not empty. */
  source: string
  /** Absolute paths that were stored, raw bytes as in tree names. */
  paths: Uint8Array[]
  hostname: string
  username: string
  tags: string[]
  /** The directory that has everything, with an empty name. */
  root: Entry
  stats: SnapshotStats
  /** Id of the snapshot that unchanged files were taken over from. */
  parent?: Uint8Array
  /** Ids of the packs with the index segments that this run wrote. */
  indexPacks: Uint8Array[]
  /** Name and version of the program. */
  program: string
  excludes: string[]
  /**
   * True when something of the paths is missing: `stats.errors` is more than 0, or the run was told
   * to leave it.
   */
  partial: boolean
}

const count = s.int()
const STATS: Schema<SnapshotStats> = s.map({
  files: count,
  directories: count,
  others: count,
  bytes: count,
  errors: count,
  filesNew: s.optional(count),
  filesChanged: s.optional(count),
  filesUnmodified: s.optional(count),
  bytesNew: s.optional(count),
  bytesSealed: s.optional(count),
  duration: s.optional(count),
})
/**
 * Text that has a round trip: whole surrogate pairs, and no byte order mark that a decoder would
 * drop.
 */
const text = (o: { min?: number; max: number }): Schema<string> =>
  s.where(
    s.text(o),
    (value) => value.isWellFormed() && !value.startsWith('\uFEFF'),
    'well-formed text without a byte order mark',
  )
const label = text({ max: LABEL_LENGTH_MAX })
const id = s.bytes({ length: HASH_BYTES })
const SNAPSHOT: Schema<Omit<Snapshot, 'root'> & { v: 1; root: Uint8Array }> = s.map({
  v: s.version(1),
  time: s.int({ max: TIME_MAX }),
  source: text({ min: 1, max: LABEL_LENGTH_MAX }),
  paths: s.array(s.bytes({ max: PATH_BYTES_MAX }), { max: SNAPSHOT_PATHS_MAX }),
  hostname: label,
  username: label,
  tags: s.array(label, { max: SNAPSHOT_TAGS_MAX }),
  root: s.bytes({ max: TREE_ENTRY_BYTES_MAX }),
  stats: STATS,
  parent: s.optional(id),
  indexPacks: s.array(id, { max: SNAPSHOT_INDEX_PACKS_MAX }),
  program: label,
  excludes: s.array(text({ max: EXCLUDE_LENGTH_MAX }), { max: SNAPSHOT_EXCLUDES_MAX }),
  partial: s.bool(),
})

function toCbor(snapshot: Snapshot): CborMap {
  return fields({
    v: 1,
    time: snapshot.time,
    source: snapshot.source,
    paths: snapshot.paths,
    hostname: snapshot.hostname,
    username: snapshot.username,
    tags: snapshot.tags,
    root: encodeRootEntry(snapshot.root),
    stats: fields(snapshot.stats),
    parent: snapshot.parent,
    indexPacks: snapshot.indexPacks,
    program: snapshot.program,
    excludes: snapshot.excludes,
    partial: snapshot.partial,
  })
}

function checkRoot(root: Entry): void {
  if (root.type !== 'directory') {
    throw new MoyaiError('MALFORMED', 'snapshot: the root is no directory')
  }
}

/**
 * `snapshot` as canonical CBOR. MALFORMED or TOO_LARGE when a field breaks its limit: what a person
 * typed (tags, excludes) or a disk has (paths, the root's metadata) can.
 */
export function encodeSnapshot(snapshot: Snapshot): Uint8Array {
  checkRoot(snapshot.root)
  const value = toCbor(snapshot)
  SNAPSHOT.read(value, 'snapshot')
  const bytes = encodeCbor(value)
  if (bytes.length > SNAPSHOT_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', `snapshot of ${bytes.length} bytes`, {
      hint: 'name fewer paths, tags or excludes',
    })
  }
  return bytes
}

/** The snapshot in `bytes`. MALFORMED, TRUNCATED, TOO_LARGE or UNKNOWN_VERSION. */
export function decodeSnapshot(bytes: Uint8Array): Snapshot {
  const {
    v: _,
    root: rootBytes,
    ...rest
  } = decodeAs(SNAPSHOT, bytes, {
    bytesMax: SNAPSHOT_BYTES_MAX,
    what: 'snapshot',
  })
  const root = decodeRootEntry(rootBytes)
  checkRoot(root)
  return { ...rest, root }
}
