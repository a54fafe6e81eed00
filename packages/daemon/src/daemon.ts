/**
 * The daemon: what is wired to what, in which order it starts, and in which order it stops. No
 * decision is made here.
 */

import { hostname, tmpdir, userInfo } from 'node:os'

import {
  controlAddress,
  ed25519Signer,
  effectivePolicy,
  fromUtf8,
  type HostFacts,
  toHex,
  utf8,
  vaultSigner,
  VERSION,
} from '@moyai/protocol'

import { limitAllocator } from './allocator.ts'
import { CheckService } from './check/index.ts'
import { systemClock } from './clock.ts'
import { loadCodec } from './codec.ts'
import { controlHandlers } from './control-handlers.ts'
import { Bandwidth } from './bandwidth/index.ts'
import { BandwidthSettings } from './bandwidth-settings.ts'
import { ControlServer } from './control-server/index.ts'
import { type Database, openLevelDatabase } from './database/index.ts'
import { DoctorService } from './doctor/index.ts'
import { type AuditOptions, HealthServices, healthPool, repairRate } from './health/index.ts'
import { nodeDisk } from './file-system/index.ts'
import { type Home, openHome } from './home/index.ts'
import { Ledger, vaultQuota } from './ledger/index.ts'
import { createLogger, errorFields, LogFile, type Logger } from './logger.ts'
import { Membership } from './membership/index.ts'
import { createNetwork, type Network, type PortMemory } from './net/index.ts'
import { systemRandom } from './random.ts'
import { RetrieveService } from './retrieve/index.ts'
import { KeyedLock, openShardStore, type ShardStore } from './shard-store/index.ts'
import { PoolService } from './pool-service.ts'
import {
  alarmsOf,
  fullAlarms,
  waitingAlarms,
  hostFacts,
  placeableFacts,
  poolPolicy,
  StatusService,
} from './status/index.ts'
import {
  IndexRebuilder,
  loadHasher,
  type StorePool,
  StoreService,
  VaultIndex,
  WaitingStores,
} from './store/index.ts'
import { VaultState } from './vault-state.ts'

export type DaemonOptions = {
  /** MOYAI_HOME, absolute. */
  home: string
  /** Aborts when the daemon is to stop. */
  signal: AbortSignal
  /** Log debug events, too. */
  verbose?: boolean
  /** For tests alone: what stands between the network and the store, such as one that lies. */
  wrapStore?: (store: ShardStore) => ShardStore
  /** For tests alone: audits sooner, and more often. */
  audit?: AuditOptions
  /** For tests alone: false leaves damage as it is, to be looked at. */
  heals?: boolean
  /** Called once, when everything is up and the control socket answers. */
  onReady: (ready: { host: string; addresses: string[]; control: string }) => void
}

/**
 * Runs until `signal` aborts; resolves with the exit code. NO_VAULT, HOME_LOCKED, CONFIG_INVALID,
 * DISK and the like when it cannot start.
 */
export async function runDaemon(options: DaemonOptions): Promise<number> {
  limitAllocator()
  await using home = await openHome(options.home)
  using file = new LogFile({
    folder: home.paths.log,
    fileBytesMax: home.config.log.fileBytesMax,
    filesMax: home.config.log.filesMax,
  })
  const level = options.verbose === true ? 'debug' : home.config.log.level
  const logger = createLogger({ level, destination: file })
  process.on('uncaughtExceptionMonitor', (error) => {
    logger.error({ error: error.message, stack: error.stack }, 'uncaught: the daemon ends')
  })
  for (const warning of home.warnings) logger.warn({}, warning)
  const database = await openLevelDatabase(home.paths.database)
  try {
    await serve({ home, database, logger, options })
  } finally {
    await database.close()
    logger.info({}, 'stopped')
  }
  return 0
}

type Base = { home: Home; database: Database; logger: Logger; options: DaemonOptions }

