/**
 * One store: from paths to a committed snapshot.
 *
 * The main thread only orders: the walker walks and packs trees, compute threads read and pack
 * contents, the send queue empties the outbox. Packs are recorded as they become durable; the entry
 * in the vault log is the one commit point, and comes after everything it names is durable.
 * Whatever is interrupted before is picked up by the next run.
 */

import { statSync } from 'node:fs'
import { join } from 'node:path'

import {
  blake3,
  minimumShards,
  MoyaiError,
  planCode,
  sealSnapshot,
  toHex,
  utf8,
} from '@moyai/protocol'
import type {
  Clock,
  Code,
  CodePlan,
  Entry,
  Hasher,
  ItemErrorEvent,
  Random,
  Snapshot,
  StoreStatusEvent,
  StoreSummary,
  VaultBundle,
} from '@moyai/protocol'

import type { Logger } from '../logger.ts'
import { bytePathOfText, pathBytes } from './byte-path.ts'
import { computeThreads } from './compute-pool.ts'
import { removeOutboxPack } from './outbox.ts'
import { commitPageCache } from './page-cache.ts'
import { planPaths } from './path-plan.ts'
import type { PathPlan } from './path-plan.ts'
import type { Appended, StoreLog, StoreNetwork, StorePool } from './ports.ts'
import { onlineHolders, PATIENCE_MS, Sender, SendQueue, tooFewHosts } from './sender.ts'
import { SharedState } from './shared-state.ts'
import { withPolicy } from './source-policy.ts'
import { statusEvent, summaryOf } from './store-report.ts'
import type { Codes } from './store-report.ts'
import { StoreThreads } from './store-threads.ts'
import type { Walked } from './store-threads.ts'
import type { VaultIndex } from './vault-index.ts'
import { newCounts } from './walk-counts.ts'
import type { WaitingStores } from './waiting-stores.ts'
import type { WalkerThreads } from './walker-thread.ts'

const DAY_MS = 24 * 3600 * 1000
/** Index segments handed to the walker in one message. */
const SEGMENTS_BYTES_MAX = 4 * 1024 * 1024
const STATUS_INTERVAL_MS = 500
/** Bytes of durable but incomplete packs that one store leaves in the outbox. */
const KEPT_BYTES_MAX = 1024 * 1024 * 1024
const OUTBOX_BYTES_MAX = 256 * 1024 * 1024
/**
 * Of these, what may wait in the outbox for hosts: the rest is for packs that threads are making,
 * which would otherwise sleep for ever.
 */
const OUTBOX_WAITING_SHARE = 0.5

export type StoreRequest = {
  /** Absolute paths. */
  paths: string[]
  /** Name of the source; the paths when absent. */
  name?: string
  tags: string[]
  excludes: string[]
  dryRun: boolean
  /** What this source must survive, where it is not the pool's policy: `host=3 site=2`. */
  policy?: string
  /** With too few hosts, seal what there is room for into the outbox before giving up. */
  outbox?: boolean
}

export type StoreOptions = {
  /** MOYAI_HOME, absolute. */
  home: string
  outbox: string
  bundle: VaultBundle
  hostname: string
  username: string
  /** Name and version, for the snapshot. */
  program: string
  /** No holder deletes a stripe before this many days; 30. */
  protectedDays?: number
  /** zstd level; 1. */
  compressionLevel?: number
  /** The code of data stripes where config.toml sets it; the planner chooses otherwise. */
  code?: Code | undefined
  computeThreads?: number
  /** Bytes of shards that may wait in the outbox; 256 MiB. */
  outboxBytesMax?: number
  /** How long a store waits for hosts to come back before it gives up; 15 s. */
  patienceMs?: number
}

export type StoreComponents = {
  index: VaultIndex
  network: StoreNetwork
  pool: StorePool
  log: StoreLog
  /** Where stores wait for hosts; without it none does. */
  waiting?: WaitingStores
  hasher: Hasher
  clock: Clock
  random: Random
  logger: Logger
}

export type StoreEvent = StoreStatusEvent | ItemErrorEvent

export type RunContext = {
  walkers: WalkerThreads
  signal: AbortSignal
  onEvent: (event: StoreEvent) => void
}

