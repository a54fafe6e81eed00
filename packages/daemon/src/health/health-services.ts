/**
 * The services that keep stripes whole, wired to one another and to the rest of the daemon: who is
 * there, who has what, whose word counts, what is made again, and which copies may go. No decision
 * is made here.
 */

import { toHex, toMoyaiError } from '@moyai/protocol'
import type { Clock, Codec, Random, Signer, StatusResult } from '@moyai/protocol'

import type { Database } from '../database/index.ts'
import type { Logger } from '../logger.ts'
import { healthNetwork, serveHealth } from '../net/health/client.ts'
import type { Network } from '../net/index.ts'
import type { KeyedLock } from '../shard-store/keyed-lock.ts'
import type { ShardId, ShardStore, VaultQuota } from '../shard-store/index.ts'
import { learnPlacement, type VaultIndex } from '../store/index.ts'
import {
  type AuditOptions,
  AuditReports,
  AuditService,
  Trust,
  untrustedAlarms,
} from './audit/index.ts'
import { livenessAlarms } from './liveness-alarms.ts'
import { LivenessService } from './liveness-service.ts'
import { PlacementLearner } from './placement-learner.ts'
import type { HealthNews, HealthPool, HealthReport } from './ports.ts'
import { RepairService } from './repair-service.ts'
import { ScrubService } from './scrub/index.ts'
import { SurplusService } from './surplus-service.ts'
import { WhereaboutsService } from './whereabouts.ts'

export type HealthOptions = {
  /** How long a surplus copy stays, ms. */
  surplusWaitMs: number
  audit: AuditOptions
  /** Whether what is missing or damaged is made again by itself. */
  heals: boolean
  /** Bytes per second of repairs that can wait; absent: a default. */
  bytesPerSecond?: () => number
}

export type HealthComponents = {
  pool: HealthPool
  network: Network
  shards: ShardStore
  owned: { vault: Uint8Array; index: VaultIndex }
  /** Shared with the store, which places shards of the own vault, too. */
  stripeLock: KeyedLock
  quotaOf: (vault: string) => VaultQuota | undefined
  codec: Codec
  signer: Signer
  database: Database
  clock: Clock
  random: Random
  logger: Logger
}

/** A turn a day is a turn too late where copies may go at once. */
const SURPLUS_TURN_MS = 86_400_000
const SURPLUS_TURN_MS_MIN = 5_000

/** What of the evidence that the status shows comes from here. */
export type HealthEvidence = Pick<StatusResult, 'repair'> &
  Pick<StatusResult['proof'], 'oldestAuditAt' | 'lastScrubAt'>

/** See the head of this file. */
export class HealthServices {
  readonly liveness: LivenessService
  readonly whereabouts: WhereaboutsService
  readonly repair: RepairService
  readonly scrub: ScrubService
  readonly #surplus: SurplusService
  readonly #audit: AuditService
  readonly #learner: PlacementLearner
  readonly #trust: Trust
  readonly #reports: AuditReports
  readonly #c: HealthComponents
  readonly #heals: boolean
  #isStopping = false
  #undamage: () => void = () => undefined
  /** One after the other: a dying disk must not start hundreds of repairs at once. */
  #mending: Promise<void> = Promise.resolve()

  static async open(options: HealthOptions, c: HealthComponents): Promise<HealthServices> {
    const { database, clock, pool } = c
    const trust = await Trust.open({ database, clock, pool })
    const reports = await AuditReports.open({
      database,
      clock,
      pool,
      onReport: (report) => trust.hear(report),
    })
    return new HealthServices(options, c, { trust, reports })
  }

  private constructor(
    options: HealthOptions,
    components: HealthComponents,
    { trust, reports }: { trust: Trust; reports: AuditReports },
  ) {
    this.#c = components
    this.#trust = trust
    this.#heals = options.heals
    this.#reports = reports
    const { pool, shards: store, database, clock, random, logger, owned, signer } = components
    const network = healthNetwork(components.network)
    this.liveness = new LivenessService({}, { pool, network, clock, database, logger })
    this.whereabouts = new WhereaboutsService(
      {},
      { network, pool, store, owned, database, clock, logger },
    )
    const { liveness, whereabouts } = this
    const shared = { pool, network, whereabouts, liveness, trust, clock, logger }
    const { codec, quotaOf } = components
    const pace = options.bytesPerSecond && { bytesPerSecond: options.bytesPerSecond }
    this.repair = new RepairService(
      {
        ...pace,
        ownLock: components.stripeLock,
        onPlaced: (_vault, pack, shard) => learnPlacement(owned.index, pack, shard),
      },
      { ...shared, store, codec, signer, quotaOf },
    )
    this.#learner = new PlacementLearner({ ...owned, whereabouts, network, pool, clock, logger })
    const waitMs = options.surplusWaitMs
    const intervalMs = Math.max(SURPLUS_TURN_MS_MIN, Math.min(SURPLUS_TURN_MS, waitMs))
    this.#surplus = new SurplusService({ waitMs, intervalMs }, { ...shared, store, random })
    const auditing = { ...shared, reports, database, signer, random }
    this.#audit = new AuditService(options.audit, auditing)
    this.scrub = new ScrubService({}, { store, database, clock, logger })
  }

