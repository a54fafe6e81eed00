import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import {
  GROUP_BYTES,
  MoyaiError,
  SURPLUS_WAIT_MS,
  blake3,
  ed25519Signer,
  isMoyaiError,
  signReceipt,
  signStripe,
  toHex,
} from '@moyai/protocol'
import type { HostFacts, Signer, StripeDescriptor } from '@moyai/protocol'

import { ManualClock } from '../clock.ts'
import { silentLogger } from '../logger.ts'
import type { ShardClient } from '../net/types.ts'
import { memoryShardStore } from '../shard-store/index.ts'
import type { ShardStore } from '../shard-store/index.ts'
import type { HostState, ShardPlace, StripeView } from './ports.ts'
import { SurplusService } from './surplus-service.ts'
import type { SurplusServiceComponents } from './surplus-service.ts'

const POOL = new Uint8Array(32).fill(9)
const VAULT = ed25519Signer(new Uint8Array(32).fill(1))
const DAY_MS = 86_400_000
const LENGTH = 65_536

const shards = [0, 1, 2].map((i) => new Uint8Array(LENGTH).fill(i + 1))
const stripe: StripeDescriptor = {
  vault: VAULT.publicKey,
  vaultSalt: new Uint8Array(16),
  pack: blake3(Uint8Array.of(1)),
  k: 1,
  m: 2,
  shardLength: LENGTH,
  shardHashes: shards.map((shard) => blake3(shard)),
  class: 'data',
  protectedUntil: 2,
  created: 1,
}
const ENVELOPE = signStripe(stripe, VAULT)
const idOf = (index: number): { vault: Uint8Array; pack: Uint8Array; index: number } => ({
  vault: stripe.vault,
  pack: stripe.pack,
  index,
})

type Host = {
  id: string
  signer: Signer
  store: ShardStore
  service: SurplusService
  components: SurplusServiceComponents
  /** Ranges that others read here. */
  reads: number
}

/** Four holders at sites of their own, and the owner; whereabouts are what the stores hold. */
class World {
  readonly clock: ManualClock = new ManualClock(Date.UTC(2026, 10, 25))
  readonly hosts: Host[] = []
  readonly owner: string = 'f'.repeat(64)
  readonly states: Map<string, HostState> = new Map()
  readonly distrusted: Set<string> = new Set()
  readonly retiring: Set<string> = new Set()
  /** Hosts (ids) of which nothing is known, and hosts that cannot read what they have. */
  readonly hidden: Set<string> = new Set()
  readonly hurt: Set<string> = new Set()
  readonly told: { by: string; to: string }[] = []
  readonly #listeners = new Set<(vault: string) => void>()

  static async make(): Promise<World> {
    const world = new World()
    for (let i = 0; i < 5; i++) await world.#addHost(i)
    for (const index of [0, 1, 2]) await world.put(index, index)
    return world
  }

  host(i: number): Host {
    return this.hosts[i] ?? assert.fail()
  }

  async put(i: number, index: number): Promise<void> {
    const put = await this.host(i).store.put({ envelope: ENVELOPE, index })
    assert.ok(!put.had)
    await put.writer.write(shards[index] ?? assert.fail())
    await put.writer.commit()
    this.changed()
  }

  changed(): void {
    for (const listener of this.#listeners) listener(toHex(stripe.vault))
  }

  turn(i: number): ReturnType<SurplusService['turn']> {
    return this.host(i).service.turn(new AbortController().signal)
  }

  /** A turn of all, one day later each, until so many days have gone. */
  async days(count: number): Promise<void> {
    for (let day = 0; day < count; day++) {
      await this.clock.advance(DAY_MS)
      for (const i of this.hosts.keys()) await this.turn(i)
    }
  }

  /** Numbers of the hosts that have the shard. */
  async holders(index: number): Promise<number[]> {
    const has = await Promise.all(this.hosts.map((host) => host.store.has(idOf(index))))
    return has.flatMap((one, i) => (one ? [i] : []))
  }

  async #view(): Promise<StripeView> {
    const places: ShardPlace[] = []
    for (const index of [0, 1, 2]) {
      for (const i of await this.holders(index)) {
        const host = this.host(i).id
        if (!this.hidden.has(host)) places.push({ index, host, seenAt: 0, refuted: false })
      }
    }
    const { vault, pack, k, m, shardLength, created } = stripe
    return { vault, pack, code: { k, m }, class: 'data', shardLength, created, places }
  }

