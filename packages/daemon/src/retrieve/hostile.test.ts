/** Hostile trees and hostile targets: nothing outside the target changes, whatever they contain. */

import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, beforeEach, test } from 'node:test'
import { zstdCompressSync } from 'node:zlib'

import { concatBytes, encodeCbor, nodeAead, nodeCompressor, utf8 } from '@moyai/protocol'
import type { Entry, RetrieveSummary } from '@moyai/protocol'

import { findHoles } from '../files/index.ts'
import { SafeTree, temporaryFolderName } from './target/safe-tree.ts'
import { TargetWriter } from './target/target-writer.ts'
import { temporaryName } from './target/target-file.ts'
import { Opener } from './threads/open-jobs.ts'
import { FakeVault, metadata, seededRandom } from './testing/fake-vault.ts'

const scratch = fs.mkdtempSync(join(tmpdir(), 'moyai-hostile-'))
const random = seededRandom('hostile')
let vault: FakeVault
let to: string
let canary: string
let count = 0

beforeEach(() => {
  vault = new FakeVault({ k: 2, m: 1 })
  const base = join(scratch, `t${count++}`)
  to = join(base, 'target')
  canary = join(base, 'canary')
  fs.mkdirSync(to, { recursive: true })
  fs.mkdirSync(canary)
  fs.writeFileSync(join(canary, 'keep'), 'untouched')
})

/** Nothing was added, removed or changed outside. */
function canaryIsWhole(): void {
  assert.deepEqual(fs.readdirSync(canary), ['keep'])
  assert.equal(fs.readFileSync(join(canary, 'keep'), 'utf8'), 'untouched')
  assert.deepEqual(
    fs.readdirSync(join(to, '..')).sort((a, b) => (a < b ? -1 : 1)),
    ['canary', 'target'],
  )
}

afterEach(async () => {
  canaryIsWhole()
  await vault.service.close()
})

after(() => fs.rmSync(scratch, { recursive: true, force: true }))

type Outcome = RetrieveSummary & { codes: Record<string, string> }

async function retrieve(overwrite: 'always' | 'never' = 'always'): Promise<Outcome> {
  const codes: Record<string, string> = {}
  const params = {
    snapshot: 'latest',
    to,
    includes: [],
    excludes: [],
    overwrite,
    verify: false,
    dryRun: false,
  }
  const summary = await vault.service.retrieve(params, {
    signal: new AbortController().signal,
    onEvent: (event) => {
      if (event.message_type === 'error') codes[event.item] = event.error.code
    },
  })
  return { ...summary, codes }
}

/** A directory whose page is what the test says, valid or not. */
function directoryOf(page: Uint8Array, name = ''): Entry {
  return { ...metadata(name, 'directory'), chunks: vault.chunk(page, 'tree') }
}

/** A valid page with `from` replaced by `to` of the same length, everywhere. */
function edited(children: Entry[], from: string, into: Uint8Array): Uint8Array {
  const pages: Uint8Array[] = []
  const real = vault.chunk.bind(vault)
  vault.chunk = (bytes, kind) => {
    pages.push(bytes)
    return real(bytes, kind)
  }
  vault.directory(metadata('', 'directory'), children)
  vault.chunk = real
  const page = Buffer.from(concatBytes(...pages))
  // as a CBOR byte string, so that no other field is meant
  const at = page.indexOf(Buffer.concat([Uint8Array.of(0x40 + from.length), utf8(from)]))
  assert.ok(at >= 0)
  page.set(into, at + 1)
  return Uint8Array.from(page)
}

test('names that are paths are refused with their whole folder', async () => {
  // Goal: no name of a tree can lead out of its directory.
  const bad = ['../canary/x', '..', '.', '/etc/x', 'a/b', 'a\0b', '']
  for (const name of bad) {
    const long = 'x'.repeat(name.length || 1)
    const file = { ...metadata(long, 'file'), size: 3, chunks: vault.chunk(utf8('bad')) }
    const hostile =
      name === ''
        ? encodeCbor({ e: [{ n: new Uint8Array() }], v: 1 })
        : edited([file], long, utf8(name))
    const good = { ...metadata('good', 'file'), size: 4, chunks: vault.chunk(utf8('fine')) }
    const evil = directoryOf(hostile, 'evil')
    await vault.commit(vault.directory(metadata('', 'directory'), [evil, good]))
    const { codes, unrecoverable } = await retrieve()
    assert.deepEqual(codes, { 'evil/': 'UNRECOVERABLE' }, name)
    assert.deepEqual(unrecoverable, ['evil/'])
    assert.equal(fs.readFileSync(join(to, 'good'), 'utf8'), 'fine')
    assert.deepEqual(fs.readdirSync(join(to, 'evil')), [])
    canaryIsWhole()
  }
})

