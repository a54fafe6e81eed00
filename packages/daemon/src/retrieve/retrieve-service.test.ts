/** Retrieving from real packs on in-memory hosts, with every fault that a code should bear. */

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'

import type { RetrieveParams, RetrieveSummary } from '@moyai/protocol'

import { systemClock } from '../clock.ts'
import { syscalls } from '../files/index.ts'
import type { RestoreEvent } from './restore-tally.ts'
import { RetrieveService } from './retrieve-service.ts'
import type { Fault } from './testing/fake-pool.ts'
import { FakeVault, metadata, seededRandom } from './testing/fake-vault.ts'

const scratch = fs.mkdtempSync(join(tmpdir(), 'moyai-retrieve-'))
const open: FakeVault[] = []
after(async () => {
  await Promise.all(open.map((vault) => vault.service.close()))
  fs.rmSync(scratch, { recursive: true, force: true })
})

let folders = 0
function newFolder(): string {
  return join(scratch, `f${folders++}`)
}

function newVault(code?: { k: number; m: number }): FakeVault {
  const vault = new FakeVault(code)
  open.push(vault)
  return vault
}

const random = seededRandom('content')
const noSignal = new AbortController().signal

async function retrieve(
  vault: FakeVault,
  params: Partial<RetrieveParams> & { to: string },
  service: RetrieveService = vault.service,
): Promise<RetrieveSummary & { events: RestoreEvent[] }> {
  const events: RestoreEvent[] = []
  const summary = await service.retrieve(
    {
      snapshot: 'latest',
      includes: [],
      excludes: [],
      overwrite: 'always',
      verify: false,
      dryRun: false,
      ...params,
    },
    { signal: noSignal, onEvent: (event) => events.push(event) },
  )
  return { ...summary, events }
}

function failures(events: RestoreEvent[]): Record<string, string> {
  const found: Record<string, string> = {}
  for (const event of events) {
    if (event.message_type === 'error') found[event.item] = event.error.code
  }
  return found
}

/** Everything about a tree that a restore must keep, as text. */
function describeTree(path: Buffer, shown = '.', inodes = new Map<bigint, string>()): string[] {
  const stat = fs.lstatSync(path, { bigint: true })
  const parts = [shown, stat.mode.toString(8), stat.uid, stat.gid, stat.mtimeNs, stat.rdev]
  const native = syscalls()
  for (const name of native.listXattrs?.(path) ?? []) {
    const value = native.getXattr?.(path, name) ?? new Uint8Array()
    parts.push(`${Buffer.from(name).toString()}=${Buffer.from(value).toString('hex')}`)
  }
  if (stat.isSymbolicLink()) parts.push(fs.readlinkSync(path, 'buffer').toString('hex'))
  if (stat.isFile()) {
    parts.push(stat.size, createHash('sha256').update(fs.readFileSync(path)).digest('hex'))
    const twin = inodes.get(stat.ino)
    if (twin !== undefined) parts.push(`same file as ${twin}`)
    inodes.set(stat.ino, shown)
  }
  const lines = [parts.join(' ')]
  if (!stat.isDirectory()) return lines
  const names = fs.readdirSync(path, { encoding: 'buffer' }).sort((a, b) => Buffer.compare(a, b))
  for (const name of names) {
    const child = Buffer.concat([path, Buffer.from('/'), name])
    lines.push(...describeTree(child, `${shown}/${name.toString('latin1')}`, inodes))
  }
  return lines
}

