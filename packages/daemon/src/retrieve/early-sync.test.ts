import assert from 'node:assert/strict'
import { fstatSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { syscalls } from '../files/index.ts'
import { EarlySync } from './early-sync.ts'

test('one early sync at a time, and the end waits for it', async (t) => {
  // Goal: however often it is begun, one runs, and its descriptor is closed. Method: a system call
  // that the test ends.
  const target = mkdtempSync(join(tmpdir(), 'moyai-early-'))
  t.after(() => rmSync(target, { recursive: true }))
  const own = syscalls()
  const { startSyncFileSystem } = own
  t.after(() => Object.assign(own, { startSyncFileSystem }))
  const started: { fd: number; done: () => void }[] = []
  own.startSyncFileSystem = (fd) => new Promise((done) => started.push({ fd, done }))

  const sync = new EarlySync(target)
  sync.begin()
  sync.begin()
  assert.equal(started.length, 1)
  let isEnded = false
  const ended = sync.end().then(() => (isEnded = true))
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(isEnded, false)
  started[0]?.done()
  await ended
  assert.throws(() => fstatSync(started[0]?.fd ?? -1), { code: 'EBADF' })

  sync.begin()
  assert.equal(started.length, 2)
  started[1]?.done()
  await sync.end()
})

test('an early sync that cannot be is none', async () => {
  // Goal: nothing rests on it. Method: a target that is not there, and one that is, for real.
  const absent = new EarlySync(join(tmpdir(), 'moyai-early-absent'))
  absent.begin()
  await absent.end()
  const real = new EarlySync(tmpdir())
  real.begin()
  await real.end()
})
