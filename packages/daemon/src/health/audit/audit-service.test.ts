/** The audit service among holders of every kind, without network and without time. */

import assert from 'node:assert/strict'
import { test } from 'node:test'

import {
  AUDIT_OWNER_MS_MAX,
  ed25519Signer,
  fromHex,
  GROUP_BYTES,
  MoyaiError,
  openAuditReport,
  signAuditReport,
  type Signer,
  toHex,
} from '@moyai/protocol'

import { ManualClock } from '../../clock.ts'
import { openMemoryDatabase } from '../../database/memory-database.ts'
import { shardHandler } from '../../net/shard/handler.ts'
import { decodeShardRequest } from '../../net/shard/constants.ts'
import { type Answer, loopClient } from '../../net/testing/loop-client.ts'
import { MemoryShards } from '../../net/testing/memory-shards.ts'
import { makeStripe, POOL, TestMembership, type TestStripe } from '../../net/testing/network.ts'
import type { ShardClient } from '../../net/types.ts'
import { SeededRandom } from '../../random.ts'
import type { HealthNetwork, HealthPool, HostState, StripeView, Whereabouts } from '../ports.ts'
import { AuditReports, AuditService, Trust } from './index.ts'

const DAY_MS = 86_400_000
const SHARD_LENGTH = 64 * 1024
const SHARDS = 4
const SILENT = { debug() {}, info() {}, warn() {}, error() {} }
const ABORT = new AbortController().signal

type Spoil = (request: Uint8Array, answer: Answer) => Promise<Answer> | Answer

/** One auditor, four holders with one shard each of every stripe. */
class World {
  readonly clock = new ManualClock()
  readonly auditor: Signer
  readonly owner: string
  readonly holders: Signer[]
  readonly stores = new Map<string, MemoryShards>()
  readonly stripes: TestStripe[] = []
  readonly connected = new Set<string>()
  readonly spoil = new Map<string, Spoil>()
  readonly refuted = new Set<string>()
  readonly confirmed = new Set<string>()
  readonly states = new Map<string, HostState>()
  readonly claims = new Set<string>()
  requests = 0
  /** A report of the owner that every host has, and its time. */
  foreign: Uint8Array | undefined
  foreignAt = 0
  readonly #handlers = new Map<string, ReturnType<typeof shardHandler>>()

  constructor(o: { stripes: number; isOwner?: boolean }) {
    this.holders = [1, 2, 3, 4].map((i) => ed25519Signer(new Uint8Array(32).fill(40 + i)))
    const own = ed25519Signer(new Uint8Array(32).fill(40))
    const [first = own] = this.holders
    this.auditor = o.isOwner === false ? first : own
    this.owner = toHex(own.publicKey)
    for (const signer of this.holders) {
      const host = toHex(signer.publicKey)
      const store = new MemoryShards()
      this.stores.set(host, store)
      const { clock } = this
      const membership = new TestMembership()
      this.#handlers.set(host, shardHandler({ store, signer, clock, membership }))
      if (host !== toHex(this.auditor.publicKey)) this.connected.add(host)
    }
    for (let i = 0; i < o.stripes; i++) {
      this.stripes.push(makeStripe(i, { shardLength: SHARD_LENGTH, count: SHARDS }))
    }
    this.stripes.sort((a, b) => (toHex(a.descriptor.pack) < toHex(b.descriptor.pack) ? -1 : 1))
  }

  get vault(): Uint8Array {
    return this.stripes[0]?.descriptor.vault ?? assert.fail()
  }

  async fill(): Promise<void> {
    for (const { envelope, shards } of this.stripes) {
      for (const [index, signer] of this.holders.entries()) {
        const store = this.stores.get(toHex(signer.publicKey)) ?? assert.fail()
        const put = await store.put({ envelope, index })
        if (put.had) continue
        await put.writer.write(shards[index] ?? assert.fail())
        await put.writer.commit()
      }
    }
  }

  host(i: number): string {
    return toHex(this.holders[i]?.publicKey ?? assert.fail())
  }

  /** `asker` towards `host`, as the wire would do it. */
  client(host: string, asker: Uint8Array): ShardClient {
    const handler = this.#handlers.get(host) ?? assert.fail()
    const spoil = this.spoil.get(host)
    this.requests++
    const spoiling = spoil === undefined ? {} : { spoil }
    return loopClient({ host, self: asker, pool: POOL, handler, ...spoiling })
  }

