/**
 * Storing, as the daemon offers it: one store at a time, the rest of an interrupted one first, and
 * between stores the settler, which places what found no host.
 */

import { isMoyaiError, minimumShards, MoyaiError, parsePolicy, toMoyaiError } from '@moyai/protocol'
import type { StoreSummary } from '@moyai/protocol'

import { loadCodec } from '../codec.ts'
import { listOutbox, outboxBytes, removeSpares } from './outbox.ts'
import { planPaths } from './path-plan.ts'
import { onlineHolders } from './sender.ts'
import { Settler, type SettleResult, type SettlerComponents } from './settler.ts'
import { plannedCodes, StoreRun } from './store-run.ts'
import { WalkerThreads } from './walker-thread.ts'
import type {
  RunContext,
  StoreComponents,
  StoreEvent,
  StoreOptions,
  StoreRequest,
} from './store-run.ts'

/** Stores that may wait for the one that runs. */
const WAITING_MAX = 8
/** The settler looks this often, and soon after a host came back. */
const SETTLE_INTERVAL_MS = 60_000
const SETTLE_DELAY_MS = 2_000

export type StoreCall = { signal?: AbortSignal; onEvent?: (event: StoreEvent) => void }

/** See the head of this file. `start` and `stop` are for the settler; `store` works without. */
export class StoreService {
  readonly #options: StoreOptions
  readonly #components: StoreComponents
  readonly #settler: Settler
  readonly #walkers = new WalkerThreads()
  readonly #stop = new AbortController()
  #waiting = 0
  #turn: Promise<void> = Promise.resolve()
  #settling: Promise<void> | undefined
  #wakeSettler: (() => void) | undefined
  #awake = false
  #unlisten: (() => void) | undefined

  constructor(
    options: StoreOptions,
    components: StoreComponents & Pick<SettlerComponents, 'stripeLock'>,
  ) {
    this.#options = options
    this.#components = components
    const { outbox } = options
    this.#settler = new Settler({ outbox }, { ...components, codec: loadCodec() })
  }

  /** Starts placing, in the background, what earlier stores could not. */
  async start(): Promise<void> {
    await listOutbox(this.#options.outbox)
    this.#unlisten = this.#components.network.on('peer:up', () => this.wake())
    this.#settling = this.#settleForEver()
  }

  /** Ends the settler and interrupts a running store, which resumes when it is asked for again. */
  async stop(): Promise<void> {
    this.#unlisten?.()
    this.#stop.abort(new MoyaiError('ABORTED', 'the daemon is stopping'))
    await this.#settling
    await this.#turn
    await this.#walkers.close()
  }

  /**
   * Stores a snapshot of `request.paths`. Resolves when it is committed (see `state` in the
   * summary), or for a dry run when it is counted. Rejects with TOO_FEW_HOSTS, PATH_UNKNOWN, USAGE,
   * NO_POOL, NO_SPACE, DISK, BUSY or ABORTED, and then nothing was committed; what reached its
   * holders is not sent again.
   */
  async store(request: StoreRequest, call: StoreCall = {}): Promise<StoreSummary> {
    const signals = [this.#stop.signal, ...(call.signal === undefined ? [] : [call.signal])]
    const signal = AbortSignal.any(signals)
    const onEvent = call.onEvent ?? (() => undefined)
    return this.#exclusively(() =>
      this.#store(request, { signal, onEvent, walkers: this.#walkers }),
    )
  }

  /** Has the settler look soon, because hosts came, went, or are to be emptied. */
  wake(): void {
    this.#awake = true
    this.#wakeSettler?.()
  }

  /** Tries once, now, to place all shards without a holder; says how many are left. */
  settle(): Promise<SettleResult> {
    const { signal } = this.#stop
    // a store that waits goes first: settling goes on after it
    const hurry = (): boolean => this.#waiting > 1
    return this.#exclusively(() => this.#settler.settle({ signal, hurry }))
  }

  async #store(request: StoreRequest, context: RunContext): Promise<StoreSummary> {
    try {
      const summary = await this.#run(request, context)
      if (!request.dryRun) await this.#components.waiting?.remove(request)
      return summary
    } catch (error) {
      if (request.outbox !== true || request.dryRun || !isMoyaiError(error, 'TOO_FEW_HOSTS')) {
        throw error
      }
      throw await this.#wait(request, error)
    }
  }