  async #addHost(i: number): Promise<void> {
    const signer = ed25519Signer(new Uint8Array(32).fill(10 + i))
    const id = toHex(signer.publicKey)
    const { clock } = this
    const store = await memoryShardStore({
      surplus: { clock, host: signer.publicKey, pool: () => POOL },
    })
    const components: SurplusServiceComponents = {
      store,
      clock,
      logger: silentLogger,
      random: { bytes: (length) => new Uint8Array(length).fill(3) },
      liveness: { stateOf: (host) => this.states.get(host) ?? 'online' },
      trust: { isTrusted: (host) => !this.distrusted.has(host) },
      pool: {
        self: id,
        id: () => POOL,
        hosts: () => this.#facts(),
        retiring: () => this.retiring,
        revoked: () => new Set(),
        policy: () => ({ host: 2, site: 1, provider: 0, org: 0 }),
        vaults: () => new Map([[toHex(stripe.vault), this.owner]]),
        nameOf: (host) => host.slice(0, 4),
      },
      whereabouts: {
        vaults: async () => [stripe.vault],
        stripes: () => this.#views(),
        stripe: () => this.#view(),
        descriptor: async () => ({ envelope: ENVELOPE, stripe }),
        confirm: async () => {},
        refute: async () => {},
        refresh: async () => {},
        onChange: (listener) => {
          this.#listeners.add(listener)
          return () => this.#listeners.delete(listener)
        },
      },
      network: {
        isConnected: (host) => (this.states.get(host) ?? 'online') === 'online',
        shards: (host) => this.#client(host),
        tell: async (to) => {
          this.told.push({ by: id, to })
        },
      },
    }
    const service = new SurplusService({}, components)
    this.hosts.push({ id, signer, store, service, components, reads: 0 })
  }

  async *#views(): AsyncGenerator<StripeView> {
    yield await this.#view()
  }

  #facts(): HostFacts[] {
    return [...this.hosts.map(({ id }) => id), this.owner].map((id, i) => {
      const about = { org: 'o', site: `s${i}`, provider: 'self', freeBytes: 1e9 }
      return { id, ...about, online: (this.states.get(id) ?? 'online') === 'online' }
    })
  }

  /** What the shard protocol does at the other end. */
  #client(id: string): ShardClient {
    const host = this.hosts.find((one) => one.id === id) ?? assert.fail()
    // oxlint-disable-next-line typescript/no-this-alias -- a generator has a `this` of its own
    const world = this
    const unused = (): never => assert.fail('not needed here')
    return {
      stat: unused,
      inventory: unused,
      digests: unused,
      audit: unused,
      put: async ({ envelope, index, payload }) => {
        const put = await host.store.put({ envelope, index })
        if (!put.had) {
          await put.writer.abort()
          for await (const bytes of typeof payload === 'function' ? payload() : payload) {
            assert.fail(`${bytes.length} bytes sent`)
          }
          throw new MoyaiError('TRUNCATED', 'nothing came')
        }
        const shardHash = stripe.shardHashes[index] ?? assert.fail()
        const about = { ...idOf(index), pool: POOL, shardHash, protectedUntil: 2 }
        const by = { host: host.signer.publicKey, storedAt: this.clock.now() }
        return { had: true, receipt: signReceipt({ ...about, ...by }, host.signer) }
      },
      async *get({ index, offset, length }) {
        host.reads++
        if (world.hurt.has(id)) throw new MoyaiError('SHARD_DAMAGED', 'half of it')
        assert.equal(offset % GROUP_BYTES, 0)
        const reader = await host.store.open(idOf(index))
        yield await reader.read(offset, length)
        await reader.close()
      },
    }
  }
}