  get pool(): HealthPool {
    const ids = [this.owner, ...this.holders.map(({ publicKey }) => toHex(publicKey))]
    const facts = { site: 'a', provider: 'self', online: true, freeBytes: 1e9 }
    return {
      self: toHex(this.auditor.publicKey),
      id: () => POOL,
      hosts: () => ids.map((id, i) => ({ id, org: `org ${i}`, ...facts })),
      retiring: () => new Set(),
      revoked: () => new Set(),
      policy: () => ({ host: 2, site: 0, provider: 0, org: 0 }),
      vaults: () => new Map([[toHex(this.vault), this.owner]]),
      nameOf: (host) => host,
    }
  }

  get network(): HealthNetwork {
    return {
      connected: () => [...this.connected],
      isConnected: (host) => this.connected.has(host),
      rttMs: () => undefined,
      on: () => () => {},
      shards: (host) => this.client(host, this.auditor.publicKey),
      ask: async () => {
        const audits = this.foreign
          ? [{ auditor: this.owner, vault: this.vault, at: this.foreignAt }]
          : []
        return { now: 0, inventories: [], presumedLost: [], audits }
      },
      audits: async () => (this.foreign === undefined ? [] : [new Uint8Array(99), this.foreign]),
      tell: () => assert.fail(),
    }
  }

  view({ descriptor }: TestStripe): StripeView {
    const { vault, pack, k, m, shardLength, created } = descriptor
    const places = this.holders.map((signer, index) => {
      const host = toHex(signer.publicKey)
      return { index, host, seenAt: 0, refuted: this.refuted.has(`${toHex(pack)}.${index}`) }
    })
    return { vault, pack, code: { k, m }, class: 'data', shardLength, created, places }
  }

  get whereabouts(): Whereabouts {
    const find = (pack: Uint8Array): TestStripe | undefined =>
      this.stripes.find(({ descriptor }) => toHex(descriptor.pack) === toHex(pack))
    const { stripes } = this
    const view = this.view.bind(this)
    return {
      vaults: async () => [this.vault],
      stripes: async function* all() {
        for (const stripe of stripes) yield view(stripe)
      },
      stripe: async (_vault, pack) => {
        const stripe = find(pack)
        return stripe === undefined ? undefined : this.view(stripe)
      },
      descriptor: async (_vault, pack) => {
        const { envelope, descriptor } = find(pack) ?? assert.fail()
        return { envelope, stripe: descriptor }
      },
      confirm: async ({ pack, index }) => {
        this.confirmed.add(`${toHex(pack)}.${index}`)
        this.refuted.delete(`${toHex(pack)}.${index}`)
      },
      refute: async ({ pack, index }) => void this.refuted.add(`${toHex(pack)}.${index}`),
      refresh: async () => {},
      onChange: () => () => {},
    }
  }
}

type Auditing = { service: AuditService; trust: Trust; reports: AuditReports }

async function auditing(world: World, database = openMemoryDatabase()): Promise<Auditing> {
  const { clock, pool } = world
  const trust = await Trust.open({ database, clock, pool })
  const reports = await AuditReports.open({
    database,
    clock,
    pool,
    onReport: (report) => trust.hear(report),
  })
  const service = new AuditService(
    {},
    {
      pool,
      clock,
      trust,
      reports,
      database,
      network: world.network,
      whereabouts: world.whereabouts,
      liveness: {
        stateOf: (host) => world.states.get(host) ?? 'online',
        onChange: () => () => {},
      },
      signer: world.auditor,
      random: new SeededRandom('audits'),
      logger: SILENT,
      hasClaim: (host) => world.claims.has(host),
    },
  )
  return { service, trust, reports }
}

async function days(world: World, service: AuditService, count: number): Promise<void> {
  for (let day = 0; day < count; day++) {
    await service.turn(ABORT)
    await world.clock.advance(DAY_MS)
  }
}

