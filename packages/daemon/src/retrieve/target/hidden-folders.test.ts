/** Directories in the making: what is made in them, what can go wrong, and who may find it. */

import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, beforeEach, test } from 'node:test'

import { blake3, MoyaiError, utf8 } from '@moyai/protocol'
import type { Entry } from '@moyai/protocol'

import { syscalls } from '../../files/index.ts'
import type { Syscalls } from '../../files/index.ts'
import { metadata } from '../testing/fake-vault.ts'
import { ContentWriter } from './content-writer.ts'
import type { ContentReport } from './content-writer.ts'
import { temporaryFolderName } from './safe-tree.ts'
import { SmallFileWriter } from './small-files.ts'
import { TargetWriter } from './target-writer.ts'
import type { DirectoryNotice, Finished, FinishItem, OverwriteMode } from './types.ts'

const scratch = fs.mkdtempSync(join(tmpdir(), 'moyai-hidden-'))
after(() => fs.rmSync(scratch, { recursive: true, force: true }))
const native: Syscalls = { ...syscalls() }
const hasNative = native.createIn !== undefined && native.closeFile !== undefined
const needsNative = { skip: !hasNative }
const HIDDEN = temporaryFolderName(utf8('folder')).toString()
const RAW = utf8('one and two')
const FOLDER: Entry = { ...metadata('folder', 'directory'), mode: 0o750 }
const LEAVE: FinishItem[] = [
  { op: 'leave', directory: 1, entry: FOLDER },
  { op: 'leave', directory: 0, entry: undefined },
]

let to: string
let count = 0
const open: { close(): void }[] = []

beforeEach(() => {
  to = join(scratch, `t${count++}`)
  fs.mkdirSync(to)
})

afterEach(() => {
  Object.assign(syscalls(), native)
  for (const one of open.splice(0)) one.close()
})

/** A writer of the target that entered `folder`, and what it told. */
function enter(overwrite: OverwriteMode = 'always'): {
  writer: TargetWriter
  directories: DirectoryNotice[]
} {
  const writer = new TargetWriter({ target: to, overwrite, keyedHash: (bytes) => blake3(bytes) })
  open.push(writer)
  const name = utf8('folder')
  const { directories } = writer.prepare([
    { op: 'enter', directory: 1, parent: 0, name, lazy: false },
  ])
  return { writer, directories }
}

function contentOf(directories: readonly DirectoryNotice[]): ContentWriter {
  const content = new ContentWriter(to)
  open.push(content)
  content.enter(directories)
  return content
}

/** Makes files of `RAW`: name, and where its bytes are. */
function make(content: ContentWriter, files: [string, number, number][]): ContentReport {
  const small = new SmallFileWriter()
  for (const [text, offset, length] of files) {
    const { name, uid, gid, mode, mtime } = metadata(text, 'file')
    const pieces = [{ offset, length }]
    small.add({ directory: 1, name, uid, gid, mode, mtime, atime: mtime, pieces })
  }
  const report: ContentReport = { small: [], files: [], notKept: [] }
  content.write(RAW, small.bytes, [], report)
  return report
}

function failWith(code: string): () => never {
  return () => {
    const cause = Object.assign(new Error(code), { code })
    throw new MoyaiError('DISK', `failed: ${code}`, { cause })
  }
}

test('files are found only when their folder is complete', needsNative, () => {
  // Goal: until the end there is nothing but a folder that only its owner can enter.
  const { writer, directories } = enter()
  assert.equal(directories.at(-1)?.plain, true)
  const report = make(contentOf(directories), [
    ['one', 0, 3],
    ['two', 8, 3],
  ])
  assert.deepEqual(report, { small: [], files: [], notKept: [] })
  assert.deepEqual(fs.readdirSync(to), [HIDDEN])
  assert.equal(fs.statSync(join(to, HIDDEN)).mode & 0o777, 0o700)
  const finished = writer.finish(LEAVE)
  assert.deepEqual(finished.unpublished, [])
  assert.deepEqual(fs.readdirSync(to), ['folder'])
  assert.equal(fs.readFileSync(join(to, 'folder/two'), 'utf8'), 'two')
  const stat = fs.statSync(join(to, 'folder'), { bigint: true })
  assert.equal(stat.mode & 0o7777n, 0o750n)
  assert.equal(stat.mtimeNs, FOLDER.mtime)
  assert.equal(fs.statSync(join(to, 'folder/one'), { bigint: true }).mtimeNs, FOLDER.mtime)
})

