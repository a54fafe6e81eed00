/**
 * What a pool is follows from the set of its statements: random sets by several admins, in any
 * order, however often they come, and merged by hosts that keep only what counts.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { equalBytes, toHex } from '../bytes.ts'
import { ed25519Signer, type Signer } from '../envelope/index.ts'
import {
  evaluatePool,
  nextRegisterPlace,
  poolId,
  registerName,
  signAway,
  signDelegation,
  signGenesis,
  signHost,
  signHostClaim,
  signLabel,
  signLost,
  signOrganisation,
  signPolicy,
  signRetire,
  signRevocationOrder,
  signRevoke,
  statementId,
  type HostLabels,
  type OpenedStatements,
  type PoolState,
} from './index.ts'

const RIGHTS = ['certify-host', 'invite']
const signerOf = (fill: number, kind: number): Signer =>
  ed25519Signer(new Uint8Array(32).fill(fill).fill(kind, 0, 1))

/** A host of an organisation; the lower `since`, the more senior. */
type Actor = { guard: Signer; host: Signer; vault: Signer; org: Uint8Array; delegation: Uint8Array }

function actor(org: number, fill: number, since: number): Actor {
  const guard = signerOf(org, 1)
  const host = signerOf(fill, 2)
  const content = { org: guard.publicKey, delegate: host.publicKey, may: RIGHTS, at: since }
  const delegation = signDelegation(content, guard)
  return { guard, host, vault: signerOf(fill, 3), org: guard.publicKey, delegation }
}

/** Two organisations: three hosts of the founder's, two of another. */
const actors = [actor(1, 11, 1), actor(1, 12, 2), actor(1, 13, 3), actor(2, 21, 4), actor(2, 22, 5)]
const [a1, a2, a3, b1, b2] = actors as [Actor, Actor, Actor, Actor, Actor]
const stranger = actor(3, 31, 6)

const genesis = signGenesis(
  { name: 'boats', nonce: new Uint8Array(16), delegation: a1.delegation, at: 100 },
  a1.host,
)
const pool = poolId(genesis)
const opened: OpenedStatements = new Map()
const evaluate = (statements: Iterable<Uint8Array>): PoolState =>
  evaluatePool(statements, pool, opened)

function certify(who: Actor, name: string, at = 110): Uint8Array {
  const claim = signHostClaim(
    {
      pool,
      host: who.host.publicKey,
      name,
      org: who.org,
      site: 'here',
      provider: 'self',
      class: 'desktop',
      vault: who.vault.publicKey,
      vaultSalt: new Uint8Array(16),
      offeredBytes: 1,
      at,
    },
    { host: who.host, vault: who.vault },
  )
  return signHost({ pool, claim, delegation: who.delegation, at }, who.host)
}

function admit(org: Actor, by: Actor, at = 105): Uint8Array {
  const invite = new Uint8Array(32)
  return signOrganisation({ pool, org: org.org, invite, delegation: by.delegation, at }, by.host)
}

const names = ['kobe', 'osaka', 'tokyo', 'nara', 'kyoto']
const BASE: readonly Uint8Array[] = [
  genesis,
  admit(b1, a1),
  ...actors.map((one, index) => certify(one, names[index] as string)),
]

const idOf = (who: Actor): string => toHex(who.host.publicKey)

/** What an admin does at a host that sees `seen`; `at` is whatever that host's clock says. */
type Act = (by: Actor, seen: readonly Uint8Array[], at: number) => Uint8Array

function label(host: Actor, set: HostLabels): Act {
  return (by, seen, at) => {
    const { registers } = evaluate(seen)
    const own = Object.keys(set).map((field) =>
      registers.get(registerName({ label: host.host.publicKey, field: field as keyof HostLabels })),
    )
    const place = nextRegisterPlace(own)
    const { delegation } = by
    return signLabel({ pool, host: host.host.publicKey, set, ...place, delegation, at }, by.host)
  }
}

function retire(host: Actor, retired: boolean): Act {
  return (by, seen, at) => {
    const name = registerName({ retire: host.host.publicKey })
    const place = nextRegisterPlace([evaluate(seen).registers.get(name)])
    const { delegation } = by
    const content = { pool, host: host.host.publicKey, retired, ...place, delegation, at }
    return signRetire(content, by.host)
  }
}

