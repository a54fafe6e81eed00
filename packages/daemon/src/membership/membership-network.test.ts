import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import {
  deriveVaultBundle,
  ed25519Signer,
  guardSigner,
  signDelegation,
  toHex,
} from '@moyai/protocol'

import { systemClock } from '../clock.ts'
import { openLevelDatabase, type Database } from '../database/index.ts'
import { silentLogger } from '../logger.ts'
import { createNetwork, type InspectableNetwork } from '../net/index.ts'
import { systemRandom } from '../random.ts'
import { eventually } from '../testing/eventually.ts'
import { Membership } from './membership.ts'

type Running = {
  id: string
  membership: Membership
  network: InspectableNetwork
  database: Database
  close(): Promise<void>
}

/** One host with keys of its own, in a folder of its own, listening on loopback. */
class RealHost {
  readonly #folder: string
  readonly #name: string
  readonly #seed = systemRandom.bytes(32)
  readonly #secret = systemRandom.bytes(32)
  readonly #salt = systemRandom.bytes(16)
  #port = 0

  constructor(folder: string, name: string) {
    this.#folder = join(folder, name)
    this.#name = name
  }

  forgetDatabase(): void {
    rmSync(`${this.#folder}-database`, { recursive: true, force: true })
  }

  async open(): Promise<Running> {
    const identity = ed25519Signer(this.#seed)
    const guard = guardSigner(this.#secret)
    const delegate = identity.publicKey
    const delegation = signDelegation(
      { org: guard.publicKey, delegate, may: ['certify-host', 'invite'], at: 1 },
      guard,
    )
    const database = await openLevelDatabase(`${this.#folder}-database`)
    const components = { clock: systemClock, random: systemRandom, logger: silentLogger }
    const membership = await Membership.open(
      {
        identity,
        bundle: deriveVaultBundle(this.#secret, this.#salt),
        delegation,
        profile: {
          name: this.#name,
          site: 's',
          provider: 'self',
          class: 'desktop',
          offeredBytes: 1,
        },
        peersFile: `${this.#folder}.peers`,
      },
      { ...components, database },
    )
    const network = await createNetwork(
      { seed: this.#seed, listen: [`/ip4/127.0.0.1/tcp/${this.#port}`] },
      { ...components, membership },
    )
    membership.attach(network)
    await network.start()
    this.#port = Number(/\/tcp\/(\d+)/.exec(network.addresses()[0] ?? '')?.[1])
    await membership.begin()
    const close = async (): Promise<void> => {
      await membership.stop()
      await network.stop()
      await database.close()
    }
    return { id: toHex(delegate), membership, network, database, close }
  }
}

test('goal: on real connections hosts join, keep a log, and find it again', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'moyai-membership-'))
  const hosts = ['a', 'b', 'c'].map((name) => new RealHost(folder, name))
  const running = await Promise.all(hosts.map((host) => host.open()))
  const [a, b, c] = running as [Running, Running, Running]
  try {
    await a.membership.createPool('office')
    const { token } = await a.membership.invite({ uses: 2, expiresSeconds: 60 })
    await b.membership.join(token)
    await c.membership.join(token)
    const everyone = (all: readonly Running[]): boolean =>
      all.every(({ network }) => {
        const peers = network.peers()
        return peers.length === 2 && peers.every((peer) => peer.connected)
      })
    await eventually('all are connected', () => everyone(running))

    const small = await b.membership.ownLog.append({
      kind: 'snapshot',
      seal: () => new Uint8Array(100),
    })
    assert.deepEqual([...small.confirmed].sort(), [a.id, c.id].sort())
    // Longer than a frame of the network.
    const long = await b.membership.ownLog.append({
      kind: 'snapshot',
      seal: () => new Uint8Array(1_000_000),
    })
    assert.deepEqual([long.seq, long.confirmed.length, long.majority], [1, 2, true])

    await eventually('b remembers whom to ask', () =>
      [...b.membership.members()].every(({ addresses }) => addresses.length > 0),
    )
    await b.close()
    await (hosts[1] as RealHost).open().then((again) => again.close())
    hosts[1]?.forgetDatabase()
    const returned = await (hosts[1] as RealHost).open()
    running[1] = returned
    await eventually('b is back', () => everyone(running))
    const found = await returned.membership.ownLog.pullHeads()
    assert.deepEqual([found.head?.seq, found.complete], [1, true])
    const next = await returned.membership.ownLog.append({
      kind: 'snapshot',
      seal: () => new Uint8Array(100),
    })
    assert.deepEqual([next.seq, next.confirmed.length], [2, 2])
  } finally {
    await Promise.allSettled(running.map((one) => one.close()))
    rmSync(folder, { recursive: true, force: true })
  }
})