function makeRichFolder(): string {
  const root = newFolder()
  fs.mkdirSync(join(root, 'deep/er/est'), { recursive: true })
  fs.mkdirSync(join(root, 'empty'))
  fs.writeFileSync(join(root, 'a.txt'), 'hello')
  fs.writeFileSync(join(root, 'nothing'), '')
  fs.writeFileSync(join(root, 'deep/large.bin'), random.bytes(3_000_000))
  fs.writeFileSync(join(root, 'deep/er/zeros'), new Uint8Array(700_000))
  for (let i = 0; i < 40; i++) fs.writeFileSync(join(root, 'deep/er/est', `n${i}`), `text ${i}`)
  fs.linkSync(join(root, 'a.txt'), join(root, 'deep/hard'))
  fs.symlinkSync('../a.txt', join(root, 'deep/soft'))
  fs.symlinkSync(Buffer.from([0x2f, 0xff, 0xfe]), join(root, 'deep/raw-target'))
  fs.writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0x66, 0xff, 0x80])]), 'raw')
  const sparse = fs.openSync(join(root, 'sparse'), 'w')
  fs.writeSync(sparse, Buffer.from('start'), 0, 5, 0)
  fs.writeSync(sparse, Buffer.from('middle'), 0, 6, 5_000_000)
  fs.ftruncateSync(sparse, 9_000_000)
  fs.closeSync(sparse)
  fs.chmodSync(join(root, 'a.txt'), 0o640)
  fs.chmodSync(join(root, 'empty'), 0o711)
  const native = syscalls()
  native.setXattr?.(Buffer.from(join(root, 'a.txt')), Buffer.from('user.note'), Buffer.from('x\0y'))
  native.makeFifo?.(Buffer.from(join(root, 'fifo')), 0o620)
  if (process.getuid?.() === 0) {
    native.makeNode?.(Buffer.from(join(root, 'null')), 0o020666, 0x103n)
    fs.chownSync(join(root, 'deep/large.bin'), 1234, 4321)
    fs.chmodSync(join(root, 'deep/large.bin'), 0o4755)
  }
  native.setTimes?.(Buffer.from(join(root, 'nothing')), -5n, -1_234_567_891n)
  native.setTimes?.(Buffer.from(join(root, 'deep/soft')), 1n, 999_999_999_999_999_999n)
  native.setTimes?.(Buffer.from(join(root, 'deep')), 7n, 8_000_000_007n)
  return root
}

test('a rich folder comes back exactly: content, names, times, owners, links, holes, attributes', async () => {
  // Goal: nothing of what Linux keeps of a tree is lost by storing and retrieving it.
  const source = makeRichFolder()
  const vault = newVault()
  const before = describeTree(Buffer.from(source))
  const id = await vault.commit(vault.folder(Buffer.from(source)))
  const to = newFolder()
  const summary = await retrieve(vault, { snapshot: id.slice(0, 9), to, verify: true })
  assert.deepEqual(failures(summary.events), {})
  assert.deepEqual(describeTree(Buffer.from(to)), before)
  assert.equal(summary.error_count, 0)
  assert.equal(summary.snapshot_id, id)
  assert.deepEqual(summary.not_kept, [])
  const { blocks, size } = fs.statSync(join(to, 'sparse'))
  assert.ok(blocks * 512 < size / 4, 'the sparse file stays sparse')
  assert.equal(execFileSync('find', [to, '-name', '.moyai-*']).toString(), '')
})

test('again into the same folder nothing is fetched but trees; what was changed is put right', async () => {
  // Goal: always compares content, so a file changed behind its size and time is found.
  const source = makeRichFolder()
  const vault = newVault()
  await vault.commit(vault.folder(Buffer.from(source)))
  const to = newFolder()
  await retrieve(vault, { to })
  const before = describeTree(Buffer.from(to))
  const again = await retrieve(vault, { to })
  assert.deepEqual(describeTree(Buffer.from(to)), before)
  // only the sparse file and the first of the linked names may be written again
  assert.ok(again.bytes_restored <= 9_000_000, `${again.bytes_restored}`)
  const large = join(to, 'deep/large.bin')
  const { mtimeNs } = fs.statSync(large, { bigint: true })
  const fd = fs.openSync(large, 'r+')
  fs.writeSync(fd, Buffer.from('X'), 0, 1, 1_500_000)
  fs.closeSync(fd)
  syscalls().setTimes?.(Buffer.from(large), mtimeNs, mtimeNs)
  const quick = await retrieve(vault, { to, overwrite: 'if-changed' })
  assert.equal(quick.bytes_restored, 0)
  assert.notDeepEqual(describeTree(Buffer.from(to)), before)
  await retrieve(vault, { to })
  assert.deepEqual(describeTree(Buffer.from(to)), before)
})