void describe('surplus service', () => {
  void test('goal: of two copies one goes, after thirty days and two checks', async () => {
    const world = await World.make()
    await world.put(3, 2)
    await world.days(30)
    assert.deepEqual(await world.holders(2), [2, 3])
    await world.days(1)
    const [left, ...more] = await world.holders(2)
    assert.deepEqual(more, [])
    // The copy that stays was asked for bytes, and the neighbours were told.
    assert.equal(world.host(left ?? 9).reads, 1)
    assert.ok(world.told.some(({ to }) => to === world.owner))
    assert.ok(world.told.some(({ to }) => to === world.host(left ?? 9).id))
    await world.days(40)
    for (const index of [0, 1, 2]) assert.equal((await world.holders(index)).length, 1)
  })

  void test('goal: a third copy goes, too, and never the last', async () => {
    const world = await World.make()
    for (const i of [3, 4]) await world.put(i, 2)
    await world.days(70)
    for (const index of [0, 1, 2]) assert.equal((await world.holders(index)).length, 1)
  })

  void test('goal: a host that is emptied, or not believed, gives up its copy', async () => {
    for (const which of ['retiring', 'distrusted'] as const) {
      for (const i of [2, 3]) {
        const world = await World.make()
        await world.put(3, 2)
        world[which].add(world.host(i).id)
        await world.days(32)
        assert.deepEqual(await world.holders(2), [5 - i])
      }
    }
  })

  void test('goal: while another shard of the stripe is missing, nothing goes', async () => {
    const world = await World.make()
    await world.put(3, 2)
    await world.days(10)
    world.states.set(world.host(0).id, 'presumed-lost')
    await world.days(40)
    assert.deepEqual(await world.holders(2), [2, 3])
    world.states.delete(world.host(0).id)
    await world.days(40)
    assert.equal((await world.holders(2)).length, 1)
  })

  void test('goal: a copy whose other holder is away waits for it', async () => {
    const world = await World.make()
    await world.put(3, 2)
    await world.days(2)
    for (const i of [2, 3]) world.states.set(world.host(i).id, 'away')
    await world.days(60)
    assert.deepEqual(await world.holders(2), [2, 3])
    world.states.clear()
    await world.days(1)
    assert.equal((await world.holders(2)).length, 1)
  })

  void test('goal: a copy that cannot be read does not let the other one go', async () => {
    const world = await World.make()
    await world.put(3, 2)
    await world.days(1)
    const going = await markedHost(world)
    world.hurt.add(world.host(5 - going).id)
    await world.days(40)
    assert.deepEqual(await world.holders(2), [2, 3])
  })

  void test('goal: what is the only copy after a restart is not marked any more', async () => {
    const world = await World.make()
    await world.put(3, 2)
    await world.days(1)
    const going = await markedHost(world)
    world.hidden.add(world.host(5 - going).id)
    const again = new SurplusService({}, world.host(going).components)
    const turn = await again.turn(new AbortController().signal)
    assert.deepEqual(turn, { marked: 0, unmarked: 1, trimmed: 0 })
    assert.equal(await world.host(going).store.surplusMarker(idOf(2)), undefined)
  })

  void test('goal: broken decisions cannot make the last copy go', async () => {
    const world = await World.make()
    await world.put(3, 2)
    const both = [
      { index: 2, host: world.host(2).id, stays: world.host(3).id },
      { index: 2, host: world.host(3).id, stays: world.host(2).id },
    ]
    const decisions = { surplusOf: (): typeof both => both }
    const services = [2, 3].map((i) => new SurplusService({ decisions }, world.host(i).components))
    const { signal } = new AbortController()
    for (let day = 0; day < 100; day++) {
      await world.clock.advance(DAY_MS)
      await Promise.all(services.map((service) => service.turn(signal)))
      assert.ok((await world.holders(2)).length > 0)
    }
  })

  void test('goal: it looks once a day by itself, and stops when it is told to', async () => {
    const world = await World.make()
    await world.put(3, 2)
    for (const { service } of world.hosts) service.start()
    for (let day = 0; day <= SURPLUS_WAIT_MS / DAY_MS + 2; day++) {
      await world.clock.advance(DAY_MS)
      for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
    }
    await Promise.all(world.hosts.map(({ service }) => service.stop()))
    assert.equal((await world.holders(2)).length, 1)
    assert.equal(world.clock.sleepers, 0)
  })

  void test('goal: a turn that is stopped rejects, and no copy is lost', async () => {
    const world = await World.make()
    await world.put(3, 2)
    const signal = AbortSignal.abort(new MoyaiError('ABORTED', 'stopped'))
    await assert.rejects(world.host(3).service.turn(signal), (error) =>
      isMoyaiError(error, 'ABORTED'),
    )
    assert.deepEqual(await world.holders(2), [2, 3])
  })
})

/** The one of hosts 2 and 3 whose copy of shard 2 is marked. */
async function markedHost(world: World): Promise<number> {
  const marked = await Promise.all([2, 3].map((i) => world.host(i).store.surplusMarker(idOf(2))))
  assert.equal(marked.filter((one) => one !== undefined).length, 1)
  return marked[0] === undefined ? 3 : 2
}
