import assert from 'node:assert/strict'
import {
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'

import { STAMP, stampNumber } from '@moyai/protocol'

import { syscalls } from '../files/index.ts'
import { bytePathOfText, pathBytes } from './byte-path.ts'
import { inOrder, loadStatReader, nodeStatReader, stampBits, stampOf } from './walker-stat.ts'
import type { StatReader } from './walker-stat.ts'

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'moyai-stat-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function recordOf(reader: StatReader, folder: string, name: string): object {
  reader.lstat(folder, name)
  return { ...reader.stat, stamp: [...reader.stat.stamp] }
}

/** Both readers say the same of every one of `names` in `folder`. */
function agreeOn(folder: string, names: readonly string[]): void {
  const node = nodeStatReader()
  const native = loadStatReader()
  for (const name of names) {
    const path = bytePathOfText(folder)
    assert.deepEqual(recordOf(native, path, name), recordOf(node, path, name), `${folder}/${name}`)
  }
}

test('the record of an open file is that of its name', (t) => {
  const folder = temporaryFolder(t)
  const path = join(folder, 'file')
  writeFileSync(path, 'x'.repeat(10_000))
  for (const reader of [loadStatReader(), nodeStatReader()]) {
    const expected = recordOf(reader, folder, 'file')
    const fd = openSync(path, 'r')
    reader.fstat(fd)
    assert.deepEqual({ ...reader.stat, stamp: [...reader.stat.stamp] }, expected)
    assert.ok(reader.mayHaveXattrs(), 'nothing is known of its attributes')
    closeSync(fd)
    assert.throws(() => reader.fstat(fd), { code: 'EBADF' })
  }
})

/** The names in `folder`, and the folder itself. */
function namesIn(folder: string): string[] {
  return ['.', ...readdirSync(folder, { encoding: 'latin1' })]
}

