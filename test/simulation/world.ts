/** A simulated pool: its hosts, its stripes, its network, and what is true of them. */

import type { Database, Logger } from '@moyai/daemon'
import { DEFAULT_POLICY, SURPLUS_WAIT_MS, toHex, type Policy } from '@moyai/protocol'

import { BufferedRandom, Dice } from './dice.ts'
import { Fabric } from './fabric.ts'
import { SimHost, SimPool, type HostLabels, type MakeServices, type Services } from './host.ts'
import type { Invariants } from './invariants.ts'
import { Journal } from './journal.ts'
import { SimNetwork } from './network.ts'
import { openingOnce } from './reports.ts'
import { closedDays, drawHabits, runsAt, type MachineKind } from './schedule.ts'
import { SHARD_BYTES, SimVault } from './stripes.ts'
import { DAY_MS, HOUR_MS, MINUTE_MS, VirtualTime } from './time.ts'
import { Truth } from './truth.ts'

/** Decisions that a mutation breaks on purpose, to prove that the checkers see it. */
export const MUTATIONS = ['cap', 'release', 'surplus'] as const
export type Mutation = (typeof MUTATIONS)[number]

export type WorldOptions = {
  seed: string
  hosts: number
  years: number
  beyondBudget: boolean
  mutation?: Mutation | undefined
  makeServices: MakeServices
  /** Whether services let go of surplus copies: then none may be left in the end. */
  trims?: boolean
  trace?: ((line: string) => void) | undefined
}

/** How this pool is made, drawn from the seed. */
export type Shape = {
  sites: number
  providers: number
  orgs: number
  /** Shares of machines that are always on, and of those that are laptops. */
  alwaysOn: number
  laptops: number
  owners: number
  /** Bytes per second of a line. */
  bytesPerSecond: number
  /** What one byte of a shard stands for. */
  weight: number
}

function drawShape(dice: Dice, hosts: number): Shape {
  return {
    sites: dice.int(1, Math.min(8, hosts)),
    providers: dice.int(1, 3),
    orgs: dice.int(1, 4),
    alwaysOn: dice.pick([0.15, 0.3, 0.5, 1]),
    laptops: dice.pick([0, 0.1, 0.3]),
    owners: dice.int(2, Math.min(5, hosts)),
    bytesPerSecond: dice.pick([2.5e6, 1.25e7]),
    weight: dice.pick([16, 256, 1024]),
  }
}

/** See the head of this file. */
export class World {
  readonly seed: string
  readonly o: WorldOptions
  readonly dice: Dice
  readonly time: VirtualTime
  readonly journal: Journal
  readonly truth: Truth
  readonly fabric: Fabric
  readonly shape: Shape
  readonly policy: Policy = DEFAULT_POLICY
  readonly poolId: Uint8Array
  readonly hosts: SimHost[] = []
  readonly byId = new Map<string, SimHost>()
  readonly vaultOwners = new Map<string, string>()
  readonly retiringHosts = new Set<string>()
  readonly revokedHosts = new Set<string>()
  /** Counts changes of what the pool log and the disks say of hosts. */
  factsVersion = 0
  /** Shards that were moved for a reason other than loss: hosts that are emptied, liars. */
  excusedShards = 0
  invariants: Invariants | undefined
  /** How long stores keep surplus copies. */
  readonly trimWaitMs: number
  readonly openReport: ReturnType<typeof openingOnce> = openingOnce()
  /** Nominal bytes of shards moved over the network. */
  readonly traffic = { get: 0, put: 0 }
  readonly #closed: ReadonlySet<number>[]
  /** Faults are over: machines keep to their habits without exception. */
  calm = false

  constructor(o: WorldOptions) {
    this.o = o
    this.seed = o.seed
    this.trimWaitMs = o.mutation === 'release' ? 0 : SURPLUS_WAIT_MS
    this.dice = new Dice(o.seed)
    this.time = new VirtualTime(this.dice.fork('time'))
    this.journal = new Journal(this.time, o.trace)
    this.truth = new Truth({
      journal: this.journal,
      now: () => this.time.now,
      beyondBudget: o.beyondBudget,
    })
    this.fabric = new Fabric({ time: this.time, dice: this.dice.fork('network') })
    this.shape = drawShape(this.dice.fork('shape'), o.hosts)
    this.poolId = new BufferedRandom(`${o.seed}/pool`).bytes(32)
    const calendar = this.dice.fork('calendar')
    const years = o.years + 1
    this.#closed = Array.from({ length: this.shape.sites }, () => closedDays(calendar, years))
    for (let number = 0; number < o.hosts; number++) this.addHost(number)
    for (const host of this.dice.fork('owners').shuffle(this.hosts).slice(0, this.shape.owners)) {
      this.#giveVault(host)
    }
  }

