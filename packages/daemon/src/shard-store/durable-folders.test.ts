import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MoyaiError, isMoyaiError } from '@moyai/protocol'
import type { Disk } from '../file-system/index.ts'
import { SimulatedDisk } from '../file-system/index.ts'
import { DurableFolders } from './durable-folders.ts'

/** A disk whose folder syncs end when the test says so. */
function slowDisk(): { disk: Disk; syncs: { path: string; end: (error?: Error) => void }[] } {
  const syncs: { path: string; end: (error?: Error) => void }[] = []
  const disk: Disk = Object.assign(new SimulatedDisk(), {
    syncDirectory: (path: string) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      syncs.push({ path, end: (error) => (error === undefined ? resolve() : reject(error)) })
      return promise
    },
  })
  return { disk, syncs }
}

/** Which of `promises` have settled, once everything that can go on has gone on. */
async function settled(promises: Promise<unknown>[]): Promise<boolean[]> {
  const done = promises.map(() => false)
  for (const [i, promise] of promises.entries()) {
    const mark = (): void => {
      done[i] = true
    }
    promise.then(mark, mark)
  }
  await new Promise((resolve) => {
    setImmediate(resolve)
  })
  return done
}

describe('group commit', () => {
  it('never lets a caller rely on a sync that began before it came', async () => {
    // Goal: the rule that makes sharing sound. Method: three callers during a sync; they wait for
    // one further sync.
    const { disk, syncs } = slowDisk()
    const folders = new DurableFolders(disk)
    const first = folders.syncFolder('/a')
    const others = [folders.syncFolder('/a'), folders.syncFolder('/a'), folders.syncFolder('/a')]
    assert.equal(syncs.length, 1)
    syncs[0]?.end()
    assert.deepEqual(await settled([first, ...others]), [true, false, false, false])
    assert.equal(syncs.length, 2)
    const late = folders.syncFolder('/a')
    syncs[1]?.end()
    assert.deepEqual(await settled([...others, late]), [true, true, true, false])
    assert.equal(syncs.length, 3)
    syncs[2]?.end()
    await late
    void folders.syncFolder('/a')
    assert.equal(syncs.length, 4, 'a caller alone waits for nothing else')
  })

  it('does not make folders wait for each other', async () => {
    // Goal: sharing is per folder.
    const { disk, syncs } = slowDisk()
    const folders = new DurableFolders(disk)
    const [a, b] = [folders.syncFolder('/a'), folders.syncFolder('/b')]
    syncs[1]?.end()
    assert.deepEqual(await settled([a, b]), [false, true])
    syncs[0]?.end()
    await a
  })

  it('fails all who wait, and taints', async () => {
    // Goal: after an fsync error nobody is told "durable", whichever sync they wait for.
    const { disk, syncs } = slowDisk()
    const folders = new DurableFolders(disk)
    const waiting = [folders.syncFolder('/a'), folders.syncFolder('/a'), folders.syncFolder('/b')]
    syncs[0]?.end(new MoyaiError('DISK', 'broken'))
    syncs[1]?.end()
    const results = await Promise.allSettled(waiting)
    for (const result of results) {
      assert.ok(result.status === 'rejected' && isMoyaiError(result.reason, 'STORE_TAINTED'))
    }
    assert.equal(syncs.length, 2, 'no further sync is tried')
    assert.throws(() => folders.check(), { code: 'STORE_TAINTED' })
  })

  it('makes folders once, and again after they were forgotten', async () => {
    // Goal: a name is durable before anything below it is acknowledged, at the cost of one sync.
    const { disk, syncs } = slowDisk()
    const folders = new DurableFolders(disk)
    const both = [folders.ensure('', ['x', 'y']), folders.ensure('', ['x', 'y'])]
    assert.deepEqual(await settled(both), [false, false])
    assert.deepEqual(
      syncs.map(({ path }) => path),
      [''],
    )
    syncs[0]?.end()
    await settled(both)
    syncs[1]?.end()
    assert.deepEqual(await Promise.all(both), ['/x/y', '/x/y'])
    assert.deepEqual(
      syncs.map(({ path }) => path),
      ['', '/x'],
    )
    await folders.ensure('', ['x', 'y'])
    assert.equal(syncs.length, 2)
    folders.forget()
    void folders.ensure('', ['x'])
    await settled([])
    assert.equal(syncs.length, 3)
  })
})
