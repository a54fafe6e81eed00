/**
 * Snapshots of this vault: listed from its log, named by id prefix or `latest`, and paths within
 * them.
 */

import {
  fromUtf8,
  logEntryId,
  MoyaiError,
  openLogEntry,
  openSnapshot,
  printable,
  toHex,
  utf8,
} from '@moyai/protocol'
import type { Entry, Snapshot, SnapshotInfo, VaultBundle } from '@moyai/protocol'

import type { TreeReader } from './tree-reader.ts'

/** The vault's own log: envelopes of its entries, oldest first. */
export type VaultLog = { entries(): AsyncIterable<Uint8Array> }

/** A snapshot with its id: the hash of its log entry, lowercase hex. */
export type NamedSnapshot = { id: string; seq: number; snapshot: Snapshot }

/** What a `SNAPSHOT[:PATH]` names. */
export type Resolved = {
  named: NamedSnapshot
  entry: Entry
  /** Names from the snapshot's root to `entry`; none for the root itself. */
  path: Uint8Array[]
}

/** Characters of an id that people are shown. */
const SHORT_ID_LENGTH = 8

/** All snapshots of the log, oldest first. Throws what decoding them throws. */
export async function* readSnapshots(
  log: VaultLog,
  bundle: VaultBundle,
): AsyncGenerator<NamedSnapshot> {
  for await (const envelope of log.entries()) {
    const entry = openLogEntry(envelope)
    if (entry.kind !== 'snapshot') continue
    const snapshot = openSnapshot(bundle, entry)
    yield { id: toHex(logEntryId(envelope)), seq: entry.seq, snapshot }
  }
}

/** What `--json` and lists show of a snapshot. */
export function snapshotInfo({ id, snapshot }: NamedSnapshot): SnapshotInfo {
  const { stats } = snapshot
  return {
    id,
    short_id: id.slice(0, SHORT_ID_LENGTH),
    time: new Date(snapshot.time).toISOString(),
    source: snapshot.source,
    hostname: snapshot.hostname,
    username: snapshot.username,
    paths: snapshot.paths.map((path) => Buffer.from(path).toString('utf8')),
    tags: [...snapshot.tags],
    summary: {
      total_files_processed: stats.files,
      total_bytes_processed: stats.bytes,
      error_count: stats.errors,
    },
    partial: snapshot.partial,
  }
}

/** Splits `SNAPSHOT[:PATH]`; ids have no colon, paths may have. */
export function parseReference(text: string): { snapshot: string; path: Uint8Array[] } {
  const colon = text.indexOf(':')
  const snapshot = colon < 0 ? text : text.slice(0, colon)
  const names = colon < 0 ? [] : text.slice(colon + 1).split('/')
  const path = names.filter((name) => name !== '' && name !== '.').map((name) => utf8(name))
  if (names.includes('..')) {
    throw new MoyaiError('USAGE', 'a path in a snapshot cannot have ".."')
  }
  return { snapshot, path }
}

/**
 * The snapshot called `name`: `latest`, or the start of exactly one id. SNAPSHOT_UNKNOWN,
 * SNAPSHOT_AMBIGUOUS.
 */
export async function findSnapshot(
  log: VaultLog,
  bundle: VaultBundle,
  name: string,
): Promise<NamedSnapshot> {
  let found: NamedSnapshot | undefined
  let matches = 0
  const isPrefix = /^[0-9a-f]{1,64}$/.test(name)
  for await (const named of readSnapshots(log, bundle)) {
    if (name !== 'latest' && !(isPrefix && named.id.startsWith(name))) continue
    found = named // the log is in order: the last one is the latest
    matches += 1
  }
  if (found === undefined) {
    const shown = printable(name)
    throw new MoyaiError(
      'SNAPSHOT_UNKNOWN',
      name === 'latest' ? 'there is no snapshot yet' : `no snapshot is called "${shown}"`,
      { hint: '"moyai snapshots" lists them' },
    )
  }
  if (name !== 'latest' && matches > 1) {
    throw new MoyaiError('SNAPSHOT_AMBIGUOUS', `${matches} snapshots start with "${name}"`, {
      hint: 'give more characters of the id',
    })
  }
  return found
}

/**
 * The entry at `path` below the snapshot's root. Where there is none, a path that begins with the
 * one stored folder's own path is understood, too. PATH_UNKNOWN.
 */
export async function findPath(
  trees: TreeReader,
  named: NamedSnapshot,
  path: Uint8Array[],
  signal: AbortSignal,
): Promise<Resolved> {
  const direct = await descend(trees, named.snapshot.root, path, signal)
  if (direct !== undefined) return { named, entry: direct, path }
  const inner = withoutSource(named.snapshot, path)
  const entry =
    inner === undefined ? undefined : await descend(trees, named.snapshot.root, inner, signal)
  if (entry !== undefined && inner !== undefined) return { named, entry, path: inner }
  const shown = printable(Buffer.concat(path.flatMap((name) => [name, utf8('/')])).subarray(0, -1))
  throw new MoyaiError('PATH_UNKNOWN', `the snapshot has no "${shown}"`, {
    hint: `"moyai ls ${named.id.slice(0, SHORT_ID_LENGTH)}" lists what it has`,
  })
}

async function descend(
  trees: TreeReader,
  root: Entry,
  path: readonly Uint8Array[],
  signal: AbortSignal,
): Promise<Entry | undefined> {
  let entry: Entry | undefined = root
  for (const name of path) {
    if (entry.type !== 'directory') return undefined
    entry = await trees.find(entry, name, signal)
    if (entry === undefined) return undefined
  }
  return entry
}

/**
 * `path` without the leading components of the single folder that was stored; undefined when it is
 * not below it.
 */
function withoutSource(snapshot: Snapshot, path: Uint8Array[]): Uint8Array[] | undefined {
  const [source, ...others] = snapshot.paths
  if (source === undefined || others.length > 0) return undefined
  const wanted = path.map((name) => Buffer.from(name).toString('latin1'))
  const above = Buffer.from(source)
    .toString('latin1')
    .split('/')
    .filter((name) => name !== '')
  if (above.some((name, i) => wanted[i] !== name)) return undefined
  return path.slice(above.length)
}

/**
 * Raw names as a path for people and `--json`: UTF-8 where it is, with the replacement character
 * where not.
 */
export function shownPath(names: readonly Uint8Array[]): string {
  return names.map(shownName).join('/')
}

export function shownName(name: Uint8Array): string {
  try {
    return fromUtf8(name)
  } catch {
    return printable(name)
  }
}