async function serve({ home, database, logger, options }: Base): Promise<void> {
  const { config, bundle, identity, delegation } = home
  const effects = { clock: systemClock, random: systemRandom, logger }
  await using stack = new AsyncDisposableStack()
  const { offerBytes, reserveBytes } = config.storage
  const kept = await openShardStore({
    disk: nodeDisk,
    root: home.paths.shards,
    random: systemRandom,
    quotaBytes: offerBytes,
    reserveBytes,
    surplus: {
      clock: effects.clock,
      host: identity.publicKey,
      pool: () => membership.state()?.id,
      waitMs: config.storage.surplusAfterMs,
    },
  })
  stack.defer(() => kept.close())
  const shards = options.wrapStore?.(kept) ?? kept
  const profile = { ...config.host, offeredBytes: offerBytes }
  const membership = await Membership.open(
    {
      identity,
      bundle,
      delegation,
      profile,
      peers: config.network.peers,
      peersFile: home.paths.peers,
    },
    { database, ...effects },
  )
  const self = toHex(identity.publicKey)
  const bandwidth = new Bandwidth(config.network, effects.clock)
  bandwidth.start()
  stack.defer(() => bandwidth.stop())
  const network = await createNetwork(
    {
      seed: home.identitySeed,
      listen: config.network.listen,
      announce: config.network.announce,
      relay: config.network.relay,
      mdns: config.network.mdns,
      upnp: config.network.upnp,
      ports: lastPorts(database),
    },
    {
      membership,
      store: shards,
      quotaOf: (vault) => vaultQuota(membership.state(), self, vault),
      rates: bandwidth,
      ...effects,
    },
  )
  membership.attach(network)
  stack.defer(() => network.stop())
  await network.start()
  stack.defer(() => membership.stop())
  await membership.begin()
  const ledger = new Ledger(self, {
    network,
    shards,
    pool: () => membership.state(),
    clock: effects.clock,
    logger,
  })
  ledger.start()
  stack.defer(() => ledger.stop())
  const services = await vaultServices(
    { home, database, logger, options },
    { membership, network, shards, bandwidth, ledger },
  )
  services.health.serve()
  stack.defer(() => services.health.stop())
  await services.health.start()
  stack.defer(() => services.retrieve.close())
  stack.defer(() => services.store.stop())
  await services.store.start()
  const control = controlAddress({
    home: home.paths.home,
    platform: process.platform,
    temporary: tmpdir(),
  })
  const server = new ControlServer({ address: control, handlers: services.handlers, logger })
  stack.defer(() => server.stop())
  await server.start()
  const host = toHex(network.self)
  logger.info({ host, version: VERSION, pid: process.pid }, 'ready')
  options.onReady({ host, addresses: network.addresses(), control })
  await aborted(options.signal)
  logger.info({}, 'stopping')
}

