/** Metadata captured and applied on the real file system. */

import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'

import * as fc from 'fast-check'
import { utf8 } from '@moyai/protocol'
import type { Entry } from '@moyai/protocol'

import { applyMetadata, captureEntry, findHoles, OwnerNames, syscalls } from './index.ts'

const scratch = fs.mkdtempSync(join(tmpdir(), 'moyai-files-'))
after(() => fs.rmSync(scratch, { recursive: true, force: true }))
const isRoot = process.getuid?.() === 0
const native = syscalls()
const skip = native.setTimes === undefined ? 'no system calls here' : false

function capture(path: string, name = 'x'): Entry {
  const raw = Buffer.from(path)
  return captureEntry(raw, fs.lstatSync(raw, { bigint: true }), utf8(name))
}

function apply(path: string, entry: Entry): string[] {
  const fd = fs.openSync(path, 'r')
  try {
    return applyMetadata({ path: Buffer.from(path), fd }, entry)
  } finally {
    fs.closeSync(fd)
  }
}

test('times are exact to the nanosecond, also before 1970', { skip }, () => {
  // Goal: where Node's own call is wrong by microseconds, or sets the present, ours is exact.
  const path = join(scratch, 'times')
  fs.writeFileSync(path, '')
  // what ext4 keeps: 1901 to 2446
  const time = fc.bigInt({ min: -(2n ** 31n - 1n) * 10n ** 9n, max: 15n * 10n ** 18n })
  fc.assert(
    fc.property(time, time, (atime, mtime) => {
      native.setTimes?.(Buffer.from(path), atime, mtime)
      const stat = fs.statSync(path, { bigint: true })
      assert.equal(stat.mtimeNs, mtime)
      assert.equal(stat.atimeNs, atime)
    }),
    { numRuns: 200 },
  )
})

test(
  'extended attributes of any bytes are kept, on files, folders and not on what has none',
  { skip },
  () => {
    // Goal: values with NUL, empty values and the largest value come back.
    const path = join(scratch, 'xattrs')
    fs.writeFileSync(path, '')
    const values = {
      'user.nul': Uint8Array.of(0, 1, 0),
      'user.empty': new Uint8Array(),
      'user.a': utf8('é'),
    }
    for (const [name, value] of Object.entries(values)) {
      native.setXattr?.(Buffer.from(path), utf8(name), value)
    }
    const entry = capture(path)
    const names = entry.xattrs?.map(({ name }) => Buffer.from(name).toString())
    assert.deepEqual(names, ['user.a', 'user.empty', 'user.nul'])
    const other = join(scratch, 'xattrs-copy')
    fs.writeFileSync(other, '')
    assert.deepEqual(apply(other, entry), [])
    assert.deepEqual(capture(other).xattrs, entry.xattrs)
    assert.equal(native.getXattr?.(Buffer.from(other), utf8('user.none')), undefined)
  },
)

test('every type of file is captured with what it alone has', { skip }, () => {
  // Goal: symlink targets as raw bytes, device numbers, and types.
  const link = join(scratch, 'link')
  fs.symlinkSync(Buffer.from([0x61, 0xff]), link)
  assert.deepEqual(Buffer.from(capture(link).target ?? []), Buffer.from([0x61, 0xff]))
  native.makeFifo?.(Buffer.from(join(scratch, 'fifo')), 0o600)
  assert.equal(capture(join(scratch, 'fifo')).type, 'fifo')
  native.makeNode?.(Buffer.from(join(scratch, 'socket')), 0o140600, 0n)
  assert.equal(capture(join(scratch, 'socket')).type, 'socket')
  const self = capture(scratch)
  assert.equal(self.type, 'directory')
  assert.equal(self.size, 0n)
  if (!isRoot) return
  native.makeNode?.(Buffer.from(join(scratch, 'device')), 0o060600, 0x12345n)
  const device = capture(join(scratch, 'device'))
  assert.equal(device.type, 'block')
  assert.equal(device.rdev, 0x12345n)
})

test('holes are found where they are', { skip }, () => {
  // Goal: a sparse file's map is exact, and a dense file has none.
  const path = join(scratch, 'sparse')
  const fd = fs.openSync(path, 'w+')
  fs.writeSync(fd, new Uint8Array(4096).fill(1), 0, 4096, 1024 * 1024)
  fs.ftruncateSync(fd, 3 * 1024 * 1024)
  assert.deepEqual(findHoles(fd), [
    { offset: 0, length: 1024 * 1024 },
    { offset: 1024 * 1024 + 4096, length: 2 * 1024 * 1024 - 4096 },
  ])
  fs.closeSync(fd)
  assert.equal(capture(path).holes?.length, 2)
  const dense = join(scratch, 'dense')
  fs.writeFileSync(dense, new Uint8Array(100_000).fill(1))
  assert.equal(capture(dense).holes, undefined)
})

test('without the owner no setuid bit is given', { skip: isRoot || skip }, () => {
  // Goal: a restore by another person does not lend that person's rights.
  const path = join(scratch, 'setuid')
  fs.writeFileSync(path, '')
  const entry: Entry = { ...capture(path), mode: 0o4755, uid: 0 }
  delete entry.user
  const lost = apply(path, entry)
  assert.deepEqual(lost, ['owner', 'setuid and setgid bits'])
  assert.equal(fs.statSync(path).mode & 0o7777, 0o755)
})

test('metadata of a symlink never reaches what it points to', { skip }, () => {
  // Goal: nothing follows the last component.
  const target = join(scratch, 'pointed')
  const link = join(scratch, 'pointer')
  fs.writeFileSync(target, '', { mode: 0o600 })
  fs.symlinkSync(target, link)
  const before = fs.statSync(target, { bigint: true })
  applyMetadata({ path: Buffer.from(link) }, { ...capture(link), mtime: 5n, mode: 0o777 })
  applyMetadata({ path: Buffer.from(link) }, { ...capture(target), mtime: 6n, mode: 0o777 })
  const now = fs.statSync(target, { bigint: true })
  assert.equal(now.mtimeNs, before.mtimeNs)
  assert.equal(now.mode, before.mode)
})

test('names map to the numbers of this machine', () => {
  // Goal: the same person may have another number here; unknown names keep their number.
  const passwd = join(scratch, 'passwd')
  const group = join(scratch, 'group')
  fs.writeFileSync(
    passwd,
    'root:x:0:0::/:\nanna:x:1001:5::/:\n# no line\nbad:x:y\nanna2:x:1001:5\n',
  )
  fs.writeFileSync(group, 'staff:x:50:\n')
  const names = new OwnerNames(passwd, group)
  assert.equal(names.user(1001), 'anna')
  assert.equal(names.uidFor('anna', 7), 1001)
  assert.equal(names.uidFor('nobody-here', 7), 7)
  assert.equal(names.uidFor(undefined, 7), 7)
  assert.equal(names.gidFor('staff', 9), 50)
  assert.equal(names.group(9), undefined)
  assert.equal(new OwnerNames('/nonexistent', '/nonexistent').user(0), undefined)
})