test('a file that cannot be made costs itself only, at each step', needsNative, () => {
  // Goal: whatever call fails, a file is whole or absent, and the reason is told.
  for (const call of ['createIn', 'closeFile'] as const) {
    for (const [error, code] of [
      ['ENOSPC', 'NO_SPACE'],
      ['EIO', 'DISK'],
    ] as const) {
      fs.rmSync(to, { recursive: true })
      fs.mkdirSync(to)
      const { writer, directories } = enter()
      const content = contentOf(directories)
      syscalls()[call] = failWith(error)
      const { small } = make(content, [['one', 0, 3]])
      assert.deepEqual(
        small.map(({ at, failure }) => [at, failure.code]),
        [[0, code]],
      )
      Object.assign(syscalls(), native)
      assert.deepEqual(make(content, [['two', 8, 3]]).small, [])
      writer.finish(LEAVE)
      assert.deepEqual(fs.readdirSync(join(to, 'folder')), ['two'], `${call} ${error}`)
    }
  }
})

test('a file that is there already is not written to', needsNative, () => {
  // Goal: even in a folder of ours a name is used once.
  const { directories } = enter()
  fs.writeFileSync(join(to, HIDDEN, 'one'), 'mine')
  const { small } = make(contentOf(directories), [['one', 0, 3]])
  assert.equal(small[0]?.failure.code, 'DISK')
  assert.equal(fs.readFileSync(join(to, HIDDEN, 'one'), 'utf8'), 'mine')
})

test('metadata that the system refuses is told, and the file is there', needsNative, () => {
  // Goal: not kept is not the same as not restored.
  const { directories } = enter()
  syscalls().setTimesOf = failWith('EPERM')
  const report = make(contentOf(directories), [['one', 0, 3]])
  assert.deepEqual(report.small, [])
  assert.deepEqual(report.notKept, ['times'])
})

test('without a sync nothing gets its name', needsNative, () => {
  // Goal: what is found under its path is on the disk.
  const { writer, directories } = enter()
  make(contentOf(directories), [['one', 0, 3]])
  syscalls().syncFileSystem = failWith('EIO')
  const { unpublished } = writer.finish(LEAVE)
  assert.deepEqual(
    unpublished.map(({ kind, number, failure }) => [kind, number, failure.code]),
    [['directory', 1, 'DISK']],
  )
  assert.deepEqual(fs.readdirSync(to), [HIDDEN])
})

test('a name that was taken meanwhile is left to whoever took it', () => {
  // Goal: TARGET_EXISTS, and the message says where the folder is.
  const { writer } = enter()
  fs.mkdirSync(join(to, 'folder'))
  fs.writeFileSync(join(to, 'folder/mine'), '')
  const { unpublished } = writer.finish(LEAVE)
  assert.equal(unpublished[0]?.failure.code, 'TARGET_EXISTS')
  assert.ok(unpublished[0].failure.message.includes(HIDDEN))
  assert.deepEqual(fs.readdirSync(join(to, 'folder')), ['mine'])
})

test(
  'a folder that somebody replaces is neither written to nor given the name',
  needsNative,
  () => {
    // Goal: the same directory all the way, not the same path.
    const { writer, directories } = enter()
    fs.renameSync(join(to, HIDDEN), join(to, 'moved'))
    fs.mkdirSync(join(to, HIDDEN))
    const { small } = make(contentOf(directories), [['one', 0, 3]])
    assert.equal(small[0]?.failure.code, 'TARGET_UNSAFE')
    assert.equal(writer.finish(LEAVE).unpublished[0]?.failure.code, 'TARGET_UNSAFE')
    assert.deepEqual(fs.readdirSync(join(to, HIDDEN)), [])
  },
)

