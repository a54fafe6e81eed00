import assert from 'node:assert/strict'
import { test } from 'node:test'

import { decodeInvite, encodeInvite, toHex, type MoyaiError } from '@moyai/protocol'

import { ManualClock } from '../clock.ts'
import { FaultyDatabase } from '../database/faulty-database.ts'
import { MemoryWorld } from './testing/memory-network.ts'
import { eventually } from '../testing/eventually.ts'
import { TestHost, withPool } from './testing/memory-pool.ts'

async function withHosts(
  names: readonly string[],
  run: (hosts: TestHost[], clock: ManualClock, world: MemoryWorld) => Promise<void>,
): Promise<void> {
  const world = new MemoryWorld()
  const clock = new ManualClock()
  const hosts = names.map((name) => new TestHost({ name, world, clock }))
  for (const host of hosts) await host.open()
  try {
    await run(hosts, clock, world)
  } finally {
    for (const host of hosts) await host.close()
  }
}

const hour = { uses: 1, expiresSeconds: 3600 }

test('goal: hosts that join one after the other all come to know the same pool', async () => {
  await withPool(['a', 'b', 'c', 'd'], async ({ hosts }) => {
    const [founder] = hosts as [TestHost]
    const digests = new Set<string>()
    for (const host of hosts) {
      const state = host.membership.requireState()
      assert.equal(state.name, 'test pool')
      assert.deepEqual([...state.hosts.values()].map(({ name }) => name).sort(), [
        'a',
        'b',
        'c',
        'd',
      ])
      assert.equal(state.organisations.size, 4)
      digests.add(toHex(state.id))
      for (const other of hosts) {
        assert.ok(host.membership.isMember(other.id))
        const vault = toHex(
          other.membership.requireState().hosts.get(other.id)?.vault ?? Uint8Array.of(),
        )
        assert.ok(host.membership.isVault(vault))
      }
      await eventually('each knows the addresses of all', () =>
        [...host.membership.members()].every(({ addresses }) => addresses.length > 0),
      )
    }
    assert.deepEqual([...digests], [toHex(founder.membership.requireState().id)])
    for (const host of hosts) {
      assert.equal(host.network.peers().filter((peer) => peer.connected).length, 3)
    }
  })
})

test('goal: what a host knows is there after a restart, open invites too', async () => {
  await withPool(['a', 'b'], async ({ hosts, world, clock }) => {
    const [a, b] = hosts as [TestHost, TestHost]
    const { token } = await a.membership.invite(hour)
    const before = a.membership.requireState()
    for (const host of [a, b]) {
      await host.close()
      await host.open()
    }
    assert.deepEqual(a.membership.requireState(), before)
    assert.ok(a.membership.strangersWelcome())
    await eventually('b is connected to all', () =>
      b.network.peers().every((peer) => peer.connected),
    )
    const c = await new TestHost({ name: 'c', world, clock }).open()
    await c.membership.join(token)
    await eventually('b knows c', () => b.membership.isMember(c.id))
    await c.close()
  })
})

test('goal: an invite lets in as many hosts as it says, and no more', async () => {
  await withHosts(['a', 'b', 'c', 'd'], async ([a, b, c, d]) => {
    assert.ok(a && b && c && d)
    await a.membership.createPool('p')
    const { token } = await a.membership.invite({ uses: 2, expiresSeconds: 60 })
    const results = await Promise.allSettled([b, c, d].map((host) => host.membership.join(token)))
    const refused = results.flatMap((result) => (result.status === 'rejected' ? [result] : []))
    assert.deepEqual(
      refused.map(({ reason }) => (reason as MoyaiError).code),
      ['INVITE_USED'],
    )
    const [first] = refused.map(({ reason }) => reason as MoyaiError)
    assert.match(first?.hint ?? '', /moyai pool invite/)
  })
})