test('m hosts may be away, lie, cut short, swap or have lost all', async () => {
  // Goal: each kind of fault, on any two hosts of 3 + 2, leaves every byte retrievable.
  const faults: Fault[] = ['away', 'lie', 'truncate', 'swap', 'missing']
  const vault = newVault({ k: 3, m: 2 })
  const files = { big: random.bytes(1_200_000), small: random.bytes(1000) }
  await vault.commit(vault.tree('', { ...files, sub: { other: random.bytes(300_000) } }))
  for (const fault of faults) {
    for (const first of [0, 3]) {
      const service = freshService(vault)
      for (const host of vault.pool.all) host.fault = undefined
      for (const i of [first, (first + 2) % 5]) faulty(vault, i, fault)
      const to = newFolder()
      const summary = await retrieve(vault, { to }, service)
      assert.deepEqual(failures(summary.events), {}, `${fault} on ${first}`)
      assert.deepEqual(new Uint8Array(fs.readFileSync(join(to, 'big'))), files.big)
      await service.close()
    }
  }
})

function faulty(vault: FakeVault, i: number, fault: Fault): void {
  const host = vault.pool.all[i]
  assert.ok(host)
  host.fault = fault
}

/** A service that remembers nothing of former faults. */
function freshService(vault: FakeVault): RetrieveService {
  const { index, pool } = vault
  const components = { index, hosts: pool, log: vault, clock: systemClock, cache: tmpdir() }
  return new RetrieveService({ bundle: vault.bundle }, components)
}

test('with too few shards the file is named and everything else restored', async () => {
  // Goal: promise 4: exact, or exactly what is missing.
  const vault = newVault({ k: 2, m: 1 })
  const keep = random.bytes(100_000)
  const lose = random.bytes(400_000)
  const kept = { ...metadata('keep', 'file'), size: keep.length, ...vault.content(keep) }
  await vault.flush()
  const keptPacks = vault.packs.length
  const lost = { ...metadata('lose', 'file'), size: lose.length, ...vault.content(lose) }
  await vault.flush()
  const lostPacks = vault.packs.slice(keptPacks)
  await vault.commit(vault.directory(metadata('', 'directory'), [kept, lost]))
  for (const host of vault.pool.all.slice(0, 2)) {
    for (const pack of lostPacks) {
      for (let i = 0; i < 3; i++) host.shards.delete(`${Buffer.from(pack).toString('hex')}/${i}`)
    }
  }
  const to = newFolder()
  fs.mkdirSync(to)
  fs.writeFileSync(join(to, 'lose'), 'an older version stays')
  const summary = await retrieve(vault, { to })
  assert.deepEqual(summary.unrecoverable, ['lose'])
  assert.deepEqual(failures(summary.events), { lose: 'UNRECOVERABLE' })
  assert.deepEqual(new Uint8Array(fs.readFileSync(join(to, 'keep'))), keep)
  assert.equal(fs.readFileSync(join(to, 'lose'), 'utf8'), 'an older version stays')
  assert.deepEqual(fs.readdirSync(to).sort(), ['keep', 'lose'])
})

test('a shard found nowhere by receipt is found by asking', async () => {
  // Goal: receipts that are gone (rebuilt index) or wrong (shard moved) do not stop a retrieve.
  const vault = newVault({ k: 2, m: 1 })
  const content = random.bytes(200_000)
  await vault.commit(vault.tree('', { file: content }))
  const [a, b] = vault.pool.all
  assert.ok(a && b)
  const shards = [...a.shards.values()]
  a.shards.clear()
  const others = [...b.shards.values()]
  b.shards.clear()
  for (const shard of shards) b.keep(shard)
  for (const shard of others) a.keep(shard)
  const to = newFolder()
  const summary = await retrieve(vault, { to })
  assert.deepEqual(failures(summary.events), {})
  assert.deepEqual(new Uint8Array(fs.readFileSync(join(to, 'file'))), content)
})

