import assert from 'node:assert/strict'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'

import { EntryCursor, PageWriter } from '@moyai/protocol'
import type { Entry } from '@moyai/protocol'

import { captureEntry, syscalls } from '../files/index.ts'
import { bytePathOfText, pathBytes } from './byte-path.ts'
import { EntryCapture } from './entry-capture.ts'
import { entryOf } from './walk-queue.ts'

const LATER_MS = 365 * 24 * 3600 * 1000

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'moyai-capture-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function makeCapture(began: number): EntryCapture {
  const problem = (path: string, message: string): never => assert.fail(`${path}: ${message}`)
  return new EntryCapture({ began }, { problem })
}

/** `entry` as the last snapshot has it. */
function recorded(entry: Entry): EntryCursor {
  const cursor = new EntryCursor()
  const writer = new PageWriter({ emit: (page) => cursor.open(page) })
  writer.add(entry)
  writer.end()
  assert.ok(cursor.next())
  return cursor
}

/** What the slow way captures of it. */
function plainCapture(path: string, name: string): Entry {
  const stat = lstatSync(path, { bigint: true })
  const entry = captureEntry(pathBytes(bytePathOfText(path)), stat, pathBytes(name), {})
  delete entry.atime
  delete entry.holes
  if (typeof entry.size === 'bigint') entry.size = Number(entry.size)
  return entry
}

test('Goal: the quick way captures what the slow way does, of every kind of file.', (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'file'), 'content', { mode: 0o4755 })
  writeFileSync(join(folder, 'empty'), '')
  writeFileSync(join(folder, 'with attribute'), 'x')
  mkdirSync(join(folder, 'folder'))
  symlinkSync('file', join(folder, 'link'))
  writeFileSync(join(folder, '名前'), 'x')
  syscalls().setTimes?.(pathBytes(join(folder, 'empty')), -5n, -1_500_000_000n)
  try {
    const path = pathBytes(join(folder, 'with attribute'))
    syscalls().setXattr?.(path, pathBytes('user.note'), new Uint8Array(3))
  } catch {
    t.diagnostic('no attributes on this file system')
  }
  const capture = makeCapture(0)
  for (const text of ['file', 'empty', 'with attribute', 'folder', 'link', '名前']) {
    const name = bytePathOfText(text)
    capture.look(folder, name)
    const made = capture.capture(folder, name)
    assert.ok(made !== undefined)
    const entry = entryOf(made)
    if (typeof entry.size === 'bigint') entry.size = Number(entry.size)
    entry.name = new Uint8Array(entry.name)
    const expected = plainCapture(join(folder, text), name)
    expected.name = new Uint8Array(expected.name)
    assert.deepEqual(entry, expected, text)
  }
})

test('Goal: a name is unchanged only if all is as recorded, and was so before the last run.', (t) => {
  const folder = temporaryFolder(t)
  const path = join(folder, 'file')
  writeFileSync(path, 'content')
  const entry: Entry = { ...plainCapture(path, 'file'), chunks: new Uint8Array(32) }
  const { ctime = 0n } = entry
  const later = makeCapture(Date.now() + LATER_MS)
  later.look(folder, 'file')
  assert.ok(later.isUnchanged(recorded(entry)))

  const changes: Partial<Entry>[] = [
    { mtime: entry.mtime + 1n },
    { mtime: entry.mtime + 2n ** 32n },
    { ctime: ctime - 1n },
    { ctime: ctime + 2n ** 32n },
    { inode: (entry.inode ?? 0n) + 1n },
    { device: (entry.device ?? 0n) + 1n },
    { size: 8 },
    { error: 'was read in part' },
  ]
  for (const change of changes) {
    assert.equal(later.isUnchanged(recorded({ ...entry, ...change })), false)
  }
  const { ctime: _ctime, ...withoutCtime } = entry
  assert.equal(later.isUnchanged(recorded(withoutCtime)), false)
  const { chunks: _chunks, ...plain } = entry
  const socket: Entry = { ...plain, type: 'socket', size: 0 }
  writeFileSync(path, '')
  later.look(folder, 'file')
  assert.equal(later.isUnchanged(recorded(socket)), false)

  // what changed within the tick in which the last run began may have changed behind its back
  writeFileSync(path, 'content')
  const now: Entry = { ...plainCapture(path, 'file'), chunks: new Uint8Array(32) }
  for (const [ms, expected] of [
    [0, false],
    [9, false],
    [20, true],
  ] as const) {
    const soon = makeCapture(Number((now.ctime ?? 0n) / 1_000_000n) + ms)
    soon.look(folder, 'file')
    assert.equal(soon.isUnchanged(recorded(now)), expected, `${ms} ms later`)
  }
})

test('Goal: a change that keeps size and mtime is seen.', (t) => {
  const folder = temporaryFolder(t)
  const path = join(folder, 'file')
  writeFileSync(path, 'content')
  const entry: Entry = { ...plainCapture(path, 'file'), chunks: new Uint8Array(32) }
  const later = makeCapture(Date.now() + LATER_MS)
  // until the clock of the file system has gone on
  for (;;) {
    writeFileSync(path, 'changed')
    chmodSync(path, 0o600)
    syscalls().setTimes?.(pathBytes(path), entry.mtime, entry.mtime)
    const stat = lstatSync(path, { bigint: true })
    if (stat.ctimeNs !== entry.ctime) break
  }
  later.look(folder, 'file')
  assert.equal(later.isUnchanged(recorded(entry)), false)
})
