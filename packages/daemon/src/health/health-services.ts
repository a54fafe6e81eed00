/**
 * The services that keep stripes whole, wired to one another and to the rest of the daemon: who is
 * there, who has what, whose word counts, what is made again, and which copies may go. No decision
 * is made here.
 */

import type { Clock, Codec, Random, Signer } from '@moyai/protocol'

import type { Database } from '../database/index.ts'
import type { Logger } from '../logger.ts'
import { healthNetwork, serveHealth } from '../net/health/client.ts'
import type { Network } from '../net/index.ts'
import type { ShardStore, VaultQuota } from '../shard-store/index.ts'
import type { VaultIndex } from '../store/index.ts'
import { LivenessService } from './liveness-service.ts'
import { PlacementLearner } from './placement-learner.ts'
import type { HealthNews, HealthPool, HealthReport } from './ports.ts'
import { RepairService } from './repair-service.ts'
import { SurplusService } from './surplus-service.ts'
import { WhereaboutsService } from './whereabouts.ts'

export type HealthOptions = {
  /** How long a surplus copy stays, ms. */
  surplusWaitMs: number
  /** Bytes per second of repairs that can wait; absent: a default. */
  bytesPerSecond?: () => number
}

export type HealthComponents = {
  pool: HealthPool
  network: Network
  shards: ShardStore
  owned: { vault: Uint8Array; index: VaultIndex }
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

/** See the head of this file. */
export class HealthServices {
  readonly liveness: LivenessService
  readonly whereabouts: WhereaboutsService
  readonly repair: RepairService
  readonly surplus: SurplusService
  readonly #learner: PlacementLearner
  readonly #c: HealthComponents

  constructor(options: HealthOptions, components: HealthComponents) {
    this.#c = components
    const { pool, shards: store, database, clock, random, logger } = components
    const network = healthNetwork(components.network)
    const trust = { isTrusted: () => true }
    this.liveness = new LivenessService({}, { pool, network, clock, database, logger })
    const { owned } = components
    const found = { network, pool, store, owned, database, clock, logger }
    this.whereabouts = new WhereaboutsService({}, found)
    const { liveness, whereabouts } = this
    const { codec, signer, quotaOf } = components
    const pace = options.bytesPerSecond && { bytesPerSecond: options.bytesPerSecond }
    this.repair = new RepairService(
      {
        ...pace,
        onPlaced: (_vault, pack, shard) => owned.index.addHolder(pack, shard),
      },
      {
        pool,
        network,
        whereabouts,
        liveness,
        trust,
        store,
        codec,
        signer,
        quotaOf,
        clock,
        logger,
      },
    )
    this.#learner = new PlacementLearner({ ...owned, whereabouts, network, pool, clock, logger })
    const waitMs = options.surplusWaitMs
    const intervalMs = Math.max(SURPLUS_TURN_MS_MIN, Math.min(SURPLUS_TURN_MS, waitMs))
    this.surplus = new SurplusService(
      { waitMs, intervalMs },
      { store, pool, liveness, trust, whereabouts, network, clock, random, logger },
    )
  }

  /** Before anybody is connected: others ask from then on. */
  serve(): void {
    serveHealth(this.#c.network, {
      report: () => this.#report(),
      audits: async () => [],
      onNews: (host, news) => this.#onNews(host, news),
    })
  }

  async start(): Promise<void> {
    await this.liveness.start()
    this.whereabouts.start()
    this.repair.start()
    this.surplus.start()
    this.#learner.start()
  }

  async stop(): Promise<void> {
    await this.#learner.stop()
    await this.surplus.stop()
    await this.repair.stop()
    await this.whereabouts.stop()
    await this.liveness.stop()
  }

  async #report(): Promise<HealthReport> {
    const { pool, clock } = this.#c
    const inventories = await this.whereabouts.inventories()
    const presumedLost = pool
      .hosts()
      .flatMap(({ id }) => (this.liveness.stateOf(id) === 'presumed-lost' ? [id] : []))
    return { now: clock.now(), inventories, presumedLost, audits: [] }
  }

  #onNews(host: string, news: HealthNews): void {
    this.whereabouts.onNews(host, news)
    void this.repair.onNews(host, news).catch((error: unknown) => {
      this.#c.logger.debug({ host, error: String(error) }, 'news not taken')
    })
  }
}
