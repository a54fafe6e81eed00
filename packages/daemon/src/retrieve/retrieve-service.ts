/**
 * Retrieve: snapshots listed, looked into and restored, every byte verified.
 *
 * What cannot be had is named path by path and everything else is restored; a restore that was
 * interrupted goes on where it was when it is run again. Absent today: dump of one file to a
 * stream, mounts, and platforms other than Linux beyond what Node itself can do there.
 */

import { MoyaiError, vaultSigner } from '@moyai/protocol'
import type {
  Clock,
  Entry,
  LsEntryEvent,
  LsParams,
  RetrieveParams,
  RetrieveSummary,
  SnapshotInfo,
  VaultBundle,
} from '@moyai/protocol'

import type { PackIndex, ShardHosts } from './ports.ts'
import { Reading } from './reading.ts'
import { listed } from './listing.ts'
import { ThreadWriter } from './remote-writer.ts'
import { RestoreRun } from './restore-run.ts'
import { RestoreTally } from './restore-tally.ts'
import type { RestoreEvent } from './restore-tally.ts'
import { Selection } from './selection.ts'
import { findPath, findSnapshot, parseReference, readSnapshots } from './snapshots.ts'
import { shownPath, snapshotInfo } from './snapshots.ts'
import type { Resolved, VaultLog } from './snapshots.ts'
import type { Opening } from './threads/opening-pool.ts'
import { RestorePool } from './threads/restore-pool.ts'

export type RetrieveServiceOptions = { bundle: VaultBundle }

export type RetrieveServiceComponents = {
  index: PackIndex
  hosts: ShardHosts
  /** The log of this vault. */
  log: VaultLog
  clock: Clock
  /** Where blobs are opened; worker threads of its own when absent. */
  opening?: Opening
  /** Folder for rebuilt packs, which have no names there. */
  cache: string
}

/** How one retrieve is watched and stopped. */
export type RetrieveControl = { signal: AbortSignal; onEvent?: (event: RestoreEvent) => void }

/** See the head of this file. */
export class RetrieveService {
  readonly #bundle: VaultBundle
  readonly #components: RetrieveServiceComponents
  readonly #reading: Reading
  readonly #busy = new Set<string>()

  constructor(options: RetrieveServiceOptions, components: RetrieveServiceComponents) {
    this.#bundle = options.bundle
    this.#components = components
    this.#reading = new Reading(options.bundle, components)
  }

  /** What reads this vault: shared with the check. */
  get reading(): Reading {
    return this.#reading
  }

  async close(): Promise<void> {
    await this.#reading.close()
  }