  /** Keeps what is to be stored for when hosts are back; what the person is told. */
  async #wait(request: StoreRequest, error: MoyaiError): Promise<MoyaiError> {
    const { waiting, clock } = this.#components
    const { paths, name, tags, excludes, policy } = request
    // what waiting cannot mend is told now, while somebody listens
    planPaths(paths)
    if (policy !== undefined) parsePolicy(policy)
    const isKept = await waiting?.add({
      paths,
      tags,
      excludes,
      since: clock.now(),
      ...(name === undefined ? {} : { name }),
      ...(policy === undefined ? {} : { policy }),
    })
    if (isKept !== true) return error
    const bytes = await outboxBytes(this.#options.outbox)
    const mib = (bytes / 2 ** 20).toFixed(1)
    return new MoyaiError(
      'TOO_FEW_HOSTS',
      `${error.message}; ${mib} MiB wait in the outbox of this host`,
      {
        hint: 'leave the daemon running: it stores by itself when enough hosts are back',
        cause: error,
        data: { waiting: true, outbox_bytes: bytes },
      },
    )
  }

  /** Stores that wait, where there are hosts for them now. */
  async #storeWaiting(): Promise<void> {
    const { waiting, logger, pool } = this.#components
    for (const store of (await waiting?.list()) ?? []) {
      if (this.#stop.signal.aborted) return
      const { data } = plannedCodes(pool, this.#options.code)
      if (onlineHolders(pool.hosts(), pool.self) < minimumShards(data.code)) return
      const { since, ...request } = store
      try {
        const { snapshot_id: snapshot } = await this.store({ ...request, dryRun: false })
        logger.info({ snapshot, since }, 'stored what had waited for hosts')
      } catch (error) {
        const known = toMoyaiError(error)
        logger.warn({ error: known.message }, 'what waits for hosts could not be stored')
        if (isMoyaiError(known, 'TOO_FEW_HOSTS', 'ABORTED', 'BUSY', 'NO_POOL')) return
        // a source that has gone meanwhile does not come back by waiting; all else may
        const isHopeless = isMoyaiError(known, 'PATH_UNKNOWN', 'USAGE', 'CONFIG_INVALID')
        if (isHopeless) await waiting?.remove(request)
      }
    }
  }

  async #run(request: StoreRequest, context: RunContext): Promise<StoreSummary> {
    const options = this.#options
    // who may wait in the outbox need not wait for hosts here
    const patienceMs = request.outbox === true ? 0 : options.patienceMs
    if (!request.dryRun) {
      const patience = patienceMs === undefined ? {} : { patienceMs }
      await this.#settler.resume({ signal: context.signal, ...patience })
    }
    const run = new StoreRun({ options, components: this.#components, request, context })
    const summary = await run.run()
    this.wake()
    return summary
  }

  /** One after another; BUSY when too many wait. */
  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= WAITING_MAX) {
      throw new MoyaiError('BUSY', 'too many stores wait already', { hint: 'try again later' })
    }
    this.#waiting++
    const before = this.#turn
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#turn = promise
    try {
      await before
      return await work()
    } finally {
      try {
        await removeSpares(this.#options.outbox)
      } finally {
        this.#waiting--
        resolve()
      }
    }
  }

  async #settleForEver(): Promise<void> {
    const { signal } = this.#stop
    const { clock, logger } = this.#components
    while (!signal.aborted) {
      this.#awake = false
      try {
        await this.settle()
        await this.#storeWaiting()
      } catch (error) {
        if (!signal.aborted) logger.warn({ error: toMoyaiError(error).message }, 'settling failed')
      }
      const woken = new Promise<void>((resolve) => {
        this.#wakeSettler = resolve
        // Something happened while it worked.
        if (this.#awake) resolve()
      })
      const pause = new AbortController()
      const either = AbortSignal.any([signal, pause.signal])
      const slept = clock.sleep(SETTLE_INTERVAL_MS, either).catch(() => undefined)
      await Promise.race([woken, slept])
      pause.abort()
      if (!signal.aborted) await clock.sleep(SETTLE_DELAY_MS, signal).catch(() => undefined)
    }
  }
}