test('the native record of every kind of file is that of Node', async (t) => {
  const folder = temporaryFolder(t)
  const at = (name: string): string => join(folder, name)
  writeFileSync(at('empty'), '')
  writeFileSync(at('file'), 'content')
  linkSync(at('file'), at('hard link'))
  writeFileSync(at('sparse'), '')
  truncateSync(at('sparse'), 2 ** 43 + 1)
  writeFileSync(at('日本.txt'), 'x')
  writeFileSync(Buffer.from(`${folder}/\xff\xfe`, 'latin1'), 'raw bytes')
  writeFileSync(at(`${'n'.repeat(251)}.txt`), 'the longest name')
  mkdirSync(at('folder'), 0o1777)
  symlinkSync('nowhere', at('dangling'))
  symlinkSync('folder', at('link to a folder'))
  syscalls().makeFifo?.(pathBytes(at('fifo')), 0o600)
  const server = createServer().listen(at('socket'))
  t.after(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  agreeOn(folder, namesIn(folder))
  agreeOn('/dev', ['null', 'zero'])
})

test('the names of a folder are those of Node, however many and whatever they are', (t) => {
  const folder = temporaryFolder(t)
  const names = (reader: StatReader, path: string): string[] => reader.names(bytePathOfText(path))
  mkdirSync(join(folder, 'empty'))
  mkdirSync(join(folder, 'many'))
  mkdirSync(join(folder, 'odd'))
  for (let i = 0; i < 5000; i++)
    writeFileSync(join(folder, 'many', `${i}`.padEnd(1 + (i % 200), 'x')), '')
  for (const name of ['.hidden', '..', '...', '..x', 'a b', 'A', 'é', '日本', 'x'.repeat(255)]) {
    if (name !== '..') writeFileSync(join(folder, 'odd', name), '')
  }
  writeFileSync(Buffer.from(`${folder}/odd/\xff\x01\xfe`, 'latin1'), '')
  const native = loadStatReader()
  const node = nodeStatReader()
  for (const name of ['empty', 'many', 'odd', '.', 'many']) {
    const path = join(folder, name)
    const found = names(native, path)
    assert.deepEqual(found, names(node, path), name)
    for (const one of found) {
      assert.deepEqual(recordOf(native, path, one), recordOf(node, path, one), one)
    }
  }
  assert.throws(() => names(native, join(folder, 'missing')), { code: 'ENOENT' })
  assert.throws(() => names(native, join(folder, 'odd', 'A')), { code: 'ENOTDIR' })
  assert.throws(() => names(native, `${folder}/${'d/'.repeat(2200)}`), { code: 'ENAMETOOLONG' })
  native.close()
})

test('times before 1970 and after 2106 are the same nanoseconds in both readers', (t) => {
  const folder = temporaryFolder(t)
  const { setTimes } = syscalls()
  if (setTimes === undefined) {
    t.skip('no call here that sets such times')
    return
  }
  const second = 1_000_000_000n
  const times = [0n, 1n, -1n, -second, -second - 1n, -(2n ** 31n) * second, -1_999_999_999n]
  times.push((2n ** 31n - 1n) * second + 999_999_999n, 2n ** 31n * second, 2n ** 32n * second + 5n)
  times.push(2n ** 33n * second + 123_456_789n, 4_300_000_000n * second, 9_000_000_000n * second)
  times.push(1_790_000_000_123_456_789n, 9_223_372_036n * second, -9_000_000_000n * second)
  const kept = new Set<bigint>()
  for (const [i, time] of times.entries()) {
    const path = join(folder, `t${i}`)
    writeFileSync(path, '')
    setTimes(pathBytes(path), time, time)
    // a file system clamps what it cannot hold
    kept.add(lstatSync(path, { bigint: true }).mtimeNs)
  }
  assert.ok([0n, 1n, 1_790_000_000_123_456_789n].every((time) => kept.has(time)))
  agreeOn(folder, namesIn(folder))
})

test('paths that are too long, and what is not there, are told as Node tells it', (t) => {
  const folder = temporaryFolder(t)
  const native = loadStatReader()
  writeFileSync(join(folder, 'plain'), '')
  native.lstat(folder, 'plain')
  assert.throws(() => native.lstat(folder, 'missing'), { code: 'ENOENT' })
  assert.throws(() => native.lstat(join(folder, 'plain'), 'below a file'), { code: 'ENOTDIR' })
  for (const length of [4000, 4094, 4095, 4096, 5000]) {
    const deep = `${folder}/${'d/'.repeat(length / 2)}`.slice(0, length)
    assert.throws(() => native.lstat(deep, 'x'), { code: /ENOENT|ENAMETOOLONG/ })
  }
  assert.throws(() => native.lstat(folder, 'n'.repeat(256)), { code: 'ENAMETOOLONG' })
  assert.throws(() => native.lstat(folder, 'n'.repeat(5000)), { code: 'ENAMETOOLONG' })
  native.lstat(`${folder}/`, 'plain')
  assert.equal(native.stat.links, 1)
})

test('many names of one folder, and of others in between, are each the right one', (t) => {
  const folder = temporaryFolder(t)
  const sizes = new Map<string, number>()
  for (const [i, name] of ['one', 'two'].entries()) {
    mkdirSync(join(folder, name))
    for (let j = 0; j < 60; j++) {
      writeFileSync(join(folder, name, `f${j}`), 'x'.repeat(100 * i + j))
      sizes.set(`${name}/f${j}`, 100 * i + j)
    }
  }
  const reader = loadStatReader()
  const sizeOf = (name: string, j: number): void => {
    reader.lstat(join(folder, name), `f${j}`)
    assert.equal(stampNumber(reader.stat.stamp, STAMP.size), sizes.get(`${name}/f${j}`))
    assert.equal(
      stampNumber(reader.stat.stamp, STAMP.inode),
      lstatSync(join(folder, name, `f${j}`)).ino,
    )
  }
  for (let j = 0; j < 60; j++) sizeOf('one', j)
  for (let j = 0; j < 60; j++) sizeOf('two', j)
  for (let j = 0; j < 60; j++) sizeOf(j % 20 === 0 ? 'one' : 'two', j)
  reader.close()
  for (let j = 0; j < 60; j++) sizeOf('two', j)
  assert.throws(() => reader.lstat(join(folder, 'two'), 'missing'), { code: 'ENOENT' })
  rmSync(join(folder, 'two'), { recursive: true })
  assert.throws(() => reader.lstat(join(folder, 'two'), 'f1'), { code: 'ENOENT' })
  reader.close()
})

test('an attribute is never overlooked', (t) => {
  const folder = temporaryFolder(t)
  const native = loadStatReader()
  const { setXattr } = syscalls()
  const path = join(folder, 'with')
  writeFileSync(path, '')
  writeFileSync(join(folder, 'without'), '')
  try {
    setXattr?.(pathBytes(path), pathBytes('user.note'), new Uint8Array(3))
  } catch {
    t.skip('no attributes on this file system')
    return
  }
  for (const name of ['with', 'without', 'with']) {
    native.lstat(folder, name)
    if (name === 'with') assert.ok(native.mayHaveXattrs())
  }
  // of what cannot be asked for natively, nothing is known
  const deep = `${folder}/${'d/'.repeat(2200)}`
  assert.throws(() => native.lstat(deep, 'x'))
  assert.ok(native.mayHaveXattrs())
})

test('numbers of 64 bits are two words and back', () => {
  const max = 2n ** 64n - 1n
  const stamp = stampOf({
    mtime: -1n,
    ctime: -(2n ** 63n),
    inode: max,
    device: 5n,
    size: 2n ** 53n,
  })
  assert.equal(stampBits(stamp, STAMP.inode), max)
  assert.equal(BigInt.asIntN(64, stampBits(stamp, STAMP.mtime)), -1n)
  assert.equal(BigInt.asIntN(64, stampBits(stamp, STAMP.ctime)), -(2n ** 63n))
  assert.equal(stampNumber(stamp, STAMP.device), 5)
  assert.equal(stampNumber(stamp, STAMP.size), 2 ** 53)
})

test('a name that was listed twice comes once', () => {
  // Goal: a folder that changes while it is listed breaks no order. Method: all ways of repeating.
  assert.deepEqual(inOrder([]), [])
  assert.deepEqual(inOrder(['b', 'a']), ['a', 'b'])
  assert.deepEqual(inOrder(['b', 'a', 'b', 'b', 'a', 'c']), ['a', 'b', 'c'])
})
