import assert from 'node:assert/strict'
import { test } from 'node:test'

import {
  LOG_ENTRY_BYTES_MAX,
  logEntryId,
  NO_ENTRY,
  openLogEntry,
  openLogReceipt,
  signLogEntry,
  toHex,
  vaultSigner,
} from '@moyai/protocol'

import { FaultyDatabase } from '../database/faulty-database.ts'
import { MemoryDisk, openMemoryDatabase, type Database } from '../database/index.ts'
import { ManualClock } from '../clock.ts'
import { eventually } from '../testing/eventually.ts'
import type { AppendResult } from './own-log.ts'
import { TestHost, withPool } from './testing/memory-pool.ts'
import { VaultLogs } from './vault-logs.ts'

const NAMES = ['a', 'b', 'c', 'd', 'e']

type Five = [TestHost, TestHost, TestHost, TestHost, TestHost]

/** Appends an entry whose sealed body is `size` bytes of its number. */
async function append(host: TestHost, size = 40): Promise<AppendResult> {
  return host.membership.ownLog.append({
    kind: 'snapshot',
    seal: ({ seq }) => new Uint8Array(size).fill(seq),
  })
}

/** Appends an entry whose envelope has exactly LOG_ENTRY_BYTES_MAX bytes. */
async function appendLongest(host: TestHost): Promise<AppendResult> {
  const { clock, bundle } = host
  const signer = vaultSigner(bundle)
  return host.membership.ownLog.append({
    kind: 'snapshot',
    seal: (place) => {
      const probe = new Uint8Array(LOG_ENTRY_BYTES_MAX - 1000)
      const head = { vault: signer.publicKey, ...place, at: clock.now(), kind: 'snapshot' }
      const around = signLogEntry({ ...head, sealed: probe }, signer).length - probe.length
      return new Uint8Array(LOG_ENTRY_BYTES_MAX - around).fill(place.seq)
    },
  })
}

const vaultOf = (host: TestHost): Uint8Array => vaultSigner(host.bundle).publicKey

async function seqAt(witness: TestHost, owner: TestHost): Promise<number | undefined> {
  return (await witness.membership.logs.head(vaultOf(owner)))?.seq
}

async function entriesAt(witness: TestHost, owner: TestHost): Promise<string[]> {
  const ids: string[] = []
  for await (const envelope of witness.membership.logs.entries(vaultOf(owner))) {
    ids.push(toHex(logEntryId(envelope)))
  }
  return ids
}

/** What is on a disk now, on a disk of its own. */
function copied(disk: MemoryDisk): MemoryDisk {
  const copy = new MemoryDisk()
  for (const [key, record] of disk.records) copy.records.set(key, record)
  return copy
}

/** Waits until no two hosts of the pool are about to become connected. */
async function allConnected(hosts: readonly TestHost[]): Promise<void> {
  await eventually('all are connected', () =>
    hosts.every((host) => host.network.peers().every((peer) => peer.connected)),
  )
}

test('goal: an entry is on every connected host, and each gave a receipt', async () => {
  await withPool(NAMES, async ({ hosts }) => {
    const [owner, ...others] = hosts as Five
    const first = await append(owner)
    const second = await append(owner, 900_000)
    assert.deepEqual([first.seq, second.seq], [0, 1])
    for (const result of [first, second]) {
      assert.deepEqual([...result.confirmed].sort(), others.map(({ id }) => id).sort())
      assert.deepEqual([result.unconfirmed, result.majority], [[], true])
    }
    for (const host of hosts) {
      assert.deepEqual(await entriesAt(host, owner), [toHex(first.id), toHex(second.id)])
    }
    const head = await owner.membership.ownLog.head()
    assert.deepEqual([head?.head.seq, head?.confirmed.length], [1, 4])
  })
})

