/**
 * Surplus copies in the shard store (spec/surplus.md §2): what lets one go, and that of several
 * holders never all do, however their steps fall and wherever a machine stops.
 */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { ed25519Signer, SURPLUS_WAIT_MS, signReceipt } from '@moyai/protocol'
import type { Signer } from '@moyai/protocol'
import { FaultyDisk, ManualClock, SimulatedDisk, openShardStore, survivors } from '@moyai/daemon'
import type { Disk, ShardStore } from '@moyai/daemon'
import * as fc from 'fast-check'
import { fails, idOf, listAll, store, testStripe } from './shard-store-suite.ts'

const POOL = new Uint8Array(32).fill(9)
const STRIPE = testStripe(1)
const INDEX = 1
const ID = idOf(STRIPE, INDEX)
const START = 1_800_000_000_000
const DAY_MS = 86_400_000

/** One host: its disk, which may lose power, its store and its key. */
class Holder {
  readonly disk: SimulatedDisk = new SimulatedDisk()
  readonly signer: Signer
  readonly clock: ManualClock
  readonly #waitMs: number
  shards!: ShardStore

  constructor(number: number, o: { clock: ManualClock; waitMs: number }) {
    this.signer = ed25519Signer(new Uint8Array(32).fill(100 + number))
    this.clock = o.clock
    this.#waitMs = o.waitMs
  }

  static async make(
    number: number,
    o: { clock?: ManualClock; waitMs?: number } = {},
  ): Promise<Holder> {
    const holder = new Holder(number, {
      clock: o.clock ?? new ManualClock(START),
      waitMs: o.waitMs ?? SURPLUS_WAIT_MS,
    })
    await holder.open()
    await store(holder.shards, STRIPE, { index: INDEX })
    return holder
  }

  async open(disk: Disk = this.disk): Promise<void> {
    this.shards = await openShardStore({
      disk,
      root: '/shards',
      random: { bytes: (length) => new Uint8Array(length).fill(7) },
      quotaBytes: 1e12,
      reserveBytes: 0,
      surplus: {
        clock: this.clock,
        host: this.signer.publicKey,
        pool: () => POOL,
        waitMs: this.#waitMs,
      },
    })
  }

  /** The power goes and comes back; of what was not synced, chance says what remains. */
  async crash(seed: number): Promise<void> {
    await this.shards.close()
    this.disk.powerLoss(survivors(seed))
    await this.open()
  }

  /** What the shard handler does for a host that believes the shard to be here. */
  async receipt(o: Partial<Parameters<typeof signReceipt>[0]> = {}): Promise<Uint8Array> {
    const put = await this.shards.put({ envelope: STRIPE.envelope, index: INDEX })
    if (!put.had) {
      await put.writer.abort()
      throw new Error('no copy here')
    }
    const { vault, pack, shardHashes, protectedUntil } = STRIPE.descriptor
    const shardHash = shardHashes[INDEX] ?? assert.fail()
    const { publicKey: host } = this.signer
    const about = { pool: POOL, vault, pack, index: INDEX, shardHash, host, protectedUntil }
    return signReceipt({ ...about, storedAt: this.clock.now(), ...o }, this.signer)
  }
}

async function two(waitMs?: number): Promise<[Holder, Holder, ManualClock]> {
  const clock = new ManualClock(START)
  const o = waitMs === undefined ? { clock } : { clock, waitMs }
  return [await Holder.make(1, o), await Holder.make(2, o), clock]
}