function away(host: Actor, until: number): Act {
  return (by, seen, at) => {
    const name = registerName({ away: host.host.publicKey })
    const place = nextRegisterPlace([evaluate(seen).registers.get(name)])
    const { delegation } = by
    return signAway({ pool, host: host.host.publicKey, until, ...place, delegation, at }, by.host)
  }
}

function declare(host: Actor, lost: boolean): Act {
  return (by, seen, at) => {
    const name = registerName({ lost: host.host.publicKey })
    const place = nextRegisterPlace([evaluate(seen).registers.get(name)])
    const { delegation } = by
    return signLost({ pool, host: host.host.publicKey, lost, ...place, delegation, at }, by.host)
  }
}

function setPolicy(host: number): Act {
  return (by, seen, at) => {
    const place = nextRegisterPlace([evaluate(seen).registers.get(registerName('policy'))])
    const policy = { host, site: 1, provider: 0, org: 0 }
    return signPolicy({ pool, policy, ...place, delegation: by.delegation, at }, by.host)
  }
}

/** With the guard key of the host when `by` is no senior of it. */
function revoke(host: Actor, o: { guard?: Signer | undefined; keepNothing?: boolean } = {}): Act {
  return (by, seen, at) => {
    const { delegation } = by
    const target = host.host.publicKey
    const keep = o.keepNothing === true ? [] : (evaluate(seen).signed.get(idOf(host)) ?? [])
    const content = { pool, host: target, keep, delegation, at }
    const senior = actors.indexOf(by) <= actors.indexOf(host) && equalBytes(by.org, host.org)
    if (o.guard === undefined && senior) {
      return signRevoke({ ...content, target: host.delegation }, by.host)
    }
    const order = signRevocationOrder(content, o.guard ?? host.guard)
    return signRevoke({ ...content, order }, by.host)
  }
}

const hostActor = fc.constantFrom(...actors)
const act: fc.Arbitrary<{ by: Actor; at: number; act: Act }> = fc.record({
  by: hostActor,
  at: fc.integer({ min: 0, max: 1000 }),
  act: fc.oneof(
    fc.tuple(hostActor, fc.constantFrom('x', 'y', 'z')).map(([h, site]) => label(h, { site })),
    fc.tuple(hostActor, fc.constantFrom('x', 'y')).map(([h, name]) => label(h, { name })),
    fc.constantFrom('x', 'y').map((provider) => label(b2, { provider, class: 'always-on' })),
    fc.tuple(hostActor, fc.boolean()).map(([h, retired]) => retire(h, retired)),
    fc.tuple(hostActor, fc.nat(2)).map(([h, until]) => away(h, until)),
    fc.tuple(hostActor, fc.boolean()).map(([h, lost]) => declare(h, lost)),
    fc.integer({ min: 0, max: 4 }).map(setPolicy),
    fc
      .tuple(hostActor, fc.constantFrom(undefined, a1.guard, b1.guard), fc.boolean())
      .map(([h, guard, keepNothing]) => revoke(h, { guard, keepNothing })),
    fc.constant<Act>((by, _seen, at) => admit(stranger, by, at)),
    fc.constant<Act>((_by, _seen, at) => certify(stranger, 'kobe', at)),
    fc.constant<Act>((by, _seen, at) => certify(by, 'kobe', at)),
  ),
})

/** What an observer can see of a pool; not what lies about without counting. */
function essence(state: PoolState): unknown {
  const { rejected: _, ...rest } = state
  return rest
}

/** A host as membership keeps it: it forgets what does not count when it comes. */
class Replica {
  #statements: Uint8Array[] = []

  get seen(): readonly Uint8Array[] {
    return this.#statements
  }