  /** All snapshots of this vault, oldest first. */
  async snapshots(): Promise<SnapshotInfo[]> {
    const snapshots = readSnapshots(this.#components.log, this.#bundle)
    const infos: SnapshotInfo[] = []
    for await (const named of snapshots) infos.push(snapshotInfo(named))
    return infos
  }

  /**
   * What `SNAPSHOT[:PATH]` names. SNAPSHOT_UNKNOWN, SNAPSHOT_AMBIGUOUS, PATH_UNKNOWN; UNRECOVERABLE
   * when a directory on the way cannot be read.
   */
  async resolve(reference: string, signal: AbortSignal): Promise<Resolved> {
    const { snapshot, path } = parseReference(reference)
    const named = await findSnapshot(this.#components.log, this.#bundle, snapshot)
    return findPath(this.#reading.trees, named, path, signal)
  }

  /** The entries of a directory, with all below it when `recursive`; of anything else, itself. */
  async *ls(params: LsParams, signal: AbortSignal): AsyncGenerator<LsEntryEvent> {
    const { entry, path } = await this.resolve(params.snapshot, signal)
    const shown = (below: readonly Uint8Array[]): string => `/${shownPath([...path, ...below])}`
    if (entry.type !== 'directory') {
      yield listed(shown([]), entry)
      return
    }
    const { trees } = this.#reading
    if (!params.recursive) {
      for await (const one of trees.entries(entry, signal)) yield listed(shown([one.name]), one)
      return
    }
    for await (const step of trees.walk(entry, signal)) {
      if (step.op === 'problem') throw new MoyaiError(step.failure.code, step.failure.message)
      if (step.op === 'leave' || step.path.length === 0) continue
      yield listed(shown(step.path), step.entry)
    }
  }

  /**
   * Restores into `params.to`. Resolves also when files could not be restored: they are in the
   * summary and were told as events. Rejects when nothing can be done: what `resolve` throws,
   * USAGE, BUSY, NO_SPACE, ABORTED, DISK.
   */
  async retrieve(params: RetrieveParams, control: RetrieveControl): Promise<RetrieveSummary> {
    const { to } = params
    if (!to.startsWith('/')) throw new MoyaiError('USAGE', 'the target must be an absolute path')
    const selection = new Selection(params.includes, params.excludes)
    const resolved = await this.resolve(params.snapshot, control.signal)
    const tally = this.#tally(params, resolved, control)
    const fetchedBefore = this.#reading.stripes.bytesFetched
    if (params.dryRun) await this.#dryRun(resolved.entry, selection, tally, control.signal)
    else await this.#restore(params, resolved, { selection, tally, signal: control.signal })
    return tally.summary({
      snapshot: resolved.named.id,
      dryRun: params.dryRun,
      verified: params.verify && !params.dryRun,
      bytesFetched: this.#reading.stripes.bytesFetched - fetchedBefore,
    })
  }

  #tally(params: RetrieveParams, resolved: Resolved, control: RetrieveControl): RestoreTally {
    const isWhole = resolved.path.length === 0 && params.includes.length === 0
    const { files, others, bytes } = resolved.named.snapshot.stats
    return new RestoreTally({
      clock: this.#components.clock,
      onEvent: control.onEvent ?? ((): void => undefined),
      expected:
        isWhole && params.excludes.length === 0 ? { files: files + others, bytes } : undefined,
    })
  }

  async #restore(
    params: RetrieveParams,
    { entry }: Resolved,
    o: { selection: Selection; tally: RestoreTally; signal: AbortSignal },
  ): Promise<void> {
    const { to, overwrite, verify } = params
    if (this.#busy.has(to)) {
      throw new MoyaiError('BUSY', 'another retrieve is writing to this folder')
    }
    this.#busy.add(to)
    const { chunkIdKey, dataKey } = this.#bundle
    const writer = new ThreadWriter({ target: to, overwrite, chunkIdKey })
    const vault = vaultSigner(this.#bundle).publicKey
    const restoring = new RestorePool({ keys: { vault, dataKey, chunkIdKey }, target: to })
    try {
      const { trees, chunks } = this.#reading
      const { selection, tally, signal } = o
      const components = { trees, chunks, writer, restoring, tally, selection }
      // a root that no system call described has no metadata to give
      const rootMetadata = entry.type === 'directory' && entry.inode !== undefined
      const run = new RestoreRun({ verify, rootMetadata }, components, signal)
      if (entry.type === 'directory') await run.directory(entry)
      else await run.single(entry)
    } finally {
      try {
        await restoring.close()
      } finally {
        await writer.close().finally(() => this.#busy.delete(to))
      }
    }
  }

  async #dryRun(
    entry: Entry,
    selection: Selection,
    tally: RestoreTally,
    signal: AbortSignal,
  ): Promise<void> {
    const count = (one: Entry): void => {
      tally.totalFiles += 1
      tally.totalBytes += Number(one.size)
    }
    if (entry.type !== 'directory') return count(entry)
    const isIn: boolean[] = []
    const decide = (path: readonly Uint8Array[], isDirectory: boolean): 'in' | 'out' | 'maybe' =>
      selection.decide(path, isDirectory, isIn.at(-1) ?? false)
    const into = (path: readonly Uint8Array[]): boolean => decide(path, true) !== 'out'
    for await (const step of this.#reading.trees.walk(entry, signal, into)) {
      if (step.op === 'problem') tally.failed(`${shownPath(step.path)}/`, step.failure)
      else if (step.op === 'leave') isIn.pop()
      else if (step.op === 'enter') {
        isIn.push(step.path.length === 0 ? selection.isAll : decide(step.path, true) === 'in')
      } else if (decide(step.path, false) === 'in') count(step.entry)
      tally.status()
    }
  }
}