void describe('a surplus copy', () => {
  void test('goal: goes after thirty days and a second receipt, and its room is free', async () => {
    const [a, b, clock] = await two()
    const used = await a.shards.usedBytes()
    const marker = await a.shards.markSurplus(ID, { receipt: await b.receipt() })
    assert.equal(marker.at, START)
    assert.equal((await listAll(a.shards)).length, 1)
    assert.equal(await a.shards.usedBytes(), used)
    await a.shards.verify(ID)
    await clock.advance(SURPLUS_WAIT_MS)
    // Marking it again, with a newer receipt, does not begin the waiting time anew.
    await a.shards.markSurplus(ID, { receipt: await b.receipt() })
    await a.crash(0)
    await a.shards.trim(ID, { prove: () => b.receipt() })
    assert.equal(await a.shards.has(ID), false)
    assert.equal(await a.shards.surplusMarker(ID), undefined)
    assert.equal(await a.shards.usedBytes(), 0)
    assert.deepEqual(await listAll(a.shards), [])
    await b.shards.verify(ID)
    await a.crash(0)
    assert.equal(await a.shards.has(ID), false)
    // And comes back like any other.
    assert.equal(await store(a.shards, STRIPE, { index: INDEX }), false)
    await a.shards.verify(ID)
  })

  void test('goal: a store that does not know its pool lets nothing go', async () => {
    const [a, b] = await two(0)
    const receipt = await b.receipt()
    const shards = await openShardStore({
      disk: a.disk,
      root: '/shards',
      random: { bytes: (length) => new Uint8Array(length) },
      quotaBytes: 1e12,
      reserveBytes: 0,
    })
    await assert.rejects(shards.markSurplus(ID, { receipt }), fails('RETAINED'))
    await assert.rejects(
      shards.trim(ID, { prove: () => Promise.resolve(receipt) }),
      fails('RETAINED'),
    )
  })

  void test('goal: a receipt that shows anything else is refused, first and second', async () => {
    const [a, b, clock] = await two()
    const wrong: Parameters<Holder['receipt']>[0][] = [
      { pool: new Uint8Array(32) },
      { vault: new Uint8Array(32) },
      { pack: new Uint8Array(32) },
      { index: 0 },
      { shardHash: new Uint8Array(32) },
      { protectedUntil: STRIPE.descriptor.protectedUntil - 1 },
      { storedAt: START - DAY_MS },
      { storedAt: START + DAY_MS },
    ]
    for (const o of wrong) {
      await assert.rejects(
        a.shards.markSurplus(ID, { receipt: await b.receipt(o) }),
        fails('RETAINED'),
        JSON.stringify(o),
      )
    }
    const own = await a.receipt()
    await assert.rejects(a.shards.markSurplus(ID, { receipt: own }), fails('RETAINED'))
    const torn = await b.receipt()
    torn[10] = (torn[10] ?? 0) ^ 1
    await assert.rejects(
      a.shards.markSurplus(ID, { receipt: torn }),
      fails('BAD_SIGNATURE', 'MALFORMED', 'UNKNOWN_VERSION'),
    )
    const id = idOf(STRIPE, 0)
    await assert.rejects(
      a.shards.markSurplus(id, { receipt: await b.receipt() }),
      fails('NOT_FOUND'),
    )
    assert.equal(await a.shards.surplusMarker(ID), undefined)
    const first = await b.receipt()
    await a.shards.markSurplus(ID, { receipt: first })
    await clock.advance(SURPLUS_WAIT_MS)
    for (const o of wrong) {
      const prove = (): Promise<Uint8Array> => b.receipt(o)
      await assert.rejects(a.shards.trim(ID, { prove }), fails('RETAINED'), JSON.stringify(o))
    }
    await assert.rejects(
      a.shards.trim(ID, { prove: () => Promise.resolve(first) }),
      fails('RETAINED'),
    )
    const c = await Holder.make(3, { clock })
    await assert.rejects(a.shards.trim(ID, { prove: () => c.receipt() }), fails('RETAINED'))
    await a.shards.verify(ID)
    await a.shards.trim(ID, { prove: () => b.receipt() })
  })

  void test('goal: not before its time, and not without an unbroken wait', async () => {
    const [a, b, clock] = await two()
    let asked = 0
    const prove = (): Promise<Uint8Array> => {
      asked++
      return b.receipt()
    }
    await assert.rejects(a.shards.trim(ID, { prove }), fails('RETAINED'))
    await a.shards.markSurplus(ID, { receipt: await b.receipt() })
    await clock.advance(SURPLUS_WAIT_MS - 1)
    await assert.rejects(a.shards.trim(ID, { prove }), fails('RETAINED'))
    await a.shards.unmark(ID)
    await clock.advance(1)
    await assert.rejects(a.shards.trim(ID, { prove }), fails('RETAINED'))
    await a.shards.markSurplus(ID, { receipt: await b.receipt() })
    await clock.advance(SURPLUS_WAIT_MS)
    // Somebody gets a receipt for this copy: it is not surplus any more.
    await a.receipt()
    await assert.rejects(a.shards.trim(ID, { prove }), fails('RETAINED'))
    assert.equal(asked, 0)
  })

  void test('goal: a marker made again while the other is asked does not stand in for it', async () => {
    const [a, b] = await two(0)
    const first = await b.receipt()
    await a.shards.markSurplus(ID, { receipt: first })
    const prove = async (): Promise<Uint8Array> => {
      const receipt = await b.receipt()
      // The other one takes this copy for the one that stays, and lets its own go.
      await b.shards.markSurplus(ID, { receipt: await a.receipt() })
      await b.shards.trim(ID, { prove: () => a.receipt() })
      // Byte by byte the marker of before: the clock stands still.
      await a.shards.markSurplus(ID, { receipt: first })
      return receipt
    }
    await assert.rejects(a.shards.trim(ID, { prove }), fails('RETAINED'))
    assert.equal(await b.shards.has(ID), false)
    await a.shards.verify(ID)
  })

  void test('goal: a clock that jumps deletes nothing by itself', async () => {
    const [a, b] = [await Holder.make(1), await Holder.make(2)]
    await a.shards.markSurplus(ID, { receipt: await b.receipt() })
    // Here it is a month later at once; at the other holder it is not.
    await a.clock.advance(SURPLUS_WAIT_MS)
    await assert.rejects(a.shards.trim(ID, { prove: () => b.receipt() }), fails('RETAINED'))
    await b.clock.advance(SURPLUS_WAIT_MS)
    a.clock.jump(-SURPLUS_WAIT_MS - DAY_MS)
    await assert.rejects(a.shards.trim(ID, { prove: () => b.receipt() }), fails('RETAINED'))
    // The marker is of the future now: it begins anew.
    b.clock.jump(-SURPLUS_WAIT_MS - DAY_MS)
    const again = await a.shards.markSurplus(ID, { receipt: await b.receipt() })
    assert.equal(again.at, START - DAY_MS)
  })

  void test('goal: a marker that another wrote, or half a disk, is none', async () => {
    const [a, b, clock] = await two()
    await a.shards.markSurplus(ID, { receipt: await b.receipt() })
    const folder = '/shards/' + (await markersFolder(a.disk))
    const [name] = (await a.disk.list(folder)).filter((one) => one.name.endsWith('.surplus'))
    const path = `${folder}/${name?.name}`
    await a.disk.unlink(path)
    const file = await a.disk.open(path, 'create')
    await file.write(Uint8Array.of(255, 255), 3)
    await file.close()
    await clock.advance(SURPLUS_WAIT_MS)
    assert.equal(await a.shards.surplusMarker(ID), undefined)
    await assert.rejects(a.shards.trim(ID, { prove: () => b.receipt() }), fails('RETAINED'))
    await a.shards.markSurplus(ID, { receipt: await b.receipt() })
  })
})