test('paths, folders and files of a snapshot', async () => {
  // Goal: ID, ID:dir, ID:file and the stored folder's own path mean what DESIGN §9 says.
  const vault = newVault()
  const file = random.bytes(5000)
  await vault.commit(vault.tree('', { sub: { dir: { file } }, top: random.bytes(10) }))
  const first = newFolder()
  await retrieve(vault, { snapshot: 'latest:sub/dir', to: first })
  assert.deepEqual(fs.readdirSync(first), ['file'])
  const second = newFolder()
  await retrieve(vault, { snapshot: 'latest:sub/dir/file', to: second })
  assert.deepEqual(fs.readdirSync(second), ['file'])
  const third = newFolder()
  await retrieve(vault, { snapshot: 'latest:/home/data/sub', to: third })
  assert.deepEqual(fs.readdirSync(third), ['dir'])
  await assert.rejects(retrieve(vault, { snapshot: 'latest:no', to: third }), {
    code: 'PATH_UNKNOWN',
  })
  await assert.rejects(retrieve(vault, { snapshot: 'latest:sub/../top', to: third }), {
    code: 'USAGE',
  })
  await assert.rejects(retrieve(vault, { snapshot: 'ffffffffffff', to: third }), {
    code: 'SNAPSHOT_UNKNOWN',
  })
  for (let i = 0; i < 17; i++) await vault.commit(vault.tree('', { [`t${i}`]: file }))
  const ids = (await vault.service.snapshots()).map(({ id }) => id)
  assert.equal(ids.length, 18)
  const twice = ids.find((id) => ids.filter((one) => one[0] === id[0]).length > 1)
  assert.ok(twice)
  await assert.rejects(vault.service.resolve(twice.slice(0, 1), noSignal), {
    code: 'SNAPSHOT_AMBIGUOUS',
  })
  const lines: string[] = []
  const params = { snapshot: `${ids[0]}`, recursive: true }
  for await (const line of vault.service.ls(params, noSignal)) lines.push(line.path)
  assert.deepEqual(lines, ['/sub', '/sub/dir', '/sub/dir/file', '/top'])
})

test('a target that cannot be one is refused', async () => {
  // Goal: a clear code, and no loop where a folder refuses every child.
  const vault = newVault()
  await vault.commit(vault.tree('', { file: random.bytes(10) }))
  const file = newFolder()
  fs.writeFileSync(file, '')
  await assert.rejects(retrieve(vault, { to: file }), { code: 'TARGET_EXISTS' })
  await assert.rejects(retrieve(vault, { to: join(file, 'below') }), { code: 'TARGET_EXISTS' })
  await assert.rejects(retrieve(vault, { to: '/proc/none/at/all' }), { code: 'DISK' })
  await assert.rejects(retrieve(vault, { to: 'relative' }), { code: 'USAGE' })
})

test('include, exclude, never and dry run', async () => {
  // Goal: what is not wanted is neither written nor made as an empty folder.
  const vault = newVault()
  const file = random.bytes(3000)
  const tree = { docs: { 'a.txt': file, 'b.bin': file }, pics: { 'c.txt': file }, none: {} }
  await vault.commit(vault.tree('', tree))
  const first = newFolder()
  await retrieve(vault, { to: first, includes: ['*.txt'], excludes: ['pics'] })
  assert.deepEqual(fs.readdirSync(first, { recursive: true }).map(String).sort(), [
    'docs',
    'docs/a.txt',
  ])
  const second = newFolder()
  const dry = await retrieve(vault, { to: second, dryRun: true })
  assert.equal(dry.total_files, 3)
  assert.equal(dry.total_bytes, 9000)
  assert.ok(!fs.existsSync(second))
  const third = newFolder()
  fs.mkdirSync(join(third, 'docs'), { recursive: true })
  fs.writeFileSync(join(third, 'docs/a.txt'), 'mine')
  const kept = await retrieve(vault, { to: third, overwrite: 'never' })
  assert.equal(fs.readFileSync(join(third, 'docs/a.txt'), 'utf8'), 'mine')
  assert.equal(kept.files_skipped, 1)
  assert.equal(kept.files_restored, 2)
})