test('goal: the longest entries there can be are pushed, and pulled by who was away', async () => {
  await withPool(['a', 'b', 'c'], async ({ hosts, world }) => {
    const [owner, b, c] = hosts as Five
    world.setOnline(c.id, false)
    const pushed = await appendLongest(owner)
    assert.deepEqual([pushed.confirmed, pushed.unconfirmed], [[b.id], []])
    await appendLongest(owner)
    for await (const envelope of b.membership.logs.entries(vaultOf(owner))) {
      assert.equal(envelope.length, LOG_ENTRY_BYTES_MAX)
    }
    world.setOnline(c.id, true)
    await eventually('c has both entries', async () => (await seqAt(c, owner)) === 1)
    assert.deepEqual(await entriesAt(c, owner), await entriesAt(owner, owner))
  })
})

test('goal: entries appended at once come one after the other', async () => {
  await withPool(['a', 'b', 'c'], async ({ hosts }) => {
    const [owner, b] = hosts as Five
    const results = await Promise.all([append(owner), append(owner), append(owner)])
    assert.deepEqual(
      results.map(({ seq }) => seq),
      [0, 1, 2],
    )
    const entries = await entriesAt(b, owner)
    assert.deepEqual(
      entries,
      results.map(({ id }) => toHex(id)),
    )
  })
})

test('goal: a host that was away gets every entry when it returns', async () => {
  await withPool(NAMES, async ({ hosts, world }) => {
    const [owner, away] = hosts as Five
    world.setOnline(away.id, false)
    for (let i = 0; i < 5; i++) {
      const result = await append(owner)
      assert.equal(result.confirmed.length, 3)
      assert.equal(result.majority, true)
    }
    world.setOnline(away.id, true)
    await eventually(
      'the host that was away has every entry',
      async () => (await seqAt(away, owner)) === 4,
    )
    await eventually(
      'the host that was away gave its receipt',
      async () => (await owner.membership.ownLog.head())?.confirmed.length === 4,
    )
  })
})

test('goal: without a majority the caller is told who did not confirm', async () => {
  await withPool(NAMES, async ({ hosts, world, clock }) => {
    const [owner, b, c, d] = hosts as Five
    world.onRequest = ({ to, bytes }) => {
      const isAppend = Buffer.from(bytes).includes('append')
      if (isAppend && [b.id, c.id, d.id].includes(to)) {
        throw Object.assign(new Error('lost'), { code: 'STREAM_CLOSED' })
      }
    }
    const result = await append(owner)
    assert.equal(result.majority, false)
    assert.equal(result.confirmed.length, 1)
    assert.deepEqual(result.unconfirmed.map(({ host }) => host).sort(), [b.id, c.id, d.id].sort())
    world.onRequest = () => undefined
    await clock.advance(31_000)
    await eventually(
      'all confirm',
      async () => (await owner.membership.ownLog.head())?.confirmed.length === 4,
    )
  })
})

test('goal: a host that never answers does not hold an append up for ever', async () => {
  await withPool(NAMES, async ({ hosts, world, clock }) => {
    const [owner, silent] = hosts as Five
    const original = owner.network.request.bind(owner.network)
    owner.network.request = (host, protocol, bytes, o) =>
      host === silent.id
        ? new Promise((_resolve, reject) => {
            o?.signal?.addEventListener('abort', () => reject(o.signal?.reason as Error))
          })
        : original(host, protocol, bytes, o)
    const appending = append(owner)
    await eventually(
      'all but one confirm',
      async () => (await owner.membership.ownLog.head())?.confirmed.length === 3,
    )
    for (let i = 0; i < 10; i++) await clock.advance(500)
    const result = await appending
    assert.equal(result.majority, true)
    assert.deepEqual(
      result.unconfirmed.map(({ host, error }) => [host, error.code]),
      [[silent.id, 'TIMED_OUT']],
    )
    owner.network.request = original
    world.refresh()
  })
})