test('the same name twice, as symlink and as folder, is refused', async () => {
  // Goal: a snapshot cannot make a symlink and then write through it.
  const link: Entry = { ...metadata('da', 'symlink'), target: utf8('../canary') }
  const inner = { ...metadata('keep', 'file'), size: 4, chunks: vault.chunk(utf8('evil')) }
  const folder = vault.directory(metadata('db', 'directory'), [inner])
  const page = edited([link, folder], 'db', utf8('da'))
  await vault.commit(directoryOf(page))
  const { error_count: errors } = await retrieve()
  assert.equal(errors, 1)
})

test('a symlink planted in the target where a folder belongs is not followed', async () => {
  // Goal: TARGET_UNSAFE for what is below it; everything else is restored.
  await vault.commit(vault.tree('', { sub: { deep: { keep: utf8('evil') } }, other: utf8('fine') }))
  fs.symlinkSync(canary, join(to, 'sub'))
  const { codes } = await retrieve()
  assert.equal(codes['sub/deep/keep'], 'TARGET_UNSAFE')
  assert.equal(fs.readFileSync(join(to, 'other'), 'utf8'), 'fine')
  assert.ok(fs.lstatSync(join(to, 'sub')).isSymbolicLink())
})

test('a symlink planted where a file belongs is replaced, its target untouched', async () => {
  // Goal: rename replaces the link itself; the temporary name is not followed either.
  await vault.commit(vault.tree('', { keep: utf8('new') }))
  fs.symlinkSync(join(canary, 'keep'), join(to, 'keep'))
  fs.symlinkSync(join(canary, 'keep'), join(to, temporaryName(utf8('keep')).toString()))
  const { codes } = await retrieve()
  assert.deepEqual(codes, {})
  assert.equal(fs.readFileSync(join(to, 'keep'), 'utf8'), 'new')
  assert.ok(fs.lstatSync(join(to, 'keep')).isFile())
})

test('what is in the way and is not ours to remove is reported', async () => {
  // Goal: a folder is never deleted for a file, nor a file for a folder.
  await vault.commit(vault.tree('', { file: utf8('f'), dir: { in: utf8('i') } }))
  fs.mkdirSync(join(to, 'file'))
  fs.writeFileSync(join(to, 'file/mine'), '')
  fs.writeFileSync(join(to, 'dir'), 'mine')
  const { codes } = await retrieve()
  assert.deepEqual(codes, {
    file: 'TARGET_EXISTS',
    'dir/in': 'TARGET_EXISTS',
    'dir/': 'TARGET_EXISTS',
  })
  assert.deepEqual(fs.readdirSync(join(to, 'file')), ['mine'])
  assert.equal(fs.readFileSync(join(to, 'dir'), 'utf8'), 'mine')
})

test('sizes that do not fit their chunks are refused before the file appears', async () => {
  // Goal: neither a giant size nor too many chunks makes anything but an error.
  const five = vault.chunk(utf8('five!'))
  const sizes: [string, bigint | number, Partial<Entry>][] = [
    ['giant', 2n ** 62n, { chunks: five }],
    ['short', 3, { chunks: five }],
    ['long', 6, { chunks: five }],
    ['twice', 5, { chunks: concatBytes(five, five) }],
    ['hole', 9, { chunks: concatBytes(five, five), holes: [{ offset: 2, length: 4 }] }],
    ['unknown', 5, { chunks: new Uint8Array(32) }],
  ]
  const entries = sizes.map(([name, size, rest]): Entry => ({
    ...metadata(name, 'file'),
    size,
    ...rest,
  }))
  const right: Entry = {
    ...metadata('right', 'file'),
    size: 9,
    chunks: five,
    holes: [{ offset: 2, length: 4 }],
  }
  await vault.commit(vault.directory(metadata('', 'directory'), [...entries, right]))
  const { codes } = await retrieve()
  assert.deepEqual(codes, Object.fromEntries(sizes.map(([name]) => [name, 'UNRECOVERABLE'])))
  assert.deepEqual(fs.readdirSync(to), ['right'])
  assert.equal(fs.readFileSync(join(to, 'right'), 'latin1'), 'fi\0\0\0\0ve!')
})

