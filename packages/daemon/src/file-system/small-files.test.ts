import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import {
  failingAt,
  FaultyDisk,
  makeFolders,
  namesIn,
  nodeDisk,
  readFile,
  removeFile,
  replaceFile,
  SimulatedDisk,
  survivors,
  type Disk,
} from './index.ts'

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value)

async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'moyai-files-'))
  try {
    await run(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function onBoth(run: (disk: Disk, folder: string) => Promise<void>): Promise<void> {
  await withFolder((folder) => run(nodeDisk, folder))
  const simulated = new SimulatedDisk()
  await makeFolders(simulated, '/folder')
  await run(simulated, '/folder')
}

test('goal: small files are replaced, read within a limit, and removed', async () => {
  await onBoth(async (disk, folder) => {
    const path = `${folder}/a`
    await assert.rejects(readFile(disk, path, 10), { code: 'NOT_FOUND' })
    await assert.rejects(readFile(disk, folder, 10), { code: 'DISK' })
    await assert.rejects(namesIn(disk, `${folder}/none`), { code: 'NOT_FOUND' })
    const lost = { path: `${folder}/none/a`, bytes: bytes(''), mode: 0o600 }
    await assert.rejects(replaceFile(disk, lost), { code: 'NOT_FOUND' })
    await replaceFile(disk, { path, bytes: bytes('one'), mode: 0o600 })
    const read = await readFile(disk, path, 3)
    assert.deepEqual([text(read.bytes), read.mode], ['one', 0o600])
    await assert.rejects(readFile(disk, path, 2), { code: 'TOO_LARGE' })
    await replaceFile(disk, { path, bytes: bytes('another'), mode: 0o640 })
    const again = await readFile(disk, path, 10)
    assert.deepEqual([text(again.bytes), again.mode], ['another', 0o640])
    await makeFolders(disk, `${folder}/deep/er`)
    await makeFolders(disk, `${folder}/deep/er`)
    await assert.rejects(makeFolders(disk, `${path}/below`), { code: 'TARGET_EXISTS' })
    assert.deepEqual(await namesIn(disk, folder), ['a', 'deep'])
    await removeFile(disk, path)
    await removeFile(disk, path)
    assert.deepEqual(await namesIn(disk, folder), ['deep'])
  })
})

test('goal: settings that are a link to a file elsewhere are read', async () => {
  await withFolder(async (folder) => {
    await replaceFile(nodeDisk, { path: `${folder}/a`, bytes: bytes('one'), mode: 0o600 })
    symlinkSync(`${folder}/a`, `${folder}/link`)
    assert.equal(text((await readFile(nodeDisk, `${folder}/link`, 10)).bytes), 'one')
    await assert.rejects(nodeDisk.open(`${folder}/link`, 'read'), { code: 'DISK' })
    assert.equal(readFileSync(`${folder}/a`, 'utf8'), 'one')
  })
})

test('goal: a folder that was prepared inside one that we may not read is good enough', async () => {
  await withFolder(async (folder) => {
    await makeFolders(nodeDisk, `${folder}/closed/ours`)
    assert.equal(statSync(`${folder}/closed/ours`).mode & 0o777, 0o700)
    chmodSync(`${folder}/closed`, 0o300)
    await makeFolders(nodeDisk, `${folder}/closed/ours`)
    chmodSync(`${folder}/closed`, 0o700)
  })
})

test('goal: a replaced file is whole, wherever the power fails', async () => {
  for (const effect of ['none', 'half', 'whole'] as const) {
    for (let at = 1; ; at++) {
      const disk = new SimulatedDisk()
      await makeFolders(disk, '/f')
      await replaceFile(disk, { path: '/f/x', bytes: bytes('old'), mode: 0o600 })
      const faulty = new FaultyDisk(disk, failingAt(at, { effect, fatal: true }))
      const replaced = await replaceFile(faulty, {
        path: '/f/x',
        bytes: bytes('new'),
        mode: 0o600,
      }).then(
        () => true,
        () => false,
      )
      disk.powerLoss(survivors(at % 4))
      const found = text((await readFile(disk, '/f/x', 10)).bytes)
      if (replaced) assert.equal(found, 'new')
      else assert.ok(found === 'old' || found === 'new')
      if (faulty.count < at) break
    }
  }
})

test('goal: a folder that was made is there after the power failed, with all above it', async () => {
  const disk = new SimulatedDisk()
  await makeFolders(disk, '/a/b/c')
  disk.powerLoss()
  assert.deepEqual(await disk.list('/a/b'), [{ name: 'c', kind: 'directory' }])
})
