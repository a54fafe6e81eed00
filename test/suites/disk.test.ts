/**
 * The disks of the daemon, held to one contract; and what a power cut does to the simulated one.
 */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'

import { isMoyaiError } from '@moyai/protocol'
import { FaultyDisk, SimulatedDisk, nodeDisk } from '@moyai/daemon'
import { diskSuite } from './disk-suite.ts'

diskSuite('node', async () => {
  const root = await mkdtemp(join(tmpdir(), 'moyai-disk-'))
  return { disk: nodeDisk, root, remove: () => rm(root, { recursive: true }) }
})

diskSuite('simulated', async () => {
  const disk = new SimulatedDisk()
  await disk.makeDirectory('/root')
  return { disk, root: '/root', remove: async () => {} }
})

diskSuite('faulty, without a fault', async () => {
  const disk = new FaultyDisk(new SimulatedDisk(), () => undefined)
  await disk.makeDirectory('/root')
  return { disk, root: '/root', remove: async () => {} }
})

async function names(disk: SimulatedDisk, path: string): Promise<string[]> {
  return (await disk.list(path)).map((entry) => entry.name)
}

async function write(
  disk: SimulatedDisk,
  path: string,
  o: { bytes: Uint8Array; sync: boolean },
): Promise<void> {
  const file = await disk.open(path, 'create')
  await file.write(o.bytes, 0)
  if (o.sync) await file.sync()
  await file.close()
}

void describe('power cut', () => {
  void test('goal: only what was synced is sure to remain', async () => {
    const disk = new SimulatedDisk()
    await write(disk, '/both', { bytes: Uint8Array.of(1), sync: true })
    await write(disk, '/name-only', { bytes: Uint8Array.of(2), sync: false })
    await disk.syncDirectory('/')
    await write(disk, '/bytes-only', { bytes: Uint8Array.of(3), sync: true })
    await disk.makeDirectory('/folder')
    await write(disk, '/folder/x', { bytes: Uint8Array.of(4), sync: true })
    await disk.syncDirectory('/folder')
    disk.powerLoss()
    assert.deepEqual(await names(disk, '/'), ['both', 'name-only'])
    assert.equal(await disk.size('/both'), 1)
    assert.equal(await disk.size('/name-only'), 0)
  })

  void test('goal: what was not synced may remain, too', async () => {
    const disk = new SimulatedDisk()
    await write(disk, '/a', { bytes: new Uint8Array(9000).fill(1), sync: false })
    await disk.makeDirectory('/folder')
    await write(disk, '/folder/x', { bytes: Uint8Array.of(4), sync: true })
    disk.powerLoss(() => true)
    assert.deepEqual(await names(disk, '/'), ['a', 'folder'])
    assert.equal(await disk.size('/a'), 9000)
    assert.deepEqual(await names(disk, '/folder'), ['x'])
  })

  void test('goal: a rename is one step, and a synced name never goes back', async () => {
    for (const keep of [true, false]) {
      const disk = new SimulatedDisk()
      await disk.makeDirectory('/tmp')
      await disk.makeDirectory('/kept')
      await disk.syncDirectory('/')
      await write(disk, '/tmp/a', { bytes: Uint8Array.of(1), sync: true })
      await disk.rename('/tmp/a', '/kept/a')
      await disk.syncDirectory('/kept')
      await write(disk, '/tmp/b', { bytes: Uint8Array.of(1), sync: true })
      await disk.syncDirectory('/tmp')
      await disk.rename('/tmp/b', '/kept/b')
      disk.powerLoss(() => keep)
      assert.deepEqual(await names(disk, '/kept'), keep ? ['a', 'b'] : ['a'])
      assert.deepEqual(await names(disk, '/tmp'), keep ? [] : ['b'])
    }
  })

  void test('goal: unsynced bytes can be torn anywhere, open files are dead', async () => {
    const disk = new SimulatedDisk()
    await write(disk, '/a', { bytes: new Uint8Array(16_384).fill(1), sync: true })
    await disk.syncDirectory('/')
    const file = await disk.open('/a', 'read')
    await file.write(new Uint8Array(16_384).fill(2), 0)
    const choices = [true, false, true, true, false]
    disk.powerLoss(() => choices.shift() ?? false)
    await assert.rejects(file.size(), (error) => isMoyaiError(error, 'DISK'))
    const again = await disk.open('/a', 'read')
    const bytes = new Uint8Array(16_384)
    await again.read(bytes, 0)
    assert.deepEqual([bytes[0], bytes[4096], bytes[8192], bytes[12_288]], [1, 2, 2, 1])
  })

  void test('goal: a full disk says so', async () => {
    const disk = new SimulatedDisk({ capacityBytes: 100 })
    await write(disk, '/a', { bytes: new Uint8Array(80), sync: true })
    assert.equal(await disk.freeBytes(), 20)
    await assert.rejects(write(disk, '/b', { bytes: new Uint8Array(30), sync: true }), (error) =>
      isMoyaiError(error, 'NO_SPACE'),
    )
  })
})

void describe('faulty disk', () => {
  void test('goal: a fault comes before, after or in the middle of an operation', async () => {
    const sizes: number[] = []
    for (const effect of ['none', 'half', 'whole'] as const) {
      const inner = new SimulatedDisk()
      const disk = new FaultyDisk(inner, ({ name }) =>
        name === 'write' ? { code: 'DISK', effect } : undefined,
      )
      const file = await disk.open('/a', 'create')
      await assert.rejects(file.write(new Uint8Array(10), 0), (error) =>
        isMoyaiError(error, 'DISK'),
      )
      sizes.push(await inner.size('/a'))
      assert.equal(disk.count, 2)
    }
    assert.deepEqual(sizes, [0, 5, 10])
  })
})
