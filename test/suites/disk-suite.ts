/** The contract of the `Disk` port: every implementation passes this suite. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { isMoyaiError } from '@moyai/protocol'
import type { ErrorCode } from '@moyai/protocol'
import type { Disk } from '@moyai/daemon'

/** An empty folder on a disk. */
export type DiskPlace = { disk: Disk; root: string; remove(): Promise<void> }

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

async function write(disk: Disk, path: string, content: string): Promise<void> {
  const file = await disk.open(path, 'create')
  await file.write(text(content), 0)
  await file.sync()
  await file.close()
}

async function read(disk: Disk, path: string): Promise<string> {
  const file = await disk.open(path, 'read')
  const buffer = new Uint8Array(await file.size())
  assert.equal(await file.read(buffer, 0), buffer.length)
  await file.close()
  return new TextDecoder().decode(buffer)
}

function fails(code: ErrorCode): (error: unknown) => boolean {
  return (error) => isMoyaiError(error, code)
}

/** Runs the contract against the implementation that `place` gives. */
export function diskSuite(name: string, place: () => Promise<DiskPlace>): void {
  function withPlace(run: (place: DiskPlace) => Promise<void>): () => Promise<void> {
    return async () => {
      const there = await place()
      try {
        await run(there)
      } finally {
        await there.remove()
      }
    }
  }

  void describe(`disk: ${name}`, () => {
    void test(
      'goal: what is written is read, at any position',
      withPlace(async ({ disk, root }) => {
        const path = `${root}/a`
        const file = await disk.open(path, 'create')
        await file.write(text('world'), 7)
        await file.write(text('hello, '), 0)
        assert.equal(await file.size(), 12)
        await file.sync()
        await file.close()
        assert.equal(await read(disk, path), 'hello, world')
        assert.equal(await disk.size(path), 12)
        const again = await disk.open(path, 'read')
        const buffer = new Uint8Array(10)
        assert.equal(await again.read(buffer, 7), 5)
        assert.equal(new TextDecoder().decode(buffer.subarray(0, 5)), 'world')
        assert.equal(await again.read(buffer, 12), 0)
        assert.equal(await again.read(buffer, 100), 0)
        await again.close()
      }),
    )

    void test(
      'goal: a hole is zeros, and a large write arrives whole',
      withPlace(async ({ disk, root }) => {
        const file = await disk.open(`${root}/a`, 'create')
        const large = new Uint8Array(3_000_000).fill(7)
        await file.write(large, 4096)
        const back = new Uint8Array(3_004_096)
        assert.equal(await file.read(back, 0), back.length)
        assert.ok(back.subarray(0, 4096).every((byte) => byte === 0))
        assert.deepEqual(back.subarray(4096), large)
        await file.close()
      }),
    )

    void test(
      'goal: pieces arrive one after the other, however many and long',
      withPlace(async ({ disk, root }) => {
        const file = await disk.open(`${root}/a`, 'create')
        // More of them than one system call takes, among them empty ones.
        const parts = Array.from({ length: 3000 }, (_, i) => new Uint8Array(i % 700).fill(i))
        await file.writeParts(parts, 10)
        await file.writeParts([], 0)
        const expected = Buffer.concat([new Uint8Array(10), ...parts])
        const back = new Uint8Array(expected.length + 1)
        assert.equal(await file.read(back, 0), expected.length)
        assert.ok(expected.equals(back.subarray(0, -1)))
        await file.close()
      }),
    )

    void test(
      'goal: create never takes an existing file, open never makes one',
      withPlace(async ({ disk, root }) => {
        await write(disk, `${root}/a`, 'x')
        await assert.rejects(disk.open(`${root}/a`, 'create'), fails('TARGET_EXISTS'))
        await assert.rejects(disk.open(`${root}/b`, 'read'), fails('NOT_FOUND'))
        await assert.rejects(disk.open(`${root}/none/b`, 'create'), fails('NOT_FOUND'))
        await assert.rejects(disk.size(`${root}/b`), fails('NOT_FOUND'))
        await disk.makeDirectory(`${root}/d`)
        await assert.rejects(disk.open(`${root}/d`, 'read'), fails('DISK'))
        await assert.rejects(disk.size(`${root}/d`), fails('DISK'))
      }),
    )

    void test(
      'goal: a file has the permissions it was made with, by default for its owner only',
      withPlace(async ({ disk, root }) => {
        for (const mode of [undefined, 0o600, 0o400]) {
          const path = `${root}/${mode ?? 'default'}`
          const made = await disk.open(path, 'create', mode)
          assert.equal(await made.mode(), mode ?? 0o600)
          await made.close()
          for (const access of ['read', 'follow'] as const) {
            const file = await disk.open(path, access)
            assert.equal(await file.mode(), mode ?? 0o600)
            await file.close()
          }
        }
      }),
    )

    void test(
      'goal: rename replaces, across folders too; who has the old file open still reads it',
      withPlace(async ({ disk, root }) => {
        await disk.makeDirectory(`${root}/from`)
        await disk.makeDirectory(`${root}/to`)
        await write(disk, `${root}/from/new`, 'new')
        await write(disk, `${root}/to/old`, 'old')
        const open = await disk.open(`${root}/to/old`, 'read')
        await disk.rename(`${root}/from/new`, `${root}/to/old`)
        assert.equal(await read(disk, `${root}/to/old`), 'new')
        assert.deepEqual(await disk.list(`${root}/from`), [])
        const buffer = new Uint8Array(3)
        await open.read(buffer, 0)
        assert.equal(new TextDecoder().decode(buffer), 'old')
        await open.close()
        await assert.rejects(disk.rename(`${root}/from/new`, `${root}/x`), fails('NOT_FOUND'))
        await assert.rejects(disk.rename(`${root}/to/old`, `${root}/no/x`), fails('NOT_FOUND'))
      }),
    )

    void test(
      'goal: folders are made once, listed in order, and their files removed',
      withPlace(async ({ disk, root }) => {
        assert.equal(await disk.makeDirectory(`${root}/d`), true)
        assert.equal(await disk.makeDirectory(`${root}/d`), false)
        await assert.rejects(disk.makeDirectory(`${root}/no/d`), fails('NOT_FOUND'))
        await write(disk, `${root}/c`, '')
        await write(disk, `${root}/B`, '')
        await assert.rejects(disk.makeDirectory(`${root}/c`), fails('TARGET_EXISTS'))
        assert.deepEqual(await disk.list(root), [
          { name: 'B', kind: 'file' },
          { name: 'c', kind: 'file' },
          { name: 'd', kind: 'directory' },
        ])
        await disk.unlink(`${root}/c`)
        await assert.rejects(disk.unlink(`${root}/c`), fails('NOT_FOUND'))
        await assert.rejects(disk.unlink(`${root}/d`), (error) => isMoyaiError(error))
        await assert.rejects(disk.list(`${root}/e`), fails('NOT_FOUND'))
        await disk.syncDirectory(root)
        await assert.rejects(disk.syncDirectory(`${root}/e`), fails('NOT_FOUND'))
        assert.ok((await disk.freeBytes(root)) > 0)
      }),
    )
  })
}
