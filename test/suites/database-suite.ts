/** The contract of the `Database` port: every implementation passes this suite. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import type { Database, IterateOptions, Table } from '@moyai/daemon'
import * as fc from 'fast-check'

/** A place in which a database can be opened, closed and opened again. */
export type DatabasePlace = { open(): Promise<Database>; remove(): Promise<void> }

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)
const text = (value: Uint8Array): string => Buffer.from(value).toString('hex')

async function entries(table: Table, o?: IterateOptions): Promise<[string, string][]> {
  const found: [string, string][] = []
  for await (const [key, value] of table.iterate(o)) found.push([text(key), text(value)])
  return found
}

/** Runs the contract against the implementation that `place` gives. */
export function databaseSuite(name: string, place: () => Promise<DatabasePlace>): void {
  async function withPlace(run: (place: DatabasePlace) => Promise<void>): Promise<void> {
    const there = await place()
    try {
      await run(there)
    } finally {
      await there.remove()
    }
  }

  void describe(`database: ${name}`, () => {
    void test('goal: what was put is got, what was deleted is gone', async () => {
      await withPlace(async (there) => {
        await using database = await there.open()
        const table = database.table('a')
        assert.equal(await table.get(bytes(1)), undefined)
        await table.put(bytes(1), bytes(7, 8))
        await table.put(bytes(2), bytes())
        assert.deepEqual(new Uint8Array((await table.get(bytes(1))) ?? []), bytes(7, 8))
        const many = await table.getMany([bytes(2), bytes(3), bytes(1)])
        assert.deepEqual(
          many.map((value) => value && text(value)),
          ['', undefined, '0708'],
        )
        await table.del(bytes(1))
        await table.del(bytes(99))
        assert.equal(await table.get(bytes(1)), undefined)
      })
    })

    void test('goal: tables do not see each other, whatever their names', async () => {
      await withPlace(async (there) => {
        await using database = await there.open()
        const [a, aa, b] = [database.table('a'), database.table('a-a'), database.table('b')]
        for (const table of [a, aa, b]) await table.put(bytes(0xff), bytes(table.name.length))
        await a.put(bytes(0), bytes())
        assert.deepEqual(await entries(a), [
          ['00', ''],
          ['ff', '01'],
        ])
        assert.deepEqual(await entries(aa), [['ff', '03']])
        await a.clear()
        assert.deepEqual(await entries(a), [])
        assert.deepEqual(await entries(b), [['ff', '01']])
        assert.equal(database.table('a'), a)
      })
    })

    void test('goal: ranges, direction and limit give what sorting an array gives', async () => {
      await withPlace(async (there) => {
        await using database = await there.open()
        const table = database.table('range')
        const key = fc.uint8Array({ minLength: 1, maxLength: 3 })
        const bound = fc.option(key, { nil: undefined })
        await fc.assert(
          fc.asyncProperty(
            fc.uniqueArray(key, { selector: text, maxLength: 12 }),
            fc.record({ gte: bound, gt: bound, lt: bound, lte: bound }),
            fc.boolean(),
            fc.option(fc.nat(5), { nil: undefined }),
            async (keys, bounds, reverse, limit) => {
              await table.clear()
              await database.batch(keys.map((one) => table.putting(one, one)))
              const range: IterateOptions = { reverse }
              if (bounds.gt !== undefined) range.gt = bounds.gt
              else if (bounds.gte !== undefined) range.gte = bounds.gte
              if (bounds.lt !== undefined) range.lt = bounds.lt
              else if (bounds.lte !== undefined) range.lte = bounds.lte
              if (limit !== undefined) range.limit = limit
              const expected = keys
                .filter((one) => {
                  const c = (other: Uint8Array): number => Buffer.compare(one, other)
                  if (range.gt !== undefined && c(range.gt) <= 0) return false
                  if (range.gte !== undefined && c(range.gte) < 0) return false
                  if (range.lt !== undefined && c(range.lt) >= 0) return false
                  return range.lte === undefined || c(range.lte) <= 0
                })
                .map(text)
                .sort()
              if (reverse) expected.reverse()
              const found = await entries(table, range)
              assert.deepEqual(
                found.map(([one]) => one),
                expected.slice(0, limit ?? expected.length),
              )
            },
          ),
          { numRuns: 60 },
        )
      })
    })

    void test('goal: a batch changes several tables at once, later operations win', async () => {
      await withPlace(async (there) => {
        await using database = await there.open()
        const [a, b] = [database.table('a'), database.table('b')]
        await a.put(bytes(1), bytes(1))
        await database.batch([
          a.deleting(bytes(1)),
          b.putting(bytes(1), bytes(2)),
          b.putting(bytes(2), bytes(1)),
          b.putting(bytes(2), bytes(9)),
        ])
        await database.batch([])
        assert.deepEqual(await entries(a), [])
        assert.deepEqual(await entries(b), [
          ['01', '02'],
          ['02', '09'],
        ])
      })
    })

    void test('goal: iteration shows the table as it was when it began', async () => {
      await withPlace(async (there) => {
        await using database = await there.open()
        const table = database.table('a')
        for (let i = 1; i <= 5; i++) await table.put(bytes(i), bytes(i))
        const iterator = table.iterate()
        const first = await iterator.next()
        assert.equal(first.done, false)
        await table.put(bytes(6), bytes(6))
        await table.del(bytes(3))
        const rest: string[] = []
        for await (const [key] of iterator) rest.push(text(key))
        assert.deepEqual(rest, ['02', '03', '04', '05'])
      })
    })

    void test('goal: what was acknowledged is there after closing and opening', async () => {
      await withPlace(async (there) => {
        const first = await there.open()
        await first.table('a').put(bytes(1), bytes(2))
        await first.table('cached', { cache: true }).put(bytes(1), bytes(3))
        await first.close()
        await first.close()
        await using second = await there.open()
        assert.deepEqual(await entries(second.table('a')), [['01', '02']])
        assert.deepEqual(await entries(second.table('cached', { cache: true })), [['01', '03']])
      })
    })

    void test('goal: a closed database refuses with ABORTED instead of hanging', async () => {
      await withPlace(async (there) => {
        const database = await there.open()
        const table = database.table('a')
        await table.put(bytes(1), bytes(2))
        await database.close()
        await assert.rejects(table.get(bytes(1)), { code: 'ABORTED' })
        await assert.rejects(table.put(bytes(1), bytes(2)), { code: 'ABORTED' })
        await assert.rejects(entries(table), { code: 'ABORTED' })
      })
    })

    void test('goal: kept arrays belong to who holds them', async () => {
      await withPlace(async (there) => {
        await using database = await there.open()
        const table = database.table('a')
        const [key, value] = [bytes(1), bytes(5)]
        await table.put(key, value)
        key[0] = 9
        value[0] = 9
        const got = await table.get(bytes(1))
        assert.equal(text(got as Uint8Array), '05')
        ;(got as Uint8Array)[0] = 77
        assert.deepEqual(await entries(table), [['01', '05']])
      })
    })

    void test('goal: programmer errors are assertions, not surprises', async () => {
      await withPlace(async (there) => {
        await using database = await there.open()
        assert.throws(() => database.table('Not A Name'), { name: 'AssertionError' })
        const table = database.table('a')
        assert.throws(() => database.table('a', { cache: true }), { name: 'AssertionError' })
        await assert.rejects(async () => table.get(bytes()), { name: 'AssertionError' })
        await assert.rejects(async () => table.put(new Uint8Array(1025), bytes()), {
          name: 'AssertionError',
        })
      })
    })
  })
}