test('goal: every way in which a token does not work has its sentence', async () => {
  await withHosts(['a', 'b', 'other'], async ([a, b, other], clock, world) => {
    assert.ok(a && b && other)
    await assert.rejects(a.membership.invite(hour), { code: 'NO_POOL', hint: /pool create/ })
    await a.membership.createPool('p')
    await other.membership.createPool('q')
    const { token } = await a.membership.invite(hour)
    const invite = decodeInvite(token)
    const fail = (text: string, code: string): Promise<void> =>
      assert.rejects(b.membership.join(text), (error: { code: string; hint?: string }) => {
        assert.equal(error.code, code)
        assert.ok((error.hint ?? '').length > 10, `${code} has a hint`)
        return true
      })

    await fail('', 'BAD_TOKEN')
    await fail(`${token.slice(0, -2)}xx`, 'BAD_TOKEN')
    // Tampered with, under a right checksum: another secret.
    await fail(encodeInvite({ ...invite, secret: new Uint8Array(16) }), 'INVITE_UNKNOWN')
    // Foreign: made by a host of another pool, with this one's pool in it.
    const foreign = decodeInvite((await other.membership.invite(hour)).token)
    await fail(encodeInvite({ ...foreign, pool: invite.pool }), 'INVITE_UNKNOWN')
    // Addressed to a host that answers with another key.
    await assert.rejects(
      b.membership.join(encodeInvite({ ...invite, addresses: foreign.addresses })),
      { code: 'IDENTITY_MISMATCH' },
    )
    world.setOnline(a.id, false)
    await fail(token, 'HOST_UNREACHABLE')
    world.setOnline(a.id, true)
    await assert.rejects(a.membership.join(token), { code: 'ALREADY_IN_POOL' })

    await b.close()
    await b.open({ name: 'A' })
    await fail(token, 'NAME_TAKEN')
    await b.close()
    await b.open()

    const wrong = new ManualClock(clock.now() - 11 * 60_000)
    const late = await new TestHost({ name: 'late', world, clock: wrong }).open()
    await assert.rejects(late.membership.join(token), {
      code: 'CLOCK_DISAGREES',
      message: /11 minutes/,
    })
    await late.close()

    clock.jump(3_660_000)
    await fail(token, 'INVITE_EXPIRED')
    clock.jump(24 * 3_600_000)
    await fail(token, 'INVITE_EXPIRED')
    assert.ok(!a.membership.strangersWelcome(), 'nobody is let in for an old invite')
    assert.equal(b.membership.state(), undefined)
  })
})

test('goal: a request that was overheard is worth nothing to another host', async () => {
  await withHosts(['a', 'b', 'thief'], async ([a, b, thief], _clock, world) => {
    assert.ok(a && b && thief)
    await a.membership.createPool('p')
    const { token } = await a.membership.invite({ uses: 5, expiresSeconds: 60 })
    let overheard: Uint8Array | undefined
    world.onRequest = ({ protocol, bytes }) => {
      if (protocol === '/moyai/join/1') overheard ??= bytes
    }
    await b.membership.join(token)
    assert.ok(overheard)
    const answer = await thief.network.requestAt({
      host: a.id,
      addresses: decodeInvite(token).addresses,
      protocol: '/moyai/join/1',
      bytes: overheard,
    })
    assert.match(Buffer.from(answer).toString('latin1'), /INVITE_UNKNOWN/)
    assert.ok(!a.membership.isMember(thief.id))
  })
})

test('goal: a join whose answer was lost works again for the same host', async () => {
  await withHosts(['a', 'b', 'c'], async ([a, b, c]) => {
    assert.ok(a && b && c)
    await a.membership.createPool('p')
    const { token } = await a.membership.invite(hour)
    const original = b.network.requestAt.bind(b.network)
    b.network.requestAt = async (o) => {
      await original(o)
      throw Object.assign(new Error('cut'), { code: 'STREAM_CLOSED' })
    }
    await assert.rejects(b.membership.join(token))
    assert.equal(b.membership.state(), undefined)
    assert.ok(a.membership.isMember(b.id))
    b.network.requestAt = original
    await b.membership.join(token)
    assert.ok(b.membership.isMember(a.id))
    await assert.rejects(c.membership.join(token), { code: 'INVITE_USED' })
  })
})

test('goal: names for pools and numbers for invites are checked', async () => {
  await withHosts(['a'], async ([a]) => {
    assert.ok(a)
    await assert.rejects(a.membership.createPool('a/b'), { code: 'USAGE' })
    await a.membership.createPool('p')
    await assert.rejects(a.membership.createPool('p'), { code: 'ALREADY_IN_POOL' })
    for (const o of [
      { uses: 0, expiresSeconds: 1 },
      { uses: 1.5, expiresSeconds: 1 },
      { uses: 101, expiresSeconds: 1 },
      { uses: 1, expiresSeconds: 0 },
      { uses: 1, expiresSeconds: 1e9 },
      { uses: 1, expiresSeconds: Number.NaN },
    ]) {
      await assert.rejects(a.membership.invite(o), { code: 'USAGE' })
    }
  })
})