  take(envelopes: readonly Uint8Array[]): void {
    const known = new Set(this.#statements.map((one) => toHex(statementId(one))))
    const fresh = envelopes.filter((one) => !known.has(toHex(statementId(one))))
    const { rejected } = evaluate([...this.#statements, ...fresh])
    const out = new Set(rejected.map(({ id }) => toHex(id)))
    const kept = fresh.filter((one) => !out.has(toHex(statementId(one))))
    this.#statements = [...this.#statements, ...kept]
  }

  state(): PoolState {
    return evaluate(this.#statements)
  }

  /** What it offers to others. */
  counting(): Uint8Array[] {
    const counting = new Set([...this.state().signed.values()].flat().map(toHex))
    return this.#statements.filter((one) => counting.has(toHex(statementId(one))))
  }
}

test('any order, any repetition: one state', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ act, sees: fc.boolean() }), { maxLength: 10 }),
      fc.infiniteStream(fc.nat()),
      (acts, chance) => {
        let seen = [...BASE]
        for (const { act: one, sees } of acts) {
          // An admin either knows all that came before, or acts in a partition of his own.
          seen = [...seen, one.act(one.by, sees ? seen : BASE, one.at)]
        }
        const expected = evaluate(seen)
        const drawn = [...chance.take(2 * seen.length)]
        const shuffled = seen
          .map((envelope, index) => ({ envelope, key: drawn[index] as number }))
          .toSorted((x, y) => x.key - y.key)
          .map(({ envelope }) => envelope)
        const again = seen.filter((_, index) => (drawn[seen.length + index] as number) % 2 === 0)
        assert.deepEqual(evaluate([...shuffled, ...again]), expected)
        assert.deepEqual(evaluate(seen.toReversed()), expected)
      },
    ),
    { numRuns: 120 },
  )
})

test('hosts that forget what does not count agree after any partition', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ at: fc.nat(3), act }) },
    { weight: 2, arbitrary: fc.record({ from: fc.nat(3), to: fc.nat(3) }) },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 14 }), (steps) => {
      const replicas = [0, 1, 2, 3].map(() => new Replica())
      for (const one of replicas) one.take(BASE)
      for (const one of steps) {
        if ('from' in one) {
          const from = replicas[one.from] as Replica
          ;(replicas[one.to] as Replica).take(from.counting())
        } else {
          const replica = replicas[one.at] as Replica
          replica.take([one.act.act(one.act.by, replica.seen, one.act.at)])
        }
      }
      // The line is whole again: everybody pulls from everybody until nothing is new.
      for (let round = 0; round < 4; round++) {
        for (const to of replicas) for (const from of replicas) to.take(from.counting())
      }
      const [first, ...others] = replicas.map((one) => essence(one.state()))
      for (const other of others) assert.deepEqual(other, first)
    }),
    { numRuns: 120 },
  )
})

test('what does not count has no influence', () => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 10 }), (acts) => {
      let seen = [...BASE]
      for (const one of acts) seen = [...seen, one.act(one.by, BASE, one.at)]
      const state = evaluate(seen)
      const out = new Set(state.rejected.map(({ id }) => toHex(id)))
      const counting = seen.filter((one) => !out.has(toHex(statementId(one))))
      assert.deepEqual(essence(evaluate(counting)), essence(state))
    }),
    { numRuns: 120 },
  )
})

test('two admins who label one host at once: both see the same, and both fields stay', () => {
  const site = label(b2, { site: 'annex' })(b1, BASE, 900)
  const provider = label(b2, { provider: 'cloud' })(b2, BASE, 1)
  const host = evaluate([...BASE, site, provider]).hosts.get(idOf(b2))
  assert.deepEqual([host?.site, host?.provider], ['annex', 'cloud'])
  const one = label(b2, { site: 'one' })(b1, BASE, 900)
  const two = label(b2, { site: 'two' })(b2, BASE, 1)
  const winner = toHex(statementId(one)) > toHex(statementId(two)) ? 'one' : 'two'
  assert.equal(evaluate([...BASE, one, two]).hosts.get(idOf(b2))?.site, winner)
  // Whoever has seen both decides, although his clock is the slowest of all.
  const last = label(b2, { site: 'last' })(b1, [...BASE, one, two], 0)
  assert.equal(evaluate([last, two, one, ...BASE]).hosts.get(idOf(b2))?.site, 'last')
})