  /** A machine joins the pool; it is off until its habits switch it on. */
  addHost(number: number, labels?: HostLabels): SimHost {
    const dice = this.dice.fork(`host ${number}`)
    const { shape } = this
    const site = number % shape.sites
    const roll = dice.unit()
    const kind: MachineKind =
      roll < shape.alwaysOn
        ? 'always-on'
        : roll < shape.alwaysOn + shape.laptops
          ? 'laptop'
          : 'office'
    const rented = kind === 'always-on' && shape.providers > 1 && dice.chance(0.3)
    const host = new SimHost({
      world: this,
      number,
      labels: labels ?? {
        site: `site ${site}`,
        provider: rented ? `provider ${dice.int(1, shape.providers - 1)}` : 'self',
        org: `org ${site % shape.orgs}`,
      },
      habits: drawHabits(
        { kind, closed: this.#closed[site] ?? new Set(), years: this.o.years + 1 },
        dice,
      ),
      bytesPerSecond: shape.bytesPerSecond,
      quotaBytes: 4096 * SHARD_BYTES,
      driftPpm: dice.int(-100, 100),
    })
    this.hosts.push(host)
    this.byId.set(host.id, host)
    this.fabric.add(host.node)
    this.factsVersion += 1
    return host
  }

  #giveVault(host: SimHost): void {
    host.vault = new SimVault({ seed: `${this.seed}/vault ${host.name}`, owner: host.id })
    this.vaultOwners.set(toHex(host.vault.id), host.id)
  }

  /** Logs of services are shown with `--trace`. */
  loggerOf(host: SimHost): Logger | undefined {
    if (this.o.trace === undefined) return undefined
    const say = (level: string) => (about: object, text?: string) =>
      this.o.trace?.(`      ${host.name} ${level} ${text ?? ''} ${JSON.stringify(about)}`)
    return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
  }

  /** The services of a host that is being switched on. */
  services(host: SimHost, database: Database): Services {
    const network = new SimNetwork({
      self: host.node,
      fabric: this.fabric,
      peers: this.byId,
      pool: this.poolId,
      weight: this.shape.weight,
      moved: (from, to, bytes, what) => {
        this.traffic[what] += bytes
        const names = `${this.byId.get(from)?.name} to ${this.byId.get(to)?.name}`
        this.journal.note(what === 'get' ? 'fetched' : 'placed', names)
      },
    })
    const pool = new SimPool(this, host)
    return this.o.makeServices({ host, world: this, database, network, pool })
  }

  /** Switches machines on and off by their habits, forever. */
  startHabits(): void {
    for (const host of this.hosts) this.follow(host)
  }

  /** The host keeps to its habits from now on, looked at every hour, at a minute of its own. */
  follow(host: SimHost): void {
    const minute = 10 * host.dice.int(0, 5) * MINUTE_MS
    let today = -1
    let comes = true
    const look = (): void => {
      if (host.dead) return
      const { now } = this.time
      const day = Math.floor(now / DAY_MS)
      if (day !== today) {
        today = day
        comes = !host.dice.chance(this.calm ? 0 : host.habits.absent)
      }
      const wants = comes && now >= host.awayUntil && runsAt(host.habits, now, host.dice)
      if (wants) host.switchOn()
      else host.switchOff(false)
      this.time.at(Math.floor(now / HOUR_MS) * HOUR_MS + HOUR_MS + minute, look)
    }
    this.time.at(this.time.now + minute, look)
  }

  /** Hosts that are not gone for good, put out or emptied. */
  living(): SimHost[] {
    return this.hosts.filter((host) => !host.dead && !host.retiring)
  }

  /** All that are certified, dead ones too: the pool's log does not know of deaths. */
  members(): SimHost[] {
    return this.hosts.filter((host) => !this.revokedHosts.has(host.id))
  }

  /** The machine is gone for good, with all that is on it. */
  bury(host: SimHost, why: string): void {
    host.switchOff(true)
    host.dead = true
    host.wipe(why)
  }

  /** The host is to be emptied: it serves on, and gets nothing more. */
  retire(host: SimHost): void {
    this.journal.note('retire', host.name)
    host.retiring = true
    this.excusedShards += host.store.count
    this.retiringHosts.add(host.id)
    this.factsVersion += 1
  }

  /** Everything that can stop going wrong does. */
  becomeCalm(): void {
    this.calm = true
    this.fabric.mendAll()
    this.factsVersion += 1
    for (const host of this.hosts) {
      host.awayUntil = 0
      host.store.full = false
      host.store.offline = false
      host.clock.correct()
      host.node.bytesPerSecond = this.shape.bytesPerSecond
    }
  }

  /** Stops everything; the simulation is over. */
  async end(): Promise<void> {
    for (const host of this.hosts) host.switchOff(false)
    await Promise.all(this.hosts.map((host) => host.settled()))
  }
}
