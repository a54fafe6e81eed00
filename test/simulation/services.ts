/** The daemon's own services, on one simulated host. */

import {
  AuditReports,
  AuditService,
  LivenessService,
  RepairService,
  ScrubService,
  SurplusService,
  Trust,
  WhereaboutsService,
  type HealthNews,
} from '@moyai/daemon'
import { equalBytes, MoyaiError } from '@moyai/protocol'

import type { ServiceParts, Services, SimHost } from './host.ts'
import { ownerLoop, type OwnStripe } from './owner.ts'
import { repairDecisions } from './mutations.ts'
import { simCodec } from './stripes.ts'

/** Salts that open packs: nobody reads here. */
const NO_SALT = new Uint8Array(32)

/** One for all: a stack for each costs more than most of what it ends. */
const OFF = new MoyaiError('ABORTED', 'the host is switched off')

const SILENT = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

/** What `WhereaboutsService` asks of the owner's index. */
function ownedOf(host: SimHost): ConstructorParameters<typeof WhereaboutsService>[1]['owned'] {
  if (host.vault === undefined) return undefined
  const record = ({ stripe }: OwnStripe): IndexedStripe => {
    const { descriptor, envelope } = stripe
    const packClass = descriptor.class === 'data' ? 'data' : 'meta'
    return { pack: descriptor.pack, envelope, salt: NO_SALT, packClass }
  }
  // Only what its store has recorded: the rest is its settler's.
  const stored = (): OwnStripe[] =>
    [...host.own.values()].filter(({ stripe }) => stripe.acknowledged)
  const find = (pack: Uint8Array): OwnStripe | undefined =>
    stored().find(({ stripe }) => equalBytes(stripe.descriptor.pack, pack))
  return {
    vault: host.vault.id,
    index: {
      async *stripes() {
        for (const own of stored()) yield record(own)
      },
      async stripe(pack) {
        const own = find(pack)
        return own === undefined ? undefined : record(own)
      },
      async holders(pack) {
        return [...(find(pack)?.placed ?? [])].map(([index, id]) => ({ index, host: id }))
      },
    },
  }
}

type IndexedStripe = {
  pack: Uint8Array
  envelope: Uint8Array
  salt: Uint8Array
  packClass: 'data' | 'meta'
}

/** Everything that runs while the host is on, made anew each time. */
type Running = {
  liveness: LivenessService
  whereabouts: WhereaboutsService
  repair: RepairService
  surplus: SurplusService
  audits: AuditService
  reports: AuditReports
  scrub: ScrubService
}

async function begin(parts: ServiceParts): Promise<Running> {
  const { host, world, database, network, pool } = parts
  const { clock, random, store, signer } = host
  const logger = world.loggerOf(host) ?? SILENT
  const base = { pool, network, clock, logger }
  const trust = await Trust.open({ database, clock, pool })
  const reports = await AuditReports.open({
    database,
    clock,
    pool,
    openReport: world.openReport,
    onReport: (report) => trust.hear(report),
  })
  const liveness = new LivenessService({}, { ...base, database })
  const owned = ownedOf(host)
  const whereabouts = new WhereaboutsService(
    {},
    { ...base, store, database, ...(owned === undefined ? {} : { owned }) },
  )
  const onPlaced = async (
    vault: Uint8Array,
    pack: Uint8Array,
    shard: { index: number; host: string },
  ): Promise<void> => {
    const stripe = world.truth.of({ vault, pack })
    const own = stripe === undefined ? undefined : host.own.get(stripe.key)
    own?.placed.set(shard.index, shard.host)
  }
  const codec = simCodec()
  const breathe = async (): Promise<void> => undefined
  const common = { ...base, store, whereabouts, liveness, trust }
  const repair = new RepairService(
    { onPlaced, decisions: repairDecisions(world) },
    { ...common, codec, signer, breathe },
  )
  const surplus = new SurplusService({ waitMs: world.trimWaitMs }, { ...common, random })
  const audits = new AuditService({}, { ...common, reports, database, signer, random })
  const scrub = new ScrubService({ pauseFactor: 0 }, { store, database, clock, logger })
  store.onDamage(({ vault, pack, index }) => {
    void repair
      .repairOwn(vault, pack, index)
      .catch((error: unknown) => logger.debug({ error: String(error) }, 'own shard not repaired'))
  })
  await liveness.start()
  whereabouts.start()
  repair.start()
  surplus.start()
  audits.start()
  scrub.start()
  return { liveness, whereabouts, repair, surplus, audits, reports, scrub }
}

/** See the head of this file. */
export function daemonServices(parts: ServiceParts): Services {
  const { host, world, network, pool } = parts
  const stopping = new AbortController()
  let running: Running | undefined
  let owner: Promise<void> | undefined
  return {
    async start() {
      running = await begin(parts)
      owner = ownerLoop({ world, host, network, signal: stopping.signal })
    },
    async stop() {
      stopping.abort(OFF)
      if (running !== undefined) {
        const { liveness, whereabouts, repair, surplus, audits, scrub } = running
        await scrub.stop()
        await audits.stop()
        await surplus.stop()
        await repair.stop()
        await whereabouts.stop()
        await liveness.stop()
      }
      await owner
    },
    ear: {
      async report() {
        if (running === undefined) throw notYet()
        const { liveness, whereabouts, reports } = running
        const isLost = ({ id }: { id: string }): boolean => liveness.stateOf(id) === 'presumed-lost'
        return {
          now: host.clock.now(),
          inventories: await whereabouts.inventories(),
          presumedLost: pool
            .hosts()
            .filter(isLost)
            .map(({ id }) => id),
          audits: reports.newest(),
        }
      },
      async audits(wanted) {
        if (running === undefined) throw notYet()
        const { reports } = running
        return wanted.flatMap(({ auditor, vault }) => reports.get(auditor, vault) ?? [])
      },
      onNews(from: string, news: HealthNews) {
        running?.whereabouts.onNews(from, news)
        // Where it fails the repair looks by itself, later.
        void running?.repair.onNews(from, news).catch(() => undefined)
      },
    },
  }
}

function notYet(): MoyaiError {
  return new MoyaiError('HOST_UNREACHABLE', 'the host is only beginning')
}