test('goal: an owner finds pool and log again from keys and one address', async () => {
  await withPool(NAMES, async ({ hosts, world }) => {
    const [a, b, owner, d, e] = hosts as Five
    for (let i = 0; i < 3; i++) await append(owner)
    const before = await entriesAt(a, owner)
    await owner.close()
    await owner.loseState({ peersToo: true })
    await owner.open()
    assert.equal(owner.membership.state(), undefined)
    await assert.rejects(append(owner), { code: 'NO_POOL' })
    const stranger = await new TestHost({ name: 'x', world, clock: owner.clock }).open()
    await assert.rejects(
      stranger.membership.rejoin({ host: b.id, addresses: [`/memory/${b.id}`] }),
      { code: 'HOST_UNREACHABLE' },
    )
    await stranger.close()

    // Too few hosts can be asked: appending now could fork the log.
    for (const host of [a, d, e]) world.setOnline(host.id, false)
    await owner.membership.rejoin({ host: b.id, addresses: [`/memory/${b.id}`] })
    await assert.rejects(append(owner), { code: 'TOO_FEW_HOSTS', hint: /more than half/ })
    const few = await owner.membership.ownLog.pullHeads()
    assert.deepEqual(
      [few.head?.seq, few.heard.length, few.silent.length, few.complete],
      [2, 1, 3, false],
    )
    for (const host of [a, d, e]) world.setOnline(host.id, true)
    await allConnected(hosts)
    const { seq } = await append(owner)
    assert.equal(seq, 3)
    assert.deepEqual((await entriesAt(owner, owner)).slice(0, 3), before)
  })
})

test('goal: an owner that lost its database finds the pool by itself', async () => {
  await withPool(['a', 'b', 'c'], async ({ hosts, clock }) => {
    const [owner, b] = hosts as Five
    await append(owner)
    await clock.advance(31_000)
    await owner.close()
    await owner.loseState({ peersToo: false })
    await owner.open()
    assert.equal(owner.membership.requireState().hosts.size, 3)
    await allConnected(hosts)
    assert.equal((await append(owner)).seq, 1)
    // Not now, but as soon as somebody who knows it is there.
    await owner.close()
    await owner.loseState({ peersToo: false })
    for (const host of hosts.slice(1)) await host.close()
    await owner.open()
    assert.equal(owner.membership.state(), undefined)
    await b.open()
    await clock.advance(31_000)
    await eventually('b is a member', () => owner.membership.isMember(b.id))
  })
})

test('goal: a host that was let in anew appends even when most others are away', async () => {
  await withPool(NAMES, async ({ hosts, world, clock }) => {
    const [a, b, c, d, e] = hosts as Five
    for (const host of [b, c, d, e]) world.setOnline(host.id, false)
    const fresh = await new TestHost({ name: 'fresh', world, clock }).open()
    await fresh.joinThrough(a)
    await eventually('a line to another host', () =>
      fresh.network.peers().some((peer) => peer.connected),
    )
    assert.equal((await append(fresh)).seq, 0)
    // A host with the keys of one that is known, under a new token, is not new.
    await fresh.close()
    await fresh.loseState({ peersToo: true })
    await fresh.open()
    await clock.advance(1000)
    await fresh.joinThrough(a)
    await assert.rejects(append(fresh), { code: 'TOO_FEW_HOSTS' })
    await fresh.close()
  })
})

test('goal: a vault that writes two histories is refused and the proof is kept', async () => {
  await withPool(['a', 'b', 'c'], async ({ hosts, world, clock }) => {
    const [owner, b, c] = hosts as Five
    await append(owner)
    // A clone of the owner's machine, which does not know of the second entry.
    const disk = copied(owner.disk)
    const { id: second } = await append(owner)
    await owner.close()
    owner.disk = disk
    world.setOnline(owner.id, false)
    await owner.open()
    await clock.advance(5)
    const forked = await append(owner)
    world.setOnline(owner.id, true)
    await eventually('b sees the fork', async () => (await b.membership.logs.forks()).length > 0)
    await eventually('c sees the fork', async () => (await c.membership.logs.forks()).length > 0)
    const [proof] = await b.membership.logs.forks()
    assert.ok(proof)
    assert.equal(toHex(logEntryId(proof.kept)), toHex(second))
    assert.equal(toHex(logEntryId(proof.other)), toHex(forked.id))
    assert.deepEqual((await entriesAt(b, owner)).at(-1), toHex(second))
    const third = await append(owner)
    assert.equal(third.majority, false)
    assert.deepEqual(
      new Set(third.unconfirmed.map(({ error }) => error.code)),
      new Set(['LOG_FORK']),
    )
  })
})

