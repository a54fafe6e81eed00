/**
 * Small pools in memory, for tests: hosts with their own keys and disks, on one clock unless told
 * otherwise.
 */

import {
  deriveVaultBundle,
  ed25519Signer,
  guardSigner,
  signDelegation,
  toHex,
  type Clock,
  type Signer,
  type VaultBundle,
} from '@moyai/protocol'

import { ManualClock } from '../../clock.ts'
import { MemoryDisk, openMemoryDatabase, type Database } from '../../database/index.ts'
import { removeFile, SimulatedDisk } from '../../file-system/index.ts'
import { silentLogger } from '../../logger.ts'
import { SeededRandom } from '../../random.ts'
import { eventually } from '../../testing/eventually.ts'
import { Membership } from '../membership.ts'
import { MemoryNetwork, MemoryWorld } from './memory-network.ts'

/** One host; `open` again after `close` is a restart. */
export class TestHost {
  readonly name: string
  readonly world: MemoryWorld
  readonly clock: Clock
  readonly identity: Signer
  readonly bundle: VaultBundle
  readonly delegation: Uint8Array
  readonly id: string
  disk = new MemoryDisk()
  readonly files = new SimulatedDisk()
  database: Database = openMemoryDatabase(this.disk)
  #membership: Membership | undefined
  #network: MemoryNetwork | undefined

  constructor(o: { name: string; world: MemoryWorld; clock: Clock; org?: string }) {
    this.name = o.name
    this.world = o.world
    this.clock = o.clock
    const random = new SeededRandom(`host ${o.name}`)
    const secret = new SeededRandom(`org ${o.org ?? o.name}`).bytes(32)
    this.identity = ed25519Signer(random.bytes(32))
    this.bundle = deriveVaultBundle(secret, random.bytes(16))
    const guard = guardSigner(secret)
    const delegate = this.identity.publicKey
    this.delegation = signDelegation(
      { org: guard.publicKey, delegate, may: ['certify-host', 'invite'], at: o.clock.now() },
      guard,
    )
    this.id = toHex(delegate)
  }

  get membership(): Membership {
    if (this.#membership === undefined) throw new Error(`${this.name} is closed`)
    return this.#membership
  }

  get network(): MemoryNetwork {
    if (this.#network === undefined) throw new Error(`${this.name} is closed`)
    return this.#network
  }

  /** Starts the host on its disk, with `wrap` around its database. */
  async open(o: { name?: string; wrap?: (database: Database) => Database } = {}): Promise<this> {
    const { identity, bundle, delegation, clock } = this
    const open = openMemoryDatabase(this.disk)
    this.database = o.wrap?.(open) ?? open
    const profile = {
      name: o.name ?? this.name,
      site: 'here',
      provider: 'self',
      class: 'desktop' as const,
      offeredBytes: 1e9,
    }
    const random = new SeededRandom(`run ${this.name} ${clock.now()}`)
    const logger = silentLogger
    const components = { database: this.database, clock, random, logger, disk: this.files }
    const own = { identity, bundle, delegation, profile, peersFile: '/pool.peers' }
    const membership = await Membership.open(own, components)
    this.#membership = membership
    this.#network = new MemoryNetwork({ host: this.id, world: this.world, membership })
    membership.attach(this.#network)
    this.world.refresh()
    await membership.begin()
    return this
  }

  /** Stops the host; what was acknowledged is on its disk. */
  async close(): Promise<void> {
    if (this.#network !== undefined) this.world.remove(this.#network)
    this.world.refresh()
    await this.#membership?.stop()
    this.#membership = undefined
    this.#network = undefined
    await this.database.close()
  }

  /** Everything but the keys is gone; with `peersToo`, the file that remembers hosts as well. */
  async loseState(o: { peersToo: boolean }): Promise<void> {
    this.disk = new MemoryDisk()
    if (o.peersToo) await removeFile(this.files, '/pool.peers')
  }

  /** Joins the pool that `inviter` is in. */
  async joinThrough(inviter: TestHost): Promise<void> {
    const { token } = await inviter.membership.invite({ uses: 1, expiresSeconds: 3600 })
    await this.membership.join(token)
  }
}

/**
 * A pool of `names`, the first of which founded it and invited the others; `run` gets them all
 * running.
 */
export async function withPool(
  names: readonly string[],
  run: (o: { hosts: TestHost[]; world: MemoryWorld; clock: ManualClock }) => Promise<void>,
): Promise<void> {
  const world = new MemoryWorld()
  const clock = new ManualClock()
  const hosts = names.map((name) => new TestHost({ name, world, clock }))
  try {
    for (const host of hosts) await host.open()
    const [founder, ...others] = hosts as [TestHost, ...TestHost[]]
    await founder.membership.createPool('test pool')
    for (const host of others) {
      await clock.advance(1000)
      await host.joinThrough(founder)
    }
    await eventually('everybody knows everybody', () =>
      hosts.every((host) => host.membership.state()?.hosts.size === hosts.length),
    )
    await run({ hosts, world, clock })
  } finally {
    for (const host of hosts) await host.close()
  }
}
