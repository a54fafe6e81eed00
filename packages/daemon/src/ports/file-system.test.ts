import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { nodeFileSystem, replaceFile, type FileSystem } from './file-system.ts'
import { FaultyFileSystem, MemoryFileSystem } from './memory-file-system.ts'

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value)

async function onBoth(run: (files: FileSystem, folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'moyai-files-'))
  try {
    await run(nodeFileSystem, folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  const memory = new MemoryFileSystem()
  await memory.makeDirectory('/folder')
  await run(memory, '/folder')
}

test('goal: both file systems keep the contract', async () => {
  await onBoth(async (files, folder) => {
    const [a, b] = [`${folder}/a`, `${folder}/b`]
    await assert.rejects(files.readFile(a, 10), { code: 'NOT_FOUND' })
    await assert.rejects(files.list(`${folder}/none`), { code: 'NOT_FOUND' })
    await assert.rejects(files.createFile(`${folder}/none/a`, bytes(''), 0o600), {
      code: 'NOT_FOUND',
    })
    await files.createFile(a, bytes('one'), 0o600)
    await assert.rejects(files.createFile(a, bytes('two'), 0o600), { code: 'TARGET_EXISTS' })
    const read = await files.readFile(a, 3)
    assert.deepEqual([text(read.bytes), read.mode], ['one', 0o600])
    await assert.rejects(files.readFile(a, 2), { code: 'TOO_LARGE' })
    await files.makeDirectory(`${folder}/deep/er`, 0o700)
    await files.makeDirectory(`${folder}/deep/er`, 0o700)
    await files.rename(a, b)
    await files.syncDirectory(folder)
    assert.deepEqual(await files.list(folder), ['b', 'deep'])
    await assert.rejects(files.rename(a, b), { code: 'NOT_FOUND' })
    await replaceFile(files, { path: b, bytes: bytes('new'), mode: 0o644 })
    assert.equal(text((await files.readFile(b, 10)).bytes), 'new')
    assert.deepEqual(await files.list(folder), ['b', 'deep'])
    await files.removeFile(b)
    await files.removeFile(b)
    assert.deepEqual(await files.list(folder), ['deep'])
  })
})

test('goal: a replaced file is whole, wherever the power fails', async () => {
  for (let at = 1; ; at++) {
    const disk = new MemoryFileSystem()
    await disk.makeDirectory('/f')
    await replaceFile(disk, { path: '/f/x', bytes: bytes('old'), mode: 0o600 })
    const faulty = new FaultyFileSystem(disk, { at, done: true, fatal: true })
    const replaced = await replaceFile(faulty, {
      path: '/f/x',
      bytes: bytes('new'),
      mode: 0o600,
    }).then(
      () => true,
      () => false,
    )
    disk.crash()
    const found = text((await disk.readFile('/f/x', 10)).bytes)
    if (replaced) assert.equal(found, 'new')
    else assert.ok(found === 'old' || found === 'new')
    if (faulty.calls < at) return
  }
})
