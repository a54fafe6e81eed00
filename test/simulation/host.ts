/**
 * A simulated machine: its disk and database outlive it, its services do not. Switching it off
 * stops them and forgets what they had in memory; switching it on makes new ones.
 */

import type { Database, HealthPool } from '@moyai/daemon'
import { ed25519Signer, toHex, type HostFacts, type Random, type Signer } from '@moyai/protocol'

import { SimDatabase, SimDatabaseDisk } from './database.ts'
import { BufferedRandom, Dice } from './dice.ts'
import { Node } from './fabric.ts'
import { SimNetwork, type HealthEar, type Peer } from './network.ts'
import type { OwnStripe } from './owner.ts'
import type { Habits } from './schedule.ts'
import { SimStore } from './store.ts'
import type { SimVault } from './stripes.ts'
import { HostClock } from './time.ts'
import type { World } from './world.ts'

/** What runs on a host while it is on. */
export type Services = {
  start(): Promise<void>
  stop(): Promise<void>
  ear: HealthEar
}

/** All that the services of one run of a host are made of. */
export type ServiceParts = {
  host: SimHost
  world: World
  database: Database
  network: SimNetwork
  pool: HealthPool
}

export type MakeServices = (parts: ServiceParts) => Services

export type HostLabels = { site: string; provider: string; org: string }

/** See the head of this file. */
export class SimHost implements Peer {
  readonly name: string
  readonly id: string
  readonly signer: Signer
  readonly labels: HostLabels
  readonly habits: Habits
  readonly clock: HostClock
  readonly random: Random
  readonly node: Node
  readonly store: SimStore
  readonly disk = new SimDatabaseDisk()
  readonly dice: Dice
  /** What it backs up; undefined for a host that only keeps. */
  vault: SimVault | undefined
  ear: HealthEar | undefined
  /** What its index says of its vault's stripes. */
  readonly own = new Map<string, OwnStripe>()
  /** Its machine is gone for good. */
  dead = false
  /** Its people are away until then: it is not switched on. */
  awayUntil = 0
  retiring = false
  readonly #world: World
  #services: Services | undefined
  #database: Database | undefined
  /** Switching takes its time: one after the other. */
  #turn: Promise<void> = Promise.resolve()

  constructor(o: {
    world: World
    number: number
    labels: HostLabels
    habits: Habits
    bytesPerSecond: number
    quotaBytes: number
    driftPpm: number
  }) {
    const { world, number } = o
    this.#world = world
    this.name = `h${number}`
    const seed = `${world.seed}/${this.name}`
    this.dice = new Dice(seed)
    this.random = new BufferedRandom(seed)
    this.signer = ed25519Signer(this.random.bytes(32))
    this.id = toHex(this.signer.publicKey)
    this.labels = o.labels
    this.habits = o.habits
    this.clock = new HostClock(world.time, o.driftPpm)
    this.node = new Node({ id: this.id, number, bytesPerSecond: o.bytesPerSecond })
    this.store = new SimStore({
      truth: world.truth,
      host: this.id,
      quotaBytes: o.quotaBytes,
      surplus: {
        clock: this.clock,
        host: this.signer.publicKey,
        pool: () => world.poolId,
        waitMs: world.trimWaitMs,
      },
      isUnchecked: world.o.mutation === 'surplus',
      watch: {
        placed: (stripe, index) => world.invariants?.placed(this, stripe, index),
        marked: (stripe, index) => world.invariants?.marked(this, stripe, index),
        trimming: (stripe, index) => world.invariants?.trimmed(this, stripe, index),
      },
    })
  }

  get on(): boolean {
    return this.node.on
  }

  facts(online: boolean): HostFacts {
    const alwaysOn = this.habits.kind === 'always-on'
    return { id: this.id, ...this.labels, online, freeBytes: this.store.freeNow(), alwaysOn }
  }

  /** Begins to run. */
  switchOn(): void {
    if (this.dead || this.node.on) return
    this.#world.journal.note('on', this.name)
    this.#world.fabric.switchOn(this.node)
    this.#then(async () => {
      this.store.restart()
      const database = new SimDatabase(this.disk)
      this.#database = database
      const services = this.#world.services(this, database)
      this.#services = services
      this.ear = services.ear
      await services.start()
    })
  }

  /** Ends; `crash`: without stopping what runs, and losing what waited for no disk. */
  switchOff(crash: boolean): void {
    if (!this.node.on) return
    this.#world.journal.note(crash ? 'crash' : 'off', this.name)
    this.#world.fabric.switchOff(this.node)
    this.ear = undefined
    this.#then(async () => {
      const services = this.#services
      this.#services = undefined
      // Whatever still runs of a crashed host finds its disk gone, as it would find itself.
      if (crash) await this.#database?.close()
      await services?.stop()
      await this.#database?.close()
      this.#database = undefined
      if (crash) this.disk.crash(this.dice)
    })
  }

  /** A new, empty disk; the keys of the host are kept elsewhere. */
  wipe(why: string): void {
    this.store.wipe(why)
    this.#then(async () => this.disk.wipe())
  }

  /** Resolves when all switching so far has happened. */
  settled(): Promise<void> {
    return this.#turn
  }

  #then(act: () => Promise<void>): void {
    this.#turn = this.#turn.then(act).catch((error: unknown) => {
      const text = error instanceof Error ? `${error.name}: ${error.message}\n${error.stack}` : ''
      this.#world.journal.violate('services-start-and-stop', `${this.name}: ${text}`)
    })
  }
}

/** The pool as one host sees it. All hosts know its log: that it spreads is tested elsewhere. */
export class SimPool implements HealthPool {
  readonly self: string
  readonly #world: World
  readonly #host: SimHost
  #facts: HostFacts[] = []
  #version = ''

  constructor(world: World, host: SimHost) {
    this.self = host.id
    this.#world = world
    this.#host = host
  }

  id(): Uint8Array {
    return this.#world.poolId
  }

  hosts(): HostFacts[] {
    const version = `${this.#world.fabric.version} ${this.#world.factsVersion}`
    if (version !== this.#version) {
      this.#version = version
      this.#facts = this.#world.hosts
        .filter((host) => !this.#world.revokedHosts.has(host.id))
        .map((host) => host.facts(host === this.#host || this.#host.node.peers.has(host.id)))
    }
    return this.#facts
  }

  retiring(): ReadonlySet<string> {
    return this.#world.retiringHosts
  }

  revoked(): ReadonlySet<string> {
    return this.#world.revokedHosts
  }

  policy(): World['policy'] {
    return this.#world.policy
  }

  vaults(): ReadonlyMap<string, string> {
    return this.#world.vaultOwners
  }

  nameOf(host: string): string {
    return this.#world.byId.get(host)?.name ?? host.slice(0, 8)
  }
}