/** Ports by the address of config.toml that they were chosen for. */
function lastPorts(database: Database): PortMemory {
  const table = database.table('port')
  return {
    get: async (listen) => {
      const port = Number(fromUtf8((await table.get(utf8(listen))) ?? utf8('0')))
      return port > 0 ? port : undefined
    },
    put: async (listen, port) => table.put(utf8(listen), utf8(String(port))),
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

type Pool = {
  membership: Membership
  network: Network
  shards: ShardStore
  bandwidth: Bandwidth
  ledger: Ledger
}

/** The pool as storing sees it. */
function storePoolOf(
  self: string,
  { membership, network, ledger }: Omit<Pool, 'shards' | 'bandwidth'>,
): StorePool {
  const hosts = (): HostFacts[] => {
    const state = membership.acts.requireMember()
    return placeableFacts({ self, state, peers: network.peers(), ledger })
  }
  return {
    self,
    hosts,
    retiring: () => {
      const all = [...(membership.state()?.hosts ?? [])]
      return new Set(all.flatMap(([id, { retiredAt }]) => (retiredAt === undefined ? [] : [id])))
    },
    revoked: () => new Set(membership.state()?.revoked.keys()),
    policy: () => effectivePolicy(hosts(), poolPolicy(membership.requireState())),
    nameOf: (host) => membership.state()?.hosts.get(host)?.name ?? host.slice(0, 8),
  }
}

type VaultServices = {
  health: HealthServices
  store: StoreService
  retrieve: RetrieveService
  handlers: ReturnType<typeof controlHandlers>
}

/** Everything that concerns the vault of this host, and the handlers of the command. */
async function vaultServices(base: Base, pool: Pool): Promise<VaultServices> {
  const { home, database, logger } = base
  const { bundle } = home
  const { membership, network, shards, bandwidth, ledger } = pool
  const clock = systemClock
  const self = toHex(network.self)
  const facts = (): HostFacts[] => {
    const state = membership.requireState()
    return hostFacts({ self, state, peers: network.peers(), ledger })
  }
  const storePool = storePoolOf(self, { membership, network, ledger })
  const index = new VaultIndex(database)
  const hasher = loadHasher()
  const rebuilder = new IndexRebuilder(
    { bundle },
    { index, network, pool: storePool, codec: loadCodec(), hasher, logger },
  )
  const stripeLock = new KeyedLock()
  const health = await HealthServices.open(
    {
      surplusWaitMs: home.config.storage.surplusAfterMs,
      audit: { ...home.config.audit, ...base.options.audit },
      heals: base.options.heals ?? true,
      bytesPerSecond: () => repairRate(bandwidth.upload.rate),
    },
    {
      pool: healthPool(self, { membership, network, ledger }),
      network,
      shards,
      owned: { vault: vaultSigner(bundle).publicKey, index },
      stripeLock,
      quotaOf: (of) => vaultQuota(membership.state(), self, of),
      codec: loadCodec(),
      signer: ed25519Signer(home.identitySeed),
      database,
      clock,
      random: systemRandom,
      logger,
    },
  )
  const vault = new VaultState(bundle, { membership, index, rebuilder, logger })
  const waiting = new WaitingStores(database)
  const store = new StoreService(
    {
      home: home.paths.home,
      outbox: home.paths.outbox,
      bundle,
      hostname: hostname(),
      username: userInfo().username,
      program: `moyai ${VERSION}`,
      code: home.config.store.code,
    },
    {
      index,
      network,
      pool: storePool,
      log: {
        append: async (entry) => {
          const appended = await membership.ownLog.append(entry)
          health.whereabouts.ownedChanged()
          for (const { host, error } of appended.unconfirmed) {
            logger.warn({ host, ...errorFields(error) }, 'a host did not confirm the new log entry')
          }
          return appended
        },
      },
      waiting,
      stripeLock,
      hasher,
      clock,
      random: systemRandom,
      logger,
    },
  )
  const hosts = {
    hosts: () => network.peers().map((peer) => peer.host),
    shards: (host: string) => network.shards(host),
    isHeldBack: () => network.isReceivingHeldBack(),
    returning: (signal: AbortSignal) => network.returning(signal),
  }
  const { log } = vault
  const retrieve = new RetrieveService(
    { bundle },
    { index, hosts, log, clock, cache: home.paths.cache },
  )
  const { reading } = retrieve
  const nameOf = (host: string): string => membership.state()?.hosts.get(host)?.name ?? host
  const check = new CheckService({ bundle }, { index, hosts, log, clock, reading, facts, nameOf })
  const doctor = new DoctorService({ home, disk: nodeDisk, network, membership })
  const status = new StatusService(
    { bundle, name: home.config.host.name, version: VERSION, code: home.config.store.code },
    {
      index,
      network,
      database,
      clock,
      log,
      pool: () => membership.state(),
      ensure: (signal) => vault.ensure(signal),
      confirmations: () => vault.confirmations(),
      keptBytes: () => shards.usedBytes(),
      liveness: health.liveness,
      health: () => health.evidence(),
      refuted: (pack) => health.refuted(pack),
      alarms: async () => [
        ...(await alarmsOf(membership, self, clock.now())),
        ...(await doctor.alarms(clock.now())),
        ...waitingAlarms(await waiting.list()),
        ...health.alarms(),
        ...(membership.state() === undefined
          ? []
          : fullAlarms(facts(), { self, nowMs: clock.now(), nameOf })),
      ],
    },
  )
  const handlers = controlHandlers({
    membership,
    self,
    store,
    retrieve,
    check,
    status,
    limits: new BandwidthSettings(home.paths.config, { disk: nodeDisk, bandwidth }),
    doctor,
    scrub: health.scrub,
    repair: health.repair,
    vault,
    clock,
    pool: new PoolService({
      membership,
      network,
      index,
      clock,
      keptBytes: () => shards.usedBytes(),
      ledger,
      liveness: health.liveness,
      code: home.config.store.code,
    }),
    logger,
  })
  membership.onChange(() => {
    store.wake()
    health.liveness.refresh()
    health.whereabouts.poolChanged()
  })
  return { health, store, retrieve, handlers }
}