test('a target that somebody replaces is not written to', needsNative, () => {
  // Goal: each thread opens the target by its path and must get the same.
  const { directories } = enter()
  fs.renameSync(to, `${to}-moved`)
  fs.mkdirSync(to)
  const content = new ContentWriter(to)
  open.push(content)
  assert.throws(() => content.enter(directories), { code: 'TARGET_UNSAFE' })
})

test('what has the name of a folder in the making and is not one', () => {
  // Goal: symlinks and files go, a folder with content stays and is told.
  fs.mkdirSync(join(to, 'outside'))
  fs.writeFileSync(join(to, 'outside/keep'), 'untouched')
  fs.symlinkSync(join(to, 'outside'), join(to, HIDDEN))
  assert.deepEqual(enter().writer.finish(LEAVE).unpublished, [])
  assert.deepEqual(fs.readdirSync(join(to, 'outside')), ['keep'])
  fs.rmSync(join(to, 'folder'), { recursive: true })
  fs.cpSync(join(to, 'outside'), join(to, HIDDEN), { recursive: true })
  const finished: Finished = enter().writer.finish(LEAVE)
  assert.equal(finished.results[0]?.failure?.code, 'TARGET_UNSAFE')
  assert.deepEqual(fs.readdirSync(join(to, HIDDEN)), ['keep'])
})

test('folders that give their files something are not plain', needsNative, () => {
  // Goal: owner, group and mode are taken as known only where they are.
  fs.chmodSync(to, 0o2755)
  assert.equal(enter().directories.at(-1)?.plain, false)
  fs.rmSync(to, { recursive: true })
  fs.mkdirSync(to)
  // version 2; user::rwx, user:1:rwx, group::rwx, mask::rwx, other::rwx
  const entries = [1, 2, 4, 16, 32].map((tag) => [tag, 7, tag === 2 ? 1 : 0xffffffff] as const)
  const acl = Buffer.alloc(4 + 8 * entries.length)
  acl.writeUInt32LE(2)
  for (const [i, [tag, bits, id]] of entries.entries()) {
    acl.writeUInt16LE(tag, 4 + 8 * i)
    acl.writeUInt16LE(bits, 6 + 8 * i)
    acl.writeUInt32LE(id, 8 + 8 * i)
  }
  native.setXattr?.(Buffer.from(to), utf8('system.posix_acl_default'), acl)
  assert.equal(enter().directories.at(-1)?.plain, false)
})

test('where the system lacks the calls, files get their names one by one', () => {
  // Goal: the same result by Node's own calls.
  const own = syscalls()
  delete own.createIn
  delete own.closeFile
  delete own.syncFileSystem
  const { writer, directories } = enter()
  assert.equal(directories.at(-1)?.plain, false)
  const entry: Entry = { ...metadata('file', 'file'), size: 3 }
  const { results } = writer.prepare([{ op: 'file', file: 7, directory: 1, entry }])
  const begun = results[0]
  assert.ok(begun !== undefined && 'action' in begun)
  const { temporary, identity } = begun
  assert.ok(temporary !== undefined && identity !== undefined)
  const report: ContentReport = { small: [], files: [], notKept: [] }
  const pieces = [{ at: 8, offset: 0, length: 3 }]
  const files = [{ file: 7, directory: 1, temporary, identity, pieces }]
  contentOf(directories).write(RAW, new Uint8Array(), files, report)
  assert.deepEqual(report, { small: [], files: [], notKept: [] })
  const finished = writer.finish([{ op: 'file', file: 7 }, ...LEAVE])
  assert.deepEqual([finished.unpublished, finished.waiting], [[], 0])
  assert.deepEqual(fs.readdirSync(join(to, 'folder')), ['file'])
  assert.equal(fs.readFileSync(join(to, 'folder/file'), 'utf8'), 'two')
})