test('a blob that decompresses to more than it says is refused', () => {
  // Goal: 200 MiB in 6 KiB do not become memory.
  const keys = {
    vault: new Uint8Array(32),
    dataKey: new Uint8Array(32),
    chunkIdKey: new Uint8Array(32),
  }
  const opener = new Opener(keys, {
    hasher: { hash: (bytes) => bytes, keyedHash: () => new Uint8Array(32) },
    aead: nodeAead,
    compressor: nodeCompressor,
    loadCodec: () => assert.fail('no code is needed'),
  })
  const bytes = Uint8Array.from(zstdCompressSync(new Uint8Array(64 * 1024 * 1024)))
  const blob = {
    index: 0,
    kind: 'data' as const,
    compression: 'zstd' as const,
    offset: 0,
    sealedLength: bytes.length,
    rawLength: 100_000,
    chunks: [],
  }
  const job = { salt: new Uint8Array(32), packClass: 'data' as const, bytes, start: 0 }
  const before = process.memoryUsage().arrayBuffers
  const { result } = opener.open({ ...job, blobs: [blob, { ...blob, rawLength: 2 ** 31 }] })
  assert.ok(result.every((one) => 'failure' in one))
  assert.ok(process.memoryUsage().arrayBuffers - before < 8 * 1024 * 1024)
})

test('a folder swapped for a symlink while it is written to changes nothing outside', () => {
  // Goal: an open folder is a descriptor: what its path means later does not matter; closed ones
  // are checked again.
  const tree = new SafeTree(to, 1)
  fs.mkdirSync(join(to, 'first'))
  fs.mkdirSync(join(to, 'second'))
  const first = tree.child(tree.root, utf8('first'))
  fs.renameSync(join(to, 'first'), join(to, 'moved'))
  fs.symlinkSync(canary, join(to, 'first'))
  fs.writeFileSync(tree.path(first, utf8('file')), 'x')
  assert.deepEqual(fs.readdirSync(join(to, 'moved')), ['file'])
  tree.child(tree.root, utf8('second')) // pushes out the descriptor of the first
  assert.throws(() => tree.path(first, utf8('file')), { code: 'TARGET_UNSAFE' })
  fs.unlinkSync(join(to, 'first'))
  fs.mkdirSync(join(to, 'first'))
  assert.throws(() => tree.path(first, utf8('file')), { code: 'TARGET_UNSAFE' })
  tree.close()
})

test('directories below directories are opened again in order, however few may be open', () => {
  // Goal: deep trees need no more descriptors than allowed.
  const tree = new SafeTree(to, 2)
  let at = tree.root
  const all = Array.from({ length: 40 }, (_, i) => (at = tree.child(at, utf8(`d${i}`))))
  for (const [i, directory] of all.entries()) {
    fs.writeFileSync(tree.path(directory, utf8('file')), String(i))
  }
  assert.deepEqual(fs.readdirSync(to), [temporaryFolderName(utf8('d0')).toString()])
  tree.publish(all[0] ?? assert.fail())
  const deep = join(to, ...all.map((_, i) => `d${i}`), 'file')
  assert.equal(fs.readFileSync(deep, 'utf8'), '39')
  tree.close()
})

test('a temporary file that somebody replaces is not renamed', () => {
  // Goal: only the file that was written gets the name.
  const writer = new TargetWriter({ target: to, overwrite: 'always', keyedHash: (bytes) => bytes })
  const entry: Entry = { ...metadata('file', 'file'), size: 4 }
  writer.prepare([{ op: 'file', file: 1, directory: 0, entry }])
  const temporary = join(to, temporaryName(utf8('file')).toString())
  fs.unlinkSync(temporary)
  fs.symlinkSync(join(canary, 'keep'), temporary)
  const file = { op: 'file', file: 1 } as const
  const root = { op: 'leave', directory: 0, entry: undefined } as const
  const [unpublished] = writer.finish([file, root]).unpublished
  assert.equal(unpublished?.failure.code, 'TARGET_UNSAFE')
  assert.deepEqual(fs.readdirSync(to), [])
  writer.close()
})

test('a file with more holes than content stays sparse, and holes between chunks are exact', async () => {
  // Goal: content goes to its offsets whatever the holes cut.
  const data = random.bytes(1_000_000)
  const holes = [
    { offset: 4096, length: 1_000_000 },
    { offset: 1_400_000, length: 8192 },
    { offset: 1_700_000, length: 300_000 },
  ]
  const size = data.length + 1_308_192
  const entry: Entry = { ...metadata('f', 'file'), size, holes, ...vault.content(data) }
  await vault.commit(vault.directory(metadata('', 'directory'), [entry]))
  const { codes } = await retrieve()
  assert.deepEqual(codes, {})
  const bytes = fs.readFileSync(join(to, 'f'))
  assert.equal(bytes.length, size)
  const kept: Uint8Array[] = []
  let at = 0
  for (const { offset, length } of holes) {
    kept.push(bytes.subarray(at, offset))
    assert.ok(bytes.subarray(offset, offset + length).every((byte) => byte === 0))
    at = offset + length
  }
  kept.push(bytes.subarray(at))
  assert.deepEqual(concatBytes(...kept), data)
  const fd = fs.openSync(join(to, 'f'), 'r')
  assert.ok(findHoles(fd).length > 0)
  fs.closeSync(fd)
})