test('goal: every shard is asked for within a week, and once a day at most a share of them', async () => {
  const world = new World({ stripes: 30 })
  await world.fill()
  const { service, reports, trust } = await auditing(world)
  await service.turn(ABORT)
  assert.equal(world.confirmed.size, 4 * 6)
  // The rest of the day brings nothing new.
  await world.clock.advance(DAY_MS / 4)
  await service.turn(ABORT)
  assert.equal(world.confirmed.size, 4 * 6)
  assert.equal(await service.oldestAuditAt(world.vault), undefined)
  await world.clock.advance(DAY_MS)
  await days(world, service, 6)
  assert.equal(world.confirmed.size, 4 * 30)
  assert.equal(world.refuted.size, 0)
  const oldest = await service.oldestAuditAt(world.vault)
  assert.ok(oldest !== undefined && world.clock.now() - oldest < 9 * DAY_MS)
  const envelope = reports.get(world.owner, world.vault) ?? assert.fail()
  const report = openAuditReport(envelope)
  assert.equal(report.whole, true)
  assert.equal(report.holders.length, 4)
  for (const { asked, proved, failed } of report.holders) {
    assert.ok(asked >= 30 && proved === asked)
    assert.deepEqual(failed, [])
  }
  assert.ok(world.holders.every(({ publicKey }) => trust.isTrusted(toHex(publicKey))))
})

test('goal: a round goes on after a restart, and catches up with who was away', async () => {
  const world = new World({ stripes: 30 })
  await world.fill()
  const database = openMemoryDatabase()
  const away = world.host(2)
  for (let day = 0; day < 8; day++) {
    // A new process each day; one host is there on one day of four.
    if (day % 4 === 0) world.connected.add(away)
    else world.connected.delete(away)
    const { service } = await auditing(world, database)
    await days(world, service, 1)
  }
  const ofAway = [...world.confirmed].filter((name) => name.endsWith('.2'))
  assert.equal(ofAway.length, 30)
  assert.equal(world.confirmed.size, 4 * 30)
})

test('goal: who keeps the first group alone is caught, shard by shard, and then not trusted', async () => {
  const world = new World({ stripes: 40 })
  await world.fill()
  const liar = world.host(0)
  world.spoil.set(liar, (request, answer) => {
    const { challenges = [] } = decodeShardRequest(request) as { challenges?: { group: number }[] }
    const payload = answer.payload.map((bytes, i) =>
      challenges[i]?.group === 0 ? bytes : new Uint8Array(bytes.length),
    )
    return { ...answer, payload }
  })
  const { service, trust, reports } = await auditing(world)
  await days(world, service, 6)
  const caught = [...world.refuted]
  assert.ok(caught.length > 20 && caught.every((name) => name.endsWith('.0')))
  assert.equal(trust.isTrusted(liar), false)
  assert.deepEqual(
    trust.untrusted().map(({ host }) => host),
    [liar],
  )
  assert.ok([1, 2, 3].every((i) => trust.isTrusted(world.host(i))))
  const report = openAuditReport(reports.get(world.owner, world.vault) ?? assert.fail())
  const about = report.holders.find(({ host }) => toHex(host) === liar)
  assert.equal(about?.failed.length, 32)
})

test('goal: garbage and old answers are failures; a busy or absent host is only late', async () => {
  const world = new World({ stripes: 10 })
  await world.fill()
  world.spoil.set(world.host(0), (_request, answer) => ({
    ...answer,
    payload: answer.payload.map((bytes) => bytes.map((byte) => byte ^ 7)),
  }))
  const first = new Map<number, Answer>()
  world.spoil.set(world.host(1), (_request, answer) => {
    const known = first.get(answer.payload.length) ?? answer
    first.set(answer.payload.length, known)
    return known
  })
  world.spoil.set(world.host(2), () => {
    throw new MoyaiError('STORE_OFFLINE', 'the disk is not mounted')
  })
  const { service, trust, reports } = await auditing(world)
  await days(world, service, 8)
  const refuted = (index: number): number =>
    [...world.refuted].filter((name) => name.endsWith(`.${index}`)).length
  assert.equal(refuted(0), 10)
  assert.ok(refuted(1) >= 3)
  assert.equal(refuted(2), 0)
  assert.equal(refuted(3), 0)
  assert.equal(trust.isTrusted(world.host(0)), false)
  assert.equal(trust.isTrusted(world.host(1)), false)
  assert.equal(trust.isTrusted(world.host(2)), true)
  const report = openAuditReport(reports.get(world.owner, world.vault) ?? assert.fail())
  assert.equal(report.whole, false)
  const late = report.holders.find(({ host }) => toHex(host) === world.host(2))
  assert.ok(late !== undefined && late.late === late.asked && late.late > 0)
})