test('goal: entries of strangers, or of another vault than said, are refused', async () => {
  await withPool(['a', 'b'], async ({ hosts, world, clock }) => {
    const [a, b] = hosts as Five
    const stranger = new TestHost({ name: 'x', world, clock })
    const vault = vaultSigner(stranger.bundle)
    const envelope = signLogEntry(
      {
        vault: vault.publicKey,
        seq: 0,
        prev: NO_ENTRY,
        at: 1,
        kind: 'snapshot',
        sealed: new Uint8Array(9),
      },
      vault,
    )
    const id = logEntryId(envelope)
    const { encodeSyncRequest } = await import('../net/sync/messages.ts')
    const send = (named: Uint8Array): Promise<Uint8Array> =>
      a.network.request(
        b.id,
        '/moyai/sync/1',
        encodeSyncRequest({ kind: 'append', vault: named, seq: 0, id, envelope }),
      )
    await assert.rejects(send(vault.publicKey), { code: 'NOT_A_MEMBER' })
    await assert.rejects(send(vaultOf(a)), { code: 'MALFORMED' })
    await assert.rejects(a.network.request(b.id, '/moyai/sync/1', Uint8Array.of(0xa0)), {
      code: 'MALFORMED',
    })
    assert.equal(await seqAt(b, stranger), undefined)
  })
})

test('goal: whatever database operation of appending fails, nothing is lost', async () => {
  // The owner's database fails at its Nth operation from the start on. After a restart on what is
  // on the disk, every acknowledged entry is there, in place, and the next one follows.
  await withPool(['a', 'b', 'c'], async ({ hosts }) => {
    const [owner, b, c] = hosts as Five
    for (const host of hosts) await host.close()
    const disks = hosts.map((host) => host.disk)
    for (const written of [false, true]) {
      for (let at = 1, done = false; !done; at++) {
        for (const [index, host] of hosts.entries()) host.disk = copied(disks[index] as MemoryDisk)
        await b.open()
        await c.open()
        const faults: FaultyDatabase[] = []
        const wrap = (database: Database): FaultyDatabase => {
          const faulty = new FaultyDatabase(database, { at, written })
          faults.push(faulty)
          return faulty
        }
        await owner.open({ wrap }).catch(() => undefined)
        const acknowledged: AppendResult[] = []
        for (let i = 0; i < 2; i++) {
          await append(owner).then(
            (result) => acknowledged.push(result),
            () => undefined,
          )
        }
        await owner.close()
        done = (faults[0]?.operations ?? 0) < at
        await owner.open()
        await allConnected(hosts)
        const entries = await entriesAt(owner, owner)
        const where = `operation ${at} written=${written}`
        for (const { seq, id } of acknowledged) assert.equal(entries[seq], toHex(id), where)
        const next = await append(owner)
        assert.equal(next.seq, entries.length, where)
        assert.deepEqual([next.majority, next.unconfirmed], [true, []], where)
        const all = await entriesAt(owner, owner)
        assert.deepEqual(await entriesAt(b, owner), all, where)
        assert.deepEqual(await entriesAt(c, owner), all, where)
        if (done) assert.equal(acknowledged.length, 2)
        for (const host of hosts) await host.close()
      }
    }
  })
})