async function markersFolder(disk: SimulatedDisk): Promise<string> {
  for (const { name, kind } of await disk.list('/shards')) {
    if (kind !== 'directory' || name === 'tmp') continue
    for (const inner of await disk.list(`/shards/${name}`)) return `${name}/${inner.name}`
  }
  return assert.fail('no folder of a vault')
}

type Step =
  | { do: 'mark'; by: number; of: number }
  | { do: 'trim'; by: number; of: number; late: number; back: number }
  | { do: 'crash'; by: number; seed: number }
  | { do: 'put'; by: number }
  | { do: 'wait'; by: number }

const by = fc.nat(2)
const of = fc.nat(2)
/** How slow the way to the other holder and back is. */
const ways = { late: fc.nat(20), back: fc.nat(20) }
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('mark' as const), by, of }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('trim' as const), by, of, ...ways }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('crash' as const), by, seed: fc.nat(9) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('put' as const), by }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), by }) },
)

/** Lets a number of turns of the event loop's queues pass, so that steps overlap in many ways. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.resolve()
}

void describe('holders that each take another copy for the one that stays', () => {
  for (const waitMs of [0, 1000]) {
    void test(`goal: never all let go, in any order, wait ${waitMs}`, async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { minLength: 4, maxLength: 24 }),
          fc.boolean(),
          async (steps, together) => {
            const clock = new ManualClock(START)
            const holders = [1, 2, 3].map((number) => Holder.make(number, { clock, waitMs }))
            await check(await Promise.all(holders), { steps, together, waitMs })
          },
        ),
        { numRuns: 150 },
      )
    })
  }

  void test('goal: two at once end with one copy at least, whichever is faster', async () => {
    for (let late = 0; late < 60; late++) {
      const [a, b] = await two(0)
      const [fromA, fromB] = [await a.receipt(), await b.receipt()]
      await a.shards.markSurplus(ID, { receipt: fromB })
      await b.shards.markSurplus(ID, { receipt: fromA })
      await Promise.allSettled([
        a.shards.trim(ID, { prove: () => b.receipt() }),
        turns(late).then(() => b.shards.trim(ID, { prove: () => a.receipt() })),
      ])
      await oneWhole([a, b])
    }
  })

  void test('goal: nor when a machine stops after any operation of its disk', async () => {
    for (let last = 0; ; last++) {
      const [a, b] = await two(0)
      let cut = false
      let armed = false
      let first = 0
      const faulty = new FaultyDisk(b.disk, ({ number }) => {
        if (!armed) first = number
        if (!armed || number <= first + last) return undefined
        cut = true
        return { code: 'DISK', effect: 'none' }
      })
      await b.shards.close()
      await b.open(faulty)
      await a.shards.markSurplus(ID, { receipt: await b.receipt() })
      await b.shards.markSurplus(ID, { receipt: await a.receipt() })
      await a.shards.markSurplus(ID, { receipt: await b.receipt() })
      await b.shards.markSurplus(ID, { receipt: await receiptWithoutAsking(a) })
      armed = true
      // Whether the power fails while it answers, or before, or after.
      const [outcome] = await Promise.allSettled([a.shards.trim(ID, { prove: () => b.receipt() })])
      await b.crash(last)
      assert.equal(await a.shards.has(ID), outcome?.status === 'rejected')
      // What it had marked before the answer does not let it go after it.
      await Promise.allSettled([b.shards.trim(ID, { prove: () => a.receipt() })])
      await oneWhole([a, b])
      if (!cut) break
    }
  })

  void test('goal: a trim that is cut off leaves the copy, or has let it go', async () => {
    for (let last = 0; ; last++) {
      const [a, b] = await two(0)
      let cut = false
      let armed = false
      let first = 0
      const faulty = new FaultyDisk(a.disk, ({ number }) => {
        if (!armed) first = number
        if (!armed || number <= first + last) return undefined
        cut = true
        return { code: 'DISK', effect: 'none' }
      })
      await a.shards.close()
      await a.open(faulty)
      armed = true
      await Promise.allSettled([
        (async (): Promise<void> => {
          await a.shards.markSurplus(ID, { receipt: await b.receipt() })
          await a.shards.trim(ID, { prove: () => b.receipt() })
        })(),
      ])
      await a.crash(last)
      await b.shards.verify(ID)
      if (await a.shards.has(ID)) await a.shards.verify(ID)
      assert.deepEqual(await a.disk.list('/shards/tmp'), [])
      assert.equal(await a.shards.usedBytes(), sum(await listAll(a.shards)))
      if (!(await a.shards.has(ID))) await store(a.shards, STRIPE, { index: INDEX })
      // Whatever was left behind, what is acknowledged anew is not marked.
      await a.receipt()
      assert.equal(await a.shards.surplusMarker(ID), undefined)
      if (!cut) break
    }
  })
})

function sum(items: readonly { length: number }[]): number {
  return items.reduce((total, { length }) => total + length, 0)
}

/** A receipt as an earlier answer gave it: a marker may be made with it, too. */
async function receiptWithoutAsking(holder: Holder): Promise<Uint8Array> {
  const { vault, pack, shardHashes, protectedUntil } = STRIPE.descriptor
  const shardHash = shardHashes[INDEX] ?? assert.fail()
  const { publicKey: host } = holder.signer
  const about = { pool: POOL, vault, pack, index: INDEX, shardHash, host, protectedUntil }
  return signReceipt({ ...about, storedAt: holder.clock.now() }, holder.signer)
}

