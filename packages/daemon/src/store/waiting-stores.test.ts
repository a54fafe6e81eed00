/** A store that finds too few hosts keeps what it has room for, and goes on when they are back. */

import assert from 'node:assert/strict'
import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

import { openMemoryDatabase } from '../database/index.ts'
import { SeededRandom } from '../random.ts'
import { eventually } from '../testing/eventually.ts'
import { makeWorld, type World } from './testing/world.ts'
import { WAITING_STORES_MAX, WaitingStores } from './waiting-stores.ts'

const TOO_FEW = { code: 'TOO_FEW_HOSTS', exitCode: 20 }

function outboxBytes({ home }: World): number {
  const folder = join(home, 'outbox')
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
}

test('Goal: the content waits in the outbox, and is stored when hosts are back.', async (t) => {
  const world = makeWorld(t)
  const { pool, service, source, waiting } = world
  writeFileSync(join(source, 'big'), new SeededRandom('w').bytes(6_000_000))
  for (const host of pool.others) pool.bring(host, false)
  await assert.rejects(service.store(world.request()), TOO_FEW)
  assert.deepEqual(await waiting.list(), [], 'it waits only when it is asked to')
  await assert.rejects(
    service.store(world.request({ outbox: true, tags: ['x'], policy: 'host=3' })),
    {
      ...TOO_FEW,
      message: /MiB wait in the outbox/,
    },
  )
  assert.equal(pool.entries.length, 0)
  assert.ok(outboxBytes(world) > 6_000_000)
  const [store] = await waiting.list()
  assert.deepEqual(store?.tags, ['x'])
  assert.equal(store.policy, 'host=3')
  await service.start()
  try {
    for (const host of pool.others) pool.bring(host, true)
    await eventually('it is stored', () => pool.entries.length === 1)
    await eventually('it waits no more', async () => (await waiting.list()).length === 0)
    await eventually('nothing is left in the outbox', () => outboxBytes(world) === 0)
  } finally {
    await service.stop()
  }
})

test('Goal: what waiting cannot mend is refused at once, and does not wait.', async (t) => {
  const world = makeWorld(t)
  const { pool, service, source, waiting } = world
  writeFileSync(join(source, 'file'), 'content')
  for (const host of pool.others) pool.bring(host, false)
  const ask = (more: Parameters<World['request']>[0]): Promise<unknown> =>
    service.store(world.request({ outbox: true, ...more }))
  await assert.rejects(ask({}), TOO_FEW)
  // the first one waits in the outbox: these are asked behind it
  await assert.rejects(ask({ name: 'typo', policy: 'host=9x' }), { code: 'CONFIG_INVALID' })
  await assert.rejects(ask({ paths: [join(source, 'gone')] }), { code: 'PATH_UNKNOWN' })
  assert.equal((await waiting.list()).length, 1)
})

test('Goal: the outbox takes its share and no more.', async (t) => {
  const most = 64 * 1024 * 1024
  const world = makeWorld(t, undefined, undefined, most)
  const { pool, service, source, waiting } = world
  for (let i = 0; i < 10; i++) {
    writeFileSync(join(source, `big${i}`), new SeededRandom(`w${i}`).bytes(8_000_000))
  }
  for (const host of pool.others) pool.bring(host, false)
  await assert.rejects(service.store(world.request({ outbox: true })), TOO_FEW)
  assert.ok(outboxBytes(world) <= most)
  assert.equal((await waiting.list()).length, 1)
  // again and again: it does not grow
  const before = outboxBytes(world)
  await assert.rejects(service.store(world.request({ outbox: true })), TOO_FEW)
  assert.ok(outboxBytes(world) <= before)
  for (const host of pool.others) pool.bring(host, true)
  const summary = await service.store(world.request())
  assert.equal(summary.state, 'protected')
  assert.deepEqual(
    await waiting.list(),
    [],
    'a store by hand takes the place of the one that waits',
  )
})

test('Goal: sources with long and similar paths wait side by side.', async () => {
  const waiting = new WaitingStores(openMemoryDatabase())
  const long = `/${'folder/'.repeat(100)}`
  for (const [since, last] of ['a', 'b'].entries()) {
    assert.ok(await waiting.add({ paths: [long + last], tags: [], excludes: [], since }))
  }
  assert.equal((await waiting.list()).length, 2)
  await waiting.remove({ paths: [`${long}a`] })
  await waiting.remove({ paths: [`${long}c`] })
  assert.deepEqual(
    (await waiting.list()).map(({ paths }) => paths),
    [[`${long}b`]],
  )
})

test('Goal: as many sources as may wait, and what is damaged is left out.', async () => {
  const database = openMemoryDatabase()
  const waiting = new WaitingStores(database)
  const store = { paths: ['/a'], tags: [], excludes: [], since: 1 }
  for (let i = 0; i < WAITING_STORES_MAX; i++) {
    assert.ok(await waiting.add({ ...store, name: `source ${i}`, since: 100 - i }))
  }
  assert.equal(await waiting.add({ ...store, name: 'one more' }), false)
  assert.ok(await waiting.add({ ...store, name: 'source 3', since: 1000 }))
  const all = await waiting.list()
  assert.equal(all.length, WAITING_STORES_MAX)
  assert.equal(all.at(-1)?.name, 'source 3')
  await waiting.remove({ name: 'source 3', paths: [] })
  const table = database.table('waiting-store')
  await table.put(new Uint8Array([1]), new TextEncoder().encode('{"paths":"all of them"}'))
  assert.equal((await waiting.list()).length, WAITING_STORES_MAX - 1)
})