test('goal: whatever fails, a receipt means that the entry is on the disk', async () => {
  const clock = new ManualClock()
  const { identity, bundle } = new TestHost({ name: 'w', world: undefined as never, clock })
  const vault = vaultSigner(bundle)
  const pool = new Uint8Array(32)
  const chain: Uint8Array[] = []
  let prev = NO_ENTRY
  for (let seq = 0; seq < 3; seq++) {
    const sealed = new Uint8Array(50)
    chain.push(
      signLogEntry({ vault: vault.publicKey, seq, prev, at: seq, kind: 'snapshot', sealed }, vault),
    )
    prev = logEntryId(chain[seq] as Uint8Array)
  }
  for (const written of [false, true]) {
    for (let at = 1, done = false; !done; at++) {
      const disk = new MemoryDisk()
      const faulty = new FaultyDatabase(openMemoryDatabase(disk), { at, written })
      const logs = new VaultLogs({ signer: identity }, { database: faulty, clock })
      const receipts: Uint8Array[] = []
      for (const envelope of chain) {
        await logs.accept(envelope, { vault: vault.publicKey, pool }).then(
          (taken) => 'receipt' in taken && receipts.push(taken.receipt),
          () => undefined,
        )
      }
      done = faulty.operations < at
      const database = openMemoryDatabase(disk)
      const after = new VaultLogs({ signer: identity }, { database, clock })
      for (const receipt of receipts) {
        const { seq, entry } = openLogReceipt(receipt)
        assert.ok(
          await after.has(vault.publicKey, seq, entry),
          `operation ${at} written=${written}`,
        )
      }
      // And it goes on where it is.
      for (const envelope of chain) {
        const taken = await after.accept(envelope, { vault: vault.publicKey, pool })
        assert.ok('receipt' in taken)
      }
      if (done) assert.equal(receipts.length, 3)
    }
  }
})

test('goal: a witness takes only the next entry, or one that it has', async () => {
  const clock = new ManualClock()
  const { identity, bundle } = new TestHost({ name: 'w', world: undefined as never, clock })
  const vault = vaultSigner(bundle)
  const entry = (seq: number, prev: Uint8Array, byte: number): Uint8Array =>
    signLogEntry(
      {
        vault: vault.publicKey,
        seq,
        prev,
        at: 1,
        kind: 'snapshot',
        sealed: new Uint8Array(9).fill(byte),
      },
      vault,
    )
  const logs = new VaultLogs({ signer: identity }, { database: openMemoryDatabase(), clock })
  const o = { vault: vault.publicKey, pool: new Uint8Array(32) }
  const zero = entry(0, NO_ENTRY, 1)
  const one = entry(1, logEntryId(zero), 1)
  const two = entry(2, logEntryId(one), 1)
  const accept = async (envelope: Uint8Array): Promise<string> => {
    const taken = await logs.accept(envelope, o)
    if ('refused' in taken) return taken.refused
    const receipt = openLogReceipt(taken.receipt)
    assert.equal(toHex(receipt.entry), toHex(logEntryId(envelope)))
    assert.equal(receipt.seq, openLogEntry(envelope).seq)
    return 'taken'
  }
  assert.equal(await accept(one), 'LOG_GAP')
  assert.equal(await accept(zero), 'taken')
  assert.equal(await accept(zero), 'taken')
  assert.equal(await accept(two), 'LOG_GAP')
  assert.equal(await accept(one), 'taken')
  assert.equal(await accept(entry(0, NO_ENTRY, 2)), 'LOG_FORK')
  assert.equal(await accept(entry(2, logEntryId(zero), 2)), 'LOG_FORK')
  assert.equal(await accept(two), 'taken')
  assert.equal((await logs.forks()).length, 2)
  assert.deepEqual(
    (await logs.heads()).map(({ seq }) => seq),
    [2],
  )
  await assert.rejects(logs.accept(two, { ...o, seq: 1 }), { code: 'MALFORMED' })
  await assert.rejects(logs.accept(two, { ...o, vault: new Uint8Array(32) }), { code: 'MALFORMED' })
  const forged = two.slice()
  forged[3] = (forged[3] as number) ^ 1
  await assert.rejects(logs.accept(forged, o), { code: 'BAD_SIGNATURE' })
})