/** See the head of this file. One per store. */
export class StoreRun {
  readonly #options: StoreOptions
  readonly #components: StoreComponents
  readonly #request: StoreRequest
  readonly #context: RunContext
  readonly #state = new SharedState()
  readonly #sender: Sender
  readonly #queue: SendQueue
  readonly #abort = new AbortController()
  readonly #began: number
  readonly #started: number
  readonly #indexPacks: Uint8Array[] = []
  /** Packs that the index segments of this run describe. */
  readonly #unpublished: Uint8Array[] = []
  #counts = newCounts()
  #phase: StoreStatusEvent['phase'] = 'scanning'
  #current = ''
  #walked = false
  #keptBytes = 0
  /** Bytes in the outbox that no host took, and the hosts that have no room. */
  #waitingBytes = 0
  /** Hosts that a commit needs at least. */
  #needed = 0
  #full: ReadonlySet<string> = new Set()
  #fail: (error: unknown) => void = () => undefined

  constructor(o: {
    options: StoreOptions
    components: StoreComponents
    request: StoreRequest
    context: RunContext
  }) {
    this.#options = o.options
    const { policy } = o.request
    this.#components =
      policy === undefined
        ? o.components
        : { ...o.components, pool: withPolicy(o.components.pool, policy) }
    this.#request = o.request
    this.#context = o.context
    const { clock } = o.components
    this.#began = clock.now()
    this.#started = clock.monotonic()
    const { outbox, patienceMs } = o.options
    this.#sender = new Sender(
      { outbox, ...(patienceMs === undefined ? {} : { patienceMs }) },
      this.#components,
    )
    this.#queue = new SendQueue((pack) => this.#send(pack))
  }

  /**
   * Runs to the end. TOO_FEW_HOSTS, PATH_UNKNOWN, NO_SPACE, DISK, ABORTED …: then nothing was
   * committed.
   */
  async run(): Promise<StoreSummary> {
    const { signal } = this.#context
    signal.throwIfAborted()
    const plan = planPaths(this.#request.paths)
    const code = this.#request.dryRun
      ? undefined
      : plannedCodes(this.#components.pool, this.#options.code)
    if (code !== undefined) this.#needed = minimumShards(code.data.code)
    if (code !== undefined && this.#request.outbox !== true) await this.#enoughHosts()
    const stopStatus = this.#reportStatus()
    const onAbort = (): void => this.#abort.abort(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await this.#runCancellable(plan, code)
    } finally {
      stopStatus()
      signal.removeEventListener('abort', onAbort)
      this.#abort.abort(new MoyaiError('ABORTED', 'the store has ended'))
      this.#state.cancel()
      await this.#queue.end()
    }
  }

  async #runCancellable(plan: PathPlan, code: Codes | undefined): Promise<StoreSummary> {
    const { promise: failed, reject } = Promise.withResolvers<never>()
    this.#fail = reject
    failed.catch(() => undefined) // a failure after the end of the run has no listener
    const onAbort = (): void => reject(abortReason(this.#abort.signal))
    this.#abort.signal.addEventListener('abort', onAbort, { once: true })
    this.#state.give(this.#options.outboxBytesMax ?? OUTBOX_BYTES_MAX)
    const { index, random } = this.#components
    const generation = await index.generation(random)
    const cache = this.#cachePath()
    const threads = this.#startThreads(plan, { codes: code, generation, cache })
    try {
      const walked = await Promise.race([threads.walked, failed])
      this.#counts = walked.counts
      this.#walked = true
      if (code === undefined) return await this.#summary(code, undefined)
      await Promise.race([this.#finishPacks(threads), failed])
      this.#phase = 'committing'
      await this.#enoughHosts()
      const appended = await this.#commit(walked)
      commitPageCache(cache)
      return await this.#summary(code, appended)
    } finally {
      this.#state.cancel()
      await threads.end()
    }
  }

  #online(): number {
    const { pool } = this.#components
    return onlineHolders(pool.hosts(), pool.self)
  }

  /**
   * Waits until as many hosts are online as a commit needs at least, also when nothing new is to be
   * sent: a snapshot that nobody can witness is none. TOO_FEW_HOSTS after the patience.
   */
  async #enoughHosts(): Promise<void> {
    const { pool, network, clock } = this.#components
    const needed = this.#needed
    if (this.#online() >= needed) return
    const pause = new AbortController()
    const unlisten = network.on('peer:up', () => {
      if (this.#online() >= needed) pause.abort()
    })
    const either = AbortSignal.any([pause.signal, this.#context.signal])
    await clock.sleep(this.#options.patienceMs ?? PATIENCE_MS, either).catch(() => undefined)
    unlisten()
    this.#context.signal.throwIfAborted()
    if (this.#online() < needed) throw tooFewHosts(pool, new Set())
  }

  async #send(pack: Uint8Array): Promise<void> {
    const signal = this.#abort.signal
    try {
      const patient = this.#request.outbox !== true || this.#online() >= this.#needed
      const result = await this.#sender.send(pack, { patient, signal })
      if (!result.durable) {
        this.#full = result.full
        if (this.#request.outbox !== true || !this.#mayWait(result.payloadBytes))
          throw this.#tooFewHosts()
        return
      }
      if (result.missing > 0) await this.#keep(pack, result.payloadBytes)
      this.#state.give(result.payloadBytes)
    } catch (error) {
      this.#fail(error)
      throw error
    }
  }

  /** Whether a pack that no host takes may stay in the outbox. */
  #mayWait(bytes: number): boolean {
    this.#waitingBytes += bytes
    const most = this.#options.outboxBytesMax ?? OUTBOX_BYTES_MAX
    return this.#waitingBytes <= OUTBOX_WAITING_SHARE * most
  }

  #tooFewHosts(): MoyaiError {
    return tooFewHosts(this.#components.pool, this.#full)
  }

  /**
   * Files of incomplete packs stay for the settler while they are few; it can make their shards
   * again without.
   */
  async #keep(pack: Uint8Array, bytes: number): Promise<void> {
    this.#keptBytes += bytes
    if (this.#keptBytes > KEPT_BYTES_MAX) await removeOutboxPack(this.#options.outbox, pack)
  }

  #startThreads(
    plan: PathPlan,
    o: { codes: Codes | undefined; generation: Uint8Array; cache: string },
  ): StoreThreads {
    const options = this.#options
    const { dryRun, excludes } = this.#request
    const none = { k: 1, m: 1 }
    return new StoreThreads(
      {
        bundle: options.bundle,
        outbox: options.outbox,
        codes: { data: o.codes?.data.code ?? none, meta: o.codes?.meta.code ?? none },
        created: this.#began,
        protectedUntil: this.#began + (options.protectedDays ?? 30) * DAY_MS,
        compressionLevel: options.compressionLevel ?? 1,
        threads: options.computeThreads ?? computeThreads(),
        plan,
        excludes,
        ownHome: identityOf(options.home),
        dryRun,
        cache: o.cache,
        generation: o.generation,
      },
      {
        index: this.#components.index,
        state: this.#state,
        walkers: this.#context.walkers,
        onPack: (pack, { index }) => {
          if (index) this.#indexPacks.push(pack)
          this.#queue.add(pack)
        },
        onProgress: (counts, current) => {
          this.#counts = counts
          this.#current = current
          if (this.#phase === 'scanning' && counts.bytesToRead > 0) this.#phase = 'storing'
        },
        onProblem: (problem) => this.#problem(problem),
        onFailure: (error) => this.#fail(error),
      },
    )
  }

  #problem(problem: {
    path: string
    code: ItemErrorEvent['error']['code']
    message: string
  }): void {
    this.#context.onEvent({
      message_type: 'error',
      error: { message: problem.message, code: problem.code },
      during: 'store',
      item: problem.path,
    })
  }

  /** Tail packs, then the index of all packs that no snapshot names yet; all of it durable. */
  async #finishPacks(threads: StoreThreads): Promise<void> {
    await threads.flushContent()
    await this.#queue.idle()
    if (this.#waitingBytes > 0) throw this.#tooFewHosts()
    let segments: Uint8Array[] = []
    let bytes = 0
    for await (const { pack, segment } of this.#components.index.unpublished()) {
      this.#unpublished.push(pack)
      segments.push(segment)
      bytes += segment.length
      if (bytes < SEGMENTS_BYTES_MAX) continue
      await threads.addIndex(segments)
      segments = []
      bytes = 0
    }
    // packs that wait in the walker's memory are unpublished, too
    if (
      this.#unpublished.length > 0 ||
      this.#state.read('treeBlobs') > 0 ||
      this.#state.read('treeBytesAdded') > 0
    ) {
      await threads.addIndex(segments)
      await threads.flushMetadata()
    }
    await this.#queue.idle()
  }

  async #commit(walked: Walked): Promise<Appended> {
    const { log, random, index } = this.#components
    const { bundle } = this.#options
    const snapshot = this.#snapshot(walked.root)
    this.#abort.signal.throwIfAborted()
    const appended = await log.append({
      kind: 'snapshot',
      seal: (place) => sealSnapshot({ bundle, ...place, snapshot, random }),
    })
    await index.published([...this.#unpublished, ...this.#indexPacks])
    return appended
  }

  #snapshot(root: Entry): Snapshot {
    const { hostname, username, program } = this.#options
    const counts = this.#counts
    const { clock } = this.#components
    return {
      time: this.#began,
      source: this.#source(),
      paths: this.#request.paths.map((path) => pathBytes(bytePathOfText(path))),
      hostname,
      username,
      tags: this.#request.tags,
      root,
      stats: {
        files: counts.files,
        directories: counts.dirs,
        others: counts.others,
        bytes: counts.bytes,
        errors: counts.errors,
        filesNew: counts.filesNew,
        filesChanged: counts.filesChanged,
        filesUnmodified: counts.filesUnmodified,
        bytesNew: this.#state.read('dataBytesAdded'),
        bytesSealed: this.#state.read('packedBytes'),
        duration: Math.round(clock.monotonic() - this.#started),
      },
      indexPacks: this.#indexPacks,
      program,
      excludes: this.#request.excludes,
      partial: counts.errors > 0,
    }
  }

  #source(): string {
    return (this.#request.name ?? this.#request.paths.join(' ')).slice(0, 200)
  }

  #cachePath(): string {
    const { paths } = this.#request
    const id = blake3(utf8([this.#source(), ...paths].join('\0')))
    return join(this.#options.home, 'cache', `${toHex(id.subarray(0, 16))}.pages`)
  }

  #reportStatus(): () => void {
    const timer = setInterval(() => this.#context.onEvent(this.#status()), STATUS_INTERVAL_MS)
    timer.unref()
    return () => {
      clearInterval(timer)
      this.#context.onEvent(this.#status())
    }
  }

  #status(): StoreStatusEvent {
    return statusEvent({
      counts: this.#counts,
      state: this.#state,
      seconds: this.#seconds,
      bytesSent: this.#sender.bytesSent,
      current: this.#current,
      phase: this.#phase,
      walked: this.#walked,
    })
  }

  async #summary(codes: Codes | undefined, appended: Appended | undefined): Promise<StoreSummary> {
    let missing = 0
    for await (const pack of this.#components.index.unsettled()) missing += pack.missing
    return summaryOf({
      counts: this.#counts,
      state: this.#state,
      began: this.#began,
      ended: this.#components.clock.now(),
      seconds: this.#seconds,
      bytesSent: this.#sender.bytesSent,
      shardsSent: this.#sender.shardsSent,
      missing,
      codes,
      appended,
    })
  }

  get #seconds(): number {
    return (this.#components.clock.monotonic() - this.#started) / 1000
  }
}

/** The codes of new stripes in the pool as it is. TOO_FEW_HOSTS. */
export function plannedCodes(pool: StorePool, fixed: Code | undefined): Codes {
  const hosts = pool.hosts()
  const policy = pool.policy()
  const plan = (stripeClass: 'data' | 'meta'): CodePlan =>
    planCode({ hosts, owner: pool.self, class: stripeClass, policy, fixed })
  const data = plan('data')
  return { data, meta: plan('meta') }
}

function abortReason(signal: AbortSignal): MoyaiError {
  const { reason } = signal as { reason: unknown }
  if (reason instanceof MoyaiError) return reason
  return new MoyaiError('ABORTED', 'the store was interrupted', {
    hint: 'store again: what is already with the hosts is not sent twice',
    cause: reason,
  })
}

function identityOf(path: string): { device: bigint; inode: bigint } | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? undefined : { device: stat.dev, inode: stat.ino }
}