  /** Others ask from then on. */
  serve(): void {
    serveHealth(this.#c.network, {
      report: () => this.#report(),
      audits: async (wanted) =>
        wanted.flatMap(({ auditor, vault }) => this.#reports.get(auditor, vault) ?? []),
      onNews: (host, news) => this.#onNews(host, news),
    })
  }

  async start(): Promise<void> {
    await this.liveness.start()
    this.whereabouts.start()
    if (this.#heals) {
      this.#undamage = this.#c.shards.onDamage((shard) => {
        this.#mending = this.#mending.then(() => this.#mend(shard))
      })
      this.repair.start()
    }
    this.#surplus.start()
    this.#learner.start()
    this.#audit.start()
    this.scrub.start()
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    this.#undamage()
    await this.scrub.stop()
    await this.#audit.stop()
    await this.#learner.stop()
    await this.#surplus.stop()
    await this.repair.stop()
    await this.#mending
    await this.whereabouts.stop()
    await this.liveness.stop()
  }

  /** What ran, and when: for the status. */
  async evidence(): Promise<HealthEvidence> {
    const { queue, active, etaSeconds } = this.repair.stats()
    const iso = (ms: number | undefined): string | null =>
      ms === undefined ? null : new Date(ms).toISOString()
    return {
      oldestAuditAt: iso(await this.#audit.oldestAuditAt(this.#c.owned.vault)),
      lastScrubAt: iso(await this.scrub.lastScrubAt()),
      repair: { queue, active, etaSeconds: etaSeconds ?? null },
    }
  }

  /** Shards of a stripe of the own vault that hosts list and could not prove: index and host. */
  async refuted(pack: Uint8Array): Promise<ReadonlySet<string>> {
    const view = await this.whereabouts.stripe(this.#c.owned.vault, pack)
    const places = view?.places.filter(({ refuted }) => refuted) ?? []
    return new Set(places.map(({ index, host }) => `${index} ${host}`))
  }

  alarms(): StatusResult['alarms'] {
    const { pool, clock } = this.#c
    const nameOf = (host: string): string => pool.nameOf(host)
    const hosts = pool.hosts().map(({ id }) => id)
    const missed = livenessAlarms({ liveness: this.liveness, hosts, nameOf, nowMs: clock.now() })
    return [...missed, ...untrustedAlarms(this.#trust, nameOf)]
  }

  async #report(): Promise<HealthReport> {
    const { pool, clock } = this.#c
    const inventories = await this.whereabouts.inventories()
    const presumedLost = pool
      .hosts()
      .flatMap(({ id }) => (this.liveness.stateOf(id) === 'presumed-lost' ? [id] : []))
    return { now: clock.now(), inventories, presumedLost, audits: this.#reports.newest() }
  }

  #onNews(host: string, news: HealthNews): void {
    this.whereabouts.onNews(host, news)
    void this.repair.onNews(host, news).catch((error: unknown) => {
      this.#c.logger.debug({ host, error: String(error) }, 'news not taken')
    })
  }

  /** A shard of this host is damaged: it is made again at once, of others. */
  async #mend({ vault, pack, index }: ShardId): Promise<void> {
    if (this.#isStopping) return
    const { logger } = this.#c
    const shard = `${toHex(pack)}.${index}`
    logger.warn({ shard }, 'a shard here is damaged: it is made again')
    try {
      await this.repair.repairOwn(vault, pack, index)
      logger.info({ shard }, 'a damaged shard was made again')
    } catch (error) {
      // Others see that it is missing here, and make it again in their turn.
      logger.warn({ shard, error: toMoyaiError(error).message }, 'it could not be made again yet')
    }
  }
}