test('goal: hosts of one organisation join under it, and it is admitted once', async () => {
  const world = new MemoryWorld()
  const clock = new ManualClock()
  const a = await new TestHost({ name: 'a', world, clock, org: 'shop' }).open()
  const b = await new TestHost({ name: 'b', world, clock, org: 'shop' }).open()
  await a.membership.createPool('p')
  await b.joinThrough(a)
  const state = b.membership.requireState()
  assert.deepEqual([state.organisations.size, state.hosts.size], [1, 2])
  await a.close()
  await b.close()
})

test('goal: news reach a host that was away, from any host that was not', async () => {
  await withPool(['a', 'b', 'c'], async ({ hosts, world, clock }) => {
    const [a, b, c] = hosts as [TestHost, TestHost, TestHost]
    world.setOnline(c.id, false)
    const d = await new TestHost({ name: 'd', world, clock }).open()
    await d.joinThrough(a)
    const addressed = (host: TestHost): boolean =>
      [...host.membership.members()].every(({ addresses }) => addresses.length > 0)
    await eventually('b knows d and where it is', () => b.membership.isMember(d.id) && addressed(b))
    world.setOnline(a.id, false)
    world.setOnline(d.id, false)
    assert.ok(!c.membership.isMember(d.id))
    world.setOnline(c.id, true)
    await eventually('c knows d', () => c.membership.isMember(d.id))
    await eventually('c knows where d is', () => addressed(c))
    await d.close()
  })
})

test('goal: a lost notice is made good by the next poll', async () => {
  await withPool(['a', 'b', 'c'], async ({ hosts, world, clock }) => {
    const [a, b, c] = hosts as [TestHost, TestHost, TestHost]
    world.onRequest = ({ to }) => {
      if (to === c.id) throw Object.assign(new Error('lost'), { code: 'STREAM_CLOSED' })
    }
    const d = await new TestHost({ name: 'd', world, clock }).open()
    await d.joinThrough(a)
    await eventually('b knows d', () => b.membership.isMember(d.id))
    world.onRequest = () => undefined
    await clock.advance(31_000)
    await eventually('c knows d', () => c.membership.isMember(d.id))
    await d.close()
  })
})

test('goal: a host whose clock is far off is noticed', async () => {
  await withPool(['a', 'b'], async ({ hosts, world, clock }) => {
    const [a, b] = hosts as [TestHost, TestHost]
    await eventually('the clocks agree', () => a.membership.clockSkews().get(b.id) === 0)
    const ahead = new TestHost({
      name: 'b',
      world,
      clock: new ManualClock(clock.now() + 3_600_000),
    })
    ahead.disk = b.disk
    await b.close()
    await ahead.open()
    await eventually(
      'the clock of b is an hour ahead',
      () => a.membership.clockSkews().get(b.id) === 3_600_000,
    )
    await ahead.close()
  })
})

test('goal: whatever database operation of letting in fails, nothing is lost', async () => {
  // The inviting host's database fails at its Nth operation from the invite on. If the joining host
  // was told that it is in, the inviting host knows it after a restart; and an invite for one never
  // lets in two.
  for (const written of [false, true]) {
    const rounds = { done: false }
    for (let at = 1; !rounds.done; at++) {
      await withHosts(['a', 'b', 'c'], async ([a, b, c]) => {
        assert.ok(a && b && c)
        await a.membership.createPool('p')
        await a.close()
        const faults: FaultyDatabase[] = []
        const started = await a
          .open({
            wrap: (database) => {
              const faulty = new FaultyDatabase(database, { at, written })
              faults.push(faulty)
              return faulty
            },
          })
          .then(
            () => true,
            () => false,
          )
        let joined = false
        let token: string | undefined
        if (started) {
          token = await a.membership.invite(hour).then(
            (made) => made.token,
            () => undefined,
          )
          if (token !== undefined) {
            joined = await b.membership.join(token).then(
              () => true,
              () => false,
            )
          }
        }
        rounds.done = (faults[0]?.operations ?? 0) < at
        if (rounds.done) assert.ok(joined, 'the last round is one without a fault')
        await a.close()
        await a.open()
        if (joined) assert.ok(a.membership.isMember(b.id), `operation ${at} written=${written}`)
        if (token === undefined) return
        if (!a.membership.isMember(b.id)) await b.membership.join(token)
        await assert.rejects(c.membership.join(token), { code: 'INVITE_USED' })
        assert.ok(a.membership.isMember(b.id))
      })
    }
  }
})
