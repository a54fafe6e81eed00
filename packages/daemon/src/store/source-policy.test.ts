/** One source may ask for more than the pool's policy: its stripes are coded and placed for it. */

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

import { makeWorld } from './testing/world.ts'

const parityOf = (code: string): number => Number(code.split('+')[1])

test('Goal: a source with a policy of its own gets the code for it, others do not.', async (t) => {
  const world = makeWorld(t, ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'])
  const { service, source } = world
  writeFileSync(join(source, 'books'), 'what must not be lost')
  const usual = await service.store(world.request({ name: 'usual' }))
  const precious = await service.store(world.request({ name: 'precious', policy: 'host=5' }))
  assert.ok(parityOf(usual.code) < 5)
  assert.ok(parityOf(precious.code) >= 5)
  assert.equal(precious.state, 'protected')
  const again = await service.store(world.request({ name: 'usual' }))
  assert.equal(again.code, usual.code)
})

test('Goal: a policy that cannot be read costs an error and nothing else.', async (t) => {
  const world = makeWorld(t)
  writeFileSync(join(world.source, 'file'), 'content')
  for (const policy of ['hosts=3', 'host', 'host=1 host=2', 'site=99']) {
    await assert.rejects(world.service.store(world.request({ policy })), {
      code: 'CONFIG_INVALID',
    })
  }
  assert.equal(world.pool.entries.length, 0)
})