async function oneWhole(holders: readonly Holder[]): Promise<void> {
  const whole = await Promise.allSettled(holders.map((holder) => holder.shards.verify(ID)))
  assert.ok(whole.some((one) => one.status === 'fulfilled'))
}

/** Carries out all steps, one after another or overlapping; a copy is left in the end. */
async function check(
  holders: readonly Holder[],
  o: { steps: readonly Step[]; together: boolean; waitMs: number },
): Promise<void> {
  const received = new Map<string, Uint8Array>()
  const running: Promise<unknown>[] = []
  for (const one of o.steps) {
    const holder = holders[one.by] ?? assert.fail()
    const run = async (): Promise<void> => {
      if (one.do === 'crash') return holder.crash(one.seed)
      if (one.do === 'wait') return holder.clock.advance(o.waitMs)
      if (one.do === 'put') {
        await holder.receipt()
        return
      }
      const other = holders[one.of] ?? assert.fail()
      if (one.do === 'trim') {
        const prove = async (): Promise<Uint8Array> => {
          await turns(one.late * one.late)
          const receipt = await other.receipt()
          await turns(one.back * one.back)
          return receipt
        }
        return holder.shards.trim(ID, { prove })
      }
      // Often with a receipt of long ago: what is given out once may be used at any time.
      const key = `${one.by} ${one.of}`
      const receipt = received.get(key) ?? (await other.receipt())
      received.set(key, receipt)
      await holder.shards.markSurplus(ID, { receipt })
    }
    // A machine that stops takes its calls with it: it does so between them.
    if (one.do === 'crash') await Promise.all(running)
    // Most are refused, as they should be.
    const promise = Promise.allSettled([run()])
    running.push(promise)
    if (!o.together || one.do !== 'trim') await promise
  }
  await Promise.all(running)
  await oneWhole(holders)
}