/** Holder 0 keeps nothing: what it is asked for it fetches from holder 1's copies. */
function proxying(world: World): void {
  const thief = world.host(0)
  const victim = world.host(1)
  world.spoil.set(thief, async (request, answer) => {
    const asked = decodeShardRequest(request)
    if (asked.op !== 'audit') return answer
    for (const { pack, group } of asked.challenges) {
      const stripe = world.stripes.find(({ descriptor }) => toHex(descriptor.pack) === toHex(pack))
      const { vault, shardHashes, shardLength } = stripe?.descriptor ?? assert.fail()
      const root = shardHashes[1] ?? assert.fail()
      const range = { offset: group * GROUP_BYTES, length: GROUP_BYTES, root, shardLength }
      const parts = world.client(victim, fromHex(thief)).get({ vault, pack, index: 1, ...range })
      for await (const _ of parts) continue
    }
    // The right answer stands for what it would compute from the shards of others.
    return answer
  })
}

test('goal: who answers from other holders is seen by them, and drained after the second time', async () => {
  const world = new World({ stripes: 40 })
  await world.fill()
  proxying(world)
  const { service, trust } = await auditing(world)
  await days(world, service, 20)
  assert.equal(trust.isTrusted(world.host(0)), false)
  assert.ok([1, 2, 3].every((i) => trust.isTrusted(world.host(i))))
})

test('goal: a repairer with a claim is not taken for a proxy', async () => {
  const world = new World({ stripes: 40 })
  await world.fill()
  proxying(world)
  world.claims.add(world.host(0))
  const { service, trust } = await auditing(world)
  await days(world, service, 20)
  assert.equal(trust.isTrusted(world.host(0)), true)
})

test('goal: fellow holders audit when the owner has not reported for eight days, each its part', async () => {
  const world = new World({ stripes: 40, isOwner: false })
  await world.fill()
  const { service, reports } = await auditing(world)
  await service.turn(ABORT)
  assert.equal(world.confirmed.size, 0)
  await world.clock.advance(AUDIT_OWNER_MS_MAX + DAY_MS)
  await days(world, service, 10)
  // One of the three others would have been first for some places, and never for its own.
  assert.ok(world.confirmed.size > 10 && world.confirmed.size < 3 * 40)
  assert.ok([...world.confirmed].every((name) => !name.endsWith('.0')))
  const envelope = reports.get(toHex(world.auditor.publicKey), world.vault) ?? assert.fail()
  assert.equal(openAuditReport(envelope).whole, false)
})

test('goal: no fellow audits while others have a young report of the owner', async () => {
  const world = new World({ stripes: 10, isOwner: false })
  await world.fill()
  const { service, reports } = await auditing(world)
  await service.turn(ABORT)
  await world.clock.advance(AUDIT_OWNER_MS_MAX + DAY_MS)
  const owner = ed25519Signer(new Uint8Array(32).fill(40))
  const to = world.clock.now() - DAY_MS
  const about = { pool: POOL, auditor: owner.publicKey, vault: world.vault, from: 1, to }
  world.foreign = signAuditReport({ ...about, whole: true, holders: [] }, owner)
  world.foreignAt = to
  await days(world, service, 6)
  assert.equal(reports.at(world.owner, world.vault), to)
  assert.equal(world.confirmed.size, 0)
  await days(world, service, 4)
  assert.ok(world.confirmed.size > 0)
})

test('goal: two auditors of different organisations are believed, one is not', async () => {
  const world = new World({ stripes: 10 })
  await world.fill()
  const { trust, reports } = await auditing(world)
  const accused = world.host(3)
  const slander = async (i: number): Promise<void> => {
    const signer = world.holders[i] ?? assert.fail()
    const holder = { asked: 9, proved: 1, late: 0, proxied: 2, failedDays: 0, failed: [] }
    await reports.add(
      signAuditReport(
        {
          pool: POOL,
          auditor: signer.publicKey,
          vault: world.vault,
          from: 1,
          to: world.clock.now(),
          whole: false,
          holders: [{ host: fromHex(accused), ...holder }],
        },
        signer,
      ),
    )
  }
  await slander(0)
  assert.equal(trust.isTrusted(accused), true)
  await slander(1)
  assert.equal(trust.isTrusted(accused), false)
})