test('labels and retirement are the own organisation’s, the policy anybody’s', () => {
  const foreign = [label(a1, { site: 'mine' })(b1, BASE, 1), retire(a1, true)(b1, BASE, 1)]
  const state = evaluate([...BASE, ...foreign])
  assert.equal(state.rejected.length, 2)
  assert.equal(state.hosts.get(idOf(a1))?.site, 'here')
  assert.equal(evaluate([...BASE, setPolicy(3)(b1, BASE, 1)]).policy?.host, 3)
  const gone = retire(b2, true)(b1, BASE, 7)
  assert.equal(evaluate([...BASE, gone]).hosts.get(idOf(b2))?.retiredAt, 7)
  const back = retire(b2, false)(b2, [...BASE, gone], 3)
  assert.equal(evaluate([back, ...BASE, gone]).hosts.get(idOf(b2))?.retiredAt, undefined)
})

test('a revoked host is out, with everything it says that nobody kept', () => {
  const early = setPolicy(3)(a3, BASE, 1)
  const seen = [...BASE, early]
  const revoked = revoke(a3)(a2, seen, 200)
  const late = [
    setPolicy(0)(a3, seen, 1),
    label(a1, { site: 'stolen' })(a3, seen, 1),
    retire(a1, true)(a3, seen, 1),
    admit(stranger, a3, 1),
    certify(a3, 'kobe', 1),
    certify(stranger, 'x', 1),
    revoke(a3, { keepNothing: false })(a3, [...seen, admit(stranger, a3, 1)], 1),
  ]
  const state = evaluate([...late, ...seen, revoked])
  assert.equal(state.hosts.has(idOf(a3)), false)
  assert.equal(state.revoked.get(idOf(a3))?.certificate?.name, 'tokyo')
  assert.equal(state.policy?.host, 3)
  assert.equal(state.hosts.get(idOf(a1))?.site, 'here')
  assert.equal(state.hosts.get(idOf(a1))?.retiredAt, undefined)
  assert.equal(state.organisations.has(toHex(stranger.org)), false)
  assert.deepEqual([...state.hosts.values()].map(({ name }) => name).toSorted(), [
    'kobe',
    'kyoto',
    'nara',
    'osaka',
  ])
  const nothingKept = evaluate([...seen, revoke(a3, { keepNothing: true })(a2, seen, 1)])
  assert.equal(nothingKept.policy, undefined)
})

test('a junior, and another organisation, cannot revoke; the guard key always can', () => {
  const content = { pool, keep: [], delegation: a2.delegation, at: 1 }
  const junior = signRevoke({ ...content, host: a1.host.publicKey, target: a1.delegation }, a2.host)
  const foreign = signRevoke(
    { ...content, host: b2.host.publicKey, target: b2.delegation },
    a2.host,
  )
  const otherGuard = signRevocationOrder({ ...content, host: a1.host.publicKey }, b1.guard)
  const order = { ...otherGuard, org: a1.org }
  const forged = signRevoke({ ...content, host: a1.host.publicKey, order }, a2.host)
  const state = evaluate([...BASE, junior, foreign, forged])
  assert.equal(state.revoked.size, 0)
  assert.equal(state.rejected.length, 3)
  // Any host may pass on the word of a guard key.
  for (const by of [a2, b2]) {
    const cold = revoke(a1, { guard: a1.guard })(by, BASE, 1)
    assert.deepEqual([...evaluate([...BASE, cold]).revoked.keys()], [idOf(a1)])
  }
  // Another organisation's guard key, over a host that is not its own, revokes nobody.
  const strange = revoke(a1, { guard: b1.guard })(b1, BASE, 1)
  assert.equal(evaluate([...BASE, strange]).hosts.size, 5)
})

test('mutual revocation: the senior’s word stands, and the guard key is above both', () => {
  const byThief = revoke(a3, { keepNothing: true })(a2, BASE, 1)
  const bySenior = revoke(a2, { keepNothing: true })(a1, BASE, 1)
  const state = evaluate([...BASE, byThief, bySenior])
  assert.deepEqual([...state.revoked.keys()], [idOf(a2)])
  assert.equal(state.hosts.has(idOf(a3)), true)
  const two = [
    revoke(a1, { guard: a1.guard })(a2, BASE, 1),
    revoke(a2, { guard: a1.guard })(a1, BASE, 1),
  ]
  const both = evaluate([...BASE, ...two])
  assert.deepEqual([...both.revoked.keys()].toSorted(), [idOf(a1), idOf(a2)].toSorted())
  assert.equal(both.name, 'boats')
  assert.deepEqual(evaluate([...two.toReversed(), ...BASE]), both)
})
